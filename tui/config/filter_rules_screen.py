"""Filter Rules: the rules for messages, in the order in which they are asked."""

from tui.config.draft import Row
from tui.config.table_screen import TableLook, TableScreen
from tui.shell.context import AppContext
from tui.widgets.table import Column

__all__ = ["screen"]

_COLUMNS = (
    Column("Name", share=2),
    Column("Field", 12),
    Column("Match", 8, least=60),
    Column("Text", share=3, least=40),
    Column("For", 4, least=60),
    Column("Action", share=3),
)


def screen(context: AppContext) -> TableScreen:
    def cells(row: Row) -> list[str]:
        section = row.section
        names = ("field", "match", "text", "direction", "action")
        return [row.name, *(row.text(section.option(name)) for name in names)]

    return TableScreen(
        context, "filter_rules", TableLook(_COLUMNS, cells, "Name", "No rule. Press a, Insert or [Add].")
    )
