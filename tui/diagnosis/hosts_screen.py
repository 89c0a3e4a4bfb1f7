"""Hosts: the next hops that failed and are not tried for a while, with the mail that waits for them."""

import subprocess
import sys
from functools import partial

import urwid

from smtpd_classic.runtime.hosts import HostMark
from tui.config.run_test import test_host
from tui.shell.context import AppContext
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.table import Column, Table
from tui.widgets.text import clean, count, day_and_clock

__all__ = ["HostsScreen"]

_RIGHT = urwid.Align.RIGHT
_COLUMNS = (
    Column("Next hop", share=2),
    Column("Waiting", 7, align=_RIGHT),
    Column("Since", 12, least=70),
    Column("Again", 12, least=40),
    Column("Reason", share=3),
)


class HostsScreen(BaseScreen):
    contexts = ("hosts",)

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._marks: list[HostMark] = []
        self._table = Table(
            _COLUMNS, lambda _: self._queue(), "No next hop backs off: nothing waits for a host that failed."
        )
        labels = {"Try now": "try now", "Test": "test", "Queue": "messages", "Try all mail now": "try all"}
        buttons = ButtonRow([(label, partial(self.do, command)) for label, command in labels.items()])
        self._pane = WithHelp(self._table, buttons, self.help)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    def show(self) -> None:
        now = self._context.clock()
        found = self._context.failing_hosts()
        waiting = {reason.next_hop.lower(): reason.messages for reason in self._context.findings.reasons}
        self._marks = sorted(found, key=lambda mark: (mark.since, mark.place))
        self._table.show([self._cells(mark, waiting.get(mark.place.lower(), 0), now) for mark in self._marks])
        self._pane.show_help()

    tick = show

    @staticmethod
    def _cells(mark: HostMark, waiting: int, now: float) -> list[str]:
        again = day_and_clock(mark.until, now) if mark.dead else "tried last"
        cells = [clean(mark.place, 200), count(mark.waiting or waiting), day_and_clock(mark.since, now), again]
        return [*cells, clean(mark.reason, 300)]

    def _chosen(self) -> HostMark | None:
        at = self._table.position
        return self._marks[at] if 0 <= at < len(self._marks) else None

    def help(self) -> Help | None:
        mark = self._chosen()
        if mark is None:
            return "Hosts", "A host that fails is not tried for a while, so that other mail need not wait for it."
        limit = f" At most {mark.limit} sessions at once." if mark.limit else ""
        return clean(mark.place), f"{clean(mark.reason, 500)}.{limit} Enter shows the messages that wait for it."

    def do(self, command: str) -> bool:
        mark = self._chosen()
        if command == "try all":
            self._flush("")
        elif command not in {"try now", "test", "messages"}:
            return False
        elif mark is None:
            self._context.shell.say("No next hop backs off.")
        elif command == "try now":
            self._flush(mark.place)
        elif command == "test":
            test_host(self._context, mark.host, mark.port)
        else:
            self._queue()
        return True

    def _queue(self) -> None:
        mark = self._chosen()
        if mark is not None:
            self._context.shell.go("Queue", mark.host)

    def _flush(self, next_hop: str) -> None:
        """Try the mail for one next hop now, or all mail, by the command: it runs as the service user."""
        self._context.shell.say("Asking the server to try again …")
        command = [sys.executable, "-m", "smtpd_classic", "--config", self._context.path, "queue", "flush"]

        def work() -> str:
            words = [*command, *([next_hop] if next_hop else [])]
            done = subprocess.run(words, capture_output=True, text=True, check=False, errors="replace")
            return (done.stderr or done.stdout).strip() or "Nothing waits."

        self._context.run(work, lambda said: self._context.shell.say(clean(said.splitlines()[-1], 300)))
