"""Status: the state of the server, the queue, the traffic of the last hour, and the problems that need attention."""

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import urwid

from smtpd_classic.runtime import DaemonStatus, Runtime
from smtpd_classic.runtime.hosts import HOSTS_FILE, read_marks
from tui.config.reload import ReloadAnswer, ReloadOutcome, reload
from tui.config.start import start_server
from tui.shell.context import AppContext
from tui.shell.header import daemon_words
from tui.shell.screen import BaseScreen, Help
from tui.status.findings import SOON_DAYS
from tui.status.reason_row import reason_row
from tui.status.reasons import WaitReason
from tui.widgets.buttons import ButtonRow
from tui.widgets.flow import Flow
from tui.widgets.graph import Bars
from tui.widgets.text import clean, count, day_and_clock

__all__ = ["StatusScreen"]

_GRAPHS = (
    ("In", "received", "graph in"),
    ("Out", "delivered", "graph out"),
    ("Deferred", "deferred", "graph deferred"),
    ("Rejected", "rejected", "graph rejected"),
)
_HOSTS = 5
_REASONS = 5


class StatusScreen(BaseScreen):
    contexts = ("status",)

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._reason_rows: dict[tuple[WaitReason, str], Flow] = {}
        self._bars = [Bars(label, look) for label, _, look in _GRAPHS]
        self._lines: urwid.SimpleFocusListWalker[Flow] = urwid.SimpleFocusListWalker([])
        buttons = ButtonRow(
            [
                ("Refresh", partial(self.do, "refresh")),
                ("Reload the server", partial(self.do, "reload")),
                ("Test message", partial(self.do, "trial")),
                ("Start the server", partial(self.do, "start")),
            ]
        )
        body = urwid.ScrollBar(
            urwid.ListBox(self._lines, select_navigation=True), thumb_attr="rule", delegate_selectable=True
        )
        frame: urwid.Frame[Any, Any, Any] = urwid.Frame(body, footer=buttons, select_navigation=True)
        self._widget = _Sized(frame, self._arrange)
        self._rows = 0

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._widget

    def help(self) -> Help | None:
        return "Status", "The bars are messages per minute of the last hour, the current minute at the right."

    def do(self, command: str) -> bool:
        if command == "refresh":
            self._context.shell.look_again()
            self.show()
        elif command == "reload":
            context = self._context
            context.shell.say("Asking the daemon to read its files again …")
            context.run(lambda: reload(context.runtime, context.path, context.source.digest), self._reloaded)
        elif command == "trial":
            from tui.config.test_message_dialog import ask_trial  # noqa: PLC0415

            ask_trial(self._context)
        elif command == "start":
            self._start()
        else:
            return False
        return True

    def _start(self) -> None:
        config = self._context.source.config
        if config is None:
            self._context.shell.say("The configuration must be right first.", "bad")
            return
        self._context.shell.say("Starting the server …")
        self._context.run(lambda: start_server(config), lambda said: self._context.shell.say(said, "good"))

    def _reloaded(self, answer: ReloadAnswer) -> None:
        tones = {ReloadOutcome.YES: "good", ReloadOutcome.REFUSED: "bad"}
        self._context.shell.say(answer.text, tones.get(answer.took, "warn"))
        self.show()

    # --- drawing

    def show(self) -> None:
        runtime = self._context.runtime
        self._show_bars(runtime)
        focus = self._lines.focus or 0
        self._lines[:] = list(self._all_lines(runtime))
        self._lines.set_focus(min(focus, len(self._lines) - 1))

    tick = show

    def _arrange(self, rows: int) -> None:
        """Draw higher bars on a higher screen."""
        if rows != self._rows:
            self._rows = rows
            self._show_bars(self._context.runtime)

    def _show_bars(self, runtime: Runtime) -> None:
        height = 1 if self._rows < 18 else 2 if self._rows < 30 else 4
        minutes = runtime.counters.minutes(60)
        for bar, (_, name, _) in zip(self._bars, _GRAPHS, strict=True):
            bar.show([minute.counts[name] for minute in minutes], height)

    def _all_lines(self, runtime: Runtime) -> Iterator[Flow]:
        status = runtime.status.read()
        yield from self._daemon(status if status is not None and status.alive else None)
        yield _fact("Certificate", *self._certificate())
        open_now, blocked = runtime.counters.open_connections(), len(runtime.blocks.list())
        yield _fact("Connections", f"{count(open_now)} open, {count(blocked)} clients blocked")
        yield _fact("Queue", self._context.findings.queue)
        yield from self._reasons()
        yield from self._hosts(runtime)
        yield urwid.Divider()
        yield from self._bars
        yield urwid.Divider()
        yield from self._attention(status)

    def _daemon(self, status: DaemonStatus | None) -> Iterator[Flow]:
        now = self._context.clock()
        words, well = daemon_words(status, now)
        if status is None:
            yield _fact("Server", "Not running; settings can still be changed", "bad")
            return
        receivers = f", {status.receivers} receivers" if status.receivers else ""
        since = f"since {day_and_clock(status.since, now)}, process {status.pid}{receivers}"
        yield _fact("Server", f"{words}, {since}", "good" if well else "bad")
        if status.error:
            yield _fact("Reload", f"refused: {clean(status.error, 500)}", "bad")
        if status.digest != self._context.source.digest:
            yield _fact("File", "changed since the server read it; it runs with the earlier text", "warn")
        places = [f"{clean(each.address)}:{each.port} ({each.tls})" for each in status.listening]
        yield _fact("Listening", ", ".join(places) or "nowhere", "help" if places else "bad")
        for sentence in status.not_listening:
            yield _fact("", clean(sentence, 300), "bad")

    def _reasons(self) -> Iterator[Flow]:
        """Yield the reasons why mail waits. A row stays the same widget while it says the same, and keeps the focus."""
        kept, self._reason_rows = self._reason_rows, {}
        for number, reason in enumerate(self._context.findings.reasons[:_REASONS]):
            key = reason, "" if number else "Waiting"
            self._reason_rows[key] = kept.get(key) or reason_row(self._context, *key)
            yield self._reason_rows[key]
        more = len(self._context.findings.reasons) - _REASONS
        if more > 0:
            yield _fact("", f"and {count(more)} more reasons; the queue shows them")

    def _hosts(self, runtime: Runtime) -> Iterator[Flow]:
        now = self._context.clock()
        marks = read_marks(os.path.join(runtime.folder, HOSTS_FILE), now)
        for number, mark in enumerate(sorted(marks, key=lambda mark: mark.since, reverse=True)[:_HOSTS]):
            what = "not tried" if mark.dead else "tried last"
            words = f"{clean(mark.host, 100)}: {what} until {day_and_clock(mark.until, now)}: {clean(mark.reason, 300)}"
            yield _fact("" if number else "Hosts", words, "warn", wrap=urwid.WrapMode.ELLIPSIS)
        if len(marks) > _HOSTS:
            yield _fact("", f"and {count(len(marks) - _HOSTS)} more")

    def _certificate(self) -> tuple[str, str]:
        days = self._context.findings.days
        if days is None:
            return "none that can be read", "warn"
        if days < 0:
            return f"expired {-days} days ago", "bad"
        return f"{days} days left", "warn" if days < SOON_DAYS else "help"

    def _attention(self, status: DaemonStatus | None) -> Iterator[Flow]:
        if status is not None and status.alive:
            for sentence in status.waiting_for_restart:
                yield _fact("Restart", clean(sentence, 300), "warn")
        for problem in self._context.source.problems:
            line = f"line {problem.line}: " if problem.line else ""
            yield _fact("Check", f"{line}{clean(problem.text, 400)}", "bad" if problem.is_error else "warn")
        for number, trouble in enumerate(self._context.findings.troubles):
            yield _fact("" if number else "Last errors", trouble, "warn", wrap=urwid.WrapMode.ELLIPSIS)


class _Sized(urwid.WidgetWrap[urwid.Frame[Any, Any, Any]]):
    """A wrapper that passes the height of the screen to `sized` at each rendering."""

    def __init__(self, frame: urwid.Frame[Any, Any, Any], sized: Any) -> None:
        self._sized = sized
        super().__init__(frame)

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        self._sized(size[1])
        return self._w.render(size, focus)


def _fact(label: str, text: str, look: str = "help", wrap: urwid.WrapMode = urwid.WrapMode.SPACE) -> Flow:
    mark = {"bad": "✗ ", "warn": "! ", "good": "✓ "}.get(look, "")
    words = urwid.Text((look, f"{mark}{text}"), wrap=wrap)
    return urwid.Columns([(12, urwid.Text(("head", f" {label}"))), words], dividechars=1)
