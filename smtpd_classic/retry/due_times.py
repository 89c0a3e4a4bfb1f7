"""The time at which each queued message is due, in memory.

One scan at start fills it, wakes add to it, and periodic scans correct it. It need not be saved: the spool has all the
data, and another scan restores it.
"""

import heapq
from collections.abc import Iterator, Mapping

__all__ = ["DueTimes"]


class DueTimes:
    """Queue ids by the time of their next look. Used by one thread."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._when: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._when)

    def __contains__(self, queue_id: str) -> bool:
        return queue_id in self._when

    def when(self, queue_id: str) -> float | None:
        return self._when.get(queue_id)

    def add(self, queue_id: str, when: float) -> None:
        """Set the time of the next look, in place of an earlier one."""
        if self._when.get(queue_id) != when:
            self._when[queue_id] = when
            heapq.heappush(self._heap, (when, queue_id))
            if len(self._heap) > 2 * len(self._when) + 1000:  # most of its items are obsolete
                self._rebuild()

    def fill(self, found: Mapping[str, float]) -> None:
        """Set the times of many messages at once."""
        self._when.update(found)
        self._rebuild()

    def forget(self, queue_id: str) -> None:
        self._when.pop(queue_id, None)

    def due(self, now: float) -> Iterator[str]:
        """Yield the ids that are due, the longest due first; forget each one as it is taken."""
        while self._heap and self._heap[0][0] <= now:
            when, queue_id = heapq.heappop(self._heap)
            if self._when.get(queue_id) == when:
                del self._when[queue_id]
                yield queue_id

    @property
    def next(self) -> float | None:
        """Return the earliest time, which may be that of an obsolete item; None if there is none."""
        return self._heap[0][0] if self._heap else None

    def no_later_than(self, when: float) -> None:
        """Bound every time by `when`, because the clock was set back."""
        for queue_id, due in self._when.items():
            if due > when:
                self._when[queue_id] = when
        self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(when, queue_id) for queue_id, when in self._when.items()]
        heapq.heapify(self._heap)
