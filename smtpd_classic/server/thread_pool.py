"""Threads that are used again: making one costs more than a short session does.

A thread that has nothing to do waits for the next task, as long as not too many wait already. There is no queue in
front of the pool: a connection without a free thread is refused with a reply.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["ThreadPool"]

Task = Callable[[], None]
_STACK = 256 * 1024  # the default of 8 MiB a thread is address space that thousands of sessions do not have


class ThreadPool:
    """At most `most` threads; up to `keep` of them stay when they are idle. `complain` gets the exceptions of tasks."""

    def __init__(self, most: int, keep: int, complain: Callable[[BaseException], None]) -> None:
        self._most = most
        self._keep = keep
        self._complain = complain
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._closed = False

    @property
    def threads(self) -> int:
        """Return the number of threads, busy or idle."""
        return self._threads

    @property
    def busy(self) -> int:
        return self._threads - self._idle

    def run(self, task: Task) -> bool:
        """Run `task` in a thread at once. Return False when no thread is idle and no more may be made."""
        with self._lock:
            fresh = self._idle == 0
            if self._closed or (fresh and self._threads >= self._most):
                return False
            if fresh:
                self._threads += 1
            else:
                self._idle -= 1
        if fresh and not self._start():
            return False
        self._tasks.put(task)
        return True

    def close(self) -> None:
        """Refuse further tasks, and end the idle threads."""
        with self._lock:
            self._closed = True
            for _ in range(self._idle):
                self._tasks.put(None)
            self._idle = 0

    def _start(self) -> bool:
        before = threading.stack_size(_STACK)
        try:
            threading.Thread(target=self._work, daemon=True).start()
        except RuntimeError:  # can't start new thread: the system's limit is lower than ours
            with self._lock:
                self._threads -= 1
            return False
        finally:
            threading.stack_size(before)  # other threads of the process do other things
        return True

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except Exception as problem:
                self._complain(problem)
            del task  # or the last session would stay in memory while its thread is idle
            if not self._may_stay():
                break
        with self._lock:
            self._threads -= 1

    def _may_stay(self) -> bool:
        with self._lock:
            stays = not self._closed and self._idle < self._keep
            self._idle += stays
        return stays
