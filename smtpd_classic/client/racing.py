"""Connections to addresses of equal preference side by side (RFC 8305), so that a silent one costs three seconds.

The next address is tried three seconds after the one before, or at once when all before it have failed. The first
connection wins; the others are closed.
"""

import os
import select
import socket
import time
from collections.abc import Iterable
from typing import NamedTuple, cast

from smtpd_classic.client.connections import places_of
from smtpd_classic.client.network import Network, Target
from smtpd_classic.client.not_ready import NotReady, not_connected
from smtpd_classic.client.session import Session
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.transport import HostBusy
from smtpd_classic.client.wire import ClientWire, connect_problem

__all__ = ["first_connected"]

_NEXT_AFTER_S = 3.0


class _Runner(NamedTuple):
    """A connection that is being opened."""

    target: Target
    socket: socket.socket
    until: float


def first_connected(
    target: Target, beside: Iterable[Target], network: Network, transcript: Transcript
) -> tuple[Target, ClientWire | Session]:
    """Return the first host that can be reached, with a connection or an idle session.

    The caller has taken the right to open a session with `target`, and has that of the returned host afterwards. Raises
    NotReady for `target`.
    """
    return _Race(target, beside, network, transcript).run()


class _Race:
    def __init__(self, target: Target, beside: Iterable[Target], network: Network, transcript: Transcript) -> None:
        self._first = target
        self._beside = iter(beside)
        self._network = network
        self._transcript = transcript
        self._running: dict[int, _Runner] = {}
        self._poll = select.poll()
        self._problem: NotReady | None = None

    def run(self) -> tuple[Target, ClientWire | Session]:
        try:
            self._start(self._first)
            next_at = time.monotonic() + _NEXT_AFTER_S
            while True:
                now = time.monotonic()
                if now >= next_at or not self._running:
                    next_at = now + _NEXT_AFTER_S
                    found = self._start_next()
                    if found is not None:
                        return self._won(*found)
                if not self._running:
                    raise self._problem or not_connected(self._first.peer, "no address could be tried")
                winner = self._wait(next_at)
                if winner is not None:
                    return self._won(winner.target, self._wire(winner))
        finally:
            for each in list(self._running.values()):
                self._forget(each)
                each.socket.close()
                if each.target is not self._first:
                    self._release(each.target)

    def _won(self, target: Target, connection: ClientWire | Session) -> tuple[Target, ClientWire | Session]:
        """Note that the first address did not answer while another did, so that it is not tried first for a while."""
        if any(each.target is self._first for each in self._running.values()):
            self._problem = not_connected(self._first.peer, f"no answer while {target.peer} answered")
        if self._problem is not None:
            self._network.health.failed(self._first.peer, str(self._problem), dead=True)
        if target is not self._first:
            self._release(self._first)
        return target, connection

    def _start(self, target: Target) -> None:
        """Begin a connection; a failure at once is noted."""
        peer, source = target.peer, self._network.local.source(target.peer.ip)
        self._transcript.happened(f"connecting to {peer}")
        connection = socket.socket(socket.AF_INET6 if ":" in peer.ip else socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        runner = _Runner(target, connection, time.monotonic() + self._network.timeouts.connect)
        try:
            if source:
                connection.bind((source, 0))
            connection.connect((peer.ip, peer.port))
        except BlockingIOError:
            pass
        except OSError as problem:
            connection.close()
            self._failed(runner, connect_problem(problem, source))
            return
        self._running[connection.fileno()] = runner
        self._poll.register(connection.fileno(), select.POLLOUT)

    def _start_next(self) -> tuple[Target, Session] | None:
        """Begin a connection to the next address that has room. Return it if there is an idle session with it."""
        for target in self._beside:
            try:
                session = self._network.connections.take(places_of(target.peer), target)
            except HostBusy:
                continue
            if session is not None:
                return target, cast("Session", session)
            self._start(target)
            if self._running:
                return None
        return None

    def _wait(self, next_at: float) -> _Runner | None:
        """Wait for the first connection; end those that fail or take too long."""
        until = min(next_at, *(each.until for each in self._running.values()))
        for number, _ in self._poll.poll(max(until - time.monotonic(), 0.0) * 1000 + 1):
            runner = self._running[number]
            error = runner.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._forget(runner)
            if not error:
                return runner
            runner.socket.close()
            self._failed(runner, os.strerror(error).lower())
        for runner in [each for each in self._running.values() if each.until <= time.monotonic()]:
            self._forget(runner)
            runner.socket.close()
            self._failed(runner, "connection timed out")
        return None

    def _failed(self, runner: _Runner, words: str) -> None:
        self._transcript.happened(words)
        problem = not_connected(runner.target.peer, words)
        if runner.target is self._first:  # recorded by `_won`, else by the caller
            self._problem = problem
            return
        self._network.health.failed(runner.target.peer, str(problem), dead=True)
        self._release(runner.target)

    def _release(self, target: Target) -> None:
        self._network.connections.give_back(places_of(target.peer), target, None)

    def _forget(self, runner: _Runner) -> None:
        self._poll.unregister(runner.socket.fileno())
        del self._running[runner.socket.fileno()]

    def _wire(self, runner: _Runner) -> ClientWire:
        runner.socket.setblocking(True)
        runner.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return ClientWire(runner.socket, self._transcript)
