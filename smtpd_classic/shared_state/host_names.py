"""The addresses of host names. A thread of its own asks for them, because a silent resolver takes many seconds."""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

__all__ = ["HostNames", "connect"]

_KEPT_S = 60.0
_Addresses = Sequence[tuple[Any, ...]]  # the rows of getaddrinfo


@dataclass(slots=True)
class _Known:
    """The addresses of a name that were found last, and the look-up under way."""

    addresses: _Addresses = ()
    until: float = 0.0
    problem: str = ""
    found: threading.Event | None = None


@dataclass(slots=True)
class HostNames:
    """The addresses of names, kept for a minute; older ones are used until a look-up has new ones.

    `patience_s` is the time that a connection may take at least. A command that connects once needs it for the look-up:
    unlike a server it has no next question, for which the addresses are known.
    """

    look_up: Callable[..., _Addresses] = socket.getaddrinfo
    clock: Callable[[], float] = time.monotonic
    patience_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: dict[tuple[str, int], _Known] = field(default_factory=dict)

    def addresses(self, host: str, port: int, wait_s: float) -> _Addresses:
        """Return the addresses of a host. Raises OSError if none is known after `wait_s`."""
        with suppress(socket.gaierror):  # an address needs no look-up
            return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
        with self._lock:
            known = self._known.setdefault((host, port), _Known())
            if self.clock() >= known.until and known.found is None:
                known.found = threading.Event()
                threading.Thread(target=self._find, args=(host, port, known), name="look-up", daemon=True).start()
            waiting = known.found
        if not known.addresses and waiting is not None and not waiting.wait(wait_s):
            raise OSError(f"the name {host} was not resolved in {wait_s * 1000:.0f} ms")
        if not known.addresses:
            raise OSError(f"the name {host} cannot be resolved: {known.problem}")
        return known.addresses

    def renew(self, host: str, port: int) -> None:
        """Look the name up again at its next use, because its addresses do not answer."""
        with self._lock:
            known = self._known.get((host, port))
            if known is not None:
                known.until = 0.0

    def _find(self, host: str, port: int, known: _Known) -> None:
        try:
            known.addresses = self.look_up(host, port, 0, socket.SOCK_STREAM)
            known.until = self.clock() + _KEPT_S
        except OSError as problem:
            known.problem = problem.strerror or str(problem)
        except Exception as problem:  # a look-up that never ends would be the last one
            known.problem = f"{type(problem).__name__}: {problem}"
        with self._lock:
            found, known.found = known.found, None
        if found is not None:
            found.set()


def connect(names: HostNames, host: str, port: int, deadline_s: float) -> socket.socket:
    """Return a connection to the first address that answers, within `deadline_s` or the patience. Raises OSError."""
    within_s = max(deadline_s, names.patience_s)
    end = time.monotonic() + within_s
    problem: OSError = OSError(f"the name {host} has no address")
    for family, kind, protocol, _, address in names.addresses(host, port, within_s):
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            made.settimeout(max(end - time.monotonic(), 0.001))
            made.connect(address)
            made.settimeout(deadline_s)
        except OSError as failed:
            made.close()
            problem = failed
        else:
            return made
    names.renew(host, port)
    try:
        raise problem
    finally:
        del problem  # it refers to this frame, which would then wait for the garbage collector
