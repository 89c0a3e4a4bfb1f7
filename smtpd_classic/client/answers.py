"""What the answers of another server to MAIL, RCPT and DATA mean, beyond yes, later and no."""

from smtpd_classic.client.wire import ConnectionLost
from smtpd_classic.smtp.reply import Reply

__all__ = ["PARAMETER_REFUSED", "check", "too_many"]

PARAMETER_REFUSED = {501, 504, 555}


def check(reply: Reply, command: str) -> None:
    """Raises Lost for an answer that cannot be one to this command (RFC 5321 4.3.2)."""
    code = reply.code
    if not (code >= 400 or (code == 354 if command == "DATA" else 200 <= code < 300)):
        raise ConnectionLost(f"the answer to {command} makes no sense: {reply}")


def too_many(reply: Reply) -> bool:
    """RFC 5321 4.5.3.1.10: the rest goes into another transaction; 552 is what older servers said."""
    return reply.enhanced in {"4.5.3", "5.5.3"} or (reply.code == 452 and not reply.enhanced)
