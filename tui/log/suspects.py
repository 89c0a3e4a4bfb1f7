"""Suspects: addresses with the most failed logins, refused mail and messages of the last hours; a key blocks one."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import urwid

from tui.log.actions import addresses_in, block
from tui.log.blocks import earlier, end_of
from tui.shell.context import AppContext
from tui.widgets.dialog import Dialog
from tui.widgets.flow import Flow
from tui.widgets.table import Column, TableRow
from tui.widgets.text import count, size_text

__all__ = ["Suspect", "collect", "show"]

_HOURS = 6
_MOST_BYTES = 64 << 20
_PAGE = 20_000
_SHOWN = 100
_RIGHT = urwid.Align.RIGHT
_COLUMNS = (
    Column("Address", share=2),
    Column("Logins failed", 13, align=_RIGHT),
    Column("Refused", 8, align=_RIGHT),
    Column("Messages", 8, align=_RIGHT),
    Column("Last", 8, least=60, align=_RIGHT),
)


@dataclass(slots=True)
class Suspect:
    ip: str
    logins: int = 0
    refused: int = 0
    messages: int = 0
    last: str = ""

    @property
    def weight(self) -> int:
        """Return the rank: a failed login counts more than refused mail, and refused mail more than a message."""
        return 10 * self.logins + 3 * self.refused + self.messages


def collect(path: str, now: float) -> tuple[list[Suspect], int]:
    """Return the suspects, the worst first, and the number of bytes read from the log. Raises OSError."""
    found: dict[str, Suspect] = {}
    start = end = end_of(path)
    earliest = time.strftime("%b %e %H:%M:%S", time.localtime(now - _HOURS * 3600))
    days = {time.strftime("%b %e", time.localtime(now - back)) for back in range(0, _HOURS * 3600 + 1, 3600)}
    while start > 0 and end - start < _MOST_BYTES:
        piece = earlier(path, start, (b"smtpd-classic/",), _PAGE)
        start = piece.start
        for line in reversed(piece.lines):
            _count(found, line)
        if piece.lines and _is_older(piece.lines[0], earliest, days):
            break
    return sorted(found.values(), key=lambda each: -each.weight)[:_SHOWN], end - start


def _is_older(line: str, earliest: str, days: set[str]) -> bool:
    return line[:6] not in days or (line[:6] == earliest[:6] and line[:15] < earliest)


def _count(found: dict[str, Suspect], line: str) -> None:
    login = " authentication failed" in line
    refused = ": reject: " in line
    if not (login or refused or ": client=" in line):
        return
    ip = next(addresses_in(line), "")
    if not ip:
        return
    suspect = found.setdefault(ip, Suspect(ip))
    suspect.logins += login
    suspect.refused += refused
    suspect.messages += not login and not refused
    suspect.last = suspect.last or line[7:15]


def show(context: AppContext, path: str, show_only: Callable[[str], None]) -> None:
    if not path:
        context.shell.say("There is no log to read.", "warn")
        return
    context.shell.say("Reading the log …")
    now = context.clock()
    context.run(lambda: collect(path, now), lambda found: _open(context, *found, show_only))


def _open(context: AppContext, suspects: list[Suspect], read: int, show_only: Callable[[str], None]) -> None:
    context.shell.say("")

    def only(ip: str) -> None:
        context.shell.close()
        show_only(ip)

    lines = [TableRow(_COLUMNS, _cells(each), partial(only, each.ip)) for each in suspects]
    heading = TableRow(_COLUMNS, [column.title for column in _COLUMNS], lambda: None, "head")
    none = [urwid.Text(("dim", f"No suspicious addresses in the last {_HOURS} hours."))] if not lines else []
    note = urwid.Text(
        ("dim", f"The last {_HOURS} hours, {size_text(read)} of the log. b blocks, Enter shows the lines.")
    )
    rows: list[Flow] = [note, urwid.WidgetDisable(heading), *lines, *none]

    def chosen() -> str:
        focus = dialog.list.focus
        return suspects[lines.index(focus)].ip if isinstance(focus, TableRow) and focus in lines else ""

    def do(command: str) -> bool:
        ip = chosen()
        if command == "block" and ip:
            block(context, ip)
        elif command == "filter" and ip:
            only(ip)
        return command in {"block", "filter"}

    buttons = [("Close", context.shell.close), ("Block", lambda: do("block")), ("Lines", lambda: do("filter"))]
    dialog = Dialog("Suspects", rows, buttons, context.shell.close, width=76, contexts=("suspects",), do=do)
    context.shell.open(dialog)


def _cells(each: Suspect) -> list[str]:
    return [
        each.ip,
        *(count(number) if number else "." for number in (each.logins, each.refused, each.messages)),
        each.last,
    ]
