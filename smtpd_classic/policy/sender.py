"""Checks of the sender, in the envelope and in the header."""

from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.message.authors import Author, read_authors
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.mailboxes import Unreadable
from smtpd_classic.policy.authentication import is_checked, spf_of
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.events import Event, MailFrom
from smtpd_classic.smtp.replies import (
    FROM_NOT_ONE,
    FROM_UNREADABLE,
    LOGIN_REQUIRED_FOR_SENDER,
    SENDER_NOT_LOCAL,
    SENDER_NOT_YOURS,
    from_not_yours,
)
from smtpd_classic.smtp.reply import Reply

__all__ = ["require_auth_for_local_sender", "require_local_sender", "require_own_sender"]


def require_auth_for_local_sender(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse an envelope sender of a local domain from a client that is neither logged in nor trusted."""
    sender = transaction.sender
    if not sender or not transaction.rules.accounts.is_local_domain(sender.rpartition("@")[2]):
        return None
    if transaction.peer.authorised_by():
        return None
    # A service that the SPF record of our domain authorises sends in its name.
    if is_checked(transaction) and spf_of(transaction).word is ResultWord.PASS:
        return None
    return LOGIN_REQUIRED_FOR_SENDER


def require_local_sender(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a logged-in client's envelope sender that exists on no local domain; the null sender passes."""
    sender = transaction.sender
    if transaction.peer.login is None or not sender:
        return None
    return None if transaction.rules.accounts.find(sender) is not None else SENDER_NOT_LOCAL


def require_own_sender(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse addresses that the login does not own: at MAIL, and in From and Sender at the end of the header."""
    login = transaction.peer.login
    if login is None:
        return None
    owns = transaction.rules.accounts.owns
    if isinstance(event, MailFrom):
        return None if not transaction.sender or owns(login, transaction.sender) else SENDER_NOT_YOURS
    assert transaction.header is not None
    try:
        named = _from_and_sender(transaction.header, transaction.rules.config.server.primary_domain)
    except Unreadable:
        return FROM_UNREADABLE
    if named is None:
        return FROM_NOT_ONE
    foreign = next((address for address in named if not owns(login, address)), None)
    return None if foreign is None else from_not_yours(foreign)


def _from_and_sender(header: HeaderBlock, primary_domain: str) -> list[str] | None:
    """Return every address that From and Sender show, display names included; None if there are several From fields.

    A header without From is valid: the server adds one from the envelope sender, which it has checked at MAIL. A reader
    that stops at the first line that is no field must see the same From as one that reads on behind it. Raises
    Unreadable.
    """
    authors = header.fields(b"from")
    if len(authors) > 1:
        return None
    if authors and (header.strict_end < authors[0].end or not header.whole):
        raise Unreadable("From stands behind a line that is no field")
    named: list[str] = []
    for field in [*authors, *header.fields(b"sender")]:
        found = read_authors(header.raw[field.value : field.end])
        shown = [_completed(author, primary_domain) for author in found.addresses] + list(found.display_names)
        if not shown:
            raise Unreadable("the field shows no address")
        named += shown
    return named


def _completed(author: Author, domain: str) -> str:
    return f"{author.address}@{domain}" if author.bare else author.address
