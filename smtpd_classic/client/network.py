"""The surroundings of the transports: names, time, TLS, and the memory of other hosts.

They are parameters, so that tests can pass their own.
"""

import ipaddress
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from smtpd_classic.client.connections import Connections
from smtpd_classic.client.dialect import Dialect
from smtpd_classic.client.endpoint import Endpoint, TcpEndpoint, UnixEndpoint
from smtpd_classic.client.health import Health
from smtpd_classic.client.local_addresses import LocalAddresses
from smtpd_classic.client.slots import TransactionSlots
from smtpd_classic.client.transport import Peer
from smtpd_classic.config.schema import Listener
from smtpd_classic.dns import Resolver
from smtpd_classic.interfaces import is_interface_address

__all__ = ["Encryption", "Network", "OwnHosts", "RelayLogin", "Target", "Timeouts", "TlsContexts"]


_SLOWEST = 2048  # octets a second


class Encryption(Enum):
    """The requirement of a session for TLS."""

    NEVER = "never"
    OFFERED = "when offered"
    REQUIRED = "required"
    VERIFIED = "required, with a verified certificate"

    @property
    def required(self) -> bool:
        return self in {Encryption.REQUIRED, Encryption.VERIFIED}


class RelayLogin(NamedTuple):
    """A user name with a password, a file with the password, or a token command (XOAUTH2). The repr holds no secret."""

    user: str
    password: str = ""
    token_command: str = ""
    password_file: str = ""

    def __repr__(self) -> str:
        return f"Login({self.user!r})"


class Target(NamedTuple):
    """One address of one host, with the settings of a session.

    `from_mx`: DNS named it, so it may be this server. `socket_path`: a Unix socket in place of the peer's address.
    """

    peer: Peer
    encryption: Encryption
    implicit_tls: bool = False
    login: RelayLogin | None = None
    from_mx: bool = False
    dialect: Dialect = Dialect.SMTP
    socket_path: str = ""

    def endpoint(self, local: LocalAddresses) -> Endpoint:
        """Return the place to connect to, from the address of this machine that the configuration gives."""
        if self.socket_path:
            return UnixEndpoint(self.socket_path)
        return TcpEndpoint(self.peer.ip, self.peer.port, local.source(self.peer.ip))


class Timeouts(NamedTuple):
    """The timeouts of RFC 5321 4.5.3.2, in seconds.

    `transaction` is the limit for all of one message at one host, which a big message may exceed. The reply to the
    final dot always has `end` (RFC 1047).

    After `silence` without a greeting, a host that must have TLS is tried with TLS at once.
    """

    connect: float = 30.0
    greeting: float = 300.0
    hello: float = 300.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    handshake: float = 30.0
    block: float = 180.0
    end: float = 600.0
    reset: float = 20.0
    transaction: float = 1200.0
    silence: float = 20.0

    def transaction_of(self, size: int) -> float:
        """Return the limit for a message of `size` octets: the slowest line takes 2 KiB a second."""
        return self.transaction + size / _SLOWEST

    def scaled(self, factor: float) -> "Timeouts":
        return Timeouts(*(each * factor for each in self))


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True, slots=True)
class TlsContexts:
    any_certificate: ssl.SSLContext = field(default_factory=_any_certificate)
    verified: ssl.SSLContext = field(default_factory=ssl.create_default_context)


class OwnHosts:
    """The hosts that are this server: by name, by a listener of ours at the address, or by a public address."""

    def __init__(self, helo_name: str, listeners: Iterable[Listener], public: Iterable[str] = ()) -> None:
        self._name = helo_name.lower()
        self._public = {ipaddress.ip_address(each) for each in public}
        self._listening = [(ipaddress.ip_address(ip), each.port) for each in listeners for ip in each.address]

    def named(self, host: str) -> bool:
        return host.lower().removesuffix(".") == self._name

    def address(self, ip: str, port: int) -> bool:
        """Return True if a connection to that address and port reaches this server.

        0.0.0.0 and :: connect to this machine, and an IPv4-mapped address (::ffff:127.0.0.1) is the IPv4 address.
        """
        address = ipaddress.ip_address(ip)
        address = getattr(address, "ipv4_mapped", None) or address
        if address.is_unspecified or address in self._public:
            return True
        ip = str(address)
        return any(
            port == listening_port
            and (
                address == listening
                or (listening.is_unspecified and listening.version == address.version and is_interface_address(ip))
            )
            for listening, listening_port in self._listening
        )


@dataclass(frozen=True, slots=True)
class Network:
    """The surroundings of the transports.

    `clock` is the wall clock. Only tests change the ports. At most `max_messages` are sent over one connection.
    `login_refused` is called when the remote server rejects our credentials.
    """

    helo_name: str
    resolver: Resolver
    health: Health
    connections: Connections
    own: OwnHosts
    clock: Callable[[], float]
    local: LocalAddresses = field(default_factory=LocalAddresses)
    timeouts: Timeouts = field(default_factory=Timeouts)
    tls: TlsContexts = field(default_factory=TlsContexts)
    smtp_port: int = 25
    smtps_port: int = 465
    max_messages: int = 100
    slots: TransactionSlots = field(default_factory=lambda: TransactionSlots(1000))
    login_refused: Callable[[Target, str], None] = lambda target, reply: None
    login_accepted: Callable[[Target], None] = lambda target: None
