"""Who may go when: delivery threads take work from here, fairly, and not more than each gate lets through.

A *gate* lets so many pass at a time; what finds it full waits there, not in the way of others. A *lane* is the gate
of one destination. It rests for a while after a delivery that reached nobody: whoever comes meanwhile is put off
without a try.
"""

import heapq
import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from smtpd_classic.delivery.attempt import Errand
from smtpd_classic.delivery.transport import Outcome
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
    queued: Counter[str] = field(default_factory=Counter)
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
    errand: Errand
    lane: Lane
    gates: tuple[Gate, ...]

    @property
    def key(self) -> str:
        return self.ticket.queue_id


class WorkQueue:
    """`clock` is monotonic. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ready: FairQueue[Work] = FairQueue()
        self._later: list[tuple[float, int, Work]] = []
        self._gates: set[Gate] = set()  # those at which somebody waits
        self._numbers = itertools.count()
        self._stopping = False
        self._changed = threading.Condition()

    def put(self, work: Work) -> None:
        with self._changed:
            work.lane.queued[work.key] += 1
            self._ready.put(work.key, work)
            self._changed.notify()

    def put_back(self, work: Work, wait_s: float) -> None:
        """Work that was taken and could not be done just now; `done` has to follow all the same."""
        shared = work.lane.shared
        if shared is not None and shared not in work.gates:
            work = work._replace(gates=(*work.gates, shared))
        with self._changed:
            work.lane.queued[work.key] += 1
            heapq.heappush(self._later, (self._clock() + wait_s, next(self._numbers), work))
            self._changed.notify()

    def take(self) -> Work | None:
        """The next work, waiting for it; None when the queue is stopped."""
        with self._changed:
            while not self._stopping:
                self._wake_later()
                work = self._ready.take()
                if work is None:
                    self._changed.wait(self._later[0][0] - self._clock() if self._later else None)
                    continue
                full = next((gate for gate in work.gates if gate.running >= gate.limit), None)
                if full is not None:
                    full.blocked.put(work.key, work)
                    self._gates.add(full)
                    continue
                for gate in work.gates:
                    gate.running += 1
                return work
            return None

    def done(self, work: Work) -> None:
        """After `take`: somebody who waited at the same gates may go on."""
        with self._changed:
            work.lane.queued[work.key] -= 1
            if not work.lane.queued[work.key]:
                del work.lane.queued[work.key]
            for gate in work.gates:
                gate.running -= 1
                waiting = gate.blocked.take()
                if waiting is None:
                    self._gates.discard(gate)
                else:
                    self._ready.put(waiting.key, waiting)
                    self._changed.notify()

    def stop(self) -> list[Work]:
        """Let everybody who takes work end; returns what nobody has taken."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            left = [work for _, _, work in self._later]
            self._later.clear()
            for queue in (self._ready, *(gate.blocked for gate in self._gates)):
                while (work := queue.take()) is not None:
                    left.append(work)
            return left

    def _wake_later(self) -> None:
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            work = heapq.heappop(self._later)[2]
            self._ready.put(work.key, work)
