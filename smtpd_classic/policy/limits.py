"""Checks of numbers and sizes. A limit of 0 means no limit; the smallest other one applies."""

from smtpd_classic.message.trace import hops
from smtpd_classic.policy.transaction import ResolvedRecipient, Transaction
from smtpd_classic.smtp.events import EndContent, Event
from smtpd_classic.smtp.replies import (
    BARE_LINE_ENDS,
    DISK_FULL,
    MAIL_LOOP,
    MAILBOX_FULL,
    MESSAGE_TOO_BIG,
    TOO_MANY_HOPS,
    TOO_MANY_RECIPIENTS_AT_DATA,
    TOO_MANY_RECIPIENTS_DEFERRED,
    TOO_MANY_RECIPIENTS_REJECTED,
    too_big,
)
from smtpd_classic.smtp.reply import Reply

__all__ = [
    "bare_line_feeds",
    "content_limit",
    "delivered_to",
    "has_room",
    "max_hops",
    "max_incoming_size",
    "max_message_size",
    "max_outgoing_size",
    "max_recipients",
    "min_free_space",
    "over_max_recipients",
    "quota",
]

_MOST_DELIVERIES = 1_000  # each writes one Delivered-To; a header of 256 KiB has room for 20,000


def max_message_size(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a declared size that is too large, at MAIL (RFC 1870 6.1); `content_limit` bounds the real size."""
    limit = transaction.rules.config.basic.max_message_size
    return too_big(limit) if limit and transaction.size > limit else None


def max_incoming_size(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a declared size that is too large for local recipients of strangers, at RCPT."""
    limit = transaction.rules.config.basic.max_incoming_size
    recipient = transaction.recipient
    if recipient is None or recipient.remote or not 0 < limit < transaction.size:
        return None
    return None if transaction.peer.authorised_by() else MESSAGE_TOO_BIG


def max_outgoing_size(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a declared size that is too large for mail that leaves, forwarded mail included, at RCPT."""
    limit = transaction.rules.config.basic.max_outgoing_size
    recipient = transaction.recipient
    if recipient is None or not 0 < limit < transaction.size or not _leaves(transaction, recipient):
        return None
    return too_big(limit)


def _leaves(transaction: Transaction, recipient: ResolvedRecipient) -> bool:
    """Return True if a copy goes to another server, because the address is remote or an alias leads to one that is."""
    accounts = transaction.rules.accounts
    is_local_domain, targets = accounts.is_local_domain, recipient.targets
    if recipient.groups:
        targets += tuple(each for group in recipient.groups for each in accounts.members_of(group).ends)
    return recipient.remote or any(not is_local_domain(target.rpartition("@")[2]) for target in targets)


def content_limit(transaction: Transaction) -> int:
    """Return the largest number of octets that the content may have on the wire, 0 for any number."""
    if transaction.rules.lmtp:
        return 0
    basic = transaction.rules.config.basic
    limit = basic.max_message_size
    if basic.max_outgoing_size and any(_leaves(transaction, each) for each in transaction.recipients):
        limit = _lower(limit, basic.max_outgoing_size)
    strangers = basic.max_incoming_size and any(not each.remote for each in transaction.recipients)
    if strangers and not transaction.peer.authorised_by():
        limit = _lower(limit, basic.max_incoming_size)
    return limit


def _lower(limit: int, other: int) -> int:
    """Return the lower one of two limits of which 0 is none."""
    return min(limit, other) if limit and other else limit or other


def max_recipients(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse recipients over the limit; those already accepted stay, unless DATA is to refuse the whole message."""
    basic = transaction.rules.config.basic
    if len(transaction.recipients) < basic.max_recipients:
        return None
    if transaction.recipient is not None and transaction.recipient.how == "postmaster":
        return None
    transaction.excess = True
    return TOO_MANY_RECIPIENTS_REJECTED if _rejects_excess(transaction) else TOO_MANY_RECIPIENTS_DEFERRED


def over_max_recipients(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse DATA: a user's program does not come back with the rest, so no recipient gets the message."""
    return TOO_MANY_RECIPIENTS_AT_DATA if transaction.excess and _rejects_excess(transaction) else None


def _rejects_excess(transaction: Transaction) -> bool:
    mode = transaction.rules.config.basic.over_max_recipients
    peer = transaction.peer
    return mode == "reject" or (mode == "automatic" and (peer.login is not None or peer.client.local))


def min_free_space(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse MAIL if the disk has no room for the declared size above the minimum."""
    least = transaction.rules.config.basic.min_free_space
    return DISK_FULL if transaction.rules.sources.free_bytes() - transaction.size < least else None


def quota(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse mailboxes that are full, or too small: at RCPT for the declared size, at the end for the real one."""
    if isinstance(event, EndContent):
        return _mailboxes_full(transaction)
    recipient = transaction.recipient
    if recipient is None or recipient.postmaster:
        return None
    return MAILBOX_FULL if _any_full(transaction, recipient, transaction.size) else None


def _any_full(transaction: Transaction, recipient: ResolvedRecipient, size: int) -> bool:
    for target in recipient.targets:  # noqa: SIM110 - most recipients have one target, for which `any()` is dear
        if _full(transaction, target, size):
            return True
    return False


def _full(transaction: Transaction, target: str, size: int) -> bool:
    account = transaction.rules.accounts.account(target)
    if account is None or not account.quota or not account.folder:
        return False
    used = transaction.rules.sources.quota_used(account.folder, account.uncounted_maildir)
    return used >= account.quota or used + size > account.quota


def _mailboxes_full(transaction: Transaction) -> Reply | None:
    """Refuse a message that fits into none of the mailboxes, once its size is known.

    If one mailbox has room, the message is accepted for all: the others had room at RCPT, and their share of this
    message must neither be bounced later nor hold it back for all.
    """
    for recipient in transaction.recipients:
        if has_room(transaction, recipient):
            return None
    return MAILBOX_FULL if transaction.recipients else None


def has_room(transaction: Transaction, recipient: ResolvedRecipient) -> bool:
    """Return True if every mailbox of the recipient has room for the message, once its size is known."""
    return recipient.postmaster or not _any_full(transaction, recipient, transaction.octets)


def max_hops(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a message with more `Received:` fields than any route has hops."""
    assert transaction.header is not None
    return TOO_MANY_HOPS if hops(transaction.header) > transaction.rules.config.basic.max_hops else None


def delivered_to(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a copy that a local alias sent away and that has come back to that alias."""
    assert transaction.header is not None
    header = transaction.header
    if not header.has(b"delivered-to"):
        return None
    canonical = transaction.rules.accounts.canonical
    if header.count(b"delivered-to") > _MOST_DELIVERIES:
        return TOO_MANY_HOPS
    seen = {
        canonical(value.decode("utf-8", "replace").strip("<> ")).lower() for value in header.values(b"delivered-to")
    }
    return MAIL_LOOP if any(canonical(each.address).lower() in seen for each in transaction.recipients) else None


def bare_line_feeds(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse content with CR or LF alone, or NUL, at its end, if the option says reject."""
    return BARE_LINE_ENDS if isinstance(event, EndContent) and event.bare else None
