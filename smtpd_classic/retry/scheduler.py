"""The scheduler: claims due messages, and makes one job of each next hop.

Rule 1: new mail goes first; retries never delay it by more than one step. After a new message that has to wait at its
next hop, one that waits elsewhere goes first, so that sorting new mail leaves no session without a message.
Rule 2: while many messages are open, due ones are sorted into the queues of their next hops, unopened. Only a next hop
that has no other message gets its first one at once.
Rule 3: a next hop that backs off or is full costs nothing: its messages wait by their ids, unopened, until it has room
or a notice is due.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from smtpd_classic.client.attempt import AttemptPlanner, RoutedJob
from smtpd_classic.retry.attempt import DeliveryAttempt
from smtpd_classic.retry.context import DeliveryContext
from smtpd_classic.retry.due_times import DueTimes
from smtpd_classic.retry.held import HeldMessages
from smtpd_classic.retry.job_queue import JobQueue
from smtpd_classic.retry.limits import ConcurrencyLimit, NextHopQueue, ScheduledJob, ThreadShares
from smtpd_classic.retry.throttled import ThrottledMessages
from spool import Claim, NoSuchEntry, Spool, SpoolBroken

__all__ = ["Scheduler"]


_FIRST_SESSIONS = 2
_MAILBOX_JOBS = 64


class _Finished(NamedTuple):
    queue_id: str
    when: float | None
    unwritten: frozenset[str]


_SORT_S = 0.02
_TROUBLE_S = 60.0
_ELSEWHERE_S = 5.0
_LONGEST_LOOK_S = 3600.0
_FORCED = 1.0  # an administrator has set the next attempt to the epoch


@dataclass(slots=True)
class Scheduler:
    """The scheduler of the retry thread.

    Used by one thread, except `finished`, which delivery threads call. At most `most_open` entries are claimed; new
    mail has room of its own beyond that.
    """

    spool: Spool
    context: DeliveryContext
    attempts: AttemptPlanner
    remote: JobQueue
    local: JobQueue
    sessions_per_hop: int
    shares: ThreadShares
    most_open: int
    monotonic: Callable[[], float]
    holds: HeldMessages
    waiting: DueTimes = field(default_factory=DueTimes)
    fresh: deque[str] = field(default_factory=deque)
    throttled: ThrottledMessages = field(default_factory=ThrottledMessages)
    hops: dict[str, NextHopQueue] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)
    _finished: deque["_Finished"] = field(default_factory=deque)
    _wants_end_of_attempt: bool = True
    _put_one_aside: bool = False
    _woken: set[str] = field(default_factory=set)
    _unwritten: dict[str, frozenset[str]] = field(default_factory=dict)

    # Events from outside -------------------------------------------------------------------------------------------

    def wake(self, queue_id: str) -> None:
        """Open the message before all others: it is new, or an administrator changed it."""
        if queue_id in self._open:
            self._woken.add(queue_id)  # opened after its attempt; the end may already be in `_finished`
        else:
            self.throttled.leave(queue_id)
            self.waiting.forget(queue_id)
            self.fresh.append(queue_id)

    def fill(self, found: dict[str, float]) -> None:
        """Take the due times that a scan found: of unknown messages, and of those that an administrator made due."""
        now = self.context.clock()
        mended = self.context.schedule.mended
        known, parked, opened = self.waiting, self.throttled, self._open
        news = {
            queue_id: mended(when, now)
            for queue_id, when in found.items()
            if (queue_id not in known or (when < _FORCED and queue_id not in parked)) and queue_id not in opened
        }
        if news:
            self.waiting.fill(news)

    def finished(self, queue_id: str, when: float | None, unwritten: frozenset[str] = frozenset()) -> bool:
        """Record the end of an attempt and the time of the next one. Return True if the scheduler must run again.

        `unwritten` are recipients already delivered whose state could not be written. Called by any thread.
        """
        self._finished.append(_Finished(queue_id, when, unwritten))
        return self._wants_end_of_attempt or when is not None or queue_id in self._woken

    # Steps ---------------------------------------------------------------------------------------------------------

    def step(self, most: int) -> bool:
        """Begin up to `most` attempts. Return True if more can begin at once."""
        self._wants_end_of_attempt = False
        self._close_finished()
        if all(self._begin_next() for _ in range(most)):
            return True
        if self._full:
            self._sort_due(most)
        self._wants_end_of_attempt = bool(self.fresh or self.throttled) or self._due(self.context.clock())
        return self._wants_end_of_attempt and bool(
            self._finished
        )  # an attempt that ended before the flag was set has woken no thread

    def next_look(self, now: float) -> float:
        """Return the seconds until a message is due or a back-off ends."""
        if self._full:  # the end of an attempt wakes the scheduler; until then little can begin
            return _SORT_S if self._due(now) else _LONGEST_LOOK_S
        due = self.waiting.next
        first = _LONGEST_LOOK_S if due is None else max(due - now, 0.0)
        parked = self.throttled.next_look(self.monotonic())
        return first if parked is None else min(first, parked)

    @property
    def _full(self) -> bool:
        """Return True while so many entries are open that no old one may be opened."""
        return len(self._open) >= self.most_open

    def _due(self, now: float) -> bool:
        due = self.waiting.next
        return due is not None and due <= now

    def tidy(self) -> None:
        """Remove the queues of next hops that are idle and do not back off."""
        now = self.monotonic()
        for name in [name for name, hop in self.hops.items() if hop.idle and hop.backing_off(now) is None]:
            del self.hops[name]

    @property
    def length(self) -> int:
        """Return the number of known messages, waiting or in delivery."""
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
        refill, self._put_one_aside = self._put_one_aside or not self.fresh, False
        queue_id = self.throttled.take(self.monotonic()) if refill and not self._full else None
        if queue_id is None and self.fresh:
            # New mail has room of its own, so that a host that is slow with old mail does not delay everything. Beyond
            # that room it is sorted into the queues of its next hops, and only local recipients get it at once.
            self._begin(self.fresh.popleft(), crowded=len(self._open) >= 2 * self.most_open)
            return True
        if queue_id is None and not self._full:
            queue_id = next(self.waiting.due(self.context.clock()), None)
        if queue_id is None:
            return False
        self.waiting.forget(queue_id)
        self.throttled.leave(queue_id)
        self._begin(queue_id)
        return True

    def _sort_due(self, most: int) -> None:
        """Sort due messages into the queues of their next hops. Few at a time: each must be read."""
        for queue_id in islice(self.waiting.due(self.context.clock()), most):
            self.throttled.leave(queue_id)
            self._begin(queue_id, crowded=True)

    def _begin(self, queue_id: str, *, crowded: bool = False) -> None:
        if queue_id in self._open:
            return
        try:
            claim = self.spool.claim(queue_id)
        except SpoolBroken as problem:
            self.context.journal.warning(queue_id, str(problem))
            self.waiting.add(queue_id, self.context.clock() + _TROUBLE_S)
            return
        if claim is None:
            if self._still_there(queue_id):  # another process has locked it for a moment
                self.waiting.add(queue_id, self.context.clock() + _ELSEWHERE_S)
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
        """Begin an attempt with the claim. Return False if the message must wait: the caller then releases it."""
        queue_id, now = claim.entry.queue_id, self.context.clock()
        due = self.context.schedule.mended(claim.state.next_attempt, now)
        if claim.state.held:
            self.holds.notify(claim)
            return False
        if claim.state.decision:
            self.holds.tell_decision(claim)
        if claim.state.uncounted:
            self.holds.count_released(claim)
        if due > now and claim.state.attempts:
            self.waiting.add(queue_id, due)
            return False
        forced = bool(claim.state.attempts) and claim.state.next_attempt < _FORCED
        delivered = self._unwritten.pop(queue_id, ())
        attempt = DeliveryAttempt(claim, self.context, forced=forced, delivered_before=delivered)
        if attempt.done:  # the power failed after the last outcome was written
            attempt.remove()
            return False
        routed_jobs = self.attempts.errands(attempt.message(), attempt.wanted())
        hops = [self._hop(routed) for routed in routed_jobs]
        if crowded and not forced and self._may_wait(routed_jobs, hops):
            self._put_aside(attempt, hops[0])
            return False
        if not forced and self._throttle(attempt, hops):
            return False
        self._open.add(queue_id)
        attempt.begin(routed_jobs)
        for routed, hop in zip(routed_jobs, hops, strict=True):
            (self.local if routed.route.on_disk else self.remote).put(self._work(attempt, routed, hop))
        return True

    def _hop(self, routed: RoutedJob) -> NextHopQueue:
        name = routed.route.destination
        hop = self.hops.get(name)
        if hop is None:
            most, lmtp = self.sessions_per_hop, routed.route.lmtp
            hop = NextHopQueue(name, ConcurrencyLimit(min(_FIRST_SESSIONS, most)), most, near=lmtp)
            self.hops[name] = NextHopQueue(name, ConcurrencyLimit(_MAILBOX_JOBS)) if routed.route.on_disk else hop
            hop = self.hops[name]
        return hop

    def _may_wait(self, routed_jobs: list[RoutedJob], hops: list[NextHopQueue]) -> bool:
        """Return True if the message has no recipient in a Maildir and no next hop without another message."""
        if any(routed.route.on_disk for routed in routed_jobs):
            return False
        return len(self._open) >= 2.25 * self.most_open or not any(hop.idle for hop in hops)

    def _throttle(self, attempt: DeliveryAttempt, hops: list[NextHopQueue]) -> bool:
        """Queue the id if every next hop of the message is full or backs off and no notice is due. Return True if it is
        queued.
        """
        now = self.monotonic()
        if hops and hops[0].backing_off(now) is None and not hops[0].full(now):  # the usual case
            return False
        stopped = {id(hop): hop for hop in hops if hop.backing_off(now) is not None}
        full = {id(hop): hop for hop in hops if id(hop) not in stopped and hop.full(now)}
        if any(id(hop) not in stopped and id(hop) not in full for hop in hops):
            return False
        if not full and attempt.must_be_told:
            return False
        hop = next(iter(full.values()), None) or min(stopped.values(), key=lambda each: each.backs_off_until)
        self._put_aside(attempt, hop)
        return True

    def _put_aside(self, attempt: DeliveryAttempt, hop: NextHopQueue) -> None:
        """Queue the message at its next hop by its id alone."""
        self._put_one_aside = True
        self.throttled.add(attempt.queue_id, hop, new=not attempt.claim.state.attempts)
        self.waiting.add(attempt.queue_id, attempt.must_be_seen)

    def _work(self, attempt: DeliveryAttempt, routed: RoutedJob, hop: NextHopQueue) -> ScheduledJob:
        limits = [hop.sessions] if hop.shared is None else [hop.sessions, hop.shared]
        if routed.route.on_disk:
            return ScheduledJob(attempt, routed, hop, tuple(limits))
        if attempt.claim.state.attempts and not attempt.forced:
            limits.append(self.shares.retries)
        if hop.failures:
            limits.append(self.shares.doubtful)
        if attempt.is_notice:
            limits.append(self.shares.notices)
        return ScheduledJob(attempt, routed, hop, tuple(limits))
