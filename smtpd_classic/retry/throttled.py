"""Throttled messages: each waits by its id alone, in the queue of a next hop that is full or backs off."""

import heapq
import itertools

from smtpd_classic.retry.limits import NextHopQueue

__all__ = ["ThrottledMessages"]

_MOST_LOOKS = 1000  # full next hops in one call; the next call begins behind them


class ThrottledMessages:
    """The throttled messages. Used by one thread; times are monotonic.

    A next hop that backs off costs nothing until its time is over.
    """

    def __init__(self) -> None:
        self._queue_of: dict[str, NextHopQueue] = {}
        self._stops: dict[NextHopQueue, None] = {}  # with messages that may go, in the order of their turns
        self._backing_off: list[tuple[float, int, NextHopQueue]] = []
        self._numbers = itertools.count()

    def __contains__(self, queue_id: str) -> bool:
        return queue_id in self._queue_of

    def __len__(self) -> int:
        return len(self._queue_of)

    def add(self, queue_id: str, hop: NextHopQueue, *, new: bool) -> None:
        (hop.new if new else hop.tried).append(queue_id)
        self._queue_of[queue_id] = hop
        self._stops[hop] = None

    def leave(self, queue_id: str) -> None:
        """Forget the id, because the message is opened for another reason."""
        self._queue_of.pop(queue_id, None)

    def take(self, now: float) -> str | None:
        """Return the first id of a next hop that takes work again, None if there is none; next hops take turns."""
        while self._backing_off and self._backing_off[0][0] <= now:
            self._stops[heapq.heappop(self._backing_off)[2]] = None
        full = 0
        for _ in range(len(self._stops)):
            hop = next(iter(self._stops))
            del self._stops[hop]
            queue_id = self._next(hop, now)
            if hop.empty:
                pass
            elif queue_id is None and hop.backing_off(now) is not None and not hop.new:
                heapq.heappush(self._backing_off, (hop.backs_off_until, next(self._numbers), hop))
            else:
                self._stops[hop] = None
                full += queue_id is None
            if queue_id is not None or full == _MOST_LOOKS:
                return queue_id
        return None

    def next_look(self, now: float) -> float | None:
        """Return the seconds until a back-off ends, else None. A full next hop has room when an attempt ends."""
        waits = [hop.busy_until - now for hop in self._stops if hop.busy_until > now]
        if self._backing_off:
            waits.append(max(self._backing_off[0][0] - now, 0.0))
        return min(waits, default=None)

    def _next(self, hop: NextHopQueue, now: float) -> str | None:
        while (queue_id := hop.next_id(now)) is not None:
            if self._queue_of.get(queue_id) is hop:  # else it has left meanwhile
                del self._queue_of[queue_id]
                return queue_id
        return None
