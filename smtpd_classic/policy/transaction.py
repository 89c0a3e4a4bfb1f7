"""The subject of a decision: the client, and the envelope so far."""

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
    submission, where `uid` replaces the address."""

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
    """A client and its state in this session. `login` is the authenticated account."""

    client: Client
    rules: Rules
    login: Account | None = None
    hello: str = ""
    _trust: str | None = None

    def trust(self) -> str:
        """Return the reason for trusting the client, or blank. Raises DnsFailure if the decision depends on a host name
        that did not resolve."""
        if self._trust is None:
            self._trust = "local submission" if self.client.local else self.rules.trust.reason(self.client.ip)
        return self._trust

    def authorised_by(self) -> str:
        """Return the reason why the client may do more than strangers, or blank. Raises as `trust` does."""
        return f"login {self.login.address}" if self.login is not None else self.trust()

    @property
    def originates_here(self) -> bool:
        """Return True if its mail comes from a user or a host of this site, as far as DNS can show now."""
        try:
            return bool(self.authorised_by())
        except DnsFailure:
            return False


class ResolvedRecipient(NamedTuple):
    """A recipient address and its resolution.

    `address` is the given address in canonical form. `how` is "remote", "unknown", "SRS", or the word of the accounts
    ("account", "alias", "plus address", "catch-all", "postmaster"). `targets` are the result: the addresses of
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
        """Return True if mail for it always gets through, in spite of any other option (RFC 5321 4.5.1)."""
        return self.how != "remote" and self.address.rpartition("@")[0].lower() == "postmaster"


class AuthenticationVerdict(NamedTuple):
    """The results of SPF, DKIM and DMARC, the action that follows, and its reason; `reply` refuses the message."""

    results: MessageResults
    action: str
    reason: str
    reply: Reply | None = None


class Transaction:
    """The state from MAIL to the end of the content; before MAIL it is empty.

    `size` is the declared size, 0 for none. `addressee` is the recipient of the present decision, `header` the header
    block during its check. `excess` is True if a recipient was refused because there are too many. The checks of
    authentication set `lookups`, `spf` and `verdict`.
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
