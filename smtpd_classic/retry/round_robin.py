"""A round-robin queue: one item of each key before the second of any.

A list with ten thousand recipients thus does not keep a single message waiting.
"""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["RoundRobin"]

T = TypeVar("T")


class RoundRobin(Generic[T]):
    def __init__(self) -> None:
        self._queues: dict[Hashable, deque[T]] = {}  # in the order of their turns
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, key: Hashable, item: T) -> None:
        self._queues.setdefault(key, deque()).append(item)
        self._length += 1

    def take(self) -> T | None:
        """Remove and return the first item of the next key in turn; return None if the queue is empty."""
        key = next(iter(self._queues), None)
        if key is None:
            return None
        queue = self._queues.pop(key)
        item = queue.popleft()
        if queue:
            self._queues[key] = queue
        self._length -= 1
        return item
