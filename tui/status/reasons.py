"""The reasons why mail waits, grouped by next hop, from the last replies in the queue and the hosts that back off."""

import re
from collections.abc import Iterable, Sequence

from smtpd_classic.runtime.hosts import HostMark
from spool.rows import HELD, QueueRow
from tui.status.findings import WaitReason
from tui.widgets.text import clean, first_line

__all__ = ["wait_reasons"]

_ADDRESS = re.compile(r"<[^<>\s]*>")
_IP = re.compile(r"\[[^\]]*\]")


def wait_reasons(rows: Iterable[QueueRow], marks: Sequence[HostMark]) -> tuple[WaitReason, ...]:
    """Return the reasons, the one of most messages first. A message without an attempt waits for no reason."""
    failing = {mark.host.lower(): mark for mark in marks} | {mark.place.lower(): mark for mark in marks}
    found: dict[tuple[str, str], list[QueueRow]] = {}
    for row in rows:
        if row.state == HELD or not row.attempts or not row.recipients:
            continue
        domain = row.recipients[0].rpartition("@")[2]
        host = _IP.sub("", row.hosts[0]) if row.hosts else domain
        mark = failing.get(host.lower()) or failing.get(host.rpartition(":")[0].lower())
        reason = mark.reason if mark is not None else _ADDRESS.sub("<…>", first_line(row.last_reply, 200))
        found.setdefault((clean(host, 120), clean(reason, 200) or "no reply yet"), []).append(row)
    reasons = [_reason(host, reason, group, failing) for (host, reason), group in found.items()]
    return tuple(sorted(reasons, key=lambda each: -each.messages))


def _reason(host: str, reason: str, group: Sequence[QueueRow], failing: dict[str, HostMark]) -> WaitReason:
    mark = failing.get(host.lower()) or failing.get(host.rpartition(":")[0].lower())
    since = mark.since if mark is not None else min(row.arrival for row in group)
    return WaitReason(host, reason, len(group), since, clean(group[0].recipients[0].rpartition("@")[2], 120))
