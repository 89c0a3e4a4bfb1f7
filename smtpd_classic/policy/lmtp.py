"""The policy of the LMTP listener: its client has made all checks of the client, the sender and the content."""

from smtpd_classic.policy.content import ContentCheck, Disposition
from smtpd_classic.policy.limits import has_room
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.events import RcptTo
from smtpd_classic.smtp.replies import MAILBOX_FULL
from smtpd_classic.smtp.reply import Reply

__all__ = ["EachMailbox", "each_mailbox"]


class EachMailbox(ContentCheck):
    """The room in each mailbox for one message. `refused` has the addresses without it, with their replies."""

    __slots__ = ("_transaction", "changes_message", "refused")

    def __init__(self, transaction: Transaction) -> None:
        self.changes_message = False
        self.refused: dict[str, Reply] = {}
        self._transaction = transaction

    def recipient(self, event: RcptTo) -> Reply | None:
        recipient, accounts = self._transaction.recipient, self._transaction.rules.accounts
        for target in () if recipient is None else recipient.targets:
            account = accounts.account(target)
            self.changes_message = self.changes_message or (account is not None and bool(account.quota))
        return None

    def end(self, disposition: Disposition) -> Reply | None:
        """Remove the recipients without room; refuse the message if none is left."""
        if not self.changes_message:
            return None
        recipients = self._transaction.recipients
        self.refused = {each.address: MAILBOX_FULL for each in recipients if not has_room(self._transaction, each)}
        if all(each.address in self.refused for each in recipients):
            return MAILBOX_FULL
        for address in self.refused:
            disposition.remove_recipient(address)
        return None


def each_mailbox(transaction: Transaction) -> EachMailbox:
    return EachMailbox(transaction)
