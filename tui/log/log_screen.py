"""Log: its growing end and all earlier lines, filtered by words, with actions on the addresses in it."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import urwid

from smtpd_classic.log_source import Following, JournalLog, LogSource, NoLog, log_source
from tui.log import suspects
from tui.log.actions import actions_for
from tui.log.blocks import words_of
from tui.log.period_dialog import ask_period
from tui.log.reading import FileReading, JournalReading, Reading
from tui.log.times import ALWAYS, Period, time_of
from tui.log.window import LogWindow, parsed
from tui.shell.context import AppContext, sentence
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.dialog import Dialog
from tui.widgets.editors import TextField
from tui.widgets.flow import Flow
from tui.widgets.steady import SteadyText
from tui.widgets.text import clean, count, size_text

__all__ = ["LogScreen"]

_OURS = b"smtpd-classic/"
_PAGE = 200
_ENOUGH = 400  # matching lines to collect before the reading waits for the user to scroll
_PAGE_OF_SEARCH = 10_000
_MOST_SEARCHED = 200_000  # lines that Find holds in memory; the filter searches all
_NEAR = 30  # fetch earlier lines when the focus is this close to the top


class LogScreen(BaseScreen):
    contexts = ("log",)

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._window = LogWindow(self._open_actions)
        self._list: urwid.ListBox[int] = urwid.ListBox(self._window, focus_when_empty=False)
        self._head = SteadyText("", wrap="clip")
        self._source: LogSource | None = None
        self._shown_target = self._filter = ""
        self._period = ALWAYS
        self._follower: Following | None = None
        self._reading: Reading | None = None  # results of another one belong to an older filter and are dropped
        self._busy = self._paused = False
        self._sought = ""
        self._searched = 0  # the first line that was searched
        self._finding = False  # earlier lines are being read for a match
        frame: urwid.Frame[Any, Any, Any] = urwid.Frame(self._list, header=self._head, select_navigation=True)
        names = ("Follow", "Pause", "Filter", "Period", "Actions", "Suspects")
        commands = {"Filter": "search"}
        buttons = ButtonRow([(name, partial(self.do, commands.get(name, name.lower()))) for name in names])
        self._pane = WithHelp(frame, buttons, self.help, self._moved)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def focus_option(self, name: str) -> None:
        """Show only the lines with these words, as Connections asks for one client."""
        self._set_filter(name)

    def help(self) -> Help | None:
        if not len(self._window):
            return "Log", "Nothing to show yet."
        found = parsed(self._window.line(self._window.focus))
        return f"{found.day} {found.clock} {found.part}".strip(), found.text

    # --- reading

    @property
    def _words(self) -> tuple[bytes, ...]:
        ours = () if self._place == self._target() else (_OURS,)
        return (*ours, *words_of(self._filter))

    @property
    def _place(self) -> str:
        return self._source.place if self._source is not None else ""

    def _target(self) -> str:
        row = self._context.draft.base("server")[0]
        return row.text(row.section.option("log"))

    def show(self) -> None:
        target = self._target()
        if self._follower is not None and target == self._shown_target:
            return
        self._shown_target = target
        try:
            self._source = log_source(target)
        except NoLog as problem:
            self._source = None
            self._fail(problem)
        else:
            self._begin()

    def _begin(self) -> None:
        """Start again from the end of the log, with the present filter and period."""
        self._window.clear()
        self._busy = False
        if self._follower is not None:
            self._follower.close()
            self._follower = None
        if self._source is None:
            return
        try:
            self._reading = self._new_reading(self._source)
            self._follower = self._source.follow()
        except (OSError, NoLog) as problem:
            self._fail(problem)
            return
        self._fetch()

    def _new_reading(self, source: LogSource) -> Reading:
        words, now = self._words, self._context.clock()
        if isinstance(source, JournalLog):
            return JournalReading(source, lambda line: _holds(line, words), self._period, now)
        return FileReading(source.place, words, self._period, now)

    def _fail(self, problem: Exception) -> None:
        text = f"{problem.strerror}: {self._place}" if isinstance(problem, OSError) else sentence(problem)
        self._head.set_text(("warn", f" {text}"))
        self._reading = None
        self._pane.show_help()

    def _moved(self) -> None:
        """Fetch earlier lines if the focus is near the top, and update the head line."""
        if self._reading is not None:
            self._read_on()
            self._show_head()

    def _fetch(self) -> None:
        self._read_on()
        self._show_head()
        self._pane.show_help()

    def _read_on(self) -> None:
        """Read earlier lines in the background, if the focus is near the top and there are any."""
        reading = self._reading
        enough = (
            not self._finding
            and self._window.focus - self._window.first > _NEAR
            and len(self._window) >= min(_PAGE, _ENOUGH)
        )
        if reading is None or self._busy or reading.done or enough:
            return
        self._busy = True
        page = _PAGE_OF_SEARCH if self._finding else _PAGE
        self._context.run(
            lambda: reading.fetch(page), partial(self._fetched, reading), partial(self._not_fetched, reading)
        )

    def _fetched(self, reading: Reading, lines: list[str]) -> None:
        if reading is self._reading:
            self._busy = False
            self._window.prepend(lines)
            if self._finding:
                self._find_on(-1)
            self._fetch()

    def _not_fetched(self, reading: Reading, problem: Exception) -> None:
        if reading is self._reading:
            self._busy = False
            self._fail(problem)

    def tick(self) -> None:
        if self._follower is None or self._reading is None:
            self.show()
            return
        if not self._paused:
            try:
                lines = self._follower.read()
            except NoLog as problem:
                self._fail(problem)
                return
            words, period, now = self._words, self._period, self._context.clock()
            wanted = [line for line in lines if line and _holds(line, words) and period.holds(time_of(line, now))]
            self._window.append(wanted, follow=self._window.at_end)
        self._fetch()

    def _show_head(self) -> None:
        reading = self._reading
        if reading is None:
            return
        state = "paused" if self._paused else "following" if self._window.at_end else "not at the end"
        words = f", filter “{clean(self._filter, 60)}”" if self._filter else ""
        period = f", {self._period.label}" if self._period.label else ""
        left = f"; {size_text(reading.left)} before" if reading.left and not reading.done else ""
        search = " searching …" if self._busy and (self._filter or self._period.label) else ""
        name, shown = clean(os.path.basename(self._place), 60), count(len(self._window))
        lines = "line" if len(self._window) == 1 else "lines"
        self._head.set_text(("head", f" {name}: {shown} {lines}{period}{left}{words}; {state}{search}"))

    # --- commands

    def do(self, command: str) -> bool:
        commands: dict[str, Callable[[], object]] = {
            "follow": self._follow,
            "pause": self._pause,
            "search": self._ask_filter,
            "actions": lambda: self._with_line(self._open_actions),
            "suspects": lambda: suspects.show(self._context, self._source, self._set_filter),
            "next match": lambda: self._find_on(-1),
            "previous match": lambda: self._find_on(1),
            "copy": lambda: self._with_line(lambda line: self._context.shell.copy(clean(line, 4000))),
            "period": lambda: ask_period(self._context, self._set_period),
            "refresh": self._begin,
        }
        if command not in commands:
            return False
        commands[command]()
        self._show_head()
        self._pane.show_help()
        return True

    def _follow(self) -> None:
        self._paused = False
        self._window.set_focus(self._window.last)

    def _pause(self) -> None:
        self._paused = not self._paused

    def _with_line(self, act: Callable[[str], object]) -> None:
        if len(self._window):
            act(self._window.line(self._window.focus))

    def _open_actions(self, line: str) -> None:
        self._context.shell.open(actions_for(self._context, line, self._set_filter))

    def _set_filter(self, words: str) -> None:
        self._filter = words
        self._paused = False
        self._begin()

    def _set_period(self, period: Period) -> None:
        self._period = period
        self._paused = False
        self._begin()

    def _ask_filter(self) -> None:
        field = TextField("", self._filter)

        def run(action: Callable[[str], None]) -> None:
            self._context.shell.close()
            action(field.get_edit_text().strip())

        rows: list[Flow] = [
            urwid.AttrMap(field, "field", "field focus"),
            urwid.Text(("dim", "A queue id, an address, an IP, or any words that a line must hold. Blank: all lines.")),
            urwid.Text(("dim", "[Find] leaves the other lines in view; then n and N go on.")),
        ]
        start = partial(run, self._set_filter)
        buttons: list[tuple[str, Callable[[], object]]] = [("Filter", start), ("Find", partial(run, self._find))]
        buttons.append(("Cancel", self._context.shell.close))
        self._context.shell.open(Dialog("Filter the log", rows, buttons, self._context.shell.close, submit=start))

    def _find(self, words: str) -> None:
        self._sought = words
        self._find_on(-1)

    def _find_on(self, step: int) -> None:
        """Move to the next line with the words: up with -1, where earlier lines are read as needed, or down with 1."""
        wanted = words_of(self._sought or self._filter)
        if not wanted:
            self._ask_filter()
            return
        window, reading = self._window, self._reading
        start = self._searched - 1 if self._finding else window.focus + step
        places = range(start, window.first - 1 if step < 0 else window.last + 1, step)
        found = next((place for place in places if _holds(window.line(place), wanted)), None)
        more = reading is not None and not reading.done and len(window) < _MOST_SEARCHED
        self._finding = found is None and step < 0 and more
        self._searched = window.first
        if found is not None:
            window.set_focus(found)
            self._context.shell.say("")
            self._show_head()
            self._pane.show_help()
        elif self._finding:
            self._read_on()
        else:
            self._context.shell.say(f"No {'earlier' if step < 0 else 'later'} line with these words.", "warn")


def _holds(line: str, words: tuple[bytes, ...]) -> bool:
    lower = line.lower().encode("utf-8", "replace")
    return all(word in lower for word in words)
