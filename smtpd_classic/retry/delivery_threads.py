"""The delivery threads: each takes a job, delivers it, and records the outcomes."""

import itertools
import threading
import time
from collections.abc import Callable, Hashable

from smtpd_classic.client.transport import Action, HostBusy, Outcome
from smtpd_classic.retry.attempt import DeliveryAttempt
from smtpd_classic.retry.context import DeliveryContext
from smtpd_classic.retry.job_queue import JobQueue
from smtpd_classic.retry.journal import said
from smtpd_classic.retry.limits import ConcurrencyLimit, NextHopQueue, ScheduledJob
from smtpd_classic.smtp.reply import Reply

__all__ = ["DeliveryThreads"]

_KEEP = 4  # threads that stay when there is nothing to do
_BUSY_S = 0.2
_MOST_HOSTS = 10_000
_TROUBLE_S = 300.0


class DeliveryThreads:
    """The delivery threads of one job queue, started as they are needed.

    At most `most` jobs run at once, and none begins while `crowded()` is true. `rest_s` is the longest time for which a
    next hop backs off after none of its hosts could be reached. `finished` is called at the end of each attempt, with
    the time of the next look at the message and the recipients already delivered whose state could not be written.
    `allowed` returns the number of sessions that a host may have now, without those that it still has to notice the
    end of.
    """

    def __init__(
        self,
        context: DeliveryContext,
        finished: Callable[[str, float | None, frozenset[str]], None],
        name: str,
        most: int,
        *,
        rest_s: float = 0.0,
        crowded: Callable[[], bool] = lambda: False,
        allowed: Callable[[Hashable], int] = lambda place: 1,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self.works = JobQueue(monotonic, most, crowded, self._spawn, keep=_KEEP)
        self._context = context
        self._back_off_s = rest_s
        self._finished = finished
        self._name = name
        self._numbers = itertools.count()
        self._threads: set[threading.Thread] = set()
        self._hosts: dict[Hashable, ConcurrencyLimit] = {}
        self._allowed = allowed

    def _spawn(self) -> None:
        thread = threading.Thread(target=self._run, name=f"{self._name} {next(self._numbers)}", daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as problem:  # the system's limit of threads; the running threads continue
            self._threads.discard(thread)
            self.works.thread_lost()
            self._context.journal.warning("", f"no more delivery threads can be started: {problem}")

    def stop(self, timeout_s: float) -> list[str]:
        """Begin no job, wait for those that run, and give the others back. Return the ids that are free again."""
        end = time.monotonic() + timeout_s
        left = self.give_back()
        for thread in list(self._threads):
            thread.join(max(end - time.monotonic(), 0.0))
        return left + self.give_back()  # jobs that were put back meanwhile

    def give_back(self) -> list[str]:
        """Begin no more jobs, and end those that wait. Return the ids that are free again."""
        ended = [work.attempt for work in self.works.stop() if work.attempt.job_done(cut_short=True)]
        for attempt in ended:
            if attempt.untouched:
                attempt.release()
            else:
                self._end(attempt)
        return [attempt.queue_id for attempt in ended]

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in list(self._threads))

    def _run(self) -> None:
        following: ScheduledJob | None = None
        while (work := following or self.works.take()) is not None:
            try:
                self._carry_out(work)
            finally:
                following = self.works.done(work)
                work = None  # an idle thread keeps nothing of its last message
        self._threads.discard(threading.current_thread())

    def _carry_out(self, work: ScheduledJob) -> None:
        attempt, routed, hop = work.attempt, work.routed, work.hop
        heard: list[Outcome] = []

        def settle(outcomes: list[Outcome]) -> None:
            heard.extend(outcomes)
            attempt.settle(routed, outcomes)

        job = routed.job.only(attempt.unsettled(routed))
        backing_off = None if attempt.forced else hop.backing_off(self._monotonic())
        try:
            if backing_off is not None:
                settle(job.all(backing_off))
            elif job.recipients:
                routed.route.transport.deliver(job, settle)
                self._rest(hop, heard)
        except HostBusy as busy:
            self._share(hop, busy.place)
            self.works.put_back(work, _BUSY_S)
            return
        except Exception as problem:
            self._complain(attempt, problem)
            words = Reply(451, "4.3.0", "an error in this server; its log says more")
            attempt.settle(routed, job.only(attempt.unsettled(routed)).all(Outcome("", Action.DELAYED, words)))
        if hop.shared is not None:
            hop.shared.allowed = self._allowed(hop.shared.place)
        attempt.forget_success(routed)
        if attempt.job_done():
            self._end(attempt)

    def _share(self, hop: NextHopQueue, place: Hashable) -> None:
        """Bind the next hop to one limit for all destinations at this host, so that its jobs wait there instead of
        polling.
        """
        if len(self._hosts) >= _MOST_HOSTS:
            self._hosts.clear()
        hop.shared = self._hosts.setdefault(place, ConcurrencyLimit(1, place))
        hop.shared.allowed = self._allowed(place)
        if hop.sessions.running <= 1:  # else the end of another job of this next hop is the time to look again
            hop.busy_until = self._monotonic() + _BUSY_S

    def _rest(self, hop: NextHopQueue, outcomes: list[Outcome]) -> None:
        """Let the next hop back off if none of its hosts was reached, so that later messages do not wait for the same
        timeouts.
        """
        if outcomes and all(outcome.unreachable for outcome in outcomes):
            words = f"{said(outcomes[-1])} (not tried again at once)"
            reply = Reply(451, outcomes[-1].reply.enhanced or "4.4.1", words)
            outcome = Outcome("", Action.DELAYED, reply, outcomes[-1].peer, unreachable=True)
            hop.failed(outcome, self._monotonic(), self._back_off_s)
        elif outcomes:
            hop.succeeded()

    def _end(self, attempt: DeliveryAttempt) -> None:
        when: float | None = self._context.clock() + _TROUBLE_S
        try:
            when = attempt.finish()
        except Exception as problem:
            self._complain(attempt, problem)
        finally:
            attempt.release()
            self._finished(attempt.queue_id, when, attempt.unwritten)

    def _complain(self, attempt: DeliveryAttempt, problem: Exception) -> None:
        self._context.journal.warning(attempt.queue_id, f"the attempt broke off: {type(problem).__name__}: {problem}")
