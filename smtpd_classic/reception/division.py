"""The division of a message before its commit: the recipients that wait, and those that get it now."""

from collections.abc import Callable

from smtpd_classic.policy import Transaction
from smtpd_classic.policy.approvals import approval_for
from smtpd_classic.reception.destination import Destination, QueueDestination
from smtpd_classic.reception.journal import ReceptionLog
from smtpd_classic.reception.parts import MessagePart, split
from smtpd_classic.reception.sending import SendingCount
from smtpd_classic.services import Services
from smtpd_classic.smtp.reply import Reply
from spool import Hold, Recipient
from spool.entry import APPROVAL

__all__ = ["Division"]


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

    def divide(self) -> Reply | None:
        """Put on hold the recipients that need approval, then those over a limit. Return the refusal, if there is one.

        Raises as `SendingCount.take` does.
        """
        approval = approval_for(self._transaction)
        if approval is not None:
            wanted = {"outside": self._is_outside, "inside": self._is_inside, "both": _always}[approval.scope]
            self._hold_back(wanted, Hold(APPROVAL, approval.name))
        going = [] if self.held else list(self.recipients)
        going += (each for part in self.parts if part.hold is None for each in part.recipients)
        self.sending.take(going, self._transaction.queue_id)
        if self.sending.refusal is not None:
            return self.sending.refusal
        if self.sending.over:
            self._hold_back(self._is_outside, self.sending.hold)
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

    def _is_outside(self, recipient: Recipient) -> bool:
        return not self._services.accounts.is_local_domain(recipient.address.rpartition("@")[2])

    def _is_inside(self, recipient: Recipient) -> bool:
        return not self._is_outside(recipient)


def _always(_recipient: Recipient) -> bool:
    return True
