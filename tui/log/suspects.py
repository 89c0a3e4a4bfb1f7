"""Suspects: addresses with the most failed logins, refused mail and messages of a period; a key blocks one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import urwid

from smtpd_classic.log_source import LogSource
from tui.log.actions import addresses_in, block
from tui.log.blocks import earlier, end_of
from tui.log.times import PERIODS, time_of
from tui.shell.context import AppContext
from tui.widgets.dialog import Dialog
from tui.widgets.flow import Flow
from tui.widgets.table import Column, TableRow
from tui.widgets.text import count, day_and_clock

__all__ = ["Suspect", "collect", "show"]

_OURS = "smtpd-classic/"
_FIRST_PERIOD = 1  # six hours
_MOST_BYTES = 64 << 20
_MOST_LINES = 200_000  # of the journal
_PAGE = 20_000
_SHOWN = 100
_RIGHT = urwid.Align.RIGHT
_COLUMNS = (
    Column("Address", share=2),
    Column("Logins failed", 13, align=_RIGHT),
    Column("Refused", 8, align=_RIGHT),
    Column("Messages", 8, align=_RIGHT),
    Column("First", 12, least=72, align=_RIGHT),
    Column("Last", 12, least=60, align=_RIGHT),
)


@dataclass(slots=True)
class Suspect:
    ip: str
    logins: int = 0
    refused: int = 0
    messages: int = 0
    first: float = 0.0
    last: float = 0.0

    @property
    def weight(self) -> int:
        """Return the rank: a failed login counts more than refused mail, and refused mail more than a message."""
        return 10 * self.logins + 3 * self.refused + self.messages


def collect(source: LogSource, since: float, now: float) -> tuple[list[Suspect], bool]:
    """Count the lines since a time. Return the suspects, the worst first, and True if all these lines were read.

    Raises OSError or NoLog.
    """
    found: dict[str, Suspect] = {}
    whole = False
    for line in _backwards(source):
        if line is None:
            return _worst(found), False
        at = time_of(line, now)
        if at is not None and at < since:
            whole = True
            break
        if at is not None:
            _count(found, line, at)
    else:
        whole = True
    return _worst(found), whole


def _worst(found: dict[str, Suspect]) -> list[Suspect]:
    return sorted(found.values(), key=lambda each: -each.weight)[:_SHOWN]


def _backwards(source: LogSource) -> Iterator[str | None]:
    """Yield our lines, the latest first; None as the last item if more lines are left than can be read at once."""
    if not source.place.startswith("/"):
        lines = source.last(_MOST_LINES, lambda line: _OURS in line)
        yield from reversed(lines)
        if len(lines) == _MOST_LINES:
            yield None
        return
    start = end = end_of(source.place)
    while start > 0:
        piece = earlier(source.place, start, (_OURS.encode(),), _PAGE)
        start = piece.start
        yield from reversed(piece.lines)
        if start > 0 and end - start >= _MOST_BYTES:
            yield None
            return


def _count(found: dict[str, Suspect], line: str, at: float) -> None:
    login = " authentication failed" in line
    refused = ": reject: " in line
    if not (login or refused or ": client=" in line):
        return
    ip = next(addresses_in(line), "")
    if not ip:
        return
    suspect = found.setdefault(ip, Suspect(ip, last=at))
    suspect.logins += login
    suspect.refused += refused
    suspect.messages += not login and not refused
    suspect.first = at


def show(
    context: AppContext, source: LogSource | None, show_only: Callable[[str], None], period: int = _FIRST_PERIOD
) -> None:
    """Show the suspects of one of the periods."""
    if source is None:
        context.shell.say("There is no log to read.", "warn")
        return
    context.shell.say("Reading the log …")
    now = context.clock()
    since = now - PERIODS[period][1]

    def next_period() -> None:
        context.shell.close()
        show(context, source, show_only, (period + 1) % len(PERIODS))

    context.run(
        lambda: collect(source, since, now),
        lambda found: _open(context, *found, PERIODS[period][0], show_only, next_period),
    )


def _open(
    context: AppContext,
    suspects: list[Suspect],
    whole: bool,
    label: str,
    show_only: Callable[[str], None],
    next_period: Callable[[], None],
) -> None:
    context.shell.say("")
    now = context.clock()

    def only(ip: str) -> None:
        context.shell.close()
        show_only(ip)

    lines = [TableRow(_COLUMNS, _cells(each, now), partial(only, each.ip)) for each in suspects]
    heading = TableRow(_COLUMNS, [column.title for column in _COLUMNS], lambda: None, "head")
    none = [urwid.Text(("dim", f"No suspicious addresses in the last {label}."))] if not lines else []
    part = "" if whole else ", as far as the log could be read"
    note = urwid.Text(("dim", f"The last {label}{part}. t takes another period, b blocks, Enter shows the lines."))
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
        elif command == "period":
            next_period()
        return command in {"block", "filter", "period"}

    buttons = [
        ("Close", context.shell.close),
        ("Block", lambda: do("block")),
        ("Lines", lambda: do("filter")),
        ("Period", next_period),
    ]
    dialog = Dialog("Suspects", rows, buttons, context.shell.close, width=76, contexts=("suspects",), do=do)
    context.shell.open(dialog)


def _cells(each: Suspect, now: float) -> list[str]:
    return [
        each.ip,
        *(count(number) if number else "." for number in (each.logins, each.refused, each.messages)),
        *(day_and_clock(at, now) for at in (each.first, each.last)),
    ]
