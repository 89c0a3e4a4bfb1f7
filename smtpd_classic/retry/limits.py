"""Concurrency limits of next hops.

A next hop backs off for a while after an attempt that reached none of its hosts; messages for it are then deferred
without a connection.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from smtpd_classic.client.attempt import RoutedJob
from smtpd_classic.client.transport import Outcome
from smtpd_classic.retry.attempt import DeliveryAttempt
from smtpd_classic.retry.round_robin import RoundRobin

__all__ = ["ConcurrencyLimit", "NextHopQueue", "ScheduledJob", "ThreadShares"]

_BACK_OFF_S = 60.0
_NEAR_BACK_OFF_S = 2.0


@dataclass(eq=False, slots=True)
class ConcurrencyLimit:
    """A number of jobs that may run at once, and the jobs that wait for their turn."""

    allowed: int
    place: Hashable = None  # the host at which it counts, None for any other limit
    running: int = 0
    blocked: RoundRobin["ScheduledJob"] = field(default_factory=RoundRobin)


@dataclass(eq=False, slots=True)
class NextHopQueue:
    """The messages for one next hop.

    `near`: a server beside this one, which returns soon, so that the back-off stays short.
    `tried` and `new` hold the ids of messages that wait unopened, after a first attempt or before it; `queued` counts
    the jobs of each open message.
    """

    name: str
    sessions: ConcurrencyLimit
    most: int = 0  # the highest number of sessions, 0 for a fixed limit
    failures: int = 0  # in a row
    tried: deque[str] = field(default_factory=deque)
    new: deque[str] = field(default_factory=deque)
    queued: dict[str, int] = field(default_factory=dict)
    backs_off_until: float = 0.0
    outcome: Outcome | None = None
    busy_until: float = 0.0
    shared: ConcurrencyLimit | None = None  # with other destinations at the same host
    near: bool = False

    def backing_off(self, now: float) -> Outcome | None:
        """Return the outcome for which the next hop backs off now, None if it does not."""
        return self.outcome if now < self.backs_off_until else None

    def full(self, now: float) -> bool:
        """Return True if one more message would only wait. A message counts once, however many recipients it has."""
        return len(self.queued) >= 2 * self.sessions.allowed + 2 or now < self.busy_until

    def succeeded(self) -> None:
        """Allow one more session than before."""
        self.failures = 0
        self.backs_off_until = 0.0
        self.sessions.allowed = min(self.sessions.allowed + 1, max(self.most, self.sessions.allowed))

    def failed(self, outcome: Outcome, now: float, longest_s: float) -> None:
        """Back off: a minute after the first failure, twice as long after each further one, up to `longest_s`."""
        self.outcome = outcome
        longest_s = min(longest_s, _NEAR_BACK_OFF_S) if self.near else longest_s
        self.backs_off_until = now + min(_BACK_OFF_S * 2**self.failures, longest_s)
        self.failures = min(self.failures + 1, 20)
        if self.most:
            self.sessions.allowed = 1

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
        """Return True if no id waits here."""
        return not self.tried and not self.new

    def next_id(self, now: float) -> str | None:
        """Return the next id to open, None if there is none.

        A message without an attempt is opened during a back-off too: it is deferred at once, with the reason.
        """
        if self.full(now):
            return None
        if self.new:
            return self.new.popleft()
        return self.tried.popleft() if self.tried and self.backing_off(now) is None else None


class ScheduledJob(NamedTuple):
    """One job of an attempt; it runs when none of `limits` is reached."""

    attempt: DeliveryAttempt
    routed: RoutedJob
    hop: NextHopQueue
    limits: tuple[ConcurrencyLimit, ...]

    @property
    def key(self) -> str:
        return self.attempt.queue_id


class ThreadShares(NamedTuple):
    """The parts of the delivery threads for retries, for next hops that failed last time, and for our own
    notifications.
    """

    retries: ConcurrencyLimit
    doubtful: ConcurrencyLimit
    notices: ConcurrencyLimit

    @classmethod
    def of(cls, most: int) -> "ThreadShares":
        return cls(
            ConcurrencyLimit(max(1, most * 3 // 4)),
            ConcurrencyLimit(max(1, most // 2)),
            ConcurrencyLimit(max(1, most // 8)),
        )
