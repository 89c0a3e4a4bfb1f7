"""The subject of a decision: the client, and the envelope so far."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from smtpd_classic.accounts import Account
from smtpd_classic.config.schema import Listener
from smtpd_classic.dns import DnsFailure
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.message_check import MessageResults
from smtpd_classic.mailauth.spf import SpfResult
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.milter.session import SessionFilter
from smtpd_classic.policy.content import ContentCheck
from smtpd_classic.policy.rules import Rules
from smtpd_classic.smtp.events import MailFrom, RcptTo
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import ServerSession

__all__ = ["AuthenticationVerdict", "Client", "ClientContext", "ResolvedRecipient", "Transaction"]


class Client(NamedTuple):
    """The other end of a connection. `name` is its verified host name or "unknown"; `local` means the socket for local
    submission, where `uid` replaces the address. `server_ip` is the address that the client has connected to."""

    ip: str
    port: int
    name: str
    listener: Listener
    local: bool = False
    uid: int = -1
    server_ip: str = ""

    def __str__(self) -> str:
        return f"{self.name}[uid={self.uid}]" if self.local else f"{self.name}[{self.ip}]"


@dataclass(slots=True)
class ClientContext:
    """A client and its state in this session. `login` is the authenticated account, `mechanism` the one that it used.

    `session` is None if a decision is only explained. `on_close` is called once, when the connection has ended.
    `filters` are the milters that know this session, by name.
    """

    client: Client
    rules: Rules
    login: Account | None = None
    hello: str = ""
    mechanism: str = ""
    session: ServerSession | None = None
    on_close: list[Callable[[], None]] = field(default_factory=list)
    filters: dict[str, SessionFilter] = field(default_factory=dict)
    _trust: str | None = None

    def trust(self) -> str:
        """Return the reason for trusting the client, or blank. Raises DnsFailure if the decision depends on a host name
        that did not resolve."""
        if self._trust is None:
            if self.client.local:
                self._trust = "local submission"
            else:
                self._trust = "" if self.rules.lmtp else self.rules.trust.reason(self.client.ip)
        return self._trust

    def authorised_by(self) -> str:
        """Return the reason why the client may do more than strangers, or blank. Raises as `trust` does."""
        return f"login {self.login.address}" if self.login is not None else self.trust()

    def completed(self, path: str) -> str | None:
        """Return the address in a path. A local part alone gets the primary domain, as programs of this machine and
        old devices write it; None for one of a stranger."""
        if "@" in path:
            return path
        return f"{path}@{self.rules.config.mail_domain}" if self.originates_here else None

    @property
    def originates_here(self) -> bool:
        """Return True if its mail comes from a user or a host of this site, as far as DNS can show now."""
        if self._trust is not None:
            return self._trust != "" or self.login is not None
        try:
            return bool(self.authorised_by())
        except DnsFailure:
            return False


class ResolvedRecipient(NamedTuple):
    """A recipient address and its resolution.

    `address` is the given address in canonical form. `how` is "remote", "unknown", "SRS", or the word of the accounts
    ("account", "group", "group bounces", "alias", "plus address", "catch-all", "postmaster"). `targets` are the
    result: the addresses of accounts, and remote ones. `groups` are the groups that it leads to.
    """

    address: str
    domain: str
    how: str
    targets: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def remote(self) -> bool:
        return self.how == "remote"

    @property
    def postmaster(self) -> bool:
        """Return True if mail for it always gets through, in spite of any other option (RFC 5321 4.5.1)."""
        return self.how != "remote" and self.address[:11].lower() == "postmaster@"


class AuthenticationVerdict(NamedTuple):
    """The results of SPF, DKIM and DMARC, the action that follows, and its reason; `reply` refuses the message."""

    results: MessageResults
    action: str
    reason: str
    reply: Reply | None = None


_NO_MAIL = MailFrom("")


class Transaction:
    """The state from MAIL to the end of the content; before MAIL it is empty.

    `size` is the declared size, 0 for none; `octets` the real one, known at the end of the content. `paths` are the
    accepted RCPT commands and `recipients` their resolution, in the same order. `removed` are those that a check of the
    content has taken away; the archive has them too. `recipient` is the one of the present decision, `header` the
    header block during its check. `excess` is True if a recipient was refused because there are too many. `queue_id`
    and `arrival` are known from MAIL on. The checks of authentication set `lookups`, `spf` and `verdict`.
    """

    __slots__ = (
        "arrival",
        "content_checks",
        "excess",
        "header",
        "lookups",
        "mail",
        "octets",
        "paths",
        "peer",
        "queue_id",
        "recipient",
        "recipients",
        "removed",
        "rules",
        "sender",
        "size",
        "spf",
        "verdict",
    )

    def __init__(self, peer: ClientContext, rules: Rules, sender: str = "", size: int = 0) -> None:
        self.peer = peer
        self.rules = rules
        self.sender = sender
        self.size = size
        self.octets = 0
        self.mail = _NO_MAIL
        self.queue_id = ""
        self.arrival = 0.0
        self.paths: list[RcptTo] = []
        self.recipients: list[ResolvedRecipient] = []
        self.removed: list[tuple[RcptTo, ResolvedRecipient]] = []
        self.recipient: ResolvedRecipient | None = None
        self.header: HeaderBlock | None = None
        self.excess = False
        self.lookups: Lookups | None = None
        self.spf: SpfResult | None = None
        self.verdict: AuthenticationVerdict | None = None
        self.content_checks: tuple[ContentCheck, ...] = ()
