"""The open sessions with other hosts: idle ones kept for the next message, and their number for each host.

A session counts at each of its *places*: the remote address, and the name of the host. An idle session counts too. A
place starts with 2 sessions; each success allows one more up to `most`, a timeout halves the number, and a failure
leaves 1.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol

from smtpd_classic.client.host_locks import HostLocks
from smtpd_classic.client.transport import HostBusy, Peer

__all__ = ["Connections", "IdleSession", "places_of"]


_MOST_KEPT = 300
_MOST_PLACES = 20_000
_FIRST_ALLOWED = 2


class IdleSession(Protocol):
    """A session that is not in use."""

    @property
    def reusable(self) -> bool: ...
    def quit(self) -> None: ...


@dataclass(eq=False, slots=True)
class _Kept:
    places: tuple[Hashable, ...]
    key: Hashable
    session: IdleSession
    since: float


def places_of(peer: Peer) -> tuple[Hashable, ...]:
    """Return the places at which a session with the peer counts."""
    address, name = (peer.ip or peer.name.lower(), peer.port), (peer.name.lower(), peer.port)
    return (address,) if address == name else (address, name)


class Connections:
    """The pool of sessions. Thread-safe; `clock` is monotonic.

    Sessions are shared only under the same `key` (host, TLS, login). `locks` count the sessions of other processes.
    A session that was closed counts for `linger_s` more at a host with no room: the host needs a moment to notice.
    """

    def __init__(
        self,
        most: int,
        keep_s: float,
        clock: Callable[[], float],
        locks: HostLocks | None = None,
        *,
        linger_s: float = 0.0,
    ) -> None:
        self._most = most
        self._keep_s = keep_s
        self._clock = clock
        self._locks = locks
        self._linger_s = linger_s
        self._lingering: deque[tuple[float, tuple[Hashable, ...]]] = deque()
        self._allowed: dict[Hashable, int] = {}
        self._open: dict[Hashable, int] = {}
        self._kept: dict[_Kept, None] = {}  # the longest idle first
        self._kept_at: dict[Hashable, list[_Kept]] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._closed = False  # for idle sessions
        self._ended = False  # for new sessions too

    def take(self, places: tuple[Hashable, ...], key: Hashable) -> IdleSession | None:
        """Return an idle session, or None for the right to open one. Raises HostBusy.

        After a return the caller must call `give_back`.
        """
        while True:
            with self._lock:
                found = next((each for each in reversed(self._kept_at.get(places[0], [])) if each.key == key), None)
                if found is not None:
                    self._drop(found)
                    return found.session
                busy = places[0] if self._ended else self._count(places)
                if busy is None:
                    return None
                kept = self._kept_at.get(busy)
                if not kept:
                    raise HostBusy(busy)
                stale = kept[0]  # an idle session with another key makes room
                self._drop(stale)
            self._end(stale)

    def give_back(self, places: tuple[Hashable, ...], key: Hashable, session: IdleSession | None) -> None:
        """Return the session after `take`, if there is one. It is kept if it can be used again."""
        ended = _Kept(places, key, session, self._clock()) if session is not None else None
        with self._lock:
            if ended is not None and ended.session.reusable and not self._closed and self._within(places):
                self._keep(ended)
                ended = next(iter(self._kept)) if len(self._kept) > _MOST_KEPT else None
                if ended is None:
                    return
                self._drop(ended)
        if ended is not None:
            self._end(ended)
            return
        with self._lock:  # there was no session: the host has nothing to notice
            self._less(places)

    def close_idle(self, *, all_of_them: bool = False) -> None:
        """End the sessions that have been idle for `keep_s`; or all idle sessions, and keep no other from now on."""
        now = self._clock()
        with self._lock:
            self._closed = self._closed or all_of_them
            ended = [each for each in self._kept if all_of_them or now - each.since >= self._keep_s]
            for each in ended:
                self._drop(each)
        for each in ended:
            each.session.quit()
        if not self._ended:
            for each in ended:
                self._closed_with(each.places)
            ended = []
        elif ended or self._lingering:
            time.sleep(self._linger_s)
        with self._lock:
            self._free_lingering()
            for each in ended:
                self._less(each.places)

    def close(self) -> None:
        """End all idle sessions, and allow no new one."""
        self._ended = True
        self.close_idle(all_of_them=True)

    def forget(self, place: Hashable) -> None:
        """End the idle sessions at this place."""
        with self._lock:
            ended = list(self._kept_at.get(place, ()))
            for each in ended:
                self._drop(each)
        for each in ended:
            self._end(each)

    # The limit of each place -----------------------------------------------------------------------------------------

    def allowed(self, place: Hashable) -> int:
        """Return the number of sessions that the place may have now."""
        return self._allowed.get(place, min(_FIRST_ALLOWED, self._most))

    def room(self, place: Hashable) -> int:
        """Return the number of sessions that can be in use at the place now: those just closed still count. At least 1,
        so that one job finds out when there is room again.
        """
        if not self._lingering:
            return self.allowed(place)
        with self._lock:
            closed = sum(place in places for _, places in self._lingering)
        return max(self.allowed(place) - closed, 1)

    def worked(self, places: tuple[Hashable, ...]) -> None:
        """Allow one more session."""
        if any(self.allowed(place) < self._most for place in places):
            self._allow({place: self.allowed(place) + 1 for place in places})

    def timed_out(self, places: tuple[Hashable, ...]) -> None:
        """Allow half the number of sessions."""
        self._allow({place: self.allowed(place) // 2 for place in places})

    def failed(self, places: tuple[Hashable, ...]) -> None:
        """Allow one session."""
        self._allow(dict.fromkeys(places, 1))

    def restore(self, allowed: Mapping[Hashable, int]) -> None:
        """Take over the limits of an earlier process."""
        self._allow(allowed)

    def _allow(self, allowed: Mapping[Hashable, int]) -> None:
        with self._lock:
            if len(self._allowed) >= _MOST_PLACES:
                self._allowed.clear()
            for place, number in allowed.items():
                self._allowed[place] = min(max(number, 1), self._most)

    @property
    def open(self) -> int:
        """Return the number of open sessions."""
        return self._number

    # With the lock ---------------------------------------------------------------------------------------------------

    def _within(self, places: tuple[Hashable, ...]) -> bool:
        return all(self._open[place] <= self.allowed(place) for place in places)

    def _count(self, places: tuple[Hashable, ...]) -> Hashable | None:
        """Count one more session. Return the place that has no room for it, None if it is counted."""
        self._free_lingering()
        for place in places:
            if self._open.get(place, 0) >= self.allowed(place):
                return place
        for number, place in enumerate(places):
            if self._locks is not None and not self._locks.lock(place, self.allowed(place)):
                for locked in places[:number]:
                    self._locks.unlock(locked)
                return place
        for place in places:
            self._open[place] = self._open.get(place, 0) + 1
        self._number += 1
        return None

    def _free_lingering(self) -> None:
        now = self._clock()
        while self._lingering and (self._ended or self._lingering[0][0] <= now):
            self._less(self._lingering.popleft()[1])

    def _less(self, places: tuple[Hashable, ...]) -> None:
        self._number -= 1
        for place in places:
            if self._locks is not None:
                self._locks.unlock(place)
            self._open[place] -= 1
            if not self._open[place]:
                del self._open[place]

    def _keep(self, kept: _Kept) -> None:
        self._kept[kept] = None
        for place in kept.places:
            self._kept_at.setdefault(place, []).append(kept)

    def _drop(self, kept: _Kept) -> None:
        del self._kept[kept]
        for place in kept.places:
            self._kept_at[place].remove(kept)
            if not self._kept_at[place]:
                del self._kept_at[place]

    # Without the lock ------------------------------------------------------------------------------------------------

    def _end(self, ended: _Kept) -> None:
        """Close the session, and only then make room for another."""
        ended.session.quit()
        self._closed_with(ended.places)

    def _closed_with(self, places: tuple[Hashable, ...]) -> None:
        """Make room after a connection was closed."""
        if self._ended:  # the next process connects as soon as it has the lock
            time.sleep(self._linger_s)
        with self._lock:
            full = any(self._open[place] >= self.allowed(place) for place in places)
            if full and self._linger_s and not self._ended:
                self._lingering.append((self._clock() + self._linger_s, places))
            else:
                self._less(places)
