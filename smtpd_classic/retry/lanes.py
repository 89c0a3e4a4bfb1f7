"""Who may go when: delivery threads take work from here, fairly, and not more than each gate lets through.

A *gate* lets so many pass at a time; what finds it full waits there, not in the way of others. A *lane* is the gate
of one destination. It rests for a while after a delivery that reached nobody: whoever comes meanwhile is put off
without a try.
"""

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import NamedTuple

from smtpd_classic.client.attempt import RoutedJob
from smtpd_classic.client.transport import Outcome
from smtpd_classic.retry.fair import FairQueue
from smtpd_classic.retry.ticket import Ticket

__all__ = ["Gate", "Lane", "Work", "WorkQueue"]

_IDLE_S = 10.0
_BACK_OFF_S = 60.0


@dataclass(eq=False, slots=True)
class Gate:
    limit: int
    running: int = 0
    blocked: FairQueue["Work"] = field(default_factory=FairQueue)


@dataclass(eq=False, slots=True)
class Lane:
    """`parked` and `new` are ids that wait for their turn without being open, tried before or not; `queued` counts
    the work that waits or runs."""

    name: str
    gate: Gate
    most: int = 0  # the highest limit of the gate, 0 for a fixed one
    failures: int = 0  # in a row
    parked: deque[str] = field(default_factory=deque)
    new: deque[str] = field(default_factory=deque)
    queued: dict[str, int] = field(default_factory=dict)
    rests_until: float = 0.0
    outcome: Outcome | None = None
    busy_until: float = 0.0
    shared: Gate | None = None  # with other destinations at the same host

    def resting(self, now: float) -> Outcome | None:
        """Why nobody is tried now; None when somebody may."""
        return self.outcome if now < self.rests_until else None

    def full(self, now: float) -> bool:
        """Whether more work would only wait. Messages count, not their recipients: behind a long list there is room."""
        return len(self.queued) >= 2 * self.gate.limit + 2 or now < self.busy_until

    def succeeded(self) -> None:
        """Allow one more session than before."""
        self.failures = 0
        self.rests_until = 0.0
        self.gate.limit = min(self.gate.limit + 1, max(self.most, self.gate.limit))

    def failed(self, outcome: Outcome, now: float, longest_s: float) -> None:
        """Back off: a minute after the first failure, twice as long after each further one, up to `longest_s`."""
        self.outcome = outcome
        self.rests_until = now + min(_BACK_OFF_S * 2**self.failures, longest_s)
        self.failures = min(self.failures + 1, 20)
        if self.most:
            self.gate.limit = 1

    def enter(self, key: str) -> None:
        self.queued[key] = self.queued.get(key, 0) + 1

    def leave(self, key: str) -> None:
        self.queued[key] -= 1
        if not self.queued[key]:
            del self.queued[key]

    @property
    def idle(self) -> bool:
        return not self.queued and self.empty

    @property
    def empty(self) -> bool:
        """Whether nobody is parked here."""
        return not self.parked and not self.new

    def next_parked(self, now: float) -> str | None:
        """An id whose turn it is. One that was never tried has it while the lane rests, too: it is put off at once, and
        people can see why."""
        if self.full(now):
            return None
        if self.new:
            return self.new.popleft()
        return self.parked.popleft() if self.parked and self.resting(now) is None else None


class Work(NamedTuple):
    """An errand of a ticket on its lane; `gates` are all that it has to pass."""

    ticket: Ticket
    errand: RoutedJob
    lane: Lane
    gates: tuple[Gate, ...]

    @property
    def key(self) -> str:
        return self.ticket.queue_id


