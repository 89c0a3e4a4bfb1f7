"""The column of screen names: moving in it shows the screen at once, Enter goes into it."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import urwid

from tui.shell.screen import MenuEntry
from tui.widgets.buttons import Word
from tui.widgets.flow import Flow
from tui.widgets.steady import SteadyText

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


class Menu(urwid.WidgetWrap[urwid.Frame[Any, Any, Any]]):
    """Lines part the groups; `moved` is called with the title in focus, `entered` when it is chosen.

    `actions` stand at the end and are run, not shown. Where the height does not hold all lines, the last line tells
    how many are out of view, and whether one of them is marked.
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
        self._list: urwid.ListBox[int] = urwid.ListBox(self._walker)
        self._hidden = SteadyText("", wrap="clip")
        self._hint = urwid.AttrMap(self._hidden, "help label")
        self._room = (WIDTH, len(rows))
        super().__init__(urwid.Frame(self._list))

    def _add(self, rows: list[Flow], title: str, entered: Callable[[], None]) -> None:
        entry = MenuLine(title, entered)
        mapped = urwid.AttrMap(entry, "menu", "menu focus")
        self._entries[title] = (len(rows), entry, mapped)
        rows.append(mapped)

    def _arrange(self, size: Any) -> None:
        """Give the last line to the hint if the lines do not fit."""
        columns, rows = size
        overflows = len(self._walker) > rows
        self._room = (columns, rows - 1 if overflows else rows)
        footer = self._hint if overflows else None
        if self._w.footer is not footer:
            self._w.footer = footer

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        self._arrange(size)
        if self._w.footer is not None:
            self._tell_hidden(focus=focus)
        return self._w.render(size, focus)

    def _tell_hidden(self, *, focus: bool) -> None:
        """Show how many lines are above and below those in view, with a ! or * if one of these has such a mark."""
        around, above, below = self._list.calculate_visible(self._room, focus)
        if around is None or above is None or below is None:
            return
        first, last = (around.focus_pos - len(above.fill), around.focus_pos + len(below.fill))
        up, down = self._words(0, first, "▲ {}"), self._words(last + 1, len(self._walker), "▼ {} more")
        self._hidden.set_text(f" {up}  {down}" if up and down else f" {up}{down}")

    def _words(self, start: int, stop: int, form: str) -> str:
        """Return words about the lines between these positions, or a blank if there are none."""
        marks = ""
        for title, (position, *_) in self._entries.items():
            if start <= position < stop and title in self._looks:
                _, changed, mark = self._looks[title]
                marks += f"{'*' if changed else ''}{'!' if '!' in mark else ''}"
        shown = "".join(each for each in "*!" if each in marks)
        return f"{form.format(stop - start)} {shown}".rstrip() if stop > start else ""

    def keypress(self, size: Any, key: str) -> str | None:
        self._arrange(size)
        unhandled = self._step(key) if key in {"up", "down"} else self._w.keypress(size, key)
        self._follow_focus()
        return unhandled

    def _step(self, key: str) -> str | None:
        """Move to the next name at once; the list itself would first scroll a line that only parts."""
        positions = [position for position, *_ in self._entries.values()]
        at = positions.index(self._walker.focus or 0) + (1 if key == "down" else -1)
        if 0 <= at < len(positions):
            self._focus_on(positions[at])
        return None

    def _focus_on(self, position: int) -> None:
        """Move the focus to a line, and scroll no further than this needs."""
        offset = self._list.get_focus_offset_inset(self._room)[0] + position - (self._walker.focus or 0)
        self._walker.set_focus(position)
        self._list.shift_focus(self._room, max(0, min(offset, self._room[1] - 1)))

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool | None:
        self._arrange(size)
        handled = self._w.mouse_event(size, event, button, col, row, focus)
        self._follow_focus()
        return handled

    def _follow_focus(self) -> None:
        # Not by the walker's signal: that comes in the middle of drawing, too.
        focus = self._walker.focus
        title = next((title for title, (position, *_) in self._entries.items() if position == focus), "")
        if title in self._titles and title != self._current:
            self._current = title
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
                self._invalidate()  # the line may be out of view
            if title == current and self._walker.focus != position and self._walker.focus in self._positions():
                self._focus_on(position)

    def _positions(self) -> set[int]:
        return {self._entries[title][0] for title in self._titles}
