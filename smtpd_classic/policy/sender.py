"""Checks of the sender, in the envelope and in the header."""

from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.mailboxes import Mailbox, Unreadable, mailboxes
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.events import Event, MailFrom
from smtpd_classic.smtp.replies import (
    FROM_MISSING,
    FROM_NOT_YOURS,
    FROM_UNREADABLE,
    LOGIN_REQUIRED_FOR_SENDER,
    SENDER_NOT_LOCAL,
    SENDER_NOT_YOURS,
)
from smtpd_classic.smtp.reply import Reply

__all__ = ["require_auth_for_local_sender", "require_local_sender", "require_own_sender"]


def require_auth_for_local_sender(transaction: Transaction, event: Event) -> Reply | None:
    """Nobody sends with an address of ours without a login or trust; the null sender is nobody's address."""
    sender = transaction.sender
    if not sender or not transaction.rules.accounts.is_local_domain(sender.rpartition("@")[2]):
        return None
    return None if transaction.visitor.authorised_by() else LOGIN_REQUIRED_FOR_SENDER


def require_local_sender(transaction: Transaction, event: Event) -> Reply | None:
    """Who has logged in sends with an address that exists here, or with the null sender."""
    sender = transaction.sender
    if transaction.visitor.login is None or not sender:
        return None
    return None if transaction.rules.accounts.find(sender) is not None else SENDER_NOT_LOCAL


def require_own_sender(transaction: Transaction, event: Event) -> Reply | None:
    """Who has logged in sends with addresses of its own: at MAIL, and in From and Sender when the header is there."""
    login = transaction.visitor.login
    if login is None:
        return None
    owns = transaction.rules.accounts.owns
    if isinstance(event, MailFrom):
        return None if not transaction.sender or owns(login, transaction.sender) else SENDER_NOT_YOURS
    assert transaction.header is not None
    try:
        named = _from_and_sender(transaction.header)
    except Unreadable:
        return FROM_UNREADABLE
    if named is None:
        return FROM_MISSING
    return None if all(owns(login, mailbox.address) for mailbox in named) else FROM_NOT_YOURS


def _from_and_sender(header: HeaderBlock) -> list[Mailbox] | None:
    """All mailboxes of From and Sender; None unless there is exactly one From, which names somebody. Raises Unreadable.

    A reader that stops at the first line that is no field must see the same From as one that reads on behind it.
    """
    authors = header.fields(b"from")
    if len(authors) != 1:
        return None
    if header.strict_end < authors[0].end or not header.whole:
        raise Unreadable("From stands behind a line that is no field")
    found = mailboxes(header.raw[authors[0].value : authors[0].end])
    if not found:
        return None
    for field in header.fields(b"sender"):
        found += mailboxes(header.raw[field.value : field.end])
    return found
