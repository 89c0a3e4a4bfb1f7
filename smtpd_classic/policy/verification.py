"""The check whether a recipient exists at the server of its direct domain."""

from smtpd_classic.policy.networks import plain_ip
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.replies import MAILBOX_FULL, RECIPIENT_UNKNOWN_INSIDE, RECIPIENT_UNVERIFIED
from smtpd_classic.smtp.reply import Reply

__all__ = ["asker", "reply_to", "verify_recipients"]

_REPLIES = {"unknown": RECIPIENT_UNKNOWN_INSIDE, "full": MAILBOX_FULL, "later": RECIPIENT_UNVERIFIED}


def verify_recipients(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a recipient that the server of its direct domain does not know, before it would bounce."""
    recipient, rules = transaction.recipient, transaction.rules
    if recipient is None or not recipient.remote:
        return None
    direct = rules.direct_domain(recipient.domain)
    if direct is None or not direct.verify_recipients:
        return None
    return reply_to(transaction, rules.sources.verify(direct.name, recipient.address, asker(transaction)))


def asker(transaction: Transaction) -> str:
    """Return the name under which the questions of a client are counted: its login, its address, or its IPv6 /64."""
    peer = transaction.peer
    if peer.login is not None:
        return peer.login.address
    ip = plain_ip(peer.client.ip)
    if ip is None:
        return f"uid {peer.client.uid}"
    return str(ip) if ip.version == 4 else f"{int(ip) >> 64:x}::/64"


def reply_to(transaction: Transaction, result: str) -> Reply | None:
    """Return the reply for a result. A user's program does not come back, so that the mail of a user waits here."""
    if result == "later" and transaction.peer.originates_here:
        return None
    return _REPLIES.get(result)
