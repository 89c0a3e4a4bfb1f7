"""The messages on hold: the end of their time, and the bound of the quarantine.

Used by the thread that scans the queue. It opens the state of a held message once, and again only after a change.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from smtpd_classic.config.schema import Config
from smtpd_classic.counters import Amount, CounterStore
from smtpd_classic.counters.sender_limits import group_of, limits_for
from smtpd_classic.domain_name import comparable_address
from smtpd_classic.dsn import RecipientStatus
from smtpd_classic.holds import hold_end
from smtpd_classic.retry.approvals import ApprovalNotices
from smtpd_classic.retry.context import DeliveryContext
from smtpd_classic.retry.notices import AuthorsMessage, NoticeResult
from spool import WAITING, Claim, Hold, NoSuchEntry, Recipient, Spool, SpoolBroken, SpoolFull
from spool.entry import APPROVAL, OVER_LIMIT, UNDELIVERABLE

__all__ = ["HeldMessages"]

_HOUR_S, _DAY_S = 3600.0, 86_400.0
_WAITS = (
    "The message is on hold: your sending limit is reached. It waits for the administrator and is not lost. This holds "
    "for your further messages too until the limit allows them"
)


class _Known(NamedTuple):
    """A message on hold: the last change of its state, the hold and its end, and its size."""

    changed: int
    hold: Hold
    until: float
    size: int


@dataclass(slots=True)
class HeldMessages:
    """The messages on hold. After its time a message is returned to its sender; a quarantined one is deleted."""

    config: Config
    spool: Spool
    context: DeliveryContext
    counters: CounterStore
    approvals: ApprovalNotices
    is_local_domain: Callable[[str], bool]
    _known: dict[str, _Known] = field(default_factory=dict)

    def look(self) -> None:
        """End the holds whose time is over, and delete what the quarantine has no room for. Raises SpoolBroken."""
        found = self.spool.held()
        for queue_id in [queue_id for queue_id in self._known if queue_id not in found]:
            del self._known[queue_id]
        for queue_id, changed in found.items():
            known = self._known.get(queue_id)
            if known is None or known.changed != changed:
                self._read(queue_id, changed)
        now = self.context.clock()
        for queue_id in [queue_id for queue_id, known in self._known.items() if known.until <= now]:
            self._end(queue_id, now)
        self._bound_quarantine()

    def notify(self, claim: Claim) -> None:
        """Tell the managers of a message that waits for approval, or return one that they have refused. Tell the sender
        of a message over its limit that it waits; one notice an hour for each sender.
        """
        hold, now = claim.state.hold, self.context.clock()
        if hold is not None and hold.reason == APPROVAL:
            self._ask_or_return(claim, now)
            return
        if hold is None or hold.reason != OVER_LIMIT or claim.state.hold_notified:
            return
        envelope = claim.entry.envelope
        group = group_of(envelope.login, envelope.client)
        try:
            wanted = not self.counters.take(group, [Amount("held notice", 1, _HOUR_S, 1)]).over
            late = [(each, _status(each, "delayed", _WAITS, now)) for each in _waiting(claim)]
            if not wanted or self.context.notices.delayed(AuthorsMessage(claim), late):
                claim.record(claim.state._replace(hold_notified=True))
        except (OSError, SpoolBroken, SpoolFull) as problem:
            self.context.journal.warning(claim.entry.queue_id, str(problem))

    def _ask_or_return(self, claim: Claim, now: float) -> None:
        try:
            if claim.state.decision:
                self._return(claim, f"The message was {claim.state.decision}", now)
            else:
                self.approvals.ask_managers(claim)
        except (OSError, SpoolBroken, SpoolFull) as problem:
            self.context.journal.warning(claim.entry.queue_id, str(problem))

    def tell_decision(self, claim: Claim) -> None:
        """Tell the sender that its message was approved."""
        try:
            self.approvals.tell_approved(claim)
        except (OSError, SpoolBroken, SpoolFull) as problem:
            self.context.journal.warning(claim.entry.queue_id, str(problem))

    def count_released(self, claim: Claim) -> None:
        """Count the recipients elsewhere of a message that was not counted at its commit and is released. No limit is
        asked again, and strangers have none.
        """
        envelope = claim.entry.envelope
        group = group_of(envelope.login, envelope.client)
        rows = (row for row in claim.state.recipients if row.state == WAITING and envelope.originates_here)
        addresses = (row.address for row in rows if not self.is_local_domain(row.address.rpartition("@")[2]))
        waiting = set(map(comparable_address, addresses))
        limits = limits_for(self.config, group)
        seen = limits.without_limits().seen(waiting) if group.startswith("account ") else None
        try:
            if waiting:
                self.counters.take(group, limits.without_limits().amounts(len(waiting)), seen)
            claim.record(claim.state._replace(uncounted=False))
        except (OSError, SpoolBroken, SpoolFull) as problem:
            self.context.journal.warning(claim.entry.queue_id, f"a released message is not counted: {problem}")

    def _read(self, queue_id: str, changed: int) -> None:
        try:
            entry, state = self.spool.read(queue_id)
        except (NoSuchEntry, SpoolBroken):
            return
        if state.hold is not None:
            until = 0.0 if state.decision else hold_end(self.config, state.hold)
            self._known[queue_id] = _Known(changed, state.hold, until, entry.size)
            if state.hold.reason == APPROVAL and not state.hold_notified:
                self._ask_again(queue_id)

    def _ask_again(self, queue_id: str) -> None:
        """Notify the managers of a message if the server ended before it did."""
        claim = self.spool.claim(queue_id)
        if claim is not None:
            with claim:
                self.notify(claim)

    def _end(self, queue_id: str, now: float) -> None:
        claim = self.spool.claim(queue_id)
        if claim is None:
            return
        with claim:
            hold = claim.state.hold
            if hold is None or (hold_end(self.config, hold) > now and not claim.state.decision):
                return
            if claim.state.decision:
                self._return(claim, f"The message was {claim.state.decision}", now)
            elif hold.is_quarantine:
                self._delete(claim, "quarantine_time is over")
            else:
                days = max(round((now - claim.state.held_since) / _DAY_S), 1)
                within = f"within {days} day{'s' if days > 1 else ''}"
                self._return(claim, f"The message was on hold ({hold}) and was not released {within}", now)

    def _return(self, claim: Claim, said: str, now: float) -> None:
        """Return the message to its sender with this sentence, and remove it."""
        failures = [(each, _status(each, "failed", said, now)) for each in _waiting(claim)]
        result = self.context.notices.failed(AuthorsMessage(claim), failures)
        try:
            if result is NoticeResult.TOLD:
                self.context.journal.returned(claim.entry, said)
                claim.remove()
            elif result is NoticeResult.HOLD:
                # The decision is carried out: with it, the next look would return the message again.
                claim.record(claim.state._replace(decision="").on_hold(Hold(UNDELIVERABLE, since=now)))
        except (SpoolBroken, SpoolFull) as problem:
            self.context.journal.warning(claim.entry.queue_id, str(problem))

    def _delete(self, claim: Claim, why: str) -> None:
        try:
            claim.remove()
        except SpoolBroken as problem:
            self.context.journal.warning(claim.entry.queue_id, str(problem))
            return
        self._known.pop(claim.entry.queue_id, None)
        self.context.journal.deleted(claim.entry, why)

    def _bound_quarantine(self) -> None:
        """Delete the oldest messages of a quarantine that is too large."""
        most = self.config.filter.quarantine_size
        quarantined = sorted(
            (known.hold.since, queue_id) for queue_id, known in self._known.items() if known.hold.is_quarantine
        )
        size = sum(self._known[queue_id].size for _, queue_id in quarantined)
        for _, queue_id in quarantined:
            if not most or size <= most:
                return
            claim = self.spool.claim(queue_id)
            if claim is None:
                continue
            with claim:
                if claim.state.hold is not None and claim.state.hold.is_quarantine:
                    size -= claim.entry.size
                    self.context.journal.warning(queue_id, "the quarantine is larger than quarantine_size")
                    self._delete(claim, "the quarantine is full")


def _waiting(claim: Claim) -> list[Recipient]:
    """Return the recipients that wait, as the author knows them: a group stands for its members."""
    envelope = claim.entry.envelope
    pairs = zip(envelope.recipients, claim.state.recipients, strict=True)
    waiting = [recipient for recipient, row in pairs if row.state == WAITING]
    if waiting and envelope.posted_to:
        return list(envelope.posted_to)
    if not envelope.author:
        return waiting
    return [Recipient(name) for name in dict.fromkeys(each.original or each.address for each in waiting)]


def _status(recipient: Recipient, action: str, said: str, now: float) -> RecipientStatus:
    return RecipientStatus(
        recipient.address,
        action,
        "5.7.1" if action == "failed" else "4.7.1",
        said,
        original=recipient.original,
        orcpt=recipient.orcpt,
        last_attempt=now,
    )
