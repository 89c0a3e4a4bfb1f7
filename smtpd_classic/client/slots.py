"""Slots for transactions: the number of messages that are sent to other hosts at the same time.

A session takes a slot when the host is ready for MAIL, and gives it back after the transaction. A host that makes no
progress for 5 seconds no longer counts, so that silent hosts cannot hold all slots: with 150 of them and 40 slots, a
session waits 15 seconds at most. The hard cap bounds these transactions too: when it is reached and a session waits,
the one that has made no progress longest is closed, but only after 20 seconds, because many good hosts are slow, and
never after its final dot (RFC 1047).
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

__all__ = ["Progress", "TransactionSlots"]

UNCOUNTED_S, STALLED_S = 5.0, 20.0
_LOOK_S = 1.0
_CAP = 4


class Progress(Protocol):
    """A connection with a transaction; `progressed` is the monotonic time of its last reply or accepted write."""

    progressed: float
    committing: bool
    """True between the final dot and its reply."""

    def abort(self, words: str) -> None: ...


class TransactionSlots:
    """The slots of a process. Thread-safe; `clock` is monotonic."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._running: dict[int, Progress] = {}
        self._opened: deque[threading.Event] = deque()  # turns of sessions that were just opened
        self._reused: deque[threading.Event] = deque()  # turns of sessions after a message
        self._reused_next = False
        self._lock = threading.Lock()

    @property
    def crowded(self) -> bool:
        """Return True if as many new sessions wait for a slot as there are slots."""
        return len(self._opened) >= self.limit

    @property
    def running(self) -> int:
        return len(self._running)

    def enter(self, connection: Progress, *, reused: bool = False) -> None:
        """Wait for a slot and take it; new sessions and those that are used again take turns."""
        queue = self._reused if reused else self._opened
        with self._lock:
            connection.progressed = self._clock()
            if self._next_turn() is None and self._has_room():
                self._running[id(connection)] = connection
                return
            turn = threading.Event()
            queue.append(turn)
        while True:
            turn.wait(_LOOK_S)  # a stalled transaction frees its slot without an event
            with self._lock:
                turn.clear()
                if self._next_turn() is turn and self._has_room():
                    queue.popleft()
                    self._reused_next = not reused
                    connection.progressed = self._clock()
                    self._running[id(connection)] = connection
                    self._call_next()
                    return
                if self._next_turn() is turn:
                    self._close_longest_stalled()

    def leave(self, connection: Progress) -> None:
        """Give the slot back."""
        with self._lock:
            self._running.pop(id(connection), None)
            self._call_next()

    def _next_turn(self) -> threading.Event | None:
        first, second = (self._reused, self._opened) if self._reused_next else (self._opened, self._reused)
        return first[0] if first else second[0] if second else None

    def _call_next(self) -> None:
        turn = self._next_turn()
        if turn is not None:
            turn.set()

    def _has_room(self) -> bool:
        number = len(self._running)
        if number < self.limit:
            return True
        if number >= _CAP * self.limit:
            return False
        late = self._clock() - UNCOUNTED_S
        return sum(each.progressed > late for each in self._running.values()) < self.limit

    def _close_longest_stalled(self) -> None:
        if len(self._running) < _CAP * self.limit:
            return
        late = self._clock() - STALLED_S
        stalled = [each for each in self._running.values() if each.progressed <= late and not each.committing]
        if stalled:
            longest = min(stalled, key=lambda each: each.progressed)
            seconds = int(self._clock() - longest.progressed)
            longest.abort(f"no progress for {seconds} s while other mail waited; closed")
            del self._running[id(longest)]
