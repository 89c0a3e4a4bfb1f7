"""The list of queued messages: it makes only the rows in view, and opens only their files."""

from collections.abc import Callable, Sequence
from typing import Any

import urwid

from spool import Spool
from spool.entry import APPROVAL
from tui.queue.rows import Details, QueueRows, listed_state, read_details
from tui.shell.context import AppContext
from tui.widgets.flow import Flow
from tui.widgets.steady import SteadyText
from tui.widgets.table import Column, TableRow
from tui.widgets.text import day_and_clock, size_text, span
from tui.widgets.walker import KeyedWalker

__all__ = ["QueueView"]

_IN_VIEW = 64  # rows of a screen
_RIGHT = urwid.Align.RIGHT
_COLUMNS = (
    Column("", 1),
    Column("State", 7),
    Column("Age", 4, align=_RIGHT),
    Column("Last", 4, least=100, align=_RIGHT),
    Column("Next", 4, align=_RIGHT),
    Column("Tries", 5, least=60, align=_RIGHT),
    Column("Size", 5, align=_RIGHT),
    Column("From", share=3),
    Column("To", share=3),
    Column("Last reply", share=5, least=100),
    Column("Id", 20, least=130),
)


class QueueView:
    """The list. Enter calls `opened` with the id of the row; `read` is called when details of rows have been read."""

    def __init__(
        self, context: AppContext, rows: QueueRows, opened: Callable[[str], None], read: Callable[[], None]
    ) -> None:
        self._tell_read = read
        self._context = context
        self._rows = rows
        self._opened = opened
        self._reading = False
        self._wanted: dict[str, None] = {}
        self._walker = KeyedWalker(self._make)
        self._list: urwid.ListBox[str] = urwid.ListBox(self._walker, focus_when_empty=False)
        self._head = SteadyText("", wrap="clip")
        heading = TableRow(_COLUMNS, [column.title for column in _COLUMNS], lambda: None, "head")
        top = urwid.Pile([self._head, urwid.WidgetDisable(heading)])
        self.widget: urwid.Frame[Any, Any, Any] = urwid.Frame(self._list, header=top, select_navigation=True)

    @property
    def focus(self) -> str:
        return self._walker.focus

    def say(self, markup: Any) -> None:
        """Show this text above the list."""
        self._head.set_text(markup)

    def show(self, changed: Sequence[str] | None = None) -> None:
        """Show the rows in their order; make the changed rows again (None: all rows)."""
        self._walker.forget(changed)
        self._walker.show(self._rows.keys, self._rows.places)

    def place(self) -> int:
        return self._walker.place(self._walker.focus)

    def refresh_ages(self) -> None:
        """Update the ages and the waiting times of the rows, which grow without a new listing."""
        for key in self._walker.latest(_IN_VIEW):
            self._fill(key, self._walker[key])

    def focus_on(self, key: str) -> None:
        if key in self._rows.places:
            self._walker.set_focus(key)

    def focus_next(self) -> None:
        place = self.place() + 1
        if 0 < place < len(self._rows.keys):
            self._walker.set_focus(self._rows.keys[place])

    def _make(self, key: str) -> Flow:
        line = TableRow(_COLUMNS, [""] * len(_COLUMNS), lambda: self._opened(key))
        self._fill(key, line)
        if key not in self._rows.details:
            self._wanted[key] = None
            self._read_wanted()
            self._fill(key, line)
        return line

    def _fill(self, key: str, line: Flow) -> None:
        row = self._rows.listed.get(key)
        if row is None or not isinstance(line, TableRow):
            return
        now = self._context.clock()
        known = self._rows.details.get(key) or Details(listed_state(row), "…", "…", 0, 0.0, "")
        state = known.state
        tagged = key in self._rows.tagged
        cells = [
            "*" if tagged else " ",
            state,
            span(now - row.arrival),
            span(now - known.last_attempt) if known.last_attempt else "-",
            "-" if row.held else span(max(0.0, row.next_attempt - now)),
            str(known.attempts),
            size_text(row.size),
            known.sender,
            known.recipients,
            known.reply,
            key,
        ]
        line.set(cells, "changed" if tagged else {"held": "warn", "active": "good", "gone": "dim"}.get(state, "row"))

    def _read_wanted(self) -> None:
        """Read the files of the rows in view in the background; read rows that come into view meanwhile afterwards."""
        if self._reading:
            return
        self._reading = True
        self._context.run(self._read, self._have_read, self._cannot_read)

    def _read(self) -> dict[str, Details]:
        spool = Spool(self._context.spool_folder)
        wanted, self._wanted = list(self._wanted), {}
        listed = (self._rows.listed.get(key) for key in reversed(wanted))
        return read_details(spool, [row for row in listed if row is not None])

    def _have_read(self, found: dict[str, Details]) -> None:
        self._reading = False
        self._rows.remember(found)
        for key in set(found).intersection(self._walker.visible):
            self._fill(key, self._walker[key])
        self._tell_read()
        if self._wanted:
            self._read_wanted()

    def _cannot_read(self, problem: Exception) -> None:
        self._reading = False
        self._context.failure(problem)

    def describe(self, key: str) -> tuple[str, str]:
        """Return a title and a text about one message, for the lines below the list."""
        row, known = self._rows.listed.get(key), self._rows.details.get(key)
        if row is None or known is None:
            return key, ""
        now = self._context.clock()
        tried = f"last tried {day_and_clock(known.last_attempt, now)}" if known.last_attempt else "not tried yet"
        coming = "due now" if row.next_attempt <= now else f"next try {day_and_clock(row.next_attempt, now)}"
        held = f"held until it is {'approved' if known.hold_reason == APPROVAL else 'released'}"
        coming = {"held": held, "active": "being delivered now"}.get(known.state, coming)
        text = f"{known.sender} → {known.recipients}. Created {day_and_clock(row.arrival, now)}, {tried}, {coming}. "
        return f"{key}  {known.state}", text + (known.reply or "No reply yet.")
