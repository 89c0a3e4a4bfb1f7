"""The two dialects that a server may speak: SMTP (RFC 5321), and LMTP (RFC 2033) for final delivery."""

from enum import Enum

__all__ = ["Dialect"]


class Dialect(Enum):
    """A dialect. LMTP differs in its greeting and in the replies to the final dot: one for each accepted recipient."""

    SMTP = "SMTP"
    LMTP = "LMTP"

    @property
    def hello(self) -> str:
        """Return the verb of the greeting with extensions."""
        return "LHLO" if self is Dialect.LMTP else "EHLO"

    @property
    def plain_hello(self) -> str:
        """Return the verb to try when the greeting is refused; blank when there is none."""
        return "" if self is Dialect.LMTP else "HELO"

    def replies_to_content(self, recipients: int) -> int:
        """Return the number of replies after the final dot."""
        return recipients if self is Dialect.LMTP else 1
