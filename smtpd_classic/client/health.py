"""The recent failures of other hosts, so that a hundred messages do not wait for a hundred timeouts.

A *dead* host could not be reached and is not tried for a while. A *troubled* host was reached and then failed; where we
may choose the order, it is tried last for a while. A host that could not process pipelined commands gets one command at
a time.
"""

import json
import threading
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress

from smtpd_classic.atomic_file import replace_text
from smtpd_classic.client.transport import Peer
from smtpd_classic.runtime.hosts import HostMark

__all__ = ["Health"]

_MOST = 10_000
_FIRST_BACK_OFF_S = 60.0
_PLAIN_S = 86_400.0
_FEW_S = 7200.0
_MOST_RECIPIENTS = 100  # RFC 5321 4.5.3.1.8


class Health:
    """The marks of hosts. `clock` is the wall clock. Thread-safe.

    A host that cannot be reached is dead for a minute, and twice as long after each further failure, up to `dead_s`.
    """

    def __init__(self, clock: Callable[[], float], dead_s: float) -> None:
        self._clock = clock
        self._dead_s = dead_s
        self._marks: dict[tuple[str, int], HostMark] = {}
        self._failures: dict[tuple[str, int], int] = {}  # in a row, of dead hosts
        self._plain: dict[tuple[str, int], float] = {}
        self._few: dict[tuple[str, int], tuple[int, float]] = {}
        self._lock = threading.Lock()
        self._changed = False

    def failed(self, peer: Peer, reason: str, *, dead: bool) -> None:
        now = self._clock()
        with self._lock:
            kept_s = self._back_off_s(_key(peer)) if dead else self._dead_s
            failures = self._failures.get(_key(peer), 0)
            mark = HostMark(
                str(peer._replace(ip="")), now, now + kept_s, reason, dead, failures=failures, address=peer.ip
            )
            if len(self._marks) >= _MOST:
                self._marks = {key: mark for key, mark in self._marks.items() if mark.since <= now < mark.until}
            if len(self._marks) >= _MOST:
                self._marks.clear()
            self._marks[_key(peer)] = self._marks[_name_key(peer)] = mark
            self._changed = True

    def worked(self, peer: Peer) -> None:
        if _key(peer) in self._marks or _name_key(peer) in self._marks:
            with self._lock:
                self._marks.pop(_key(peer), None)
                self._marks.pop(_name_key(peer), None)
                self._changed = True
        self._failures.pop(_key(peer), None)

    def _back_off_s(self, key: tuple[str, int]) -> float:
        """Count one more failure of the host, and return the seconds for which it is dead."""
        if len(self._failures) >= _MOST:
            self._failures.clear()
        before = self._failures.get(key, 0)
        self._failures[key] = min(before + 1, 20)
        return min(_FIRST_BACK_OFF_S * 2.0**before, self._dead_s)

    def dead(self, peer: Peer) -> HostMark | None:
        """Return the failure for which the address must not be tried now, or None."""
        mark = self._mark(_key(peer))
        return mark if mark is not None and mark.dead else None

    def troubled(self, peer: Peer) -> bool:
        """Return True if the last attempt at the host of that name, at any of its addresses, failed."""
        return self._mark(_name_key(peer)) is not None

    def one_at_a_time(self, peer: Peer) -> bool:
        """Return True if commands must be sent one at a time, although the host announces PIPELINING."""
        since = self._plain.get(_key(peer))
        return since is not None and 0 <= self._clock() - since < _PLAIN_S

    def cannot_pipeline(self, peer: Peer) -> None:
        with self._lock:
            if len(self._plain) >= _MOST:
                self._plain.clear()
            self._plain[_key(peer)] = self._clock()

    def most_recipients(self, peer: Peer) -> int:
        """Return the number of recipients of one transaction that the host is known to accept."""
        most, since = self._few.get(_key(peer), (_MOST_RECIPIENTS, 0.0))
        return most if 0 <= self._clock() - since < _FEW_S else _MOST_RECIPIENTS

    def takes_at_most(self, peer: Peer, recipients: int) -> None:
        """Record that the host ended a session after this number of recipients."""
        with self._lock:
            if len(self._few) >= _MOST:
                self._few.clear()
            self._few[_key(peer)] = (recipients, self._clock())

    def restore(self, marks: Iterable[HostMark]) -> dict[Hashable, int]:
        """Take over the marks that an earlier process wrote. Return the limits of sessions in them, by place."""
        limits: dict[Hashable, int] = {}
        for mark in marks:
            name, _, port = mark.host.rpartition(":")
            if not name or not port.isdecimal():
                continue
            peer = Peer(name, mark.address, int(port))
            for key in (_key(peer), _name_key(peer)):
                self._marks[key] = mark
                limits[key] = min(mark.limit or 1, limits.get(key, mark.limit or 1))
            self._failures[_key(peer)] = min(mark.failures, 20)
        return limits

    def save(self, path: str, allowed: Callable[[Hashable], int] = lambda place: 0) -> None:
        """Write the changes since the last call to a file; a missing folder is no error.

        It is for the screens, and for the next process. `allowed` returns the limit of sessions of a place.
        """
        with self._lock:
            if not self._changed:
                return
            self._changed = False
            now = self._clock()
            found = {
                (mark.host, mark.address): mark._replace(limit=allowed(key))._asdict()
                for key, mark in self._marks.items()
                if mark.since <= now < mark.until
            }
        with suppress(OSError):
            replace_text(path, json.dumps(list(found.values())[:1000]))

    def _mark(self, key: tuple[str, int]) -> HostMark | None:
        mark = self._marks.get(key)
        # A clock that was set back does not make a host dead for longer.
        return mark if mark is not None and mark.since <= self._clock() < mark.until else None


def _key(peer: Peer) -> tuple[str, int]:
    return peer.ip or peer.name.lower(), peer.port


def _name_key(peer: Peer) -> tuple[str, int]:
    return peer.name.lower(), peer.port
