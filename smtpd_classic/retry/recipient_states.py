"""The states of a message's recipients: how outcomes change them, and how a notification shows them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from smtpd_classic.client.transport import JobRecipient as AnyRecipient
from smtpd_classic.client.transport import Outcome
from smtpd_classic.dsn import RecipientStatus
from smtpd_classic.retry.journal import code_of, said
from spool import DELIVERED, FAILED, WAITING, Recipient, RecipientState

__all__ = ["RecipientStates", "effective", "expired_fate", "fate_of", "lists_in"]


class RecipientStates:
    """The recipients of a message in the order of the envelope, found by address.

    An address may occur several times. Used by one thread at a time.
    """

    def __init__(self, rows: Iterable[RecipientState], delivered: Iterable[str] = ()) -> None:
        self._rows = list(rows)
        self._numbers: dict[str, list[int]] = {}
        for number, row in enumerate(self._rows):
            self._numbers.setdefault(row.address, []).append(number)
        self._left = dict.fromkeys((WAITING, DELIVERED, FAILED), 0)
        for row in self._rows:
            self._left[row.state] += 1
        for address in delivered:
            self._change(address, DELIVERED, None, 0.0)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[RecipientState]:
        return iter(self._rows)

    @property
    def done(self) -> bool:
        return not self._left[WAITING]

    @property
    def all_delivered(self) -> bool:
        return self._left[DELIVERED] == len(self._rows)

    @property
    def delivered(self) -> frozenset[str]:
        return frozenset([row.address for row in self._rows if row.state == DELIVERED])

    def waiting(self) -> dict[str, RecipientState]:
        return {row.address: row for row in self._rows if row.state == WAITING}

    def deliver(self, outcome: Outcome, now: float) -> None:
        self._change(outcome.recipient, DELIVERED, outcome, now)

    def note(self, outcome: Outcome, now: float) -> None:
        """Record a try after which the recipient still waits."""
        self._change(outcome.recipient, WAITING, outcome, now)

    def fail(self, address: str) -> None:
        self._change(address, FAILED, None, 0.0)

    def _change(self, address: str, state: str, outcome: Outcome | None, now: float) -> None:
        for number in self._numbers.get(address, ()):
            row = self._rows[number]
            if row.state == WAITING:
                self._rows[number] = row._replace(state=state) if outcome is None else _tried(row, state, outcome, now)
                self._left[WAITING] -= 1
                self._left[state] += 1


def fate_of(recipient: AnyRecipient, outcome: Outcome, action: str, now: float) -> RecipientStatus:
    """Return the status of a recipient for a notification: with the host that replied, or in our own words."""
    peer = outcome.peer if outcome.command else None
    return RecipientStatus(
        recipient.address,
        action,
        code_of(outcome),
        said(outcome),
        peer.name if peer else "",
        peer.ip if peer else "",
        outcome.command,
        recipient.original,
        recipient.orcpt,
        now,
    )


def expired_fate(recipient: AnyRecipient, row: RecipientState, outcome: Outcome, now: float) -> RecipientStatus:
    """Return the status of a recipient that is given up: with the last reply of a host, and our own words after it."""
    fate = replace(fate_of(recipient, outcome, "failed", now), status="4.4.7")
    if outcome.command or not row.remote_reply:
        return fate
    name, _, rest = row.remote_host.partition("[")
    return replace(fate, said=row.remote_reply, host=name, ip=rest.partition("]")[0], then=fate.said)


def _tried(row: RecipientState, state: str, outcome: Outcome, now: float) -> RecipientState:
    remote = (row.last_reply, row.host) if row.command else (row.remote_reply, row.remote_host)
    return row._replace(
        state=state,
        attempts=row.attempts + 1,
        relay_attempts=row.relay_attempts + outcome.through_relay,
        last_reply=said(outcome),
        enhanced=code_of(outcome),
        host=str(outcome.peer) if outcome.peer else "",
        at=now,
        command=outcome.command,
        remote_reply="" if outcome.command else remote[0],
        remote_host="" if outcome.command else remote[1],
    )


def lists_in(recipients: tuple[Recipient, ...]) -> set[str]:
    """Return the addresses that stand for several recipients and for which the sender requested a notice of success."""
    if not [each for each in recipients if each.original]:
        return set()
    counted = Counter(each.original for each in recipients if each.original)
    return {each.original for each in recipients if counted[each.original] > 1 and "SUCCESS" in each.notify}


def effective(recipients: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
    """Return the recipients, without notices of success for the members of a list in `lists_in` (RFC 3461 5.2.7.3)."""
    lists = lists_in(recipients)
    if not lists:
        return recipients
    return tuple(
        each._replace(notify=(each.notify - {"SUCCESS"}) or frozenset({"NEVER"})) if each.original in lists else each
        for each in recipients
    )
