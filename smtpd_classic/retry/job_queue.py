"""The queue from which delivery threads take jobs.

A job waits at the first limit that is reached, out of the way of other jobs.
"""

import heapq
import itertools
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from smtpd_classic.retry.limits import ConcurrencyLimit, ScheduledJob
from smtpd_classic.retry.round_robin import RoundRobin

__all__ = ["JobQueue"]

_IDLE_S = 10.0


class JobQueue:
    """The jobs that are ready, and the threads that take them. Thread-safe; `clock` is monotonic.

    At most `most` jobs run at once, and none begins while `crowded()` is true. `spawn` starts one more thread; it is
    called when a job is ready and no thread waits for one. A thread ends after it has waited `idle_s` without a job,
    but `keep` threads stay.

    A *call* wakes one thread that waits in `take`. Each job that becomes ready adds one call, so that there are never
    fewer calls than ready jobs. After a superfluous call, a thread finds no job and waits again.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        most: int = 1_000_000,
        crowded: Callable[[], bool] = lambda: False,
        spawn: Callable[[], None] = lambda: None,
        *,
        keep: int = 1_000_000,
    ) -> None:
        self._clock = clock
        self._most = most
        self._crowded = crowded
        self._spawn = spawn
        self._keep = keep
        self._first: RoundRobin[ScheduledJob] = RoundRobin()  # for next hops with no running job
        self._ready: RoundRobin[ScheduledJob] = RoundRobin()
        self._later: list[tuple[float, int, ScheduledJob]] = []
        self._gates: set[ConcurrencyLimit] = set()  # those with blocked jobs
        self._numbers = itertools.count()
        self._running = 0
        self._held_back = 0  # calls that woke a thread while no job could begin
        self._idle = self._threads = 0
        self._stopping = False
        self._lock = threading.Lock()
        self._calls: SimpleQueue[None] = SimpleQueue()  # a Condition is pure Python, and slower

    @property
    def running(self) -> int:
        """Return the number of running jobs."""
        return self._running

    @property
    def calls(self) -> int:
        """Return the number of calls that no thread has received yet."""
        return self._calls.qsize()

    def put(self, work: ScheduledJob) -> None:
        """Add a job."""
        with self._lock:
            work.hop.enter(work.key)
            self._make_ready(work)
            short = self._short_of_threads()
        if short:
            self._spawn()

    def put_back(self, work: ScheduledJob, wait_s: float) -> None:
        """Add a job that was taken and cannot be done now, to run after `wait_s`; the caller must call `done`
        afterwards.
        """
        shared = work.hop.shared
        if shared is not None and shared not in work.limits:
            work = work._replace(limits=(*work.limits, shared))
        with self._lock:
            work.hop.enter(work.key)
            heapq.heappush(self._later, (self._clock() + wait_s, next(self._numbers), work))
            self._calls.put(None)

    def take(self) -> ScheduledJob | None:
        """Wait for the next job and return it; return None if the thread must end."""
        wait_s: float | None = _IDLE_S
        with self._lock:
            self._idle += 1
        while True:
            called = True
            try:
                self._calls.get(timeout=wait_s)
            except Empty:
                called = False
            with self._lock:
                work = None if self._stopping else self._next(called=called)
                self._repeat_call()
                if self._stopping or (work is not None and self._later):
                    self._calls.put(None)  # for another thread: to end, or to wait for the job that is due later
                retire = not called and not self._later and not self._has_ready() and self._threads > self._keep
                if self._stopping or work is not None or retire:
                    self._idle -= 1
                    self._running += work is not None
                    self._threads -= work is None
                    return work
                wait_s = max(self._later[0][0] - self._clock(), 0.0) if self._later else _IDLE_S

    def done(self, work: ScheduledJob) -> ScheduledJob | None:
        """End a job from `take`, and make ready the jobs that waited at the same limits.

        Return the next job of this thread, which uses the same session; None if the thread must call `take`.
        """
        with self._lock:
            self._running -= 1
            work.hop.leave(work.key)
            for limit in work.limits:
                limit.running -= 1
            following = self._following(work)
            for limit in work.limits:
                for _ in range(max(limit.allowed - limit.running, 0)):
                    waiting = limit.blocked.take()
                    if waiting is None:
                        self._gates.discard(limit)
                        break
                    self._make_ready(waiting)
            self._repeat_call()
            short = self._short_of_threads()
        if short:
            self._spawn()
        return following

    def thread_lost(self) -> None:
        """Count one thread less, because `spawn` could not start it."""
        with self._lock:
            self._threads -= 1

    def stop(self) -> list[ScheduledJob]:
        """End every thread. Return the jobs that no thread has taken."""
        with self._lock:
            self._stopping = True
            self._calls.put(None)
            left = [work for _, _, work in self._later]
            self._later.clear()
            for queue in (self._first, self._ready, *(limit.blocked for limit in self._gates)):
                while (work := queue.take()) is not None:
                    left.append(work)
            return left

    def _following(self, work: ScheduledJob) -> ScheduledJob | None:
        """Return a job that waited for the session of this one, unless a next hop without a session waits for a
        thread.
        """
        if len(self._first) or self._stopping:
            return None
        for limit in (work.hop.sessions, work.hop.shared):
            following = limit.blocked.take() if limit is not None else None
            if following is None:
                continue
            if all(each.running < each.allowed for each in following.limits):
                for each in following.limits:
                    each.running += 1
                self._running += 1
                return following
            self._make_ready(following)
        return None

    def _has_ready(self) -> bool:
        return bool(len(self._first) or len(self._ready))

    def _short_of_threads(self) -> bool:
        """Return True, and count one more thread, if a job is ready and no thread waits for it."""
        ready = len(self._first) + len(self._ready)
        short = ready > max(self._idle, self._threads - self._running) and self._threads < self._most
        short = short and not self._stopping and self._may_begin()
        self._threads += short
        return short

    def _may_begin(self) -> bool:
        return self._running < self._most and not self._crowded()

    def _repeat_call(self) -> None:
        """Repeat one call that was held back. The thread that it wakes repeats the next one, while jobs may begin."""
        if self._held_back and self._has_ready() and self._may_begin():
            self._held_back -= 1
            self._calls.put(None)

    def _make_ready(self, work: ScheduledJob) -> None:
        queue = self._ready if work.hop.sessions.running else self._first
        queue.put(work.hop.name, work)
        self._calls.put(None)

    def _next(self, *, called: bool) -> ScheduledJob | None:
        """Return a job that passes all its limits; the others wait at the limit that is reached."""
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            self._make_ready(heapq.heappop(self._later)[2])
        if self._has_ready() and not self._may_begin():
            self._held_back += called
            return None
        while (work := self._first.take() or self._ready.take()) is not None:
            full = next((limit for limit in work.limits if limit.running >= limit.allowed), None)
            if full is None:
                for limit in work.limits:
                    limit.running += 1
                return work
            full.blocked.put(work.key, work)
            self._gates.add(full)
        return None
