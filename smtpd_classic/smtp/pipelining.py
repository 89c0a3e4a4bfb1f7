"""The points at which a client must wait for the server (RFC 5321 3.1, RFC 2920 3.1)."""

from typing import Final

from smtpd_classic.smtp import replies
from smtpd_classic.smtp.events import Connected, Event, Hello, StartContent, StartTls
from smtpd_classic.smtp.reply import Reply

__all__ = ["GROUP_ENDS", "ends_a_group", "too_early"]

GROUP_ENDS: Final = frozenset({Connected, StartTls, Hello, StartContent})  # the kinds that `ends_a_group` looks at


def ends_a_group(event: Event) -> bool:
    """Return True for the connection, and for a command behind which nothing may be pipelined (RFC 2920 3.1)."""
    match event:
        case Connected() | StartTls():
            return True
        case Hello():
            return event.extended
        case StartContent():
            return not event.chunking
    return False


def too_early(event: Event) -> tuple[Reply, str]:
    """Return the last reply to a client that did not wait for the answer to `event`, and the reason for the log."""
    if isinstance(event, Connected):
        return replies.TALKED_BEFORE_BANNER, "talked before the banner"
    return replies.PIPELINED_TOO_FAR, "pipelined too far"
