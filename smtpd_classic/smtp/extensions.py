"""The extensions of a listener, and the reply to EHLO that announces them."""

from functools import lru_cache
from typing import NamedTuple

from smtpd_classic.smtp.reply import Reply

__all__ = ["Extensions", "extended_hello"]


class Extensions(NamedTuple):
    """The extensions of one listener.

    `max_message_size` and `max_recipients` 0 mean no limit; `auth` holds the mechanisms as announced. `domain`, for
    local submission alone, is announced as the domain that completes an address without one. `dsn_for_everyone`:
    strangers too may ask for notices. `strict_pipelining` (RFC 2920 3.1): a stranger that does not wait where it must
    is refused. `lmtp`: the session speaks LMTP (RFC 2033).

    STARTTLS is announced until TLS is active; AUTH until it succeeds, and only under TLS unless `auth_without_tls`.
    """

    helo_name: str
    max_message_size: int
    max_recipients: int
    starttls: bool
    auth: tuple[str, ...]
    auth_without_tls: bool
    vrfy: bool
    domain: str = ""
    dsn_for_everyone: bool = False
    strict_pipelining: bool = False
    lmtp: bool = False

    def offers_auth(self, *, encrypted: bool) -> bool:
        return bool(self.auth) and (encrypted or self.auth_without_tls)


@lru_cache(maxsize=64)
def extended_hello(greeting: str, extensions: Extensions, *, encrypted: bool, authenticated: bool, dsn: bool) -> bytes:
    """Return the whole reply to EHLO (RFC 5321 4.1.1.1). It omits BINARYMIME: the server normalises line ends."""
    size = extensions.max_message_size
    lines = [greeting, "PIPELINING", f"SIZE {size}" if size else "SIZE"]  # RFC 1870 3
    if extensions.max_recipients:
        lines.append(f"LIMITS RCPTMAX={extensions.max_recipients}")  # RFC 9422
    if extensions.starttls and not encrypted:
        lines.append("STARTTLS")
    if extensions.offers_auth(encrypted=encrypted) and not authenticated:
        lines.append("AUTH " + " ".join(extensions.auth))
    lines += ["ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "CHUNKING"]
    if dsn:
        lines.append("DSN")
    if extensions.vrfy:
        lines += ["VRFY", "EXPN"]
    lines.append("HELP")
    if extensions.domain:
        lines.append(f"XLOCAL {extensions.domain}")
    return Reply(250, "", "\n".join(lines)).wire
