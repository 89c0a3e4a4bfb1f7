"""The check whether the LMTP server of a mailbox takes mail for it."""

from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.policy.verification import asker, reply_to
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply

__all__ = ["verify_recipients"]


def verify_recipients(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a recipient that is unknown to the LMTP server of its mailbox, or whose mailbox is full there.

    A recipient that stands for several others is accepted: some of them may get the message.
    """
    recipient, rules = transaction.recipient, transaction.rules
    if recipient is None or recipient.remote or recipient.postmaster or recipient.groups or len(recipient.targets) != 1:
        return None
    target = recipient.targets[0]
    domain = target.rpartition("@")[2]
    if not rules.accounts.is_local_domain(domain):
        return None
    place = rules.accounts.mailbox_place(domain)
    if place.is_maildir:
        return None
    return reply_to(transaction, rules.sources.verify(str(place), target, asker(transaction)))
