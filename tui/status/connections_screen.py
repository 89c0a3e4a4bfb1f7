"""Connections: the clients that are connected now, and the deliveries that run now."""

import time
from functools import partial
from typing import NamedTuple

from smtpd_classic.runtime import DaemonStatus
from spool.rows import QueueRow
from tui.log.actions import block
from tui.shell.context import AppContext
from tui.shell.help_pane import WithHelp
from tui.shell.screen import BaseScreen, Help
from tui.status.connections import ConnectedClient, RunningDeliveries, connected_clients
from tui.widgets.buttons import ButtonRow
from tui.widgets.table import Column, Table
from tui.widgets.text import clean, clock, count

__all__ = ["ConnectionsScreen"]

_COLUMNS = (Column("", 8), Column("From", share=1), Column("To", share=1), Column("Seen since", 10, least=50))
_MOST = 1000
_SHARE = 100  # of the time at most one part in so many goes into the looks
_NONE = "No client is connected, and no message is being delivered."


class ConnectionRow(NamedTuple):
    """One row: a client of a listener, or the delivery of a message. `words` find its lines in the log."""

    kind: str
    origin: str
    target: str
    words: str
    ip: str = ""


class ConnectionsScreen(BaseScreen):
    """A live list. A row says since when this screen has seen it; Enter shows its lines in the log."""

    contexts = ("connections",)

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._rows: list[ConnectionRow] = []
        self._first_seen: dict[ConnectionRow, float] = {}
        self._deliveries = RunningDeliveries(context.spool_folder)
        self._looking = False
        self._next_look = 0.0
        self._table = Table(_COLUMNS, lambda _: self._lines(), _NONE)
        buttons = ButtonRow([("Lines", self._lines), ("Block", self._block)])
        self._pane = WithHelp(self._table, buttons, self.help)

    @property
    def widget(self) -> WithHelp:
        return self._pane

    def show(self) -> None:
        self._next_look = 0.0
        self.tick()
        self._pane.show_help()

    def tick(self) -> None:
        """Look again, unless the last look took so long that it is too early."""
        if self._looking or time.monotonic() < self._next_look:
            return
        self._looking = True
        status, folder = self._context.daemon_status(), self._context.spool_folder
        if self._deliveries.folder != folder:
            self._deliveries = RunningDeliveries(folder)
        work = partial(_look, status, self._deliveries)
        self._context.run(work, partial(self._looked, time.monotonic()), self._failed)

    def _failed(self, problem: Exception) -> None:
        self._looking = False
        self._context.failure(problem)

    def _looked(self, began: float, found: list[ConnectionRow]) -> None:
        self._looking = False
        self._next_look = time.monotonic() + _SHARE * (time.monotonic() - began)
        now = self._context.clock()
        self._first_seen = {each: self._first_seen.get(each, now) for each in found}
        if found == self._rows and found:
            return
        chosen = self._chosen()
        self._rows = found
        self._table.show([[*each[:3], clock(self._first_seen[each])] for each in found])
        if chosen in found:
            self._table.focus_on(found.index(chosen))
        self._pane.show_help()

    def _chosen(self) -> ConnectionRow | None:
        at = self._table.position
        return self._rows[at] if 0 <= at < len(self._rows) else None

    def help(self) -> Help | None:
        clients = sum(each.kind == "client" for each in self._rows)
        words = _number(clients, "client", "clients"), _number(len(self._rows) - clients, "delivery", "deliveries")
        text = "The list follows each second. Enter shows the lines of the client or message in the log."
        return f"Connections: {', '.join(words)}", text

    def do(self, command: str) -> bool:
        if command == "block":
            self._block()
        elif command == "lines":
            self._lines()
        return command in {"block", "lines"}

    def _lines(self) -> None:
        chosen = self._chosen()
        if chosen is not None:
            self._context.shell.go("Log", chosen.words)

    def _block(self) -> None:
        chosen = self._chosen()
        if chosen is None or not chosen.ip:
            self._context.shell.say("Choose a client first.", "warn")
        else:
            block(self._context, chosen.ip)


def _look(status: DaemonStatus | None, deliveries: RunningDeliveries) -> list[ConnectionRow]:
    clients: list[ConnectionRow] = []
    if status is not None and status.alive:
        names = {each.port: each.name for each in status.listening if each.port}
        clients = [_client(each, names) for each in connected_clients(status.pid, list(names))[:_MOST]]
    return clients + [_delivery(each) for each in deliveries.now()]


def _number(number: int, one: str, many: str) -> str:
    return f"{count(number)} {one if number == 1 else many}"


def _client(each: ConnectedClient, names: dict[int, str]) -> ConnectionRow:
    origin = f"[{each.ip}]:{each.port}" if ":" in each.ip else f"{each.ip}:{each.port}"
    return ConnectionRow("client", origin, clean(f"{names[each.to_port]} ({each.to_port})"), each.ip, each.ip)


def _delivery(row: QueueRow) -> ConnectionRow:
    first = row.recipients[0] if row.recipients else "all recipients"
    more = f", and {count(len(row.recipients) - 1)} more" if len(row.recipients) > 1 else ""
    return ConnectionRow("delivery", clean(row.sender or "<>", 320), clean(f"{first}{more}", 330), row.queue_id)
