"""Domains: those whose mail is kept here, each with its other names and its catch-all."""

from tui.desk import Desk
from tui.draft import Row
from tui.screens.rows import Rows, RowsLook
from tui.table import Column

__all__ = ["screen"]

_COLUMNS = (Column("Domain", share=2), Column("Also known as", share=2), Column("Catch-all", share=2, least=40))


def screen(desk: Desk) -> Rows:
    none = "The primary domain alone. Press a, Insert or [Add]."
    look = RowsLook(_COLUMNS, _cells, "Domain", none, ordered=False)

    def notes() -> list[str]:
        primary = desk.draft.plain("server")
        return [
            f" Primary domain: {primary.values.get('primary_domain', 'none yet')} (change it on the Server screen)",
            "",
        ]

    return Rows(desk, "domains", look, notes=notes)


def _cells(row: Row) -> list[str]:
    return [row.name, *(row.text(row.section.option(name)) for name in ("aliases", "catch_all"))]
