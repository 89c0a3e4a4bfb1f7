"""Dialogs: a box in the middle of the screen with a title, something to read or fill in, and buttons.

Esc does the same as one of the buttons, which is always shown. In a question the safe answer has the focus.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import urwid

from tui.widgets.buttons import ButtonRow, Pressed
from tui.widgets.flow import Flow
from tui.widgets.palette import NAMES
from tui.widgets.row_search import RowSearch
from tui.widgets.steady import SteadyText
from tui.widgets.text import clean

__all__ = ["Dialog", "ask", "message", "paragraphs", "text_rows"]

Rows = Sequence[Flow]
Words = Callable[[Flow | None], tuple[str, str] | None]
_HINT_ROWS = 4
_ACCEPTING = frozenset({"OK", "Next", "Filter", "Search", "Apply"})  # F2 presses it if it is the first button


class Dialog(urwid.WidgetWrap[urwid.AttrMap[urwid.AbstractWidget]]):
    """A dialog box with rows and buttons.

    Esc calls `cancelled`. `contexts` names the key contexts that act in the dialog, and `do` runs their commands.
    `words` returns the help of the row in focus, which is shown at the bottom if there is room. `is_exit` marks the
    question whether to leave the program. Enter in a text field calls `submit`, or without it moves to the next field;
    with `enter_accepts` it presses the first button in the last field.
    """

    def __init__(
        self,
        title: str,
        rows: Rows,
        buttons: Sequence[tuple[str, Pressed]],
        cancelled: Pressed,
        *,
        width: int = 64,
        focus_button: int | None = None,
        contexts: tuple[str, ...] = (),
        do: Callable[[str], bool] | None = None,
        words: Words | None = None,
        is_exit: bool = False,
        submit: Pressed | None = None,
        enter_accepts: bool = False,
    ) -> None:
        self._submit = submit
        self._enter_accepts = enter_accepts
        self._last_field = next((row for row in reversed(rows) if row.selectable()), None)
        self.cancelled = cancelled
        self.is_exit = is_exit
        self.words = words
        self.width = width
        self._is_pager = len(rows) > 1 and not any(row.selectable() for row in rows)
        self.contexts = (*contexts, "pager") if self._is_pager else contexts
        self._search = RowSearch(self._texts, lambda: self.list.focus_position, self._scroll_to)
        self._search_line = SteadyText("", wrap="clip")
        self._do = do or (lambda _: False)
        self._accept = next((pressed for label, pressed in buttons[:1] if label in _ACCEPTING), submit)
        self._walker: urwid.SimpleFocusListWalker[Flow] = urwid.SimpleFocusListWalker(self._shown(rows))
        self.list: urwid.ListBox[int] = urwid.ListBox(self._walker, select_navigation=True)
        self._rows: list[Flow] = list(rows)
        self._buttons = ButtonRow(buttons, focus_button or 0)
        self._hint = urwid.Text("")
        self._hint_rows = -1
        self._frame: urwid.Frame[Any, Any, Any] = urwid.Frame(
            urwid.ScrollBar(self.list, thumb_attr="rule", delegate_selectable=True), select_navigation=True
        )
        self._arrange(24)
        if focus_button is not None or not any(row.selectable() for row in rows):
            self._frame.focus_position = "footer"
        padded = urwid.Padding(urwid.AttrMap(self._frame, "help"), left=1, right=1)
        box = urwid.LineBox(padded, title=clean(title, 60), title_attr="dialog title")
        super().__init__(urwid.AttrMap(box, "dialog"))
        self._tell()

    def _arrange(self, rows: int) -> None:
        """Show the buttons always, and the help only if the screen is high enough."""
        hint_rows = _HINT_ROWS if self.words is not None and rows >= 16 else 0
        if hint_rows == self._hint_rows:
            return
        self._hint_rows = hint_rows
        parts: list[Flow] = [urwid.AttrMap(self._search_line, "head"), self._buttons]
        if hint_rows:
            hint = urwid.Filler(urwid.AttrMap(self._hint, "help"), "top")
            parts += [urwid.AttrMap(urwid.Divider("─"), "rule"), urwid.BoxAdapter(hint, hint_rows)]
        focus = self._frame.focus_position
        self._frame.footer = urwid.Pile(parts, select_navigation=True)
        self._frame.focus_position = focus

    def do(self, command: str) -> bool:
        """Run a command of a key; return True if the dialog has it."""
        if command == "accept" and self._accept is not None:
            self._accept()
            return True
        return self._do(command)

    def show_rows(self, rows: Rows) -> None:
        """Show other rows; the button in focus keeps the focus."""
        self._rows = list(rows)
        self._walker[:] = self._shown(rows)
        if self._walker and self.list.focus is None:
            self._walker.set_focus(0)

    def focus_on(self, row: Flow) -> None:
        self._frame.focus_position = "body"
        self.list.set_focus(self._rows.index(row))
        self._tell()

    def _tell(self) -> None:
        found = self.words(self.list.focus) if self.words is not None else None
        self._hint.set_text(found[1] if found else "")

    def height(self, columns: int, rows: int) -> int:
        """Return the number of rows that show the whole dialog on a screen of this size."""
        self._arrange(rows)
        inner = max(1, min(self.width, columns) - 4)
        hint = self._hint_rows + 1 if self._hint_rows else 0
        return text_rows(self._rows, inner) + self._buttons.rows((inner,)) + hint + 3

    def _shown(self, rows: Rows) -> list[Flow]:
        """Return the rows as the list holds them: those of a text can be marked."""
        return [urwid.AttrMap(row, None) for row in rows] if self._is_pager else list(rows)

    def _texts(self) -> list[str]:
        return [str(getattr(row, "text", "")) for row in self._rows]

    def _scroll_to(self, row: int) -> None:
        """Bring a row of a text to the top, and mark it."""
        for each in self._walker:
            if isinstance(each, urwid.AttrMap):
                each.set_attr_map({None: None})
        marked: dict[Hashable, Hashable] = dict.fromkeys((None, *NAMES), "row focus")
        chosen = self._walker[row]
        if isinstance(chosen, urwid.AttrMap):
            chosen.set_attr_map(marked)
        self.list.set_focus(row)
        self.list.set_focus_valign("top")

    def keypress(self, size: Any, key: str) -> str | None:
        if self._is_pager and self._search.takes(key):
            self._search_line.set_text(self._search.line)
            return None
        unhandled: str | None = self._w.keypress(size, key)
        if unhandled == "enter":
            unhandled = self._enter(size)
        if unhandled in {"up", "down", "page up", "page down", "home", "end"}:
            unhandled = self._scroll(size, unhandled)
        self._tell()
        return unhandled

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool | None:
        handled: bool | None = self._w.mouse_event(size, event, button, col, row, focus)
        self._tell()
        return handled

    def _enter(self, size: Any) -> str | None:
        if self._enter_accepts and self._accept is not None and self.list.focus is self._last_field:
            self._accept()
            return None
        if self._submit is None:
            return self._w.keypress(size, "tab") and None
        self._submit()
        return None

    def _scroll(self, size: Any, key: str) -> str | None:
        """Move from the last row to the buttons and back; scroll the rows if none can have the focus."""
        in_footer = self._frame.focus_position == "footer"
        selectable = any(row.selectable() for row in self._rows)
        if not in_footer:
            if key == "down":
                self._frame.focus_position = "footer"
            return None
        if selectable and key == "up":
            self._frame.focus_position = "body"
            self.list.set_focus(max(at for at, row in enumerate(self._rows) if row.selectable()), "below")
        elif not selectable:
            self.list.keypress((max(1, size[0] - 4), max(1, size[1] - 4)), key)
        return None


def text_rows(rows: Sequence[Any], columns: int) -> int:
    """Return the number of screen rows that these widgets need at this width."""
    return sum(row.rows((columns,)) for row in rows)


def paragraphs(text: str) -> list[Flow]:
    return [urwid.Text(line) if line else urwid.Divider() for line in text.split("\n")]


def message(title: str, text: str, close: Pressed, *, width: int = 64) -> Dialog:
    """Return a dialog with a text and a button that closes it."""
    return Dialog(title, paragraphs(text), [("Close", close)], close, width=width)


def ask(title: str, text: str, answers: Sequence[tuple[str, Pressed]], cancelled: Pressed, *, safe: int = 0) -> Dialog:
    """Return a dialog with a question; `safe` is the index of the answer that has the focus."""
    return Dialog(title, paragraphs(text), answers, cancelled, focus_button=safe)
