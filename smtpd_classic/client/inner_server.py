"""Questions to one inner server about recipients: MAIL FROM:<>, RCPT TO and RSET over a kept session."""

import threading
import time
from collections.abc import Callable, Iterator

from smtpd_classic.client.answers import check
from smtpd_classic.client.fair_turns import FairTurns
from smtpd_classic.client.hosts import addresses_of
from smtpd_classic.client.network import Network, Target
from smtpd_classic.client.not_ready import NotReady
from smtpd_classic.client.session import Session, open_session
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.wire import ConnectionLost, connect
from smtpd_classic.client.wording import written_path
from smtpd_classic.smtp.reply import Reply

__all__ = ["InnerServer", "NoTurn", "ServerRests"]

_SESSIONS = 2
_A_SECOND = 20
_LIMIT_S = 5.0
_IDLE_S = 30.0
_DOWN_S = 5.0


class NoTurn(Exception):
    """Raised when too many questions wait."""


class ServerRests(Exception):
    """Raised while a server that has failed is not asked."""


class InnerServer:
    """The sessions of this process with a server, and the turns of the clients. Thread-safe."""

    def __init__(
        self,
        targets: tuple[Target, ...],
        network: Network,
        clock: Callable[[], float] = time.monotonic,
        *,
        limit_s: float = _LIMIT_S,
        idle_s: float = _IDLE_S,
    ) -> None:
        """`limit_s` is the time for one question, and for the wait until it may be asked; `idle_s` the time after which
        a session without a question is closed."""
        self._hosts = targets
        self._network = network
        self._clock = clock
        self._limit_s = limit_s
        self._idle_s = idle_s
        self._turns = FairTurns(_SESSIONS, _A_SECOND, clock)
        self._lock = threading.Lock()
        self._idle: list[tuple[Session, float]] = []
        self._closer: threading.Timer | None = None
        self._down_until = 0.0

    def ask(self, address: str, client: str, *, is_paced: bool) -> tuple[Reply, str]:
        """Return the reply that decides about a recipient, and its command.

        Unless it `is_paced`, the question does not wait for the next second. Raises NoTurn, ServerRests, ConnectionLost
        or NotReady.
        """
        self._raise_if_down()
        if not self._turns.take(client, self._limit_s, is_paced=is_paced):
            raise NoTurn
        try:  # the time of waiting for a turn says nothing about the server
            self._raise_if_down()
            answer = self._question(address, time.monotonic() + self._limit_s)
        except (ConnectionLost, NotReady):
            self._down_until = self._clock() + _DOWN_S
            raise
        finally:
            self._turns.give_back(client)
        self._down_until = 0.0
        return answer

    def _raise_if_down(self) -> None:
        if self._clock() < self._down_until:
            raise ServerRests

    def _question(self, address: str, deadline: float) -> tuple[Reply, str]:
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
        path = written_path(address, session.offered)
        if not path.isascii() and not session.offered.smtputf8:
            self._keep(session)
            return Reply(553, "5.6.7", f"the server accepts no internationalised addresses such as {path}"), "RCPT"
        utf8 = "" if path.isascii() else " SMTPUTF8"
        try:
            reply, command = wire.command(f"MAIL FROM:<>{utf8}", self._limit_s), "MAIL"
            check(reply, command)
            if reply.positive:
                reply, command = wire.command(f"RCPT TO:<{path}>", self._limit_s), "RCPT"
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
        network = self._network
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
        try:
            raise problem
        finally:
            del problem  # it refers to this frame, which would then wait for the garbage collector

    def _targets(self) -> Iterator[Target]:
        for host in self._hosts:
            if host.socket_path:
                yield host
                continue
            for each in addresses_of(host, self._network):
                if isinstance(each, Target):
                    yield each
