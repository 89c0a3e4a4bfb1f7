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
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import NamedTuple

from smtpd_classic.client.attempt import RoutedJob
from smtpd_classic.client.transport import Outcome
from smtpd_classic.retry.fair import FairQueue
from smtpd_classic.retry.ticket import Ticket

__all__ = ["Gate", "Lane", "Work", "WorkQueue"]


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
    """`clock` is monotonic. Thread-safe.

    A *call* wakes one thread that waits in `take`. Whatever makes work ready adds one for each, so that there are never
    fewer calls than works that are ready; one too many only makes somebody look in vain.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ready: FairQueue[Work] = FairQueue()
        self._later: list[tuple[float, int, Work]] = []
        self._gates: set[Gate] = set()  # those at which somebody waits
        self._numbers = itertools.count()
        self._stopping = False
        self._lock = threading.Lock()
        self._calls: SimpleQueue[None] = SimpleQueue()  # not a Condition, which is made of Python

    def put(self, work: Work) -> None:
        with self._lock:
            work.lane.enter(work.key)
            self._make_ready(work)

    def put_back(self, work: Work, wait_s: float) -> None:
        """Work that was taken and could not be done just now; `done` has to follow all the same."""
        shared = work.lane.shared
        if shared is not None and shared not in work.gates:
            work = work._replace(gates=(*work.gates, shared))
        with self._lock:
            work.lane.enter(work.key)
            heapq.heappush(self._later, (self._clock() + wait_s, next(self._numbers), work))
            self._calls.put(None)

    def take(self) -> Work | None:
        """The next work, waiting for it; None when the queue is stopped."""
        wait_s: float | None = None
        while True:
            with suppress(Empty):
                self._calls.get(timeout=wait_s)
            with self._lock:
                work = None if self._stopping else self._next()
                if self._stopping or (work is not None and self._later):
                    self._calls.put(None)  # for another one: to end, or to wait for what is to be done later
                if self._stopping or work is not None:
                    return work
                wait_s = max(self._later[0][0] - self._clock(), 0.0) if self._later else None

    def done(self, work: Work) -> None:
        """After `take`: somebody who waited at the same gates may go on."""
        with self._lock:
            work.lane.leave(work.key)
            for gate in work.gates:
                gate.running -= 1
                waiting = gate.blocked.take()
                if waiting is None:
                    self._gates.discard(gate)
                else:
                    self._make_ready(waiting)

    def stop(self) -> list[Work]:
        """Let everybody who takes work end; returns what nobody has taken."""
        with self._lock:
            self._stopping = True
            self._calls.put(None)
            left = [work for _, _, work in self._later]
            self._later.clear()
            for queue in (self._ready, *(gate.blocked for gate in self._gates)):
                while (work := queue.take()) is not None:
                    left.append(work)
            return left

    def _make_ready(self, work: Work) -> None:
        self._ready.put(work.key, work)
        self._calls.put(None)

    def _next(self) -> Work | None:
        """Work that passes all its gates; what does not waits there."""
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            self._make_ready(heapq.heappop(self._later)[2])
        while (work := self._ready.take()) is not None:
            full = next((gate for gate in work.gates if gate.running >= gate.limit), None)
            if full is None:
                for gate in work.gates:
                    gate.running += 1
                return work
            full.blocked.put(work.key, work)
            self._gates.add(full)
        return None
