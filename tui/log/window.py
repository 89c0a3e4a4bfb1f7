"""The lines of the log in memory: the list grows at both ends, and only lines in view have widgets."""

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import urwid

from tui.widgets.flow import Flow
from tui.widgets.text import clean

__all__ = ["LogLine", "LogWindow", "parsed"]

_MOST = 50_000
_KEPT_ROWS = 400
_WIDE = 60  # columns from which the day is shown
_STAMP = re.compile(
    r"(?P<day>[A-Z][a-z]{2} +\d{1,2}) (?P<clock>\d\d:\d\d:\d\d) (?:\S+ )?smtpd-classic/(?P<part>[\w-]+)"
    r"\[(?P<pid>\d+)\]: (?P<text>.*)",
    re.ASCII | re.DOTALL,
)
_ISO = re.compile(
    r"\d{4}-(?P<day>\d\d-\d\d)T(?P<clock>\d\d:\d\d:\d\d)\S* (?:\S+ )?smtpd-classic/(?P<part>[\w-]+)"
    r"\[(?P<pid>\d+)\]: (?P<text>.*)",
    re.ASCII | re.DOTALL,
)


class LogLine(NamedTuple):
    """`day` is as the log writes it: `Nov 29`, or `11-29`."""

    day: str
    clock: str
    part: str
    text: str

    @property
    def look(self) -> str:
        """Return the name in the palette: failures stand out, and sent mail does not."""
        text = self.text
        if text.startswith(("error", "fatal", "panic")) or "status=bounced" in text or "status=expired" in text:
            return "bad"
        if text.startswith("warning") or "status=deferred" in text or ": reject:" in text:
            return "warn"
        return "good" if "status=sent" in text else "help"


def parsed(line: str) -> LogLine:
    found = _STAMP.match(line) or _ISO.match(line)
    if found is None:
        return LogLine("", "", "", clean(line, 4000))
    return LogLine(found["day"], found["clock"], found["part"], clean(found["text"], 4000))


class LogWindow(urwid.ListWalker[int, Flow]):
    """A walker over lines. Position 0 is the first line shown; earlier lines are negative. Enter calls `opened`."""

    def __init__(self, opened: Callable[[str], None]) -> None:
        self._opened = opened
        self._older: list[str] = []  # the latest line first
        self._newer: list[str] = []
        self._rows: dict[int, Flow] = {}
        self.focus = 0

    def clear(self) -> None:
        self._older, self._newer, self._rows, self.focus = [], [], {}, 0
        self._modified()

    def __len__(self) -> int:
        return len(self._older) + len(self._newer)

    @property
    def first(self) -> int:
        return -len(self._older)

    @property
    def last(self) -> int:
        return len(self._newer) - 1

    @property
    def at_end(self) -> bool:
        return self.focus >= self.last

    def line(self, position: int) -> str:
        if not self.first <= position <= self.last:
            raise IndexError(position)
        return self._newer[position] if position >= 0 else self._older[-position - 1]

    def append(self, lines: Sequence[str], *, follow: bool) -> None:
        if not lines:
            return
        self._newer += lines
        if len(self) > _MOST:
            self._shrink()
        if follow:
            self.focus = self.last
        self._modified()

    def prepend(self, lines: Sequence[str]) -> None:
        """Add earlier lines, given with the oldest first."""
        if not self._newer and not self._older:
            self.append(lines, follow=True)
            return
        self._older += reversed(lines)
        self._modified()

    def _shrink(self) -> None:
        """Drop the older half of the lines; the line in focus keeps the focus if it remains."""
        self._older.clear()
        cut = max(0, len(self._newer) - _MOST // 2)
        del self._newer[:cut]
        self._rows.clear()
        self.focus = max(0, self.focus - cut)

    def set_focus(self, position: int) -> None:
        self.focus = max(self.first, min(position, self.last))
        self._modified()

    def __getitem__(self, position: int) -> Flow:
        row = self._rows.get(position)
        if row is None:
            if len(self._rows) > _KEPT_ROWS:
                self._rows.clear()
            row = self._rows[position] = LineRow(self.line(position), self._opened)
        return row

    def next_position(self, position: int) -> int:
        if position >= self.last:
            raise IndexError(position)
        return position + 1

    def prev_position(self, position: int) -> int:
        if position <= self.first:
            raise IndexError(position)
        return position - 1

    def positions(self, *, reverse: bool = False) -> Iterable[int]:
        span = range(self.first, self.last + 1)
        return reversed(span) if reverse else span


class LineRow(urwid.WidgetWrap[urwid.AttrMap[urwid.Columns]]):
    """One line of the log, cut at the edge of the screen. The day is left out where the screen is narrow."""

    def __init__(self, line: str, opened: Callable[[str], None]) -> None:
        self._line = line
        self._opened = opened
        self._parsed = parsed(line)
        self._has_day = True
        super().__init__(self._columns())

    def _columns(self) -> urwid.AttrMap[urwid.Columns]:
        found = self._parsed
        columns: list[Any] = []
        if found.clock:
            stamp = f"{found.day:6} {found.clock}" if self._has_day else found.clock
            columns = [
                (len(stamp), urwid.Text(("dim", stamp), wrap="clip")),
                (8, urwid.Text(("head", found.part[:8]), wrap="clip")),
            ]
        columns.append(urwid.Text((found.look, found.text), wrap="ellipsis"))
        focus: dict[Hashable, Hashable] = dict.fromkeys(
            (None, "dim", "head", "help", "good", "warn", "bad"), "row focus"
        )
        return urwid.AttrMap(urwid.Columns(columns, dividechars=1), "row", focus)

    def selectable(self) -> bool:
        return True

    def keypress(self, size: Any, key: str) -> str | None:
        if key != "enter":
            return key
        self._opened(self._line)
        return None

    def mouse_event(self, size: Any, event: str, button: int, col: int, row: int, focus: bool) -> bool | None:
        return event == "mouse press" and button == 1

    def get_cursor_coords(self, size: Any) -> tuple[int, int] | None:
        return (0, 0) if size[0] else None

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        if (size[0] >= _WIDE) != self._has_day:
            self._has_day = not self._has_day
            self._w = self._columns()
        canvas = urwid.CompositeCanvas(self._w.render(size, focus))
        if focus and size[0]:
            canvas.cursor = (0, 0)
        return canvas
