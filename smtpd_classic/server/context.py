"""Settings and callbacks shared by all connections of a receiving process."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from smtpd_classic.config.schema import Config, Listener
from smtpd_classic.log import Log
from smtpd_classic.reception import Client
from smtpd_classic.reception.local_session import LOCAL, extensions_for, limits_for
from smtpd_classic.runtime import Runtime
from smtpd_classic.server.tls import Certificate
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.extensions import Extensions
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import ServerSession, SessionLimits

__all__ = ["AcceptedSocket", "IdlePolicy", "ListenerContext", "SessionHandler"]


class SessionHandler(Protocol):
    """The decisions of one session: `reception.Reception`. `closed` is called once, with the reason of the end."""

    def answer(self, event: Event) -> Reply | None: ...

    def closed(self, reason: str) -> None: ...


class IdlePolicy(Protocol):
    """The receiver as a connection sees it."""

    @property
    def patience_s(self) -> float | None:
        """Return the permitted silence outside a transaction; None as long as the server is not draining."""

    def admit(self, ip: str) -> Reply | None:
        """Count the client as connected; return a reply if it is refused."""

    def release(self, ip: str) -> None:
        """Count an admitted client as gone."""


class AcceptedSocket(NamedTuple):
    """A connection as the kernel gave it. `admitted`: counted already, its address being the client's own. `uid` is the
    user at the socket for local submission, where `ip` is the key of the count."""

    socket: socket.socket
    ip: str
    port: int
    listener: Listener
    admitted: bool
    uid: int = -1

    def server_ip(self) -> str:
        """Return the address that the client has connected to, as milters want it; blank for the local socket."""
        try:
            name = self.socket.getsockname()
        except OSError:
            return ""
        return str(name[0]).removeprefix("::ffff:") if isinstance(name, tuple) else ""


@dataclass(frozen=True, slots=True)
class ListenerContext:
    """`certificate` is None when no listener has TLS; `host_name` gives blank for an address without verified name."""

    config: Config
    runtime: Runtime
    log: Log
    reception: Callable[[ServerSession, Client], SessionHandler]
    host_name: Callable[[str], str]
    mechanisms: Callable[[], tuple[str, ...]]
    certificate: Certificate | None
    _extensions: dict[tuple[str, tuple[str, ...]], Extensions] = field(default_factory=dict)
    """Those of each listener, by the mechanisms that are to be had."""

    @property
    def idle_s(self) -> float:
        return self.config.access.idle_timeout.total_seconds()

    def extensions(self, listener: Listener) -> Extensions:
        has_none = listener is LOCAL or listener.is_lmtp or listener.auth == "none"
        auth = () if has_none else self.mechanisms()
        found = self._extensions.get((listener.name, auth))
        if found is None:
            found = self._extensions[listener.name, auth] = self._extensions_of(listener, auth)
        return found

    def _extensions_of(self, listener: Listener, auth: tuple[str, ...]) -> Extensions:
        if listener is LOCAL:
            return extensions_for(self.config)
        if listener.is_lmtp:
            return Extensions(self.config.helo_name, 0, 0, False, (), False, False, lmtp=True)
        basic = self.config.basic
        return Extensions(
            helo_name=self.config.helo_name,
            max_message_size=basic.max_message_size,
            max_recipients=basic.max_recipients,
            starttls=listener.tls == "starttls" and self.certificate is not None,
            auth=auth,
            auth_without_tls=basic.allow_auth_without_tls,
            vrfy=basic.allow_vrfy_expn,
            dsn_for_everyone=basic.offer_dsn == "everyone",
            strict_pipelining=self.config.access.pipelining == "strict",
        )

    def limits(self, listener: Listener) -> SessionLimits:
        if listener is LOCAL:
            return limits_for(self.config)
        if listener.is_lmtp:
            return SessionLimits(0, 0, 0)
        access = self.config.access
        return SessionLimits(access.max_errors, access.max_commands, self.config.basic.max_rset)
