"""Bars of numbers over time, the newest at the right, readable in colour, in black and white, and in ASCII."""

from collections.abc import Sequence
from typing import Any

import urwid

from tui.widgets.steady import SteadyText
from tui.widgets.text import count

__all__ = ["Bars", "TimeAxis", "bars"]

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LABEL, _PEAK = 17, 12


def bars(values: Sequence[int], width: int, height: int, most: int) -> list[str]:
    """Return `height` lines of text, the top line first. Every value above zero has a mark, however small it is.

    On a narrow screen the highest of several values stands for them.
    """
    shown = _in_columns(values, width)
    each = _columns_each(values, width)
    top = max(1, most)
    levels = [0 if value <= 0 else max(1, round(value * height * 8 / top)) for value in shown]
    lines = []
    for row in reversed(range(height)):
        line = "".join(_EIGHTHS[max(0, min(8, level - row * 8))] * each for level in levels)
        lines.append(line.rjust(width))
    return lines


def _in_columns(values: Sequence[int], width: int) -> list[int]:
    """Return at most `width` values: the highest of each group, and the newest value ends a group."""
    if not width:
        return []
    size = max(1, -(-len(values) // width))
    first = len(values) % size
    groups = [values[:first], *(values[at : at + size] for at in range(first, len(values), size))]
    return [max(group) for group in groups if group]


def _columns_each(values: Sequence[int], width: int) -> int:
    return max(1, width // max(1, len(values)))


class Bars(urwid.WidgetWrap[urwid.Columns]):
    """A label with the last value, the coloured bars, and the highest value beside them."""

    def __init__(self, label: str, look: str) -> None:
        self._label = label
        self._values: list[int] = []
        self._height = 2
        self._words = SteadyText("")
        self._bars = SteadyText("", wrap="clip")
        self._peak = SteadyText("", wrap="clip")
        columns: list[Any] = [
            (_LABEL, self._words),
            urwid.AttrMap(self._bars, look),
            (_PEAK, urwid.AttrMap(self._peak, "dim")),
        ]
        super().__init__(urwid.Columns(columns, dividechars=1))

    def show(self, values: Sequence[int], height: int) -> None:
        """Show these values; nothing is drawn anew if they are the same as before."""
        if (list(values), height) == (self._values, self._height):
            return
        self._values, self._height = list(values), height
        now = self._values[-1] if self._values else 0
        self._words.set_text([("help label", f"{self._label:9}"), f" {count(now):>6}"])
        self._peak.set_text(f"{count(max(self._values, default=0))} peak")
        self._invalidate()

    def rows(self, size: Any, focus: bool = False) -> int:
        return self._height

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        lines = bars(self._values, _graph_width(size[0]), self._height, max(self._values, default=0))
        self._bars.set_text("\n".join(lines))
        canvas = urwid.CompositeCanvas(self._w.render(size, focus))
        if canvas.rows() < self._height:
            canvas.pad_trim_top_bottom(0, self._height - canvas.rows())
        elif canvas.rows() > self._height:
            canvas.trim(0, self._height)
        return canvas


class TimeAxis(urwid.WidgetWrap[urwid.Columns]):
    """The line below the bars: the time of their first column at the left, now at the right."""

    def __init__(self, label: str, values: int, unit: str) -> None:
        self._values = values
        self._start = f"-{values} {unit} "
        self._line = SteadyText("", wrap="clip")
        columns: list[Any] = [(_LABEL, urwid.Text(label)), urwid.AttrMap(self._line, "dim"), (_PEAK, urwid.Text(""))]
        super().__init__(urwid.Columns(columns, dividechars=1))

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        width = _graph_width(size[0])
        zeros = [0] * self._values
        used = len(_in_columns(zeros, width)) * _columns_each(zeros, width)
        self._line.set_text((self._start + "─" * (used - len(self._start) - 4) + " now").rjust(width)[-width or None :])
        return self._w.render(size, focus)


def _graph_width(columns: int) -> int:
    return max(0, columns - _LABEL - _PEAK - 2)
