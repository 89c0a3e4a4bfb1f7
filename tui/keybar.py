"""The line of keys at the bottom: what acts where the focus is; each word can be clicked."""

from collections.abc import Callable, Sequence
from typing import Any

import urwid

from tui.keys import EVERYWHERE, Binding, bindings_of, key_text

__all__ = ["KeyBar"]


class KeyBar(urwid.WidgetWrap[urwid.Text]):
    """Shows as many keys as the width holds: those of the screen first, help and leaving always."""

    def __init__(self, run: Callable[[str], object]) -> None:
        self._run = run
        self._bindings: tuple[Binding, ...] = ()
        self._places: list[tuple[int, int, str]] = []
        super().__init__(urwid.Text("", wrap="clip"))

    def show(self, contexts: Sequence[str]) -> None:
        found = [each for each in bindings_of(contexts) if each.in_bar]
        first = [each for each in found if each.command == "help"]
        rest = [each for each in found if each.where != EVERYWHERE]
        last = [each for each in found if each.where == EVERYWHERE and each.command != "help"]
        self._bindings = (*first, *rest, *last)
        self._invalidate()

    def rows(self, size: Any, focus: bool = False) -> int:
        return 1

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        self._lay_out(size[0])
        return self._w.render(size, focus)

    def _lay_out(self, width: int) -> None:
        chosen = _fitting(self._bindings, width)
        markup: list[tuple[str, str]] = []
        self._places = []
        column = 0
        for each in chosen:
            key, label = key_text(each.keys[0]), each.label
            markup += [("key", key), ("key name", f" {label} ")]
            self._places.append((column, column + len(key) + len(label) + 2, each.command))
            column += len(key) + len(label) + 2
        self._w.set_text(markup or "")

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool:
        if event != "mouse press" or button != 1:
            return False
        command = next((command for start, end, command in self._places if start <= col < end), None)
        if command is not None:
            self._run(command)
        return command is not None


def _fitting(bindings: Sequence[Binding], width: int) -> list[Binding]:
    """Those that fit; what everywhere holds is dropped last, since it is how to find the others."""
    chosen = list(bindings)
    while chosen and sum(_width(each) for each in chosen) > width:
        of_screen = [each for each in chosen if each.where != EVERYWHERE]
        chosen.remove(of_screen[-1] if of_screen else chosen[-1])
    return chosen


def _width(binding: Binding) -> int:
    return len(key_text(binding.keys[0])) + len(binding.label) + 2
