"""The frame of the status screen: lines that scroll, above its buttons."""

from typing import Any

import urwid

from tui.shell.help_pane import PAGE_KEYS

__all__ = ["StatusFrame"]


class StatusFrame(urwid.WidgetWrap[urwid.Frame[Any, Any, Any]]):
    """A wrapper that passes the height of the screen to `sized` at each rendering."""

    def __init__(self, frame: urwid.Frame[Any, Any, Any], sized: Any) -> None:
        self._sized = sized
        super().__init__(frame)

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        self._sized(size[1])
        return self._w.render(size, focus)

    def keypress(self, size: Any, key: str) -> str | None:
        """Scroll from the buttons, too."""
        unhandled: str | None = self._w.keypress(size, key)
        if unhandled in PAGE_KEYS | {"up"} and self._w.focus_position == "footer":
            self._w.focus_position = "body"
            unhandled = None if unhandled == "up" else self._w.keypress(size, unhandled)
        return unhandled
