"""Mail Header Replace: the addresses to replace, their replacements, and the mail in which to replace them."""

from tui.config.draft import Row
from tui.config.table_screen import TableLook, TableScreen
from tui.shell.context import AppContext
from tui.widgets.table import Column

__all__ = ["screen"]

_COLUMNS = (
    Column("Replace with", share=3),
    Column("These addresses", share=4),
    Column("Local", 6, least=40),
    Column("Remote", 6, least=40),
)


def screen(context: AppContext) -> TableScreen:
    look = TableLook(_COLUMNS, _cells, "Replace with", "Nothing is replaced. Press a, Insert or [Add].")
    return TableScreen(context, "replacements", look)


def _cells(row: Row) -> list[str]:
    section = row.section
    return [row.name, *(row.text(section.option(name)) for name in ("addresses", "local", "remote"))]
