"""Groups: addresses that stand for their members, each with its owner and the rule for its authors."""

from tui.config.draft import Row
from tui.config.table_screen import TableLook, TableScreen
from tui.shell.context import AppContext
from tui.widgets.table import Column

__all__ = ["screen"]

_COLUMNS = (
    Column("Group", share=3),
    Column("Who may write", share=2, least=40),
    Column("Owner", share=3, least=64),
    Column("Members", share=4, least=40),
)


def screen(context: AppContext) -> TableScreen:
    look = TableLook(_COLUMNS, _cells, "Group", "There is no group. Press a, Insert or [Add].", ordered=False)
    return TableScreen(context, "groups", look)


def _cells(row: Row) -> list[str]:
    return [row.name, *(row.text(row.section.option(name)) for name in ("post", "owner", "members"))]
