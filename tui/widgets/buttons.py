"""Buttons, and rows of buttons that wrap at the edge of the screen."""

from collections.abc import Callable, Sequence
from typing import Any

import urwid

__all__ = ["ButtonRow", "Pressed", "Word", "button"]

Pressed = Callable[[], object]
_GAP = 1


class Word(urwid.WidgetWrap[urwid.SelectableIcon]):
    """A word that can have the focus; Enter, Space or a click presses it."""

    def __init__(self, text: str, pressed: Pressed, cursor: int = 0) -> None:
        self._pressed = pressed
        super().__init__(urwid.SelectableIcon(text, cursor, wrap="clip"))

    @property
    def text(self) -> str:
        return str(self._w.text)

    def set_text(self, text: str) -> None:
        self._w.set_text(text)

    def keypress(self, size: Any, key: str) -> str | None:
        if key not in {" ", "enter"}:
            return key
        self._pressed()
        return None

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool | None:
        if event != "mouse press" or button != 1:
            return False
        self._pressed()
        return True


def button(label: str, pressed: Pressed) -> Word:
    """Return a button: the label in brackets."""
    return Word(f"[{label}]", pressed, 1)


class ButtonRow(urwid.WidgetWrap[urwid.Pile]):
    """Buttons side by side, in as many lines as the width requires."""

    def __init__(self, buttons: Sequence[tuple[str, Pressed]], focus: int = 0) -> None:
        self._all = {label: button(label, pressed) for label, pressed in buttons}
        self._buttons = list(self._all.values())
        self._lines: list[urwid.Columns] = []
        self._width = -1
        super().__init__(urwid.Pile([], select_navigation=True))
        self._arrange(80)
        self.focus_on(focus)

    def show(self, labels: Sequence[str]) -> None:
        """Show these buttons alone. The focus stays on its button, or goes to the one in its place."""
        shown = [self._all[label] for label in labels]
        if shown == self._buttons:
            return
        index = self._focused()
        focused, self._buttons = self._buttons[index], shown
        width, self._width = self._width, -1
        self._arrange(width)
        self.focus_on(shown.index(focused) if focused in shown else min(index, len(shown) - 1))

    def focus_on(self, index: int) -> None:
        """Move the focus to the button with this index; do nothing if there is none."""
        for number, line in enumerate(self._lines):
            here = len(line.contents)
            if index < here:
                self._w.focus_position = number
                line.focus_position = index
                return
            index -= here

    def _focused(self) -> int:
        if not self._lines:
            return 0
        number = self._w.focus_position
        return sum(len(line.contents) for line in self._lines[:number]) + self._lines[number].focus_position

    def _arrange(self, width: int) -> None:
        if width == self._width:
            return
        focused, self._width = self._focused(), width
        lines: list[list[Word]] = []
        left = 0
        for each in self._buttons:
            needed = len(each.text) + _GAP
            if not lines or left < needed - _GAP:
                lines.append([])
                left = width
            lines[-1].append(each)
            left -= needed
        self._lines = [self._line(line) for line in lines]
        self._w.contents = [(line, self._w.options("pack")) for line in self._lines]
        self.focus_on(focused)

    @staticmethod
    def _line(buttons: list[Word]) -> urwid.Columns:
        columns = [(len(each.text), urwid.AttrMap(each, "button", "button focus")) for each in buttons]
        return urwid.Columns(columns, dividechars=_GAP, select_navigation=True)

    def rows(self, size: Any, focus: bool = False) -> int:
        self._arrange(size[0])
        return self._w.rows(size, focus)

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        self._arrange(size[0])
        return self._w.render(size, focus)

    def keypress(self, size: Any, key: str) -> str | None:
        self._arrange(size[0])
        return self._w.keypress(size, key)

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool | None:
        self._arrange(size[0])
        return self._w.mouse_event(size, event, button, col, row, focus)
