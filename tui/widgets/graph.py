"""Bars of numbers over time, the newest at the right, readable in colour, in black and white, and in ASCII."""

from collections.abc import Sequence
from typing import Any

import urwid

from tui.widgets.text import count

__all__ = ["Bars", "bars"]

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LABEL = 19


def bars(values: Sequence[int], width: int, height: int, most: int) -> list[str]:
    """Return `height` lines of text, the top line first. Every value above zero has a mark, however small it is."""
    each = max(1, width // max(1, len(values)))
    shown = values[-(width // each) :] if width else ()
    top = max(1, most)
    levels = [0 if value <= 0 else max(1, round(value * height * 8 / top)) for value in shown]
    lines = []
    for row in reversed(range(height)):
        line = "".join(_EIGHTHS[max(0, min(8, level - row * 8))] * each for level in levels)
        lines.append(line.rjust(width))
    return lines


class Bars(urwid.WidgetWrap[urwid.Columns]):
    """A label with the last and the highest value, and the coloured bars beside it."""

    def __init__(self, label: str, look: str) -> None:
        self._label = label
        self._look = look
        self._values: list[int] = []
        self._height = 2
        self._words = urwid.Text("")
        self._bars = urwid.Text("", wrap="clip")
        super().__init__(urwid.Columns([(_LABEL, self._words), urwid.AttrMap(self._bars, look)], dividechars=1))

    def show(self, values: Sequence[int], height: int) -> None:
        self._values, self._height = list(values), height
        now = self._values[-1] if self._values else 0
        words: list[Any] = [("help label", f"{self._label:9}"), f" {count(now):>6}"]
        if height > 1:
            words.append(("dim", f"\n     most {count(max(self._values, default=0)):>6}"))
        self._words.set_text(words)
        self._invalidate()

    def rows(self, size: Any, focus: bool = False) -> int:
        return self._height

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        width = max(0, size[0] - _LABEL - 1)
        lines = bars(self._values, width, self._height, max(self._values, default=0))
        self._bars.set_text("\n".join(lines))
        canvas = urwid.CompositeCanvas(self._w.render(size, focus))
        if canvas.rows() < self._height:
            canvas.pad_trim_top_bottom(0, self._height - canvas.rows())
        elif canvas.rows() > self._height:
            canvas.trim(0, self._height)
        return canvas
