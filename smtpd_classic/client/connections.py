"""The open sessions with other hosts: idle ones kept for the next message, and their number for each address.

An idle session counts too: there are never more connections to one address than `most`.
"""

import threading
from collections.abc import Callable, Hashable
from typing import NamedTuple, Protocol

from smtpd_classic.client.transport import HostBusy

__all__ = ["Connections", "IdleSession"]


_MOST_KEPT = 100


class IdleSession(Protocol):
    """A session that is not in use."""

    @property
    def reusable(self) -> bool: ...
    def quit(self) -> None: ...


class _Kept(NamedTuple):
    key: Hashable
    session: IdleSession
    since: float


class Connections:
    """The pool of sessions. Thread-safe; `clock` is monotonic.

    Sessions are shared only under the same `key` (host, TLS, login). Connections are counted by `address`.
    """

    def __init__(self, most: int, keep_s: float, clock: Callable[[], float]) -> None:
        self._most = most
        self._keep_s = keep_s
        self._clock = clock
        self._open: dict[object, int] = {}
        self._kept: dict[object, list[_Kept]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def take(self, address: object, key: object) -> IdleSession | None:
        """Return an idle session, or None for the right to open one. Raises HostBusy.

        After a return the caller must call `give_back`.
        """
        stale: IdleSession | None = None
        with self._lock:
            kept = self._kept.get(address, [])
            found = next((each for each in reversed(kept) if each.key == key), None)
            if found is not None:
                kept.remove(found)
                return found.session
            if self._open.get(address, 0) < self._most:
                self._open[address] = self._open.get(address, 0) + 1
            elif kept:
                stale = kept.pop(0).session  # an idle session with another key makes room
            else:
                raise HostBusy(address)
        if stale is not None:
            stale.quit()
        return None

    def give_back(self, address: object, key: object, session: IdleSession | None) -> None:
        """Return the session after `take`, if there is one. It is kept if it can be used again."""
        with self._lock:
            if session is not None and session.reusable and not self._closed and self._room():
                self._kept.setdefault(address, []).append(_Kept(key, session, self._clock()))
                return
            self._less(address)
        if session is not None:
            session.quit()

    def close_idle(self, *, all_of_them: bool = False) -> None:
        """End the sessions that have been idle for `keep_s`, or all idle sessions."""
        now = self._clock()
        ended: list[_Kept] = []
        with self._lock:
            self._closed = self._closed or all_of_them
            for address, kept in list(self._kept.items()):
                old = [each for each in kept if all_of_them or now - each.since >= self._keep_s]
                for each in old:
                    kept.remove(each)
                    self._less(address)
                if not kept:
                    del self._kept[address]
                ended += old
        for each in ended:
            each.session.quit()

    def forget(self, address: object) -> None:
        """End the idle sessions with this address."""
        with self._lock:
            kept = self._kept.pop(address, [])
            for _ in kept:
                self._less(address)
        for each in kept:
            each.session.quit()

    @property
    def open(self) -> int:
        return sum(self._open.values())

    def _room(self) -> bool:
        return sum(len(kept) for kept in self._kept.values()) < _MOST_KEPT

    def _less(self, address: object) -> None:
        left = self._open[address] - 1
        if left:
            self._open[address] = left
        else:
            del self._open[address]
