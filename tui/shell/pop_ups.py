"""The layer for lists that drop down. A key costs a picture of the screen only where such a list can be open."""

from collections.abc import Callable
from typing import Any

import urwid

__all__ = ["PopUpLayer"]


class PopUpLayer(urwid.PopUpTarget[urwid.AbstractWidget]):
    """A PopUpTarget that draws the screen before a key only if `focus` returns a DropDown.

    urwid's own one draws before each key, to find lists that are open; in a burst of keys that is a picture for each.
    """

    def __init__(self, widget: urwid.AbstractWidget, focus: Callable[[], urwid.AbstractWidget]) -> None:
        super().__init__(widget)
        self._focus = focus

    def keypress(self, size: Any, key: str) -> str | None:
        if isinstance(self._focus(), urwid.DropDown):
            return super().keypress(size, key)
        return self.original_widget.keypress(size, key)
