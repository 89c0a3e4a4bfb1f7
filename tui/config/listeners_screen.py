"""Listeners & TLS: the ports, and the days until the certificate expires."""

from tui.config.draft import Row
from tui.config.table_screen import TableLook, TableScreen
from tui.shell.context import AppContext
from tui.widgets.table import Column

__all__ = ["screen"]

_COLUMNS = (
    Column("Name", share=2),
    Column("Port", 5),
    Column("TLS", 8),
    Column("Login", 8),
    Column("Addresses", share=3, least=40),
)


def screen(context: AppContext) -> TableScreen:
    look = TableLook(
        _COLUMNS, _cells, "Name", "No client can connect. Press a, Insert or [Add].", ordered=False, tested=True
    )
    fields = [("basic", "allow_tls"), ("server", "certificate"), ("server", "private_key")]
    return TableScreen(context, "listeners", look, fields=fields)


def _cells(row: Row) -> list[str]:
    section = row.section
    return [row.name, *(row.text(section.option(name)) for name in ("port", "tls", "auth", "address"))]
