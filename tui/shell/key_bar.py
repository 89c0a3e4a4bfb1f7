"""The line of keys at the bottom: the keys that act at the focus; each word can be clicked."""

from collections.abc import Callable, Sequence
from typing import Any

import urwid

from tui.shell.key_names import key_text
from tui.shell.keys import EVERYWHERE, Binding, bindings_of

__all__ = ["KeyBar"]


class KeyBar(urwid.WidgetWrap[urwid.Text]):
    """Shows as many keys as the width holds: those of the screen first, help and leaving always."""

    def __init__(self, run: Callable[[str], object]) -> None:
        self._run = run
        self._bindings: tuple[Binding, ...] = ()
        self._typing = False
        self._places: list[tuple[int, int, str]] = []
        self._shown: tuple[tuple[str, ...], bool, bool] | None = None
        super().__init__(urwid.Text("", wrap="clip"))

    def show(self, contexts: Sequence[str], *, typing: bool, everywhere: bool) -> None:
        """While a text field has the focus, show only keys that are no text."""
        shown = (tuple(contexts), typing, everywhere)
        if shown == self._shown:
            return
        self._shown = shown
        found = [each for each in bindings_of(contexts) if each.in_bar and _shown_key(each, typing=typing)]
        first = [each for each in found if each.command == "help"]
        rest = [each for each in found if each.where != EVERYWHERE]
        last = [each for each in found if each.where == EVERYWHERE and each.command != "help"]
        self._bindings = (*first, *rest, *(last if everywhere else ()))
        self._typing = typing
        self._invalidate()

    def rows(self, size: Any, focus: bool = False) -> int:
        return 1

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        self._lay_out(size[0])
        return self._w.render(size, focus)

    def _lay_out(self, width: int) -> None:
        shown = [(_shown_key(each, typing=self._typing), each) for each in self._bindings]
        markup: list[tuple[str, str]] = []
        self._places = []
        column = 0
        for key, each in _fitting(shown, width):
            markup += [("key", key), ("key name", f" {each.label} ")]
            end = column + _width((key, each))
            self._places.append((column, end, each.command))
            column = end
        self._w.set_text(markup or "")

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool:
        if event != "mouse press" or button != 1:
            return False
        command = next((command for start, end, command in self._places if start <= col < end), None)
        if command is not None:
            self._run(command)
        return command is not None


def _shown_key(binding: Binding, *, typing: bool) -> str:
    return next((key_text(key) for key in binding.keys if len(key) > 1 or not typing), "")


def _fitting(shown: Sequence[tuple[str, Binding]], width: int) -> list[tuple[str, Binding]]:
    """Return the keys that fit. Those of every screen are dropped last, since they lead to the others."""
    chosen = list(shown)
    while chosen and sum(map(_width, chosen)) > width:
        of_screen = [each for each in chosen if each[1].where != EVERYWHERE]
        chosen.remove(of_screen[-1] if of_screen else chosen[-1])
    return chosen


def _width(shown: tuple[str, Binding]) -> int:
    return len(shown[0]) + len(shown[1].label) + 2