class WorkQueue:
    """The jobs that are ready, and the threads that take them. Thread-safe; `clock` is monotonic.

    At most `most` jobs run at once, and none begins while `crowded()` is true. `spawn` starts one more thread; it is
    called when a job is ready and no thread waits for one. A thread that waited `idle_s` in vain ends, but `keep` stay.

    A *call* wakes one thread that waits in `take`. Each job that becomes ready adds one call, so that there are never
    fewer calls than ready jobs; a superfluous call only makes a thread look in vain.
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
        self._first: FairQueue[Work] = FairQueue()  # for next hops with no running job
        self._ready: FairQueue[Work] = FairQueue()
        self._later: list[tuple[float, int, Work]] = []
        self._gates: set[Gate] = set()  # those with blocked work
        self._numbers = itertools.count()
        self._running = 0
        self._held_back = False
        self._idle = self._threads = 0
        self._stopping = False
        self._lock = threading.Lock()
        self._calls: SimpleQueue[None] = SimpleQueue()  # a Condition is made of Python and slower

    @property
    def running(self) -> int:
        """How many jobs threads work on."""
        return self._running

    def put(self, work: Work) -> None:
        """Add a job."""
        with self._lock:
            work.lane.enter(work.key)
            self._make_ready(work)
            short = self._short_of_threads()
        if short:
            self._spawn()

    def put_back(self, work: Work, wait_s: float) -> None:
        """Add a job that was taken and cannot be done now, to be done later; `done` must follow."""
        shared = work.lane.shared
        if shared is not None and shared not in work.gates:
            work = work._replace(gates=(*work.gates, shared))
        with self._lock:
            work.lane.enter(work.key)
            heapq.heappush(self._later, (self._clock() + wait_s, next(self._numbers), work))
            self._calls.put(None)

    def take(self) -> Work | None:
        """Wait for the next job and return it; None when the thread is to end."""
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
                work = None if self._stopping else self._next()
                if self._stopping or (work is not None and self._later):
                    self._calls.put(None)  # for another thread: to end, or to wait for the job that is due later
                retire = not called and not self._later and not self._has_ready() and self._threads > self._keep
                if self._stopping or work is not None or retire:
                    self._idle -= 1
                    self._running += work is not None
                    self._threads -= work is None
                    return work
                wait_s = max(self._later[0][0] - self._clock(), 0.0) if self._later else _IDLE_S

    def done(self, work: Work) -> None:
        """Say that a job from `take` is over: others that waited at the same limits may go on."""
        with self._lock:
            self._running -= 1
            work.lane.leave(work.key)
            for gate in work.gates:
                gate.running -= 1
                for _ in range(max(gate.limit - gate.running, 0)):
                    waiting = gate.blocked.take()
                    if waiting is None:
                        self._gates.discard(gate)
                        break
                    self._make_ready(waiting)
            if self._held_back and self._has_ready():
                self._held_back = False
                self._calls.put(None)
            short = self._short_of_threads()
        if short:
            self._spawn()

    def thread_lost(self) -> None:
        """Say that `spawn` could not start a thread."""
        with self._lock:
            self._threads -= 1

    def stop(self) -> list[Work]:
        """Let every thread end; return the jobs that none has taken."""
        with self._lock:
            self._stopping = True
            self._calls.put(None)
            left = [work for _, _, work in self._later]
            self._later.clear()
            for queue in (self._first, self._ready, *(gate.blocked for gate in self._gates)):
                while (work := queue.take()) is not None:
                    left.append(work)
            return left

    def _has_ready(self) -> bool:
        return bool(len(self._first) or len(self._ready))

    def _short_of_threads(self) -> bool:
        """Count one more thread if a job is ready and none waits for it."""
        ready = len(self._first) + len(self._ready)
        short = ready > max(self._idle, self._threads - self._running) and self._threads < self._most
        short = short and not self._stopping
        if short and (self._running >= self._most or self._crowded()):
            self._held_back = True
            short = False
        self._threads += short
        return short

    def _make_ready(self, work: Work) -> None:
        queue = self._ready if work.lane.gate.running else self._first
        queue.put(work.lane.name, work)
        self._calls.put(None)

    def _next(self) -> Work | None:
        """Return a job that passes all its limits; the others wait at the limit that is reached."""
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            self._make_ready(heapq.heappop(self._later)[2])
        if self._has_ready() and (self._running >= self._most or self._crowded()):
            self._held_back = True
            return None
        while (work := self._first.take() or self._ready.take()) is not None:
            full = next((gate for gate in work.gates if gate.running >= gate.limit), None)
            if full is None:
                for gate in work.gates:
                    gate.running += 1
                return work
            full.blocked.put(work.key, work)
            self._gates.add(full)
        return None
