"""The messages of the queue that a command is about."""

import re
from argparse import Namespace
from dataclasses import dataclass

from smtpd_classic.domain_name import comparable_domain, spellings
from spool import Listed
from spool.entry import RESTORED
from spool.rows import ACTIVE, HELD, NEW, WAITING_FOR_RETRY, QueueRow

__all__ = ["QueueSelection"]


@dataclass(frozen=True, slots=True)
class QueueSelection:
    """All conditions that are set must hold. Addresses may hold `*`; case does not matter. `since` and `until` bound
    the arrival."""

    ids: tuple[str, ...] = ()
    everything: bool = False
    sender: str | None = None
    recipient: str | None = None
    domain: str | None = None
    since: float | None = None
    until: float | None = None
    state: str | None = None
    reason: str | None = None

    @classmethod
    def of(cls, args: Namespace, now: float) -> "QueueSelection":
        return cls(
            tuple(dict.fromkeys(args.ids)),
            args.all,
            None if args.sender is None else args.sender.lower().removeprefix("<").removesuffix(">"),
            None if args.recipient is None else args.recipient.lower(),
            None if args.domain is None else comparable_domain(args.domain),
            None if args.newer is None else now - args.newer,
            None if args.older is None else now - args.older,
            args.state,
            RESTORED if args.restored else args.reason,
        )

    @property
    def chosen(self) -> bool:
        """True if the command line names messages: leaving out a word must not delete the whole queue."""
        return self.everything or bool(self.ids) or self._conditions

    @property
    def only_ids(self) -> bool:
        return bool(self.ids) and not self._conditions

    @property
    def narrows(self) -> bool:
        """True if some messages of the queue may be left out."""
        return bool(self.ids) or self._conditions

    @property
    def _conditions(self) -> bool:
        return self.needs_envelope or any(each is not None for each in (self.since, self.until, self.state))

    @property
    def needs_envelope(self) -> bool:
        """True if the files must be opened to decide."""
        return self.state == ACTIVE or any(
            each is not None for each in (self.sender, self.recipient, self.domain, self.reason)
        )

    def may_match(self, listed: Listed) -> bool:
        """Return False if the message is known to be another one without opening its file."""
        if self.ids and listed.queue_id not in self.ids:
            return False
        if self.since is not None and listed.arrival < self.since:
            return False
        if self.until is not None and listed.arrival > self.until:
            return False
        if self.reason is not None and not listed.held:
            return False
        if self.state in {None, ACTIVE}:
            return True
        state = HELD if listed.held else WAITING_FOR_RETRY if listed.attempted else NEW
        return state == self.state

    def matches(self, row: QueueRow) -> bool:
        """Return True if the envelope of a message that `may_match` let through fits too."""
        if self.state == ACTIVE and row.state != ACTIVE:
            return False
        if self.reason is not None and row.hold_reason != self.reason:
            return False
        if self.sender is not None and not _fits(row.sender, self.sender):
            return False
        if self.recipient is not None and not any(_fits(each, self.recipient) for each in row.recipients):
            return False
        domains = (comparable_domain(each.rpartition("@")[2]) for each in row.recipients)
        return self.domain is None or self.domain in domains


def _fits(address: str, pattern: str) -> bool:
    """Return True if the pattern matches in a spelling of the domain: `*` is any text, and `?` and `[` are characters
    of addresses."""
    expression = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    local, at, domain = address.lower().rpartition("@")
    return any(expression.fullmatch(f"{local}{at}{each}") for each in spellings(domain))
