"""Milters: the filters, in the order in which they are asked, with their state as the running server sees it."""

from tui.config.draft import Row
from tui.config.table_screen import TableLook, TableScreen
from tui.shell.context import AppContext
from tui.widgets.table import Column

__all__ = ["screen"]

_COLUMNS = (
    Column("Name", share=2),
    Column("State", 12),
    Column("For", 8, least=40),
    Column("Address", share=4, least=40),
)


class MiltersScreen(TableScreen):
    """The table, drawn again while it is in view, because the states change."""

    _shown: tuple[str, ...] = ()

    def tick(self) -> None:
        states = tuple(_state(self._context, row.name) for row in self._items())
        if states != self._shown:
            self._shown = states
            self.show()


def screen(context: AppContext) -> TableScreen:
    def cells(row: Row) -> list[str]:
        section = row.section
        return [row.name, _state(context, row.name), *(row.text(section.option(name)) for name in ("for", "address"))]

    look = TableLook(_COLUMNS, cells, "Name", "No milter is asked. Press a, Insert or [Add].", tested=True)
    fields = [("milter", "filter_deadline"), ("milter", "max_connections")]
    return MiltersScreen(context, "milters", look, fields=fields)


def _state(context: AppContext, name: str) -> str:
    """Return a dot with the milliseconds of the last message, or the word down."""
    state = context.runtime.milters.read(name)
    if state is None:
        return "○ not used"
    return "✗ down" if state.is_down else f"● {state.took_ms:.0f} ms"
