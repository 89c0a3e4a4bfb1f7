"""Questions to the servers of a direct domain: does a recipient exist? MAIL FROM:<>, RCPT TO and RSET over a kept
session (RFC 5321 3.6.2 lets a gateway refuse at RCPT).

Rule 1: only 550, 551, 553 and 5.1.x to RCPT mean that the recipient is unknown.
Rule 2: a server that cannot be reached, or that refuses the question, verifies nothing: the mail is accepted.
Rule 3: a server that accepts a random address accepts every address, so it is not asked for a while.
"""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

from smtpd_classic.client.answers import check
from smtpd_classic.client.hosts import addresses_of
from smtpd_classic.client.network import Target
from smtpd_classic.client.not_ready import NotReady
from smtpd_classic.client.relay import direct_hosts
from smtpd_classic.client.separate_network import separate_network
from smtpd_classic.client.session import Session, open_session
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.wire import ConnectionLost, connect
from smtpd_classic.config.schema import Config, DirectDomain
from smtpd_classic.dns import Resolver
from smtpd_classic.smtp.reply import Reply

__all__ = ["RecipientVerifier", "Verification", "verifications"]

_LIMIT_S = 5.0
_SESSIONS = 2
_A_SECOND = 20
_KNOWN_S, _REFRESH_S, _UNKNOWN_S = 7 * 86_400.0, 86_400.0, 600.0
_MOST_ENTRIES = 10_000
_RANDOM_S = 3600.0
_DOWN_S = 5.0
_UNKNOWN_CODES = (550, 551, 553)


class Verification(Enum):
    """The result of a question. UNSURE: the recipient is accepted."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    LATER = "later"
    UNSURE = "cannot be verified"


class _Entry(NamedTuple):
    result: Verification
    asked: float


class RecipientVerifier:
    """The questions about one direct domain in this process. Thread-safe."""

    def __init__(
        self,
        config: Config,
        direct: DirectDomain,
        resolver: Resolver,
        complain: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        limit_s: float = _LIMIT_S,
    ) -> None:
        """`limit_s` is the time for one question, and for the wait until it may be asked."""
        self._network = separate_network(config, resolver)
        self._hosts = direct_hosts(direct, config.remote, self._network).hosts
        self._name = direct.name
        self._complain = complain
        self._clock = clock
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(_SESSIONS)
        self._idle: list[Session] = []
        self._cache: dict[str, _Entry] = {}
        self._asked: deque[float] = deque()
        self._random_at = -1.0  # the time of the next question about a random address
        self._accepts_all = False
        self._down_until = 0.0  # the time until which a server that failed is not asked
        self._said = ""

    def verify(self, address: str) -> Verification:
        """Return the result for an address, from memory where it is fresh."""
        now = self._clock()
        key = address.lower()
        with self._lock:
            entry = self._cache.get(key)
        age = now - entry.asked if entry is not None else 0.0
        if entry is not None and age < (_UNKNOWN_S if entry.result is Verification.UNKNOWN else _REFRESH_S):
            return entry.result
        if not self._is_selective(address.rpartition("@")[2], now):
            return Verification.UNSURE
        result = self._ask(address)
        if result in {Verification.KNOWN, Verification.UNKNOWN}:
            self._remember(key, _Entry(result, now))
        elif entry is not None and entry.result is Verification.KNOWN and age < _KNOWN_S:
            return Verification.KNOWN
        return result

    def _is_selective(self, domain: str, now: float) -> bool:
        """Return False while the server accepts a random address, or cannot be asked."""
        with self._lock:
            is_due = now >= self._random_at
            if is_due:
                self._random_at = now + _RANDOM_S
        if is_due:
            found = self._ask(f"{secrets.token_hex(10)}@{domain}")
            if found in {Verification.KNOWN, Verification.UNKNOWN}:
                self._accepts_all = found is Verification.KNOWN
            else:
                self._random_at = 0.0  # nothing is known; ask again with the next recipient
            if self._accepts_all:
                self._say("it accepts a random address, so its recipients are not verified")
            if found is Verification.UNSURE:
                return False
        return not self._accepts_all

    def _remember(self, key: str, entry: _Entry) -> None:
        with self._lock:
            self._cache.pop(key, None)
            if len(self._cache) >= _MOST_ENTRIES:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = entry

    def _say(self, words: str) -> None:
        """Write a warning into the log, once until the words change."""
        with self._lock:
            is_new, self._said = words != self._said, words
        if is_new and words:
            self._complain(f"verification of recipients of {self._name}: {words}")

    def _ask(self, address: str) -> Verification:
        if self._clock() < self._down_until:
            return Verification.UNSURE
        if not self._may_ask() or not self._turns.acquire(timeout=self._limit_s):
            return Verification.LATER
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

    def _may_ask(self) -> bool:
        now = self._clock()
        with self._lock:
            while self._asked and self._asked[0] <= now - 1.0:
                self._asked.popleft()
            if len(self._asked) >= _A_SECOND:
                return False
            self._asked.append(now)
            return True

    def _result(self, reply: Reply, command: str) -> Verification:
        if reply.positive:
            return Verification.KNOWN
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
            session = self._idle.pop() if self._idle else None
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
            with self._lock:
                self._idle.append(session)
        return reply, command

    def _opened(self, deadline: float) -> Session:
        """Return a new session with the first host that can be reached. Raises ConnectionLost or NotReady."""
        problem: ConnectionLost | NotReady = ConnectionLost("no host has an address")
        for target in self._targets():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            transcript = Transcript()
            try:
                wire = connect(target.peer, target.endpoint(self._network.local), left_s, transcript)
                wire.limit(deadline - time.monotonic())
                return open_session(target, self._network, transcript, lambda words: None, wire)
            except (ConnectionLost, NotReady) as failed:
                problem = failed
        raise problem

    def _targets(self) -> Iterator[Target]:
        for host in self._hosts:
            for each in addresses_of(host, self._network):
                if isinstance(each, Target):
                    yield each


def verifications(config: Config, resolver: Resolver, complain: Callable[[str], None]) -> Callable[[str, str], str]:
    """Return a function that verifies an address at the servers of a direct domain, given its name and the address."""
    made = {
        each.name: RecipientVerifier(config, each, resolver, complain)
        for each in config.direct_domains
        if each.verify_recipients
    }

    def verify(name: str, address: str) -> str:
        result = made[name].verify(address)
        return result.value if result in {Verification.UNKNOWN, Verification.LATER} else ""

    return verify
