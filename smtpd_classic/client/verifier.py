"""Questions to the servers of a direct domain or of mailboxes: does a recipient exist? MAIL FROM:<>, RCPT TO and RSET
over a kept session (RFC 5321 3.6.2 lets a gateway refuse at RCPT).

Rule 1: only 550, 551, 553 and 5.1.x to RCPT mean that the recipient is unknown.
Rule 2: a server that cannot be reached, or that refuses the question, verifies nothing: the mail is accepted.
Rule 3: a server that accepts a random address accepts every address, so it is not asked for a while.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from smtpd_classic.client.answers import check
from smtpd_classic.client.hosts import addresses_of
from smtpd_classic.client.lmtp import lmtp_targets
from smtpd_classic.client.network import Network, Target
from smtpd_classic.client.not_ready import NotReady
from smtpd_classic.client.relay import direct_hosts
from smtpd_classic.client.separate_network import separate_network
from smtpd_classic.client.session import Session, open_session
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.verified import DomainMemory, KnownFor, Verification, VerifiedDomains
from smtpd_classic.client.wire import ConnectionLost, connect
from smtpd_classic.config.kinds import MailboxPlace
from smtpd_classic.config.schema import Config, DirectDomain
from smtpd_classic.dns import Resolver
from smtpd_classic.smtp.reply import Reply

__all__ = ["InnerServers", "RecipientVerifier", "Verification", "direct_servers", "mailbox_servers", "verifications"]

_LIMIT_S = 5.0
_SESSIONS = 2
_IDLE_S = 30.0
_RANDOM_S = 3600.0
_DOWN_S = 5.0
_UNKNOWN_CODES = (550, 551, 553)
_FULL = frozenset({"4.2.2", "5.2.2"})
_OF_MAILBOXES = KnownFor(fresh=60.0)  # a question to a server beside this one costs little, and a mailbox fills up


class InnerServers(NamedTuple):
    """The servers to ask, in order, and their name in the log. `is_mail_store`: they hold mailboxes of this server."""

    name: str
    targets: tuple[Target, ...]
    network: Network
    is_mail_store: bool = False


def direct_servers(config: Config, direct: DirectDomain, resolver: Resolver) -> InnerServers:
    """Return the hosts of a direct domain."""
    network = separate_network(config, resolver)
    return InnerServers(direct.name, direct_hosts(direct, config.remote, network).hosts, network)


def mailbox_servers(config: Config, place: MailboxPlace, resolver: Resolver) -> InnerServers:
    """Return the LMTP servers of mailboxes."""
    return InnerServers(str(place), lmtp_targets(place), separate_network(config, resolver), is_mail_store=True)


class RecipientVerifier:
    """The questions to the servers of one section in this process. Thread-safe."""

    def __init__(
        self,
        servers: InnerServers,
        complain: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        limit_s: float = _LIMIT_S,
        idle_s: float = _IDLE_S,
    ) -> None:
        """`limit_s` is the time for one question, and for the wait until it may be asked; `idle_s` the time after which
        a session without a question is closed."""
        self._servers = servers
        self._complain = complain
        self._clock = clock
        self._limit_s = limit_s
        self._idle_s = idle_s
        self._domains = VerifiedDomains(_OF_MAILBOXES if servers.is_mail_store else KnownFor())
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(_SESSIONS)
        self._idle: list[tuple[Session, float]] = []
        self._closer: threading.Timer | None = None
        self._down_until = 0.0  # the time until which a server that failed is not asked
        self._said = ""

    def verify(self, address: str) -> Verification:
        """Return the result for an address, from memory where it is fresh."""
        now = self._clock()
        key = address.lower()
        memory = self._domains.of(key.rpartition("@")[2])
        known, is_fresh = memory.find(key, now)
        if known is not None and is_fresh:
            return known
        if not self._is_selective(memory, key.rpartition("@")[2], now):
            return Verification.UNSURE
        result = self._ask(memory, address)
        if result in {Verification.KNOWN, Verification.UNKNOWN}:
            memory.keep(key, result, now)
        elif known is not None and result is not Verification.FULL:
            return known
        return result

    def _is_selective(self, memory: DomainMemory, domain: str, now: float) -> bool:
        """Return False while the server accepts a random address, or cannot be asked."""
        if memory.take_random_turn(now, now + _RANDOM_S):
            found = self._ask(memory, f"{secrets.token_hex(10)}@{domain}")
            if found in {Verification.KNOWN, Verification.UNKNOWN}:
                memory.accepts_all = found is Verification.KNOWN
            else:
                memory.random_at = 0.0  # nothing is known; ask again with the next recipient
            if memory.accepts_all:
                self._say(f"it accepts a random address at {domain}, so the recipients there are not verified")
            if found is Verification.UNSURE:
                return False
        return not memory.accepts_all

    def _say(self, words: str) -> None:
        """Write a warning into the log, once until the words change."""
        with self._lock:
            is_new, self._said = words != self._said, words
        if is_new and words:
            self._complain(f"verification of recipients of {self._servers.name}: {words}")

    def _ask(self, memory: DomainMemory, address: str) -> Verification:
        if self._clock() < self._down_until:
            return Verification.UNSURE
        if not memory.may_ask(self._clock()) or not self._turns.acquire(timeout=self._limit_s):
            # Mailboxes of this server have an account here, which is known to exist.
            return Verification.UNSURE if self._servers.is_mail_store else Verification.LATER
        try:  # the time of waiting for a turn says nothing about the server
            reply, command = self._question(address, time.monotonic() + self._limit_s)
        except (ConnectionLost, NotReady) as problem:
            self._down_until = self._clock() + _DOWN_S
            self._say(f"mail is accepted unverified: {problem}")
            return Verification.UNSURE
        finally:
            self._turns.release()
        if self._down_until:
            self._down_until = 0.0
            self._say("")
        return self._result(reply, command)

    def _result(self, reply: Reply, command: str) -> Verification:
        if reply.positive:
            return Verification.KNOWN
        if command == "RCPT" and self._servers.is_mail_store and reply.enhanced in _FULL:
            return Verification.FULL
        if reply.transient and command == "RCPT":
            return Verification.LATER
        policy = reply.enhanced.startswith("5.7.")
        if command == "RCPT" and not policy and (reply.code in _UNKNOWN_CODES or reply.enhanced.startswith("5.1.")):
            return Verification.UNKNOWN
        self._say(f"mail is accepted unverified: the reply to {command} was {reply}")
        return Verification.UNSURE

    def _question(self, address: str, deadline: float) -> tuple[Reply, str]:
        """Return the reply that decides, and its command. Raises ConnectionLost or NotReady."""
        with self._lock:
            session = self._idle.pop()[0] if self._idle else None
        if session is not None:
            try:
                return self._spoken(session, address, deadline)
            except ConnectionLost:
                session.end()  # the server has closed the idle session
        return self._spoken(self._opened(deadline), address, deadline)

    def _spoken(self, session: Session, address: str, deadline: float) -> tuple[Reply, str]:
        wire = session.wire
        wire.limit(deadline - time.monotonic())
        utf8 = " SMTPUTF8" if not address.isascii() and session.offered.smtputf8 else ""
        try:
            reply, command = wire.command(f"MAIL FROM:<>{utf8}", self._limit_s), "MAIL"
            check(reply, command)
            if reply.positive:
                reply, command = wire.command(f"RCPT TO:<{address}>", self._limit_s), "RCPT"
                check(reply, command)
                if reply.code != 421:
                    wire.command("RSET", self._limit_s)
        except ConnectionLost:
            session.end()
            raise
        if reply.code == 421:
            session.end()
        else:
            self._keep(session)
        return reply, command

    def _keep(self, session: Session) -> None:
        with self._lock:
            self._idle.append((session, time.monotonic()))
            self._close_later()

    def _close_later(self) -> None:
        """Start the timer that closes idle sessions, unless it runs."""
        if self._closer is None:
            self._closer = threading.Timer(self._idle_s, self._close_idle)
            self._closer.daemon = True
            self._closer.start()

    def _close_idle(self) -> None:
        before = time.monotonic() - self._idle_s
        with self._lock:
            ended = [session for session, since in self._idle if since <= before]
            self._idle = [each for each in self._idle if each[1] > before]
            self._closer = None
            if self._idle:
                self._close_later()
        for session in ended:
            session.quit()

    def close(self) -> None:
        """Close the idle sessions."""
        with self._lock:
            ended, self._idle = self._idle, []
        for session, _ in ended:
            session.quit()

    def _opened(self, deadline: float) -> Session:
        """Return a new session with the first host that can be reached. Raises ConnectionLost or NotReady."""
        problem: ConnectionLost | NotReady = ConnectionLost("no host has an address")
        network = self._servers.network
        for target in self._targets():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            transcript = Transcript()
            try:
                wire = connect(target.peer, target.endpoint(network.local), left_s, transcript)
                wire.limit(deadline - time.monotonic())
                return open_session(target, network, transcript, lambda words: None, wire)
            except (ConnectionLost, NotReady) as failed:
                problem = failed
        raise problem

    def _targets(self) -> Iterator[Target]:
        for host in self._servers.targets:
            if host.socket_path:
                yield host
                continue
            for each in addresses_of(host, self._servers.network):
                if isinstance(each, Target):
                    yield each


def verifications(config: Config, resolver: Resolver, complain: Callable[[str], None]) -> Callable[[str, str], str]:
    """Return a function that verifies an address at the servers of a direct domain, or of mailboxes, given the name of
    the domain or the place of the mailboxes."""
    servers = [direct_servers(config, each, resolver) for each in config.direct_domains if each.verify_recipients]
    if config.server.verify_recipients:
        servers += [mailbox_servers(config, place, resolver) for place in config.mail_stores]
    made = {each.name: RecipientVerifier(each, complain) for each in servers}

    def verify(name: str, address: str) -> str:
        return made[name].verify(address).value

    return verify
