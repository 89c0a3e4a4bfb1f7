"""Log: its growing end and all earlier lines, filtered by words, with actions on the addresses in it."""

import os
from functools import partial
from typing import Any

import urwid

from smtpd_classic.log_reader import LogFollower
from tui.log import suspects
from tui.log.actions import actions_for
from tui.log.blocks import Piece, earlier, end_of, words_of
from tui.log.window import LogWindow, parsed
from tui.shell.context import AppContext
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.dialog import Dialog
from tui.widgets.editors import TextField
from tui.widgets.flow import Flow
from tui.widgets.text import clean, count, size_text

__all__ = ["LogScreen"]

_SYSTEM_LOGS = ("/var/log/mail.log", "/var/log/maillog", "/var/log/syslog", "/var/log/messages")
_OURS = b"smtpd-classic/"
_PAGE = 200
_ENOUGH = 400  # matching lines to collect before the reading waits for the user to scroll
_NEAR = 30  # fetch earlier lines when the focus is this close to the top


def log_path(target: str) -> str:
    """Return the file to read for this value of the option; blank if no log file can be read."""
    if target.startswith("/"):
        return target
    if target == "syslog":
        return next((path for path in _SYSTEM_LOGS if os.access(path, os.R_OK)), "")
    return ""


class LogScreen(BaseScreen):
    contexts = ("log",)

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._window = LogWindow(self._open_actions)
        self._list: urwid.ListBox[int] = urwid.ListBox(self._window, focus_when_empty=False)
        self._head = urwid.Text("", wrap="clip")
        self._path = self._filter = ""
        self._follower: LogFollower | None = None
        self._start = 0  # the file has not been read before this offset
        self._reading = self._paused = False
        self._read_number = 0  # results with an older number belong to an older filter and are dropped
        frame: urwid.Frame[Any, Any, Any] = urwid.Frame(self._list, header=self._head, select_navigation=True)
        names = {"Follow": "follow", "Pause": "pause", "Filter": "search", "Actions": "actions", "Suspects": "suspects"}
        buttons = ButtonRow([(label, partial(self.do, command)) for label, command in names.items()])
        self._pane = WithHelp(frame, buttons, self.help, self._moved)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def help(self) -> Help | None:
        if not len(self._window):
            return "Log", "Nothing to show yet."
        found = parsed(self._window.line(self._window.focus))
        return f"{found.clock} {found.part}".strip(), found.text

    # --- reading

    @property
    def _words(self) -> tuple[bytes, ...]:
        ours = () if self._path == self._target() else (_OURS,)
        return (*ours, *words_of(self._filter))

    def _target(self) -> str:
        row = self._context.draft.base("server")[0]
        return row.text(row.section.option("log"))

    def show(self) -> None:
        path = log_path(self._target())
        if not path:
            why = "The log goes to standard error; under systemd see “journalctl -u smtpd-classic”."
            self._head.set_text(("warn", f" {why if self._target() == 'stderr' else 'No log can be read here.'}"))
            self._path = ""
            self._pane.tell()
        elif path != self._path or self._follower is None:
            self._path = path
            self._begin()

    def _begin(self) -> None:
        """Start again from the end of the file, with the present filter."""
        self._window.clear()
        self._read_number += 1
        self._reading = False
        try:
            self._start = end_of(self._path)
        except OSError as problem:
            self._head.set_text(("warn", f" {problem.strerror}: {self._path}"))
            return
        if self._follower is not None:
            self._follower.close()
        self._follower = LogFollower(self._path)
        self._fetch()

    def _moved(self) -> None:
        """Fetch earlier lines if the focus is near the top, and update the head line."""
        if self._follower is not None:
            self._read_on()
            self._show_head()

    def _fetch(self) -> None:
        self._read_on()
        self._show_head()
        self._pane.tell()

    def _read_on(self) -> None:
        """Read earlier lines in the background, if the focus is near the top and there are any."""
        enough = self._window.focus - self._window.first > _NEAR and len(self._window) >= min(_PAGE, _ENOUGH)
        if self._reading or self._start <= 0 or enough:
            return
        self._reading = True
        path, start, words, number = self._path, self._start, self._words, self._read_number
        self._context.run(lambda: earlier(path, start, words, _PAGE), partial(self._fetched, number), self._not_fetched)

    def _fetched(self, number: int, piece: Piece) -> None:
        if number != self._read_number:
            return
        self._reading = False
        self._start = piece.start
        self._window.prepend(piece.lines)
        self._fetch()

    def _not_fetched(self, problem: Exception) -> None:
        self._reading = False
        self._start = 0
        self._context.failure(problem)

    def tick(self) -> None:
        if self._follower is None:
            self.show()
            return
        if not self._paused:
            words = self._words
            lines = self._follower.read()
            wanted = [line for line in lines if line and _holds(line, words)]
            self._window.append(wanted, follow=self._window.at_end)
        self._fetch()

    def _show_head(self) -> None:
        state = "paused" if self._paused else "following" if self._window.at_end else "not at the end"
        words = f", filter “{clean(self._filter, 60)}”" if self._filter else ""
        left = f"; {size_text(self._start)} before" if self._start else ""
        search = " searching …" if self._reading and self._filter else ""
        name, shown = clean(os.path.basename(self._path), 60), count(len(self._window))
        lines = "line" if len(self._window) == 1 else "lines"
        self._head.set_text(("head", f" {name}: {shown} {lines}{left}{words}; {state}{search}"))

    # --- commands

    def do(self, command: str) -> bool:
        if command == "follow":
            self._paused = False
            self._window.set_focus(self._window.last)
        elif command == "pause":
            self._paused = not self._paused
        elif command == "search":
            self._ask_filter()
        elif command == "actions":
            if len(self._window):
                self._open_actions(self._window.line(self._window.focus))
        elif command == "suspects":
            suspects.show(self._context, self._path, self._set_filter)
        elif command == "refresh":
            self._begin()
        else:
            return False
        if self._path:
            self._show_head()
        self._pane.tell()
        return True

    def _open_actions(self, line: str) -> None:
        self._context.shell.open(actions_for(self._context, line, self._set_filter))

    def _set_filter(self, words: str) -> None:
        self._filter = words
        self._paused = False
        self._begin()

    def _ask_filter(self) -> None:
        field = TextField("", self._filter)

        def start() -> None:
            self._context.shell.close()
            self._set_filter(field.get_edit_text().strip())

        rows: list[Flow] = [
            urwid.AttrMap(field, "field", "field focus"),
            urwid.Text(("dim", "A queue id, an address, an IP, or any words that a line must hold. Blank: all lines.")),
        ]
        buttons = [("Filter", start), ("Cancel", self._context.shell.close)]
        self._context.shell.open(Dialog("Filter the log", rows, buttons, self._context.shell.close, submit=start))


def _holds(line: str, words: tuple[bytes, ...]) -> bool:
    lower = line.lower().encode("utf-8", "replace")
    return all(word in lower for word in words)
