"""The screen in ASCII: for terminals and fonts that draw lines and quotation marks as rubbish (`--ascii`).

The finished picture is translated, so that the screens need no code for it. Every character keeps its width.
"""

import unicodedata
from collections.abc import Iterator
from typing import Any, ClassVar

import urwid
from urwid.canvas import CompositeCanvas, TextCanvas

__all__ = ["Ascii", "ascii_text"]

_SINGLES = str.maketrans(
    {
        "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "~", "·": ".", "•": "*", "●": "*",
        "○": "o", "×": "x", "✓": "+", "✗": "!", "▸": ">", "›": ">", "‹": "<", "→": ">", "←": "<", "↑": "^", "↓": "v",
        "─": "-", "━": "=", "│": "|", "┃": "|", "┌": "+", "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "┬": "+",
        "┴": "+", "┼": "+", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "█": "#", "▁": "_", "▂": ".", "▃": ":", "▄": "=",
        "▅": "=", "▆": "%", "▇": "%", "▒": ":", "░": ".", "▼": "v", "▲": "^", "■": "#", "□": ".", "\u00a0": " ",
    }
)  # fmt: skip


def ascii_text(text: str) -> str:
    """Return the text in ASCII characters only, with the same width."""
    if text.isascii():
        return text
    flat = "".join(_one(char) for char in text.translate(_SINGLES))
    width = urwid.calc_width(text, 0, len(text))  # several characters may share one column
    return flat[:width].ljust(width)


def _one(char: str) -> str:
    if char.isascii():
        return char
    width = urwid.calc_width(char, 0, 1)
    base = unicodedata.normalize("NFD", char)[0]
    return base if width == 1 and base.isascii() else "?" * width


class Ascii(urwid.WidgetDecoration[urwid.AbstractWidget]):
    """A decoration that renders the widget below it and translates the picture."""

    no_cache: ClassVar[list[str]] = ["render"]  # urwid could not tell when to drop a cached translation

    def __init__(self, widget: urwid.AbstractWidget) -> None:
        super().__init__(widget)

    def sizing(self) -> frozenset[urwid.Sizing]:
        return frozenset((urwid.Sizing.BOX,))

    def selectable(self) -> bool:
        return True

    def keypress(self, size: Any, key: str) -> str | None:
        return self.original_widget.keypress(size, key)

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool | None:
        return self.original_widget.mouse_event(size, event, button, col, row, focus)

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        canvas = self.original_widget.render(size, focus)
        texts, attributes = [], []
        for line in canvas.content():
            text, runs = _translated(line)
            texts.append(text)
            attributes.append(runs)
        flat = CompositeCanvas(TextCanvas(texts, attributes, maxcol=size[0]))
        flat.cursor = canvas.cursor
        return flat


def _translated(line: Any) -> tuple[bytes, list[tuple[Any, int]]]:
    pieces: list[bytes] = []
    runs: list[tuple[Any, int]] = []
    for attribute, text in _cells(line):
        piece = ascii_text(text).encode("ascii")
        pieces.append(piece)
        runs.append((attribute, len(piece)))
    return b"".join(pieces), runs


def _cells(line: Any) -> Iterator[tuple[Any, str]]:
    for attribute, _charset, text in line:
        yield attribute, text.decode(urwid.util.get_encoding(), "replace")
