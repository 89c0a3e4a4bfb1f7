"""The column of screen names: moving in it shows the screen at once, Enter goes into it."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import urwid

from tui.shell.screen import MenuEntry
from tui.widgets.buttons import Word
from tui.widgets.flow import Flow

__all__ = ["WIDTH", "Menu", "MenuLine"]

WIDTH = 21


class MenuLine(Word):
    """One line; a * behind the name marks a screen with changes that are not applied."""

    def __init__(self, title: str, entered: Callable[[], None]) -> None:
        super().__init__("", entered)
        self.title = title
        self.look(current=False, marked=False)

    def look(self, *, current: bool, marked: bool, mark: str = "") -> None:
        """Show the title, and `mark` at the right if there is room for it."""
        text = f"{'›' if current else ' '}{self.title}{'*' if marked else ''}"
        room = WIDTH - len(text)
        self.set_text(f"{text}{mark.rjust(room)}" if mark and len(mark) <= room else text)

    def keypress(self, size: Any, key: str) -> str | None:
        return super().keypress(size, "enter" if key == "right" else key)

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool | None:
        # A click shows the screen, as moving onto it does; a second one goes into it.
        return focus and super().mouse_event(size, event, button, col, row, focus)


class Menu(urwid.WidgetWrap[urwid.ListBox[int]]):
    """Lines part the groups; `moved` is called with the title in focus, `entered` when it is chosen.

    `actions` stand at the end and are run, not shown.
    """

    def __init__(
        self,
        places: Sequence[MenuEntry],
        actions: Sequence[tuple[str, Callable[[], None]]],
        moved: Callable[[str], None],
        entered: Callable[[], None],
    ) -> None:
        self._moved = moved
        self._entries: dict[str, tuple[int, MenuLine, urwid.AttrMap[MenuLine]]] = {}
        self._titles = {place.title for place in places}
        rows: list[Flow] = []
        for _, group in groupby(places, key=lambda place: place.group):
            for place in group:
                self._add(rows, place.title, entered)
            rows.append(urwid.AttrMap(urwid.Divider("─"), "rule"))
        for label, action in actions:
            self._add(rows, label, action)
        self._current = ""
        self._looks: dict[str, tuple[bool, bool, str]] = {}  # current, changed and mark of each entry
        self._walker = urwid.SimpleFocusListWalker(rows)
        super().__init__(urwid.ListBox(self._walker))

    def _add(self, rows: list[Flow], title: str, entered: Callable[[], None]) -> None:
        entry = MenuLine(title, entered)
        mapped = urwid.AttrMap(entry, "menu", "menu focus")
        self._entries[title] = (len(rows), entry, mapped)
        rows.append(mapped)

    def keypress(self, size: Any, key: str) -> str | None:
        unhandled = self._step(key) if key in {"up", "down"} else self._w.keypress(size, key)
        self._follow_focus()
        return unhandled

    def _step(self, key: str) -> str | None:
        """To the next name at once; the list itself would first scroll a line that only parts."""
        positions = [position for position, *_ in self._entries.values()]
        at = positions.index(self._walker.focus or 0) + (1 if key == "down" else -1)
        if 0 <= at < len(positions):
            self._walker.set_focus(positions[at])
        return None

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool | None:
        handled = self._w.mouse_event(size, event, button, col, row, focus)
        self._follow_focus()
        return handled

    def _follow_focus(self) -> None:
        # Not by the walker's signal: that comes in the middle of drawing, too.
        focus = self._walker.focus
        title = next((title for title, (position, *_) in self._entries.items() if position == focus), "")
        if title in self._titles and title != self._current:
            self._moved(title)

    def show(self, current: str, marked: Callable[[str], bool], marks: Mapping[str, str]) -> None:
        """Show which screen is current, which hold changes, and the marks at the right."""
        self._current = current
        for title, (position, entry, mapped) in self._entries.items():
            changed = title in self._titles and marked(title)
            look = (title == current, changed, marks.get(title, ""))
            if look != self._looks.get(title):
                self._looks[title] = look
                entry.look(current=look[0], marked=changed, mark=look[2])
                mapped.attr_map = {None: "menu current" if title == current else "menu"}
            if title == current and self._walker.focus != position and self._walker.focus in self._positions():
                self._walker.set_focus(position)

    def _positions(self) -> set[int]:
        return {self._entries[title][0] for title in self._titles}
