"""When each queued message is due, in memory: filled by one scan at start, by wakes, and mended by slow scans.

Nothing here is worth keeping: the spool knows it all, and another scan gives it back.
"""

import heapq
from collections.abc import Iterator, Mapping

__all__ = ["DueTimes"]


class DueTimes:
    """Ids by the time at which they are to be looked at. Of one thread."""

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
        """Look at it then, and not at the time that was noted before."""
        if self._when.get(queue_id) != when:
            self._when[queue_id] = when
            heapq.heappush(self._heap, (when, queue_id))
            if len(self._heap) > 2 * len(self._when) + 1000:  # most of it is not due any more
                self._rebuild()

    def fill(self, found: Mapping[str, float]) -> None:
        """Many at once."""
        self._when.update(found)
        self._rebuild()

    def forget(self, queue_id: str) -> None:
        self._when.pop(queue_id, None)

    def due(self, now: float) -> Iterator[str]:
        """Those whose time has come, the longest due first; each is forgotten as it is taken."""
        while self._heap and self._heap[0][0] <= now:
            when, queue_id = heapq.heappop(self._heap)
            if self._when.get(queue_id) == when:
                del self._when[queue_id]
                yield queue_id

    @property
    def next(self) -> float | None:
        """When the first is due, or something that is not due any more was."""
        return self._heap[0][0] if self._heap else None

    def no_later_than(self, when: float) -> None:
        """The clock was set back: nothing is to wait longer than until `when`."""
        for queue_id, due in self._when.items():
            if due > when:
                self._when[queue_id] = when
        self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(when, queue_id) for queue_id, when in self._when.items()]
        heapq.heapify(self._heap)
