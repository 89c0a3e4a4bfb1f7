"""An event loop in a thread of its own: sockets, timers, and nothing else.

The thread starts with the first call and ends when it has had nothing to do for a while, so that an idle resolver
holds neither a thread nor a descriptor.
"""

import heapq
import itertools
import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Loop", "Timer"]

_LINGER_S = 5.0


class Timer:
    """A callback that is due later, unless it is cancelled: then it holds nothing any more."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Loop:
    """`call` may be used from any thread; the other methods only in callbacks, which run in the loop's thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: deque[Callable[[], None]] = deque()
        self._wake = -1
        self._selector: selectors.BaseSelector | None = None
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._watched: set[object] = set()

    def call(self, callback: Callable[[], None]) -> None:
        """Run the callback in the loop's thread, soon."""
        with self._lock:
            self._calls.append(callback)
            if self._wake < 0:
                self._wake = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                threading.Thread(target=self._run, args=(self._wake,), name="dns", daemon=True).start()
            else:
                os.eventfd_write(self._wake, 1)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (self._clock() + seconds, next(self._numbers), timer))
        return timer

    def watch(self, sock: socket.socket, events: int, callback: Callable[[], None]) -> None:
        """Call back whenever the socket is ready for `events`. A second call for the socket replaces the first."""
        assert self._selector is not None
        if sock in self._watched:
            self._selector.modify(sock, events, callback)
        else:
            self._selector.register(sock, events, callback)
            self._watched.add(sock)

    def close(self, sock: socket.socket) -> None:
        """Stop watching the socket and close it."""
        assert self._selector is not None
        if sock in self._watched:
            self._selector.unregister(sock)
            self._watched.discard(sock)
        sock.close()

    def _run(self, wake: int) -> None:
        with selectors.DefaultSelector() as self._selector:
            self._selector.register(wake, selectors.EVENT_READ, None)
            while not self._idle(self._step(wake), wake):
                pass

    def _step(self, wake: int) -> bool:
        """Wait for the next event and handle all that are due. Return True if there was one."""
        assert self._selector is not None
        ready = self._selector.select(self._until_next_timer())
        for key, _ in ready:
            if key.fd == wake:
                os.eventfd_read(wake)
            elif key.fileobj in self._watched:  # an earlier callback of this round may have closed it
                key.data()
        while self._calls:
            self._calls.popleft()()
        while self._timers and self._timers[0][0] <= self._clock():
            timer = heapq.heappop(self._timers)[2]
            if timer.callback is not None:
                timer.callback()
        return bool(ready)

    def _until_next_timer(self) -> float:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return max(self._timers[0][0] - self._clock(), 0.0) if self._timers else _LINGER_S

    def _idle(self, busy: bool, wake: int) -> bool:
        """Return True, with the wake-up descriptor closed, if the thread must end."""
        with self._lock:
            if busy or self._calls or self._timers or self._watched:
                return False
            self._wake = -1
            os.close(wake)
            return True
