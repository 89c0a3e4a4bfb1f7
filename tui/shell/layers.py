"""The body of the screen: the menu and a screen side by side or in turn, and the dialogs above them."""

from typing import Any

import urwid

from tui.shell.menu import WIDTH, Menu
from tui.widgets.dialog import Dialog

__all__ = ["Body", "Layers"]

_NARROW = 64  # below this, menu and screen take turns
_WIDE_SCREEN = 112  # below this, a screen that wants width has it while it has the focus


class Body(urwid.WidgetWrap[urwid.WidgetPlaceholder[urwid.AbstractWidget]]):
    """`in_menu` says which of both has the focus.

    The last picture of each screen is kept: urwid draws a screen that has not changed from it when it comes back.
    """

    def __init__(self, menu: Menu) -> None:
        self._menu = urwid.Padding(menu, left=0, right=0)
        self._screen: urwid.WidgetPlaceholder[urwid.AbstractWidget] = urwid.WidgetPlaceholder(urwid.SolidFill(" "))
        rule = urwid.AttrMap(urwid.SolidFill("│"), "rule")
        self._both = urwid.Columns(
            [(WIDTH, self._menu), (1, rule), self._screen], select_navigation=True, focus_column=0
        )
        self._wide = False
        self._pictures: dict[urwid.AbstractWidget, urwid.Canvas] = {}
        super().__init__(urwid.WidgetPlaceholder[urwid.AbstractWidget](self._both))

    @property
    def in_menu(self) -> bool:
        return bool(self._both.focus_position == 0)

    @in_menu.setter
    def in_menu(self, in_menu: bool) -> None:
        self._both.focus_position = 0 if in_menu or not self._screen.selectable() else 2
        self._invalidate()

    def show(self, screen: urwid.AbstractWidget, *, wide: bool) -> None:
        self._screen.original_widget = screen
        self._wide = wide
        self._invalidate()

    def _arrange(self, columns: int) -> None:
        limit = _WIDE_SCREEN if self._wide and not self.in_menu else _NARROW
        if columns >= limit:
            chosen: urwid.AbstractWidget = self._both
        else:
            chosen = self._menu if self.in_menu else self._screen
        if self._w.original_widget is not chosen:
            self._w.original_widget = chosen

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        self._arrange(size[0])
        picture = self._w.render(size, focus)
        self._pictures[self._screen.original_widget] = picture
        return picture

    def keypress(self, size: Any, key: str) -> str | None:
        self._arrange(size[0])
        unhandled = self._w.keypress(size, key)
        if self._w.original_widget is self._both:
            return unhandled
        return self._take_turns(unhandled)

    def _take_turns(self, key: str | None) -> str | None:
        """Let Tab and the arrows switch between menu and screen where there is room for one of them."""
        if key in {"tab", "shift tab"} or (key == "left" and not self.in_menu):
            self.in_menu = not self.in_menu
            return None
        return key

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool | None:
        self._arrange(size[0])
        return self._w.mouse_event(size, event, button, col, row, focus)


class Layers(urwid.WidgetWrap[urwid.AbstractWidget]):
    """`body` below, dialogs above it, each as large as its text and never larger than the screen."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self._dialogs: list[Dialog] = []
        self._overlays: list[urwid.Overlay[urwid.AbstractWidget, urwid.AbstractWidget]] = []
        super().__init__(body)

    @property
    def top(self) -> Dialog | None:
        return self._dialogs[-1] if self._dialogs else None

    def open(self, dialog: Dialog) -> None:
        self._overlays.append(urwid.Overlay(dialog, self._w, "center", 10, "middle", 3))
        self._dialogs.append(dialog)
        self._w = self._overlays[-1]

    def close(self) -> None:
        if self._dialogs:
            self.remove(self._dialogs[-1])

    def remove(self, dialog: Dialog) -> None:
        """Take a dialog away, wherever it is; nothing happens when it is not there."""
        kept = [each for each in self._dialogs if each is not dialog]
        self._dialogs, self._overlays = [], []
        self._w = self.body
        for each in kept:
            self.open(each)

    def _arrange(self, size: Any) -> None:
        for dialog, overlay in zip(self._dialogs, self._overlays, strict=True):
            width = max(1, min(dialog.width, size[0]))
            height = max(1, min(dialog.height(width, size[1]), size[1]))
            if (overlay.width, overlay.height) != (width, height):
                overlay.set_overlay_parameters("center", width, "middle", height)

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        self._arrange(size)
        return self._w.render(size, focus)

    def keypress(self, size: Any, key: str) -> str | None:
        self._arrange(size)
        return self._w.keypress(size, key)

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool | None:
        self._arrange(size)
        return self._w.mouse_event(size, event, button, col, row, focus)
