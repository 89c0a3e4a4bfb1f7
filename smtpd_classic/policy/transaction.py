"""What a decision is made about: who asks, and what has been agreed so far."""

from dataclasses import dataclass
from typing import NamedTuple

from smtpd_classic.accounts import Account
from smtpd_classic.config.schema import Listener
from smtpd_classic.dns import DnsFailure
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.message_check import MessageResults
from smtpd_classic.mailauth.spf import SpfResult
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy.rules import Rules
from smtpd_classic.smtp.reply import Reply

__all__ = ["AuthenticationVerdict", "Client", "ClientContext", "ResolvedRecipient", "Transaction"]


class Client(NamedTuple):
    """The other end of a connection. `name` is its verified host name or "unknown"; `local` means the socket for local
    submission: there is no address then, but the `uid` of whoever is there."""

    ip: str
    port: int
    name: str
    listener: Listener
    local: bool = False
    uid: int = -1

    def __str__(self) -> str:
        return f"{self.name}[uid={self.uid}]" if self.local else f"{self.name}[{self.ip}]"


@dataclass(slots=True)
class ClientContext:
    """A client, and what it has shown in this session. `login` is the account that it has proven to be."""

    client: Client
    rules: Rules
    login: Account | None = None
    hello: str = ""
    _trust: str | None = None

    def trust(self) -> str:
        """Why the client is trusted, or blank. Raises DnsFailure when only a name that does not resolve could tell."""
        if self._trust is None:
            self._trust = "local submission" if self.client.local else self.rules.trust.reason(self.client.ip)
        return self._trust

    def authorised_by(self) -> str:
        """Why the client may do what strangers may not, or blank. Raises as `trust` does."""
        return f"login {self.login.address}" if self.login is not None else self.trust()

    @property
    def originates_here(self) -> bool:
        """Whether its mail is mail of our own people, as far as can be told now."""
        try:
            return bool(self.authorised_by())
        except DnsFailure:
            return False


class ResolvedRecipient(NamedTuple):
    """Whom a recipient address stands for.

    `address` is as it was given, in canonical form. `how` is "remote", "unknown", "SRS", or what the accounts
    say ("account", "alias", "plus address", "catch-all", "postmaster"). `targets` are what it became: the addresses of
    accounts, and remote ones.
    """

    address: str
    domain: str
    how: str
    targets: tuple[str, ...] = ()

    @property
    def remote(self) -> bool:
        return self.how == "remote"

    @property
    def postmaster(self) -> bool:
        """Whether mail for it always gets through, whatever else is set (RFC 5321 4.5.1)."""
        return self.how != "remote" and self.address.rpartition("@")[0].lower() == "postmaster"


class AuthenticationVerdict(NamedTuple):
    """The results of SPF, DKIM and DMARC, the action that follows, and the reason for it; `reply` refuses it."""

    results: MessageResults
    action: str
    reason: str
    reply: Reply | None = None


class Transaction:
    """From MAIL to the end of the content; before MAIL it is empty.

    `size` is what was declared, 0 for nothing. `addressee` is the recipient that is being decided about, `header` the
    header block while it is. `excess` tells that a recipient was turned away because there are too many. `lookups`,
    `spf` and `verdict` are set by the checks of authentication.
    """

    __slots__ = (
        "addressee",
        "excess",
        "header",
        "lookups",
        "recipients",
        "rules",
        "sender",
        "size",
        "spf",
        "verdict",
        "visitor",
    )

    def __init__(self, visitor: ClientContext, rules: Rules, sender: str = "", size: int = 0) -> None:
        self.visitor = visitor
        self.rules = rules
        self.sender = sender
        self.size = size
        self.recipients: list[ResolvedRecipient] = []
        self.addressee: ResolvedRecipient | None = None
        self.header: HeaderBlock | None = None
        self.excess = False
        self.lookups: Lookups | None = None
        self.spf: SpfResult | None = None
        self.verdict: AuthenticationVerdict | None = None
