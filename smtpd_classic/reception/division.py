"""The division of a message before its commit: the recipients that wait, and those that get it now."""

from collections.abc import Callable, Collection
from dataclasses import replace

from smtpd_classic.policy import Transaction
from smtpd_classic.policy.approvals import approval_for
from smtpd_classic.reception.destination import Destination, QueueDestination
from smtpd_classic.reception.journal import ReceptionLog
from smtpd_classic.reception.parts import MessagePart, both, split
from smtpd_classic.reception.sending import SendingCount
from smtpd_classic.services import Services
from smtpd_classic.smtp.reply import Reply
from spool import Hold, Recipient
from spool.entry import APPROVAL, JUNK

__all__ = ["Division", "is_forwarded"]


def is_forwarded(recipient: Recipient, kept: Collection[str]) -> bool:
    """Return True if this recipient is elsewhere and stands behind a local address."""
    return bool(recipient.original) and recipient.address not in kept


class Division:
    """The recipients of one message and its parts. `held` is the hold of the message itself in words."""

    __slots__ = ("_destination", "_services", "_transaction", "held", "parts", "recipients", "sending")

    def __init__(
        self,
        services: Services,
        journal: ReceptionLog,
        transaction: Transaction,
        destination: Destination,
        recipients: list[Recipient],
        parts: list[MessagePart],
    ) -> None:
        self._services = services
        self._transaction = transaction
        self._destination = destination
        self.recipients = recipients
        self.parts = parts
        self.held = ""
        self.sending = SendingCount(services, journal, transaction)

    def keep_junk_here(self, kept: Collection[str]) -> None:
        """Put junk into the junk folders. Hold the copies for elsewhere for a decision of the administrator, but drop
        them if the address keeps a copy here. `kept` are the recipients with a mailbox here.
        """
        kept_by = {each.original or each.address for each in self.recipients if each.address in kept}
        forwarded = [each for each in self.recipients if is_forwarded(each, kept)]
        held = tuple(each for each in forwarded if each.original not in kept_by)
        self.recipients = [each for each in self.recipients if each not in forwarded]
        self.parts = split(self.parts, self._has_no_mailbox, Hold(JUNK))
        if held:
            self.parts.append(MessagePart(held, hold=Hold(JUNK)))
        self._destination.junk()

    def divide(self, reason: str) -> Reply | None:
        """Put on hold the recipients that need approval, then those over a limit. Return the refusal, if there is one.

        `reason` is that of a check to hold the whole message, perhaps with details: `quarantine: Eicar`. Approval is
        then needed after its release, and the recipients are counted there. Raises as `SendingCount.take` does.
        """
        approval = approval_for(self._transaction)
        if approval is not None:
            wanted = {"outside": self.sending.is_outside, "inside": self._is_inside, "both": _always}[approval.scope]
            self._hold_back(wanted, Hold(APPROVAL, approval.name))
        if reason:
            word, _, details = reason.partition(": ")
            self._hold_all(Hold(word, details))
            return None
        going = [] if self.held else list(self.recipients)
        if self.parts:
            going += (each for part in self.parts if part.hold is None for each in part.recipients)
        self.sending.take(going, self._transaction.queue_id)
        if self.sending.refusal is not None:
            return self.sending.refusal
        if self.sending.over:
            self._hold_back(self.sending.is_outside, self.sending.hold)
        return None

    def _hold_back(self, wanted: Callable[[Recipient], bool], hold: Hold) -> None:
        self.parts = split(self.parts, wanted, hold)
        apart = [] if self.held else [each for each in self.recipients if wanted(each)]
        if not apart:
            return
        assert isinstance(self._destination, QueueDestination)
        if len(apart) == len(self.recipients):
            self._destination.hold, self.held = hold, str(hold)
        else:
            self._destination.hold_for(tuple(apart), hold)
            self.recipients = [each for each in self.recipients if each not in apart]

    def _hold_all(self, hold: Hold) -> None:
        assert isinstance(self._destination, QueueDestination)
        self._destination.hold_all(hold)
        self.parts = [replace(each, hold=hold if each.hold is None else both(hold, each.hold)) for each in self.parts]
        self.held = str(hold)

    def _has_no_mailbox(self, recipient: Recipient) -> bool:
        return self._services.accounts.account(recipient.address) is None

    def _is_inside(self, recipient: Recipient) -> bool:
        return not self.sending.is_outside(recipient)


def _always(_recipient: Recipient) -> bool:
    return True
