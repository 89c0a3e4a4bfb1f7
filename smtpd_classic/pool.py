"""Connections to a neighbour: a program beside this server, at a TCP address or a UNIX socket.

Rule 1: every wait has a deadline. Rule 2: an address that let us wait in vain for a connection is not tried again for a
while; one that refuses at once costs nothing, so the next message may try it again. Rule 3: all failures are
`NeighbourFailure`, and its text names the address and what the administrator can do.
"""

import errno
import grp
import os
import socket
import threading
import time
from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from smtpd_classic.socket_timeouts import limit_receiving, limit_sending

__all__ = [
    "Neighbour",
    "NeighbourAddress",
    "NeighbourBusy",
    "NeighbourConnection",
    "NeighbourFailure",
    "NeighbourHealth",
    "NeighbourSlow",
    "address_of",
]

_SLOW_S = 0.5  # a failure that took longer is remembered
_LONGEST_REST_S = 30.0
_RECEIVED = 65536
_QUICK_ACK = getattr(socket, "TCP_QUICKACK", 0)


class NeighbourFailure(Exception):
    """Raised when the neighbour cannot be used. `str()` gives the reason."""


class NeighbourBusy(NeighbourFailure):
    """Raised when the limit of connections is reached."""


class NeighbourSlow(NeighbourFailure):
    """Raised at the end of the time for an answer."""


