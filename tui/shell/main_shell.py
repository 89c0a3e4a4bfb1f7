"""The shell around the screens: title, banners, menu, the screen in view, dialogs, status line and key bar.

It decides the meaning of a key: first the widget in focus, then the commands of the dialog or screen in view, then
those of everywhere. It also is the shell on which the context speaks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import urwid

from tui.shell import help_overlay, option_search, quit_question
from tui.shell.context import AppContext
from tui.shell.header import Header
from tui.shell.health import HealthWatch, menu_marks
from tui.shell.key_bar import KeyBar
from tui.shell.keys import command_for
from tui.shell.layers import Body, Layers
from tui.shell.menu import Menu
from tui.shell.pasting import Pasting
from tui.shell.screen import MenuEntry, Screen
from tui.shell.status_line import StatusLine
from tui.widgets.dialog import Dialog
from tui.widgets.focus import leaf_of

__all__ = ["MainShell"]

_TEXT_KEYS = frozenset({"backspace", "delete", "insert", "home", "end"})


class MainShell(urwid.WidgetWrap[urwid.Frame[Any, Any, Any]]):
    """`places` are the screens in the order of the menu; `begin` brings the first of them into view."""

    def __init__(self, context: Callable[["MainShell"], AppContext], places: Sequence[MenuEntry]) -> None:
        self._places = {place.title: place for place in places}
        self._titles = list(self._places)
        self._screens: dict[str, Screen] = {}
        self._pasting = Pasting()
        self.current = ""
        self.switch_mouse: Callable[[], str] = lambda: "There is no mouse here."
        self.write_clipboard: Callable[[str], None] = lambda _: None
        actions = [("Help and keys", lambda: self.run("help")), ("Quit", lambda: self.run("quit"))]
        self._moved_to = ""  # a screen of the menu that comes into view with the next picture
        self._menu = Menu(places, actions, self._move_to, self._enter)
        self._body = Body(self._menu)
        self._layers = Layers(self._body)
        self._header = Header()
        self._stale = True  # marks, banners and keys are shown anew with the next picture: once for a burst of keys
        self._status = StatusLine()
        self._keys = KeyBar(self.run)
        footer = urwid.Pile([self._status, self._keys])
        super().__init__(urwid.Frame(self._layers, header=self._header, footer=footer))
        self.context = context(self)
        self._health = HealthWatch(self.context, self._looked)

    def begin(self) -> None:
        self.context.read()
        self._health.look(in_view=True)
        self.show(self._titles[0])
        if self.context.source.unreadable:
            self.open(quit_question.unreadable(self.context))
        elif self.context.source.missing and not self.context.source.read_only:
            self.run("assistant")
        elif self.context.source.read_only:
            self.say(f"Read-only: {self.context.source.read_only}.", "warn")

    # --- the shell

    def say(self, text: str, tone: str = "", holds: Callable[[], bool] | None = None) -> None:
        self._status.say(text, tone, holds)

    def open(self, dialog: Dialog) -> None:
        self._layers.open(dialog)
        self.changed()

    def close(self) -> None:
        self._layers.close()
        self.changed()

    def dismiss(self, dialog: Dialog) -> None:
        self._layers.remove(dialog)
        self.changed()

    def go(self, title: str, option: str = "", *, values: Mapping[str, str] | None = None) -> None:
        self.show(title)
        self._enter()
        if option:
            self.screen.focus_option(option)
        if values:
            self.screen.fill(values)

    def copy(self, text: str) -> None:
        self.write_clipboard(text)
        self.say(f"Copied {len(text)} characters, if your terminal allows it (OSC 52).", "good")

    def leave(self) -> None:
        raise urwid.ExitMainLoop

    def run_command(self, command: str) -> None:
        self.screen.do(command)

    def look_again(self) -> None:
        self._health.look(in_view=True, at_once=True)

    def _looked(self) -> None:
        """Show the findings of a look."""
        if self.current:
            self.screen.tick()
            self.changed()

    def changed(self) -> None:
        self._stale = True
        self._invalidate()

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        self._arrive()
        if self._stale:
            self._refresh()
        return self._w.render(size, focus)

    def _refresh(self) -> None:
        """Show marks, banners and keys as they are now. This changes only the widgets that would say another thing."""
        self._stale = False
        if not self.current:
            return
        self._status.check()
        marked = self._has_changes(self.current)
        self._header.show(self.context, self.current, self.context.daemon_status(), marked=marked)
        self._menu.show(self.current, self._has_changes, menu_marks(self.context))
        self._keys.show(self.contexts, typing=self._types_text(), everywhere=self._layers.top is None)

    def renewed(self) -> None:
        self.say("")  # a message about the earlier state would be wrong now
        if self.current:
            self.screen.show()
        self.changed()

    # --- screens

    @property
    def screen(self) -> Screen:
        return self._screens[self.current]

    def show(self, title: str) -> None:
        """Bring a screen into view; it is made when it is first seen."""
        if title not in self._screens:
            self._screens[title] = self._places[title].make(self.context)
        if self.current and title != self.current:
            self.say("")
        self.current = title
        self._body.show(self.screen.widget, wide=self._places[title].wide)
        self.screen.show()
        self.changed()

    def _move_to(self, title: str) -> None:
        """Show a screen with the next picture: a burst of keys in the menu makes none of those that it passes."""
        self._moved_to = title
        self.changed()

    def _arrive(self) -> None:
        title, self._moved_to = self._moved_to, ""
        if title:
            self.show(title)

    def _enter(self) -> None:
        self._arrive()
        self._body.in_menu = False
        self.changed()

    def _has_changes(self, title: str) -> bool:
        attributes = self._places[title].attributes
        return bool(attributes) and self.context.draft.changed(*attributes)

    def tick(self) -> None:
        """Do the work of each second."""
        try:
            self._arrive()
            self.context.look_at_file()
            self._health.look(in_view=self.current == self._titles[0])
            self.screen.tick()
            self._refresh()
        except urwid.ExitMainLoop:
            raise
        except Exception as problem:
            self.context.failure(problem)

    # --- keys

    @property
    def contexts(self) -> tuple[str, ...]:
        top = self._layers.top
        if top is not None:
            return (*top.contexts, "dialog")
        return self.screen.contexts if self.current else ()

    def keypress(self, size: Any, key: str) -> str | None:
        self._status.next_key()
        try:
            return self._key(size, key)
        except urwid.ExitMainLoop:
            raise
        except Exception as problem:
            self.context.failure(problem)
            return None

    def _key(self, size: Any, key: str) -> str | None:
        if self._pasting.takes(key, self.in_focus()):
            return None
        if not (self._body.in_menu and key in {"up", "down"}):
            self._arrive()
        typing = self._types_text()
        unhandled = self._w.keypress(size, key)
        if unhandled is None or (typing and (len(unhandled) == 1 or unhandled in _TEXT_KEYS)):
            self.changed()
            return None
        command = command_for(unhandled, self.contexts)
        if command is None:
            return unhandled
        self.run(command)
        return None

    def _types_text(self) -> bool:
        """Return True if a text field has the focus."""
        return isinstance(self.in_focus(), urwid.Edit)

    def in_focus(self) -> urwid.AbstractWidget:
        """Return the widget that gets the keys."""
        return leaf_of(self._layers)

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool | None:
        try:
            handled = self._w.mouse_event(size, event, button, col, row, focus)
            self._arrive()
            self.changed()
        except urwid.ExitMainLoop:
            raise
        except Exception as problem:
            self.context.failure(problem)
            return True
        return handled

    def run(self, command: str) -> None:
        """Run a command, whether it came from a key, the key bar, a button or the help."""
        top = self._layers.top
        try:
            handled = top.do(command) if top is not None else self.screen.do(command)
        except urwid.ExitMainLoop:
            raise
        except Exception as problem:  # the way back must not depend on a screen that is broken
            self.context.failure(problem)
            handled = False
        if not handled:
            self._everywhere(command, top)
        self.changed()

    def _everywhere(self, command: str, top: Dialog | None) -> None:
        if command == "back":
            top.cancelled() if top is not None else self._back()
        elif command == "help":
            self.open(help_overlay.overlay(self.context, self.screen, self.contexts, self.run))
        elif command == "mouse":
            self.say(self.switch_mouse())
        elif command in {"quit", "ask quit"}:
            self._quit(asked=command == "ask quit", top=top)
        elif top is None:
            self._moves(command)

    def _moves(self, command: str) -> None:
        if command == "menu":
            self._body.in_menu = True
        elif command == "assistant":
            from tui.config.assistant import Assistant  # noqa: PLC0415

            Assistant(self.context).begin()
        elif command == "find":
            self.open(option_search.dialog(self.context, self._titles, self.contexts, self.run))
        elif command == "refresh":
            self.screen.show()
            self.say("Read again.")
        elif command in {"next screen", "previous screen"}:
            step = 1 if command == "next screen" else -1
            self.show(self._titles[(self._titles.index(self.current) + step) % len(self._titles)])

    def _back(self) -> None:
        if self._body.in_menu:
            self.say("F10 or q leaves the program.")
        self._body.in_menu = True

    def _quit(self, *, asked: bool, top: Dialog | None) -> None:
        titles = [title for title in self._titles if self._has_changes(title)]
        if top is not None and top.is_exit and asked and not titles:
            self.leave()
        elif top is not None and top.is_exit:
            return
        elif titles or asked:
            self.open(quit_question.question(self.context, titles, lambda: self.run("apply")))
        elif top is None:
            self.leave()
