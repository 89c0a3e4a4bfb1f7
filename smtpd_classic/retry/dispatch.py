"""From due ids to work: what is claimed when, what waits unopened, and in which order.

Rule 1: new mail goes first; what is retried never keeps it waiting for more than one step.
Rule 2: a destination that rests or is busy costs nothing: its messages are parked by their ids, without being opened,
until it is their turn or something must be told to somebody.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from smtpd_classic.client.attempt import AttemptPlanner, RoutedJob
from smtpd_classic.retry.lanes import Gate, Lane, Work, WorkQueue
from smtpd_classic.retry.parking import Parking
from smtpd_classic.retry.ticket import Desk, Ticket
from smtpd_classic.retry.waiting import Waiting
from spool import Claim, NoSuchEntry, Spool, SpoolBroken

__all__ = ["Dispatcher", "Shares"]


_FIRST_SESSIONS = 2
_MAILBOX_LANE = 64


class Shares(NamedTuple):
    """Parts of the delivery threads: for retries, for next hops that failed last time, and for notices to strangers."""

    retries: Gate
    doubtful: Gate
    notices: Gate

    @classmethod
    def of(cls, most: int) -> "Shares":
        return cls(Gate(max(1, most * 3 // 4)), Gate(max(1, most // 2)), Gate(max(1, most // 8)))


class _Finished(NamedTuple):
    queue_id: str
    when: float | None
    unwritten: frozenset[str]


_TROUBLE_S = 60.0
_ELSEWHERE_S = 5.0
_LONGEST_LOOK_S = 3600.0
_FORCED = 1.0  # a person has set the next attempt to the beginning of time


@dataclass(slots=True)
class Dispatcher:
    """Of one thread, but for `finished`, which any delivery thread calls. `most_open` entries are claimed at once."""

    spool: Spool
    desk: Desk
    attempts: AttemptPlanner
    remote: WorkQueue
    local: WorkQueue
    lane_limit: int
    shares: "Shares"
    most_open: int
    monotonic: Callable[[], float]
    waiting: Waiting = field(default_factory=Waiting)
    fresh: deque[str] = field(default_factory=deque)
    parking: Parking = field(default_factory=Parking)
    lanes: dict[str, Lane] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)
    _finished: deque["_Finished"] = field(default_factory=deque)
    _curious: bool = True
    _woken: set[str] = field(default_factory=set)
    _unwritten: dict[str, frozenset[str]] = field(default_factory=dict)

    # New things to know --------------------------------------------------------------------------------------------

    def wake(self, queue_id: str) -> None:
        """There is something new about this message: it goes first."""
        if queue_id in self._open:
            self._woken.add(queue_id)  # when its attempt is over; perhaps it is, and we have not heard of it yet
        else:
            self.parking.leave(queue_id)
            self.waiting.forget(queue_id)
            self.fresh.append(queue_id)

    def fill(self, found: dict[str, float]) -> None:
        """What a scan of the spool has found: what nobody has told us of, or what a person has made due meanwhile."""
        now = self.desk.clock()
        mended = self.desk.schedule.mended
        known, parked, opened = self.waiting, self.parking, self._open
        news = {
            queue_id: mended(when, now)
            for queue_id, when in found.items()
            if (queue_id not in known or (when < _FORCED and queue_id not in parked)) and queue_id not in opened
        }
        if news:
            self.waiting.fill(news)

    def finished(self, queue_id: str, when: float | None, unwritten: frozenset[str] = frozenset()) -> bool:
        """An attempt is over; look at the message again then. From any thread. `unwritten`: who has the message
        although the disk could not be told so. Whether `step` should be called for it: most messages are done, and
        nobody has waited for that."""
        self._finished.append(_Finished(queue_id, when, unwritten))
        return self._curious or when is not None or queue_id in self._woken

    # Steps ---------------------------------------------------------------------------------------------------------

    def step(self, most: int) -> bool:
        """Begin some attempts. Whether there is more to begin at once."""
        self._curious = False
        self._close_finished()
        if all(self._begin_next() for _ in range(most)):
            return True
        self._curious = bool(self.fresh or self.parking) or self._due(self.desk.clock())
        return self._curious and bool(self._finished)  # one that was over before we were curious has told nobody

    def next_look(self, now: float) -> float:
        """Seconds until something is due that nobody tells us of."""
        if self._full:  # the end of an attempt wakes the scheduler; until then nothing can begin
            return _LONGEST_LOOK_S
        due = self.waiting.next
        first = _LONGEST_LOOK_S if due is None else max(due - now, 0.0)
        parked = self.parking.next_look(self.monotonic())
        return first if parked is None else min(first, parked)

    @property
    def _full(self) -> bool:
        """True while so many entries are open that no old one may be opened."""
        return len(self._open) >= self.most_open

    def _due(self, now: float) -> bool:
        due = self.waiting.next
        return due is not None and due <= now

    def tidy(self) -> None:
        """Forget the lanes that nobody uses."""
        now = self.monotonic()
        for name in [name for name, lane in self.lanes.items() if lane.idle and lane.resting(now) is None]:
            del self.lanes[name]

    @property
    def length(self) -> int:
        """How many messages are known to wait or to be on their way; those that are parked wait too."""
        return len(self.waiting) + len(self._open) + len(self.fresh)

    def _close_finished(self) -> None:
        while self._finished:
            queue_id, when, unwritten = self._finished.popleft()
            self._open.discard(queue_id)
            if unwritten:
                self._unwritten[queue_id] = unwritten
            if queue_id in self._woken:
                self._woken.discard(queue_id)
                self.fresh.append(queue_id)
            elif when is not None:
                self.waiting.add(queue_id, when)

    def _begin_next(self) -> bool:
        if self.fresh:
            # New mail has room of its own, or a host that is slow with old mail would be slow with everything. Beyond
            # that room it is sorted into the queues of its next hops, and only local recipients get it at once.
            self._begin(self.fresh.popleft(), crowded=len(self._open) >= 2 * self.most_open)
            return True
        if self._full:
            return False
        queue_id = self.parking.take(self.monotonic())
        if queue_id is None:
            queue_id = next(self.waiting.due(self.desk.clock()), None)
        if queue_id is None:
            return False
        self.waiting.forget(queue_id)
        self.parking.leave(queue_id)
        self._begin(queue_id)
        return True

    def _begin(self, queue_id: str, *, crowded: bool = False) -> None:
        if queue_id in self._open:
            return
        try:
            claim = self.spool.claim(queue_id)
        except SpoolBroken as problem:
            self.desk.journal.warning(queue_id, str(problem))
            self.waiting.add(queue_id, self.desk.clock() + _TROUBLE_S)
            return
        if claim is None:
            if self._still_there(queue_id):  # somebody else has it for a moment
                self.waiting.add(queue_id, self.desk.clock() + _ELSEWHERE_S)
            return
        try:
            if self._take(claim, crowded=crowded):
                claim = None
        finally:
            if claim is not None:
                claim.release()

    def _still_there(self, queue_id: str) -> bool:
        try:
            self.spool.read(queue_id)
        except (NoSuchEntry, SpoolBroken):
            return False
        return True

    def _take(self, claim: Claim, *, crowded: bool) -> bool:
        """Whether the claim is in the hands of the delivery threads now."""
        queue_id, now = claim.entry.queue_id, self.desk.clock()
        due = self.desk.schedule.mended(claim.state.next_attempt, now)
        if claim.state.held:
            return False
        if due > now and claim.state.attempts:
            self.waiting.add(queue_id, due)
            return False
        forced = bool(claim.state.attempts) and claim.state.next_attempt < _FORCED
        ticket = Ticket(claim, self.desk, forced=forced, delivered_before=self._unwritten.pop(queue_id, ()))
        if ticket.done:  # everything had been said when the power went
            ticket.remove()
            return False
        errands = self.attempts.errands(ticket.message(), ticket.wanted())
        lanes = [self._lane(errand) for errand in errands]
        if crowded and not any(errand.route.local for errand in errands):
            self._put_aside(ticket, lanes[0])
            return False
        if not forced and self._park(ticket, lanes):
            return False
        self._open.add(queue_id)
        ticket.begin(errands)
        for errand, lane in zip(errands, lanes, strict=True):
            (self.local if errand.route.local else self.remote).put(self._work(ticket, errand, lane))
        return True

    def _lane(self, errand: RoutedJob) -> Lane:
        name = errand.route.destination
        lane = self.lanes.get(name)
        if lane is None:
            most = self.lane_limit
            lane = Lane(name, Gate(min(_FIRST_SESSIONS, most)), most)
            self.lanes[name] = Lane(name, Gate(_MAILBOX_LANE)) if errand.route.local else lane
            lane = self.lanes[name]
        return lane

    def _park(self, ticket: Ticket, lanes: list[Lane]) -> bool:
        """Put the id aside when no lane of it takes work now and nobody must be told anything."""
        now = self.monotonic()
        stopped = {id(lane): lane for lane in lanes if lane.resting(now) is not None}
        full = {id(lane): lane for lane in lanes if id(lane) not in stopped and lane.full(now)}
        if any(id(lane) not in stopped and id(lane) not in full for lane in lanes):
            return False
        if not full and ticket.must_be_told:
            return False
        lane = next(iter(full.values()), None) or min(stopped.values(), key=lambda each: each.rests_until)
        self._put_aside(ticket, lane)
        return True

    def _put_aside(self, ticket: Ticket, lane: Lane) -> None:
        """Queue the message at its next hop by its id alone."""
        self.parking.park(ticket.queue_id, lane, new=not ticket.claim.state.attempts)
        self.waiting.add(ticket.queue_id, ticket.must_be_seen)

    def _work(self, ticket: Ticket, errand: RoutedJob, lane: Lane) -> Work:
        gates = [lane.gate] if lane.shared is None else [lane.gate, lane.shared]
        if errand.route.local:
            return Work(ticket, errand, lane, tuple(gates))
        if ticket.claim.state.attempts and not ticket.forced:
            gates.append(self.shares.retries)
        if lane.failures:
            gates.append(self.shares.doubtful)
        if ticket.is_notice:
            gates.append(self.shares.notices)
        return Work(ticket, errand, lane, tuple(gates))
