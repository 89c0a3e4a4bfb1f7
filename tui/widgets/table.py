"""A table of rows that can be chosen: a heading, columns cut at their width, and a mark on the row in focus."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

import urwid

from tui.widgets.flow import Flow
from tui.widgets.row_search import RowSearch
from tui.widgets.steady import SteadyText

__all__ = ["Column", "Table", "TableRow", "columns_for"]


class Column(NamedTuple):
    """A column. `width` is in screen columns, 0 for a share of the rest; a screen narrower than `least` omits it."""

    title: str
    width: int = 0
    share: int = 1
    least: int = 0
    align: urwid.Align = urwid.Align.LEFT


def columns_for(columns: Sequence[Column], width: int) -> list[int]:
    """Return the indexes of the columns that are shown at this width."""
    return [index for index, column in enumerate(columns) if column.least <= width]


class TableRow(urwid.WidgetWrap[urwid.AttrMap[urwid.Columns]]):
    """One row of a table. It lays out its cells again when a new width changes the set of shown columns."""

    _selectable = True

    def __init__(
        self, columns: Sequence[Column], cells: Sequence[Any], chosen: Callable[[], object], look: str = "row"
    ) -> None:
        self._columns = columns
        self._texts = [
            SteadyText(cell, wrap="ellipsis", align=column.align) for cell, column in zip(cells, columns, strict=True)
        ]
        self._shown: list[int] = []
        self._chosen = chosen
        super().__init__(urwid.AttrMap(urwid.Columns([], dividechars=1), look, "row focus"))

    def set(self, cells: Sequence[Any], look: str = "row") -> None:
        for text, cell in zip(self._texts, cells, strict=True):
            text.set_text(cell)
        looks: dict[Hashable, Hashable] = {None: look}
        if looks != self._w.attr_map:
            self._w.set_attr_map(looks)

    def selectable(self) -> bool:
        return True

    def rows(self, size: Any, focus: bool = False) -> int:
        return 1

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        shown = columns_for(self._columns, size[0])
        if shown != self._shown:
            self._shown = shown
            grid = self._w.original_widget
            grid.contents = [(self._texts[index], _options(grid, self._columns[index])) for index in shown]
        canvas = self._w.render(size, focus)
        if not focus:
            return canvas
        # The cursor at the left shows the row in focus on a terminal without colours.
        marked = urwid.CompositeCanvas(canvas)
        marked.cursor = (0, 0) if size[0] else None
        return marked

    def get_cursor_coords(self, size: Any) -> tuple[int, int] | None:
        return (0, 0) if size[0] else None

    # A list asks for the column of the cursor at a key, which may come before the first picture of a row.

    def get_pref_col(self, size: Any) -> int:
        return 0

    def move_cursor_to_coords(self, size: Any, col: Any, row: int) -> bool:
        return True

    def keypress(self, size: Any, key: str) -> str | None:
        if key != "enter":
            return key
        self._chosen()
        return None

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool:
        return event == "mouse press" and button == 1


def _options(grid: urwid.Columns, column: Column) -> Any:
    return grid.options("given", column.width) if column.width else grid.options("weight", column.share)


class Table(urwid.WidgetWrap[urwid.Frame[Any, Any, Any]]):
    """A table. Enter calls `chosen` with the index of the row, `/` searches; an empty table shows the text `none`."""

    def __init__(self, columns: Sequence[Column], chosen: Callable[[int], object], none: str) -> None:
        self._columns = columns
        self._chosen = chosen
        self._none = none
        self._walker: urwid.SimpleFocusListWalker[Flow] = urwid.SimpleFocusListWalker([])
        self._count = 0
        self._cells: Sequence[Sequence[Any]] = ()
        self._looks: Sequence[str] | None = None
        self._search = RowSearch(self._texts, lambda: self.position, self.focus_on)
        heading = TableRow(columns, [column.title for column in columns], lambda: None, "head")
        self._list: urwid.ListBox[int] = urwid.ListBox(self._walker)
        body = urwid.ScrollBar(self._list, thumb_attr="rule", delegate_selectable=True)
        head = urwid.WidgetDisable(urwid.Padding(heading, left=0))
        super().__init__(
            urwid.Frame(body, header=head if any(column.title for column in columns) else None, select_navigation=True)
        )

    def _texts(self) -> list[str]:
        return [" ".join(map(str, cells)) for cells in self._cells]

    def keypress(self, size: Any, key: str) -> str | None:
        if not self._search.takes(key):
            unhandled: str | None = self._w.keypress(size, key)
            self._show_search()
            return unhandled
        self._show_search()
        return None

    def _show_search(self) -> None:
        line = self._search.line
        if line or self._w.footer is not None:
            self._w.footer = urwid.AttrMap(urwid.Text(line, wrap="clip"), "head") if line else None

    @property
    def position(self) -> int:
        """Return the index of the row in focus, or -1 if there is none."""
        return int(self._walker.focus or 0) if self._count else -1

    def focus_on(self, index: int) -> None:
        if self._count:
            self._walker.set_focus(max(0, min(index, self._count - 1)))

    def show(self, rows: Sequence[Sequence[Any]], looks: Sequence[str] | None = None) -> None:
        """Show these rows and keep the index of the row in focus; rows that are shown already cost nothing."""
        if rows == self._cells and looks == self._looks and len(self._walker):
            return
        focus = self.position
        self._count = len(rows)
        self._looks = looks
        self._cells = rows
        lines: list[Flow] = [
            TableRow(self._columns, cells, partial(self._chosen, index), looks[index] if looks else "row")
            for index, cells in enumerate(rows)
        ]
        self._walker[:] = lines or [urwid.Text(("dim", self._none))]
        if lines:
            self._walker.set_focus(max(0, min(focus, len(lines) - 1)))