class NeighbourAddress(NamedTuple):
    """A path, or a host and port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(text: str) -> NeighbourAddress:
    """Return the address for `unix:/PATH` or `HOST:PORT`, as the configuration writes them."""
    path = text.removeprefix("unix:")
    if path != text:
        return NeighbourAddress(path=path)
    host, _, port = text.rpartition(":")
    return NeighbourAddress(host=host.strip("[]"), port=int(port))


class NeighbourHealth(NamedTuple):
    """The state as this process sees it. `failure` is the reason of the last failure, blank after a success."""

    failure: str
    open_connections: int


class NeighbourConnection:
    """One open connection. Not for use by several threads. All methods raise NeighbourFailure.

    The kernel keeps the deadlines, in whole seconds, so that a read or write is one system call.
    """

    __slots__ = ("_address", "_connected", "_is_tcp", "_release", "_socket", "_wait_s")

    def __init__(self, address: NeighbourAddress, connected: socket.socket, release: Callable[[], None]) -> None:
        self._address = address
        self._socket: socket.socket | None = connected
        self._connected = connected
        self._is_tcp = not address.path and _QUICK_ACK != 0
        self._wait_s = 0
        self._release = release
        connected.settimeout(None)

    def send(self, data: bytes, deadline: float) -> None:
        try:
            while data:
                self._wait_until(deadline)
                sent = self._connected.send(data)
                data = data[sent:]
        except OSError as problem:
            raise _failure(self._address, problem) from None

    def receive(self, deadline: float) -> bytes:
        """Return the next octets, at least one."""
        try:
            if self._is_tcp:  # the kernel forgets this with each packet
                self._connected.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
            self._wait_until(deadline)
            data = self._connected.recv(_RECEIVED)
        except OSError as problem:
            raise _failure(self._address, problem) from None
        if not data:
            raise NeighbourFailure(f"{self._address} closed the connection")
        return data

    def receive_waiting(self) -> bytes:
        """Return the octets that have arrived already. The end of the connection is left to `receive()`."""
        try:
            return self._connected.recv(_RECEIVED, socket.MSG_DONTWAIT)
        except OSError:
            return b""

    def _wait_until(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        wait_s = ceil(left_s)
        if wait_s != self._wait_s:
            self._wait_s = wait_s
            limit_receiving(self._connected, wait_s)
            limit_sending(self._connected, wait_s)

    def close(self) -> None:
        """Close the connection. May be called twice."""
        connected, self._socket = self._socket, None
        if connected is not None:
            connected.close()
            self._release()


class Neighbour:
    """A neighbour, with the limit of its connections in this process. Thread-safe."""

    def __init__(
        self,
        address: NeighbourAddress,
        *,
        connect_timeout_s: float,
        max_connections: int,
        longest_rest_s: float = _LONGEST_REST_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = address
        self._connect_timeout_s = connect_timeout_s
        self._max = max_connections
        self._longest_rest_s = longest_rest_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._open = 0
        self._failure = ""
        self._rest_s = 0.0
        self._rests_until = 0.0

    def connect(self, deadline: float) -> NeighbourConnection:
        """Return a new connection. Raises NeighbourFailure, at once if too many are open or the neighbour rests."""
        with self._lock:
            if self._open >= self._max:
                raise NeighbourBusy(f"{self.address} is busy: max_connections ({self._max}) are open")
            if self._monotonic() < self._rests_until:
                raise NeighbourFailure(f"{self._failure} (not tried again yet)")
            self._open += 1
        began = self._monotonic()
        try:
            connected = _connected(self.address, min(self._connect_timeout_s, deadline - began))
        except OSError as problem:
            self._release()
            raise self._noted(problem, self._monotonic() - began) from None
        return NeighbourConnection(self.address, connected, self._release)

    def _noted(self, problem: OSError, took_s: float) -> NeighbourFailure:
        failure = _failure(self.address, problem)
        self.failed(str(failure), took_s)
        return failure

    def failed(self, reason: str, took_s: float) -> None:
        """Note a failure. If it was slow, the neighbour rests: first 1 second, then twice as long each time."""
        with self._lock:
            self._failure = reason
            if took_s >= _SLOW_S:
                self._rest_s = min(max(1.0, 2 * self._rest_s), self._longest_rest_s)
                self._rests_until = self._monotonic() + self._rest_s

    def succeeded(self) -> None:
        """Note an answer."""
        if self._failure or self._rest_s:
            with self._lock:
                self._failure, self._rest_s, self._rests_until = "", 0.0, 0.0

    @property
    def health(self) -> NeighbourHealth:
        with self._lock:
            return NeighbourHealth(self._failure, self._open)

    def _release(self) -> None:
        with self._lock:
            self._open -= 1


def _connected(address: NeighbourAddress, timeout_s: float) -> socket.socket:
    if timeout_s <= 0:
        raise TimeoutError
    if not address.path:
        connected = socket.create_connection((address.host, address.port), timeout_s)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A socket of Python with a timeout would not wait at all while the other side has no room for connections.
        limit_sending(connected, timeout_s)
        connected.connect(address.path)
    except BaseException:
        connected.close()
        raise
    return connected


def _failure(address: NeighbourAddress, problem: OSError) -> NeighbourFailure:
    if isinstance(problem, TimeoutError) or problem.errno == errno.EAGAIN:
        return NeighbourSlow(f"{address} does not answer in time")
    return NeighbourFailure(_reason(address, problem))


def _reason(address: NeighbourAddress, problem: OSError) -> str:
    if problem.errno == errno.EACCES and address.path:
        return f"{address} may not be opened: {_permission(address.path)}"
    return f"{address}: {problem.strerror or problem}"


def _permission(path: str) -> str:
    """Return advice for a socket, or a folder above it, that this user may not use."""
    place = path
    while not os.path.exists(place) and place not in {"/", ""}:
        place = os.path.dirname(place)
    while place not in {"/", ""} and os.access(place, os.W_OK if place == path else os.X_OK):
        place = os.path.dirname(place)
    try:
        found = os.stat(place)
        group = grp.getgrgid(found.st_gid).gr_name
    except (OSError, KeyError):
        return "let the service user enter its folder and write to it"
    if not found.st_mode & (0o020 if place == path else 0o010):
        return f"{place} is closed to its group, “{group}”; open it to the group, and add the service user to that"
    return f"add the service user to the group “{group}” ({place})"
