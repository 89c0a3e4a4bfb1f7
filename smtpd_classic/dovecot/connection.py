"""One connection to an authentication socket, with many requests at a time.

Rule 1: each request has a number and a deadline; an answer that comes too late is dropped.
Rule 2: a thread that waits for an answer also reads those of the others, so no thread is for reading alone.
Rule 3: a connection that has failed stays so; all requests that wait get the reason.
"""

import threading
import time

from smtpd_classic.dovecot.protocol import AuthReply, BadAuthLine, ServerGreeting
from smtpd_classic.pool import Neighbour, NeighbourFailure, NeighbourSlow

__all__ = ["RequestConnection"]

_SLICE_S = 1.0  # one system call waits no longer, so that a deadline is late by that at most
_LONGEST_LINE = 1 << 20
_LAST_NUMBER = (1 << 31) - 1


class RequestConnection:
    """A connection that any thread may use. All methods raise NeighbourFailure, NeighbourSlow at a deadline."""

    def __init__(self, neighbour: Neighbour, hello: str, deadline: float, *, greets: bool) -> None:
        """`greets`: the server sends its mechanisms before it takes requests."""
        self._neighbour = neighbour
        self._connection = neighbour.connect(deadline)
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._replies: dict[int, AuthReply | None] = {}
        self._greeting = ServerGreeting()
        self._rest = b""
        self._failure = ""
        self._is_read = False
        self._number = 0
        self.answered_at = 0.0  # the time of the last answer, as time.monotonic() has it
        self._send(hello)
        if greets:
            self._wait_for_greeting(deadline)

    @property
    def mechanisms(self) -> tuple[str, ...]:
        return self._greeting.mechanisms

    @property
    def is_usable(self) -> bool:
        return not self._failure and self._number < _LAST_NUMBER

    def number(self) -> int:
        """Return the number of a new request."""
        with self._lock:
            self._number += 1
            return self._number

    def ask(self, number: int, line: str, deadline: float) -> AuthReply:
        """Send a line of the request with this number, and return the answer."""
        with self._lock:
            if self._failure:
                raise NeighbourFailure(self._failure)
            self._replies[number] = None
        try:
            self._send(line)
            return self._answer(number, deadline)
        finally:
            with self._lock:
                del self._replies[number]

    def tell(self, line: str) -> None:
        """Send a line that has no answer."""
        if self._failure:
            raise NeighbourFailure(self._failure)
        self._send(line)

    def close(self, reason: str) -> None:
        """End the connection; requests that wait fail with this reason."""
        with self._lock:
            self._failure = self._failure or reason
            self._changed.notify_all()
        with self._sending:
            self._connection.close()

    def _send(self, line: str) -> None:
        try:
            with self._sending:
                self._connection.send(line.encode("utf-8", "surrogateescape"), time.monotonic() + _SLICE_S)
        except NeighbourFailure as problem:
            self.close(str(problem))
            raise

    def _wait_for_greeting(self, deadline: float) -> None:
        while not self._greeting.is_complete:
            if self._failure:
                raise NeighbourFailure(self._failure)
            if time.monotonic() >= deadline:
                self.close(f"{self._neighbour.address} does not answer in time")
                raise NeighbourSlow(self._failure)
            self._read()

    def _answer(self, number: int, deadline: float) -> AuthReply:
        while True:
            with self._lock:
                while (reply := self._replies[number]) is None and not self._failure:
                    left_s = deadline - time.monotonic()
                    if left_s <= 0:
                        raise NeighbourSlow(f"{self._neighbour.address} does not answer in time")
                    if not self._is_read:
                        self._is_read = True
                        break
                    self._changed.wait(left_s)
                else:
                    if reply is None:
                        raise NeighbourFailure(self._failure)
                    return reply
            self._read()

    def _read(self) -> None:
        """Read once, for all threads."""
        data, failure = b"", ""
        try:
            data = self._connection.receive(time.monotonic() + _SLICE_S)
        except NeighbourSlow:
            pass
        except NeighbourFailure as problem:
            failure = str(problem)
        with self._lock:
            self._is_read = False
            try:
                self._take(data)
            except BadAuthLine as bad:
                failure = f"{self._neighbour.address} {bad}"
            self._changed.notify_all()
        if failure:
            self.close(failure)

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise BadAuthLine("sent a line without an end")
        for line in lines:
            reply = self._greeting.take(line.decode("utf-8", "replace"))
            if reply is not None and reply.number in self._replies:
                self.answered_at = time.monotonic()
                self._replies[reply.number] = reply
