"""The age of the waiting mail per domain: the table shows quickly which domains do not accept mail."""

import bisect
from collections.abc import Sequence

import urwid

from spool import WAITING, Listed, NoSuchEntry, Spool, SpoolBroken
from tui.shell.context import AppContext
from tui.widgets.dialog import Dialog
from tui.widgets.flow import Flow
from tui.widgets.text import clean, count

__all__ = ["ages_by_domain", "show"]

_MINUTES = (5, 20, 80, 320, 1280)
_TITLES = ("all", "5m", "20m", "80m", "5h", "21h", "older")
_MOST_DOMAINS = 200
_MOST_ENTRIES = 200_000


def ages_by_domain(spool: Spool, listed: Sequence[Listed], now: float) -> list[tuple[str, list[int]]]:
    """Return the number of waiting recipients per domain, in all and per age group; the largest number comes first."""
    table: dict[str, list[int]] = {}
    for row in listed[:_MOST_ENTRIES]:
        try:
            _, state = spool.read(row.queue_id)
        except (NoSuchEntry, SpoolBroken):
            continue
        bucket = 1 + bisect.bisect_left(_MINUTES, (now - row.arrival) / 60)
        for domain in {each.address.rpartition("@")[2] for each in state.recipients if each.state == WAITING}:
            counts = table.setdefault(domain, [0] * len(_TITLES))
            counts[0] += 1
            counts[bucket] += 1
    whole = [sum(column) for column in zip(*table.values(), strict=True)] or [0] * len(_TITLES)
    ordered = sorted(table.items(), key=lambda item: (-item[1][0], item[0]))
    return [("TOTAL", whole), *ordered[:_MOST_DOMAINS]]


def show(context: AppContext, spool: Spool, listed: Sequence[Listed]) -> None:
    context.shell.say(f"Looking into {count(len(listed))} messages …")
    now = context.clock()

    def shown(table: list[tuple[str, list[int]]]) -> None:
        context.shell.say("")
        rows: list[Flow] = [_line("Domain", list(_TITLES), "head")]
        rows += [_line(clean(domain, 100), [str(each or ".") for each in counts], "help") for domain, counts in table]
        title = "Waiting mail by domain and age"
        context.shell.open(Dialog(title, rows, [("Close", context.shell.close)], context.shell.close, width=78))

    context.run(lambda: ages_by_domain(spool, listed, now), shown)


def _line(domain: str, cells: list[str], look: str) -> Flow:
    texts = [(6, urwid.Text((look, cell), align="right", wrap="clip")) for cell in cells]
    return urwid.Columns([urwid.Text((look, domain), wrap="ellipsis"), *texts])
