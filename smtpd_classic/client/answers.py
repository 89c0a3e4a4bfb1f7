"""Replies of another server to MAIL, RCPT and DATA that mean more than yes, later or no."""

from smtpd_classic.client.wire import ConnectionLost
from smtpd_classic.smtp.reply import Reply

__all__ = ["PARAMETER_REFUSED", "check", "perhaps_too_many", "too_many"]

PARAMETER_REFUSED = {501, 504, 555}


def check(reply: Reply, command: str) -> None:
    """Raise ConnectionLost for a reply that is invalid for this command (RFC 5321 4.3.2)."""
    code = reply.code
    if not (code >= 400 or (code == 354 if command == "DATA" else 200 <= code < 300)):
        raise ConnectionLost(f"the answer to {command} makes no sense: {reply}")


def too_many(reply: Reply) -> bool:
    """Return True if the rest of the recipients needs another transaction (RFC 5321 4.5.3.1.10)."""
    return reply.enhanced in {"4.5.3", "5.5.3"} or (reply.code == 452 and not reply.enhanced)


def perhaps_too_many(reply: Reply) -> bool:
    """Return True for 552 alone: older servers reply it instead of 452, but others reply it for a full mailbox."""
    return reply.code == 552 and not reply.enhanced
