"""Domains: the local domains, each with its other names and its catch-all."""

from tui.config.draft import Row
from tui.config.table_screen import TableLook, TableScreen
from tui.shell.context import AppContext
from tui.widgets.table import Column

__all__ = ["screen"]

_COLUMNS = (Column("Domain", share=2), Column("Also known as", share=2), Column("Catch-all", share=2, least=40))


def screen(context: AppContext) -> TableScreen:
    none = "The primary domain alone. Press a, Insert or [Add]."
    look = TableLook(_COLUMNS, _cells, "Domain", none, ordered=False)

    def notes() -> list[str]:
        primary = context.draft.single("server")
        return [
            f" Primary domain: {primary.values.get('primary_domain', 'none yet')} (change it on the Server screen)",
            "",
        ]

    return TableScreen(context, "domains", look, notes=notes)


def _cells(row: Row) -> list[str]:
    return [row.name, *(row.text(row.section.option(name)) for name in ("aliases", "catch_all"))]
