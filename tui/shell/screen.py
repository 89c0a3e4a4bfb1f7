"""A screen: a box widget, the keys that act on it, and its place in the menu."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import urwid

from tui.shell.context import AppContext

__all__ = ["BaseScreen", "Help", "MenuEntry", "Screen"]

Help = tuple[str, str]  # a heading, and the manual's words


class Screen(Protocol):
    @property
    def contexts(self) -> tuple[str, ...]:
        """Return the contexts of the keys that act now."""

    @property
    def widget(self) -> urwid.AbstractWidget: ...

    def show(self) -> None:
        """Show the present state, when the screen comes into view or the draft has changed."""

    def tick(self) -> None:
        """Do the work of a second; it is called about once a second while the screen is in view."""

    def do(self, command: str) -> bool:
        """Run a command of a key; return True if there is such a command."""

    def focus_option(self, name: str) -> None:
        """Put the focus on an option, if the screen has it."""

    def fill(self, values: Mapping[str, str]) -> None:
        """Put values into the fields, by name, and act on them."""

    def help(self) -> Help | None:
        """Return the first words of the help overlay."""


class BaseScreen:
    """A screen without keys of its own, options and help. A screen overrides the members that it needs."""

    @property
    def contexts(self) -> tuple[str, ...]:
        return ()

    def show(self) -> None:
        """Show nothing anew."""

    def tick(self) -> None:
        """Do nothing: the screen changes only when a key is pressed."""

    def do(self, command: str) -> bool:
        return False

    def focus_option(self, name: str) -> None:
        """Do nothing: the screen shows no option of the file."""

    def fill(self, values: Mapping[str, str]) -> None:
        """Do nothing: the screen has no field that another screen fills."""

    def help(self) -> Help | None:
        return None


class MenuEntry(NamedTuple):
    """A screen's place in the menu, in which lines part the groups.

    `attributes` are the sections of the configuration that it edits. `wide` screens take the menu's place, too, while
    the focus is in them and the terminal is narrow.
    """

    title: str
    group: str
    make: Callable[[AppContext], Screen]
    attributes: tuple[str, ...] = ()
    wide: bool = False
