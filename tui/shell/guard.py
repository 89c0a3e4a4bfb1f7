"""The last line of defence: a screen that is too small says so, a picture that cannot be drawn becomes a sentence."""

from collections.abc import Callable
from typing import Any

import urwid

__all__ = ["Guard"]

_COLUMNS, _ROWS = 40, 10


class Guard(urwid.WidgetDecoration[urwid.AbstractWidget]):
    """`failed` gets the exception of drawing."""

    def __init__(self, widget: urwid.AbstractWidget, failed: Callable[[Exception], None]) -> None:
        super().__init__(widget)
        self._failed = failed

    def sizing(self) -> frozenset[urwid.Sizing]:
        return frozenset((urwid.Sizing.BOX,))

    def selectable(self) -> bool:
        return True

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        if size[0] < _COLUMNS or size[1] < _ROWS:
            return _sentence(f"{size[0]}x{size[1]} is too small; {_COLUMNS}x{_ROWS} is needed.", size)
        try:
            return self.original_widget.render(size, focus)
        except Exception as problem:
            self._failed(problem)
            picture = urwid.CompositeCanvas(
                _sentence(f"This cannot be shown: {problem}. F10 leaves, F9 goes to the menu.", size)
            )
            picture.cacheable = False  # the next picture may succeed
            return picture

    def keypress(self, size: Any, key: str) -> str | None:
        return self.original_widget.keypress(_at_least(size), key)

    def mouse_event(self, size: Any, *event: Any, **more: Any) -> bool | None:
        return self.original_widget.mouse_event(_at_least(size), *event, **more)


def _at_least(size: Any) -> tuple[int, int]:
    """Return the size, or the smallest that is large enough, with which keys work on a smaller screen too."""
    return max(size[0], _COLUMNS), max(size[1], _ROWS)


def _sentence(text: str, size: Any) -> urwid.Canvas:
    return urwid.Filler(urwid.Text(text, align="center")).render(size)
