"""Where messages wait by their ids alone: each at the lane that it waits for, until the lane takes work again."""

import heapq
import itertools

from smtpd_classic.retry.lanes import Lane

__all__ = ["Parking"]


class Parking:
    """Of one thread. Moments are monotonic. Lanes that rest are not looked at until they do so no more, however many
    they are."""

    def __init__(self) -> None:
        self._lane_of: dict[str, Lane] = {}
        self._stops: dict[Lane, None] = {}  # where somebody is parked and may go, in the order of their turns
        self._resting: list[tuple[float, int, Lane]] = []
        self._numbers = itertools.count()

    def __contains__(self, queue_id: str) -> bool:
        return queue_id in self._lane_of

    def __len__(self) -> int:
        return len(self._lane_of)

    def park(self, queue_id: str, lane: Lane, *, new: bool) -> None:
        (lane.new if new else lane.parked).append(queue_id)
        self._lane_of[queue_id] = lane
        self._stops[lane] = None

    def leave(self, queue_id: str) -> None:
        """It is looked at for another reason."""
        self._lane_of.pop(queue_id, None)

    def take(self, now: float) -> str | None:
        """The first id of a lane that takes work again; lanes take turns."""
        while self._resting and self._resting[0][0] <= now:
            self._stops[heapq.heappop(self._resting)[2]] = None
        for lane in list(self._stops):
            queue_id = self._next(lane, now)
            if queue_id is not None:
                self._stops[lane] = self._stops.pop(lane)
                return queue_id
            if lane.empty:
                del self._stops[lane]
            elif lane.resting(now) is not None and not lane.new:
                del self._stops[lane]
                heapq.heappush(self._resting, (lane.rests_until, next(self._numbers), lane))
        return None

    def next_look(self, now: float) -> float | None:
        """Seconds until a lane takes work again that nobody tells us of; a full one does when an attempt is over."""
        waits = [lane.busy_until - now for lane in self._stops if lane.busy_until > now]
        if self._resting:
            waits.append(max(self._resting[0][0] - now, 0.0))
        return min(waits, default=None)

    def _next(self, lane: Lane, now: float) -> str | None:
        while (queue_id := lane.next_parked(now)) is not None:
            if self._lane_of.get(queue_id) is lane:  # else it has left meanwhile
                del self._lane_of[queue_id]
                return queue_id
        return None
