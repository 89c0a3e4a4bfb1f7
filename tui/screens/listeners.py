"""Listeners & TLS: the ports, and how long the certificate is good."""

from tui.desk import Desk
from tui.draft import Row
from tui.screens.rows import Rows, RowsLook
from tui.table import Column

__all__ = ["screen"]

_COLUMNS = (
    Column("Name", share=2),
    Column("Port", 5),
    Column("TLS", 8),
    Column("Login", 8),
    Column("Addresses", share=3, least=40),
)


def screen(desk: Desk) -> Rows:
    look = RowsLook(_COLUMNS, _cells, "Name", "Nobody can connect. Press a, Insert or [Add].", ordered=False)
    fields = [("basic", "allow_tls"), ("server", "certificate"), ("server", "private_key")]
    return Rows(desk, "listeners", look, fields=fields)


def _cells(row: Row) -> list[str]:
    section = row.section
    return [row.name, *(row.text(section.option(name)) for name in ("port", "tls", "auth", "address"))]
