"""Approval: the senders with mail that waits, and the managers who decide about it."""

from tui.config.draft import Row
from tui.config.table_screen import TableLook, TableScreen
from tui.shell.context import AppContext
from tui.widgets.table import Column

__all__ = ["screen"]

_COLUMNS = (
    Column("Name", share=2),
    Column("Senders", share=4, least=40),
    Column("Recipients", 10, least=40),
    Column("Managers", share=4, least=40),
)


def screen(context: AppContext) -> TableScreen:
    look = TableLook(_COLUMNS, _cells, "Name", "No mail waits for approval. Press a, Insert or [Add].")
    return TableScreen(context, "approvals", look)


def _cells(row: Row) -> list[str]:
    return [row.name, *(row.text(row.section.option(name)) for name in ("senders", "scope", "managers"))]
