"""Status: the state of the server, the queue, the traffic of the last hour, and the problems that need attention."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import urwid

from smtpd_classic.runtime import DaemonStatus, Runtime
from tui.config.reload import ReloadAnswer, ReloadOutcome, reload
from tui.config.start import start_server
from tui.shell.context import AppContext
from tui.shell.header import daemon_words
from tui.shell.screen import BaseScreen, Help
from tui.status.connections import RunningDeliveries, connected_clients
from tui.status.findings import SOON_DAYS, WaitReason
from tui.status.places import places_of
from tui.status.reason_row import reason_row
from tui.status.status_frame import StatusFrame
from tui.status.troubled_filters import troubled_filters
from tui.widgets.buttons import ButtonRow
from tui.widgets.flow import Flow
from tui.widgets.graph import Bars, TimeAxis
from tui.widgets.text import clean, count, day_and_clock

__all__ = ["StatusScreen"]

_GRAPHS = (
    ("In", "received", "graph in"),
    ("Out", "delivered", "graph out"),
    ("Deferred", "deferred", "graph deferred"),
    ("Rejected", "rejected", "graph rejected"),
)
_BUTTONS = {"Refresh": "refresh", "Reload": "reload", "Start": "start", "Test message": "trial"}
_HOSTS = 5
_REASONS = 5
_SHOWN_AT_ONCE = 4  # connections and deliveries in a line; the screen Connections has all
_SHARE = 200  # of the time at most one part in so many goes into the looks at connections
_MINUTES = 60


class LabelledText(NamedTuple):
    """One line: a label, and a text with its look."""

    label: str
    text: str
    look: str = "help"
    wrap: urwid.WrapMode = urwid.WrapMode.SPACE

    def widget(self) -> Flow:
        mark = {"bad": "✗ ", "warn": "! ", "good": "✓ "}.get(self.look, "")
        words = urwid.Text((self.look, f"{mark}{self.text}"), wrap=self.wrap)
        return urwid.Columns([(12, urwid.Text(("head", f" {self.label}"))), words], dividechars=1)


class ReasonLine(NamedTuple):
    """One line for mail that waits for the same reason."""

    reason: WaitReason


Line = LabelledText | ReasonLine | str  # a string names a line that is always the same widget


class StatusScreen(BaseScreen):
    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._useless: set[str] = set()
        self._shown: list[Line] = []
        self._widgets: dict[Line, Flow] = {}
        self._live: list[Line] = []
        self._live_until = 0.0
        self._deliveries: RunningDeliveries | None = None
        self._bars = [Bars(label, look) for label, _, look in _GRAPHS]
        self._lines: urwid.SimpleFocusListWalker[Flow] = urwid.SimpleFocusListWalker([])
        self._buttons = ButtonRow([(label, partial(self.do, command)) for label, command in _BUTTONS.items()])
        body = urwid.ScrollBar(
            urwid.ListBox(self._lines, select_navigation=True), thumb_attr="rule", delegate_selectable=True
        )
        frame: urwid.Frame[Any, Any, Any] = urwid.Frame(body, footer=self._buttons, select_navigation=True)
        self._widget = StatusFrame(frame, self._arrange)
        self._rows = 0

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._widget

    @property
    def contexts(self) -> tuple[str, ...]:
        states = [where for where, label in (("running", "Reload"), ("down", "Start")) if label not in self._useless]
        return (*states, "status")

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
        config = self._context.usable_config()
        if config is None:
            return
        self._context.shell.say("Starting the server …")
        self._context.run(lambda: start_server(config), lambda said: self._context.shell.say(said, "good"))

    def _reloaded(self, answer: ReloadAnswer) -> None:
        tones = {ReloadOutcome.YES: "good", ReloadOutcome.REFUSED: "bad"}
        self._context.shell.say(answer.text, tones.get(answer.took, "warn"))
        self.show()

    # --- drawing

    def show(self) -> None:
        """Show the state as it is now. A line that says the same stays the same widget, and keeps the focus."""
        runtime = self._context.runtime
        self._show_bars(runtime)
        self._show_buttons()
        lines = list(self._all_lines(runtime))
        if lines == self._shown:
            return
        self._shown = lines
        kept, self._widgets = self._widgets, {}
        for line in lines:
            self._widgets[line] = kept.get(line) or self._made(line)
        focus = self._lines.focus or 0
        self._lines[:] = [self._widgets[line] for line in lines]
        self._lines.set_focus(min(focus, len(self._lines) - 1))

    tick = show

    def _show_buttons(self) -> None:
        """Show the buttons and keys that can do something: a server that runs is not started, one that is down is not
        reloaded.
        """
        status = self._context.daemon_status()
        running = status is not None and status.alive
        hidden = self._context.daemon_is_hidden()
        self._useless = {"Reload", "Start"} if hidden else {"Start"} if running else {"Reload"}
        self._buttons.show([label for label in _BUTTONS if label not in self._useless])

    def _made(self, line: Line) -> Flow:
        if isinstance(line, LabelledText):
            return line.widget()
        if isinstance(line, ReasonLine):
            return reason_row(self._context, line.reason)
        if line == "axis":
            return TimeAxis(" per minute", _MINUTES, "min")
        bar = next((bar for bar, (label, _, _) in zip(self._bars, _GRAPHS, strict=True) if label == line), None)
        return bar or urwid.Divider()

    def _arrange(self, rows: int) -> None:
        """Draw higher bars on a higher screen."""
        if rows != self._rows:
            self._rows = rows
            self._show_bars(self._context.runtime)

    def _show_bars(self, runtime: Runtime) -> None:
        height = 1 if self._rows < 18 else 2 if self._rows < 30 else 4
        minutes = runtime.counters.minutes(_MINUTES)
        for bar, (_, name, _) in zip(self._bars, _GRAPHS, strict=True):
            bar.show([minute.counts[name] for minute in minutes], height)

    def _all_lines(self, runtime: Runtime) -> Iterator[Line]:
        status = self._context.daemon_status()
        running = status if status is not None and status.alive else None
        yield from self._daemon(running)
        yield LabelledText("Certificate", *self._certificate())
        open_now, blocked = runtime.counters.open_connections(), len(runtime.blocks.list())
        yield LabelledText("Connections", f"{count(open_now)} open, {count(blocked)} clients blocked")
        yield from self._live_lines(running)
        if running is not None:
            yield from self._filters(runtime)
        yield LabelledText("Queue", self._context.findings.queue)
        yield from self._reasons()
        yield from self._hosts()
        yield "above"
        yield from (label for label, _, _ in _GRAPHS)
        yield "axis"
        yield "below"
        yield from self._attention(status)

    def _live_lines(self, status: DaemonStatus | None) -> list[Line]:
        """Return the lines of the connected clients and the running deliveries, looked at anew when it is time."""
        began = time.monotonic()
        if status is not None and began >= self._live_until:
            self._live = list(self._look_at_connections(status))
            self._live_until = began + _SHARE * (time.monotonic() - began)
        return self._live if status is not None else []

    def _look_at_connections(self, status: DaemonStatus) -> Iterator[Line]:
        clients = connected_clients(status.pid, [each.port for each in status.listening])
        words = [f"{each.ip} → {each.to_port}" for each in clients[:_SHOWN_AT_ONCE]]
        yield from _some("Clients", words, len(clients))
        folder = self._context.spool_folder
        if self._deliveries is None or self._deliveries.folder != folder:
            self._deliveries = RunningDeliveries(folder)
        deliveries = self._deliveries.now()
        words = [clean(f"{row.sender or '<>'} → {row.recipients[0]}", 100) for row in deliveries if row.recipients]
        yield from _some("Delivering", words[:_SHOWN_AT_ONCE], len(deliveries))

    def _daemon(self, status: DaemonStatus | None) -> Iterator[Line]:
        now = self._context.clock()
        words, well = daemon_words(status, now)
        if status is None and self._context.daemon_is_hidden():
            path = clean(self._context.runtime.status.path, 200)
            yield LabelledText("Server", f"Unknown: you may not read {path}; start this program as root", "warn")
            return
        if status is None:
            yield LabelledText("Server", "Not running; settings can still be changed", "bad")
            return
        receivers = f", {status.receivers} receivers" if status.receivers else ""
        since = f"since {day_and_clock(status.since, now)}, process {status.pid}{receivers}"
        yield LabelledText("Server", f"{words}, {since}", "good" if well else "bad")
        if status.error:
            yield LabelledText("Reload", f"refused: {clean(status.error, 500)}", "bad")
        if status.digest != self._context.source.digest:
            yield LabelledText("File", "changed since the server read it; it runs with the earlier text", "warn")
        places = places_of(status.listening)
        yield LabelledText("Listening", places or "nowhere", "help" if places else "bad")
        for sentence in status.not_listening:
            yield LabelledText("", clean(sentence, 300), "bad")

    def _filters(self, runtime: Runtime) -> Iterator[Line]:
        context = self._context
        for each in troubled_filters(context.source.config, runtime, context.clock()):
            yield LabelledText(each.kind, each.words, "bad" if each.stops_mail else "warn")

    def _reasons(self) -> Iterator[Line]:
        """Yield the reasons why mail waits."""
        for reason in self._context.findings.reasons[:_REASONS]:
            yield ReasonLine(reason)
        more = len(self._context.findings.reasons) - _REASONS
        if more > 0:
            yield LabelledText("", f"and {count(more)} more reasons; the queue shows them")

    def _hosts(self) -> Iterator[Line]:
        """Yield the hosts that back off, without those that a reason names."""
        named = {reason.next_hop.lower() for reason in self._context.findings.reasons[:_REASONS]}
        now = self._context.clock()
        marks = [mark for mark in self._context.failing_hosts() if mark.place.lower() not in named]
        for number, mark in enumerate(sorted(marks, key=lambda mark: mark.since, reverse=True)[:_HOSTS]):
            what = "not tried" if mark.dead else "tried last"
            words = f"{clean(mark.host, 100)}: {what} until {day_and_clock(mark.until, now)}: {clean(mark.reason, 300)}"
            yield LabelledText("" if number else "Hosts", words, "warn", wrap=urwid.WrapMode.ELLIPSIS)
        if len(marks) > _HOSTS:
            yield LabelledText("", f"and {count(len(marks) - _HOSTS)} more")

    def _certificate(self) -> tuple[str, str]:
        days = self._context.findings.days
        if days is None:
            return "none that can be read", "warn"
        if days < 0:
            return f"expired {-days} days ago", "bad"
        return f"{days} days left", "warn" if days < SOON_DAYS else "help"

    def _attention(self, status: DaemonStatus | None) -> Iterator[Line]:
        if status is not None and status.alive:
            for sentence in status.waiting_for_restart:
                yield LabelledText("Restart", clean(sentence, 300), "warn")
        for problem in self._context.source.problems:
            line = f"line {problem.line}: " if problem.line else ""
            yield LabelledText("Check", f"{line}{clean(problem.text, 400)}", "bad" if problem.is_error else "warn")
        for number, trouble in enumerate(self._context.findings.troubles):
            yield LabelledText("" if number else "Last errors", trouble, "warn", wrap=urwid.WrapMode.ELLIPSIS)


def _some(label: str, words: list[str], number: int) -> Iterator[Line]:
    """Yield a line with these words, and how many there are besides; nothing if there are none."""
    if words:
        more = f", and {count(number - len(words))} more" if number > len(words) else ""
        yield LabelledText(label, ", ".join(words) + more)
