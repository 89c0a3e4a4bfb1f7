"""The knowledge of a session about its client."""

from smtpd_classic.smtp.events import TlsInfo
from smtpd_classic.smtp.extensions import Extensions, extended_hello

__all__ = ["SessionState"]


class SessionState:
    """The state that decides how commands are read and which extensions the client may use.

    `hello` is the client's name, `extended` True after EHLO, `trusted` for a Trusted Host or local submission, `utf8`
    after MAIL with SMTPUTF8.
    """

    def __init__(self, extensions: Extensions, tls: TlsInfo | None) -> None:
        self.extensions = extensions
        self.tls = tls
        self.hello = ""
        self.extended = False
        self.authenticated = False
        self.trusted = False
        self.utf8 = False

    @property
    def strict(self) -> bool:
        """Return True if the client, a stranger, must wait for the greeting and for the reply that ends a group of
        commands."""
        return self.extensions.strict_pipelining and not (self.trusted or self.authenticated)

    @property
    def dsn(self) -> bool:
        """Return True if the client may use RFC 3461. A success notice for a stranger is backscatter."""
        return self.trusted or self.authenticated or self.extensions.dsn_for_everyone

    @property
    def protocol_name(self) -> str:
        """Return the protocol for the trace header (RFC 3848, RFC 6531 4.3)."""
        if not self.extended:
            return "SMTP"
        if self.extensions.lmtp:
            return "UTF8LMTP" if self.utf8 else "LMTP"
        name = "UTF8SMTP" if self.utf8 else "ESMTP"
        return name + ("S" if self.tls else "") + ("A" if self.authenticated else "")

    def ehlo_reply(self, greeting: str) -> bytes:
        """Return the reply to EHLO with the extensions that the client may use now."""
        circumstances = {"encrypted": self.tls is not None, "authenticated": self.authenticated, "dsn": self.dsn}
        return extended_hello(greeting, self.extensions, **circumstances)
