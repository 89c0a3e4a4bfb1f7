"""The delivery threads: each takes a job, delivers it, and records the outcomes."""

import itertools
import threading
import time
from collections.abc import Callable

from smtpd_classic.client.transport import Action, HostBusy, Outcome
from smtpd_classic.retry.journal import said
from smtpd_classic.retry.lanes import Gate, Lane, Work, WorkQueue
from smtpd_classic.retry.ticket import Desk, Ticket
from smtpd_classic.smtp.reply import Reply

__all__ = ["Deliverers"]

_KEEP = 4  # threads that stay when there is nothing to do
_BUSY_S = 0.2
_MOST_HOSTS = 10_000
_TROUBLE_S = 300.0


class Deliverers:
    """The delivery threads of one work queue, started as they are needed.

    At most `most` jobs run at once, and none begins while `crowded()` is true. `rest_s` is the longest time for which a
    next hop backs off after none of its hosts could be reached. `finished` is called at the end of each attempt with
    the time of the next look at the message, and the recipients that have it although that could not be written down.
    """

    def __init__(
        self,
        desk: Desk,
        finished: Callable[[str, float | None, frozenset[str]], None],
        name: str,
        most: int,
        *,
        rest_s: float = 0.0,
        crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        self.works = WorkQueue(time.monotonic, most, crowded, self._spawn, keep=_KEEP)
        self._desk = desk
        self._rest_s = rest_s
        self._finished = finished
        self._name = name
        self._numbers = itertools.count()
        self._threads: set[threading.Thread] = set()
        self._hosts: dict[object, Gate] = {}

    def _spawn(self) -> None:
        thread = threading.Thread(target=self._run, name=f"{self._name} {next(self._numbers)}", daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as problem:  # the system's limit of threads; those that run go on
            self._threads.discard(thread)
            self.works.thread_lost()
            self._desk.journal.warning("", f"no more delivery threads can be started: {problem}")

    def stop(self, timeout_s: float) -> list[str]:
        """Begin no job, wait for those that run, and give the others back. Return the ids that are free again."""
        end = time.monotonic() + timeout_s
        left = self._give_back(self.works.stop())
        for thread in list(self._threads):
            thread.join(max(end - time.monotonic(), 0.0))
        return left + self._give_back(self.works.stop())  # jobs that were put back meanwhile

    def _give_back(self, works: list[Work]) -> list[str]:
        ended = [work.ticket for work in works if work.ticket.errand_done(cut_short=True)]
        for ticket in ended:
            if ticket.untouched:
                ticket.release()
            else:
                self._end(ticket)
        return [ticket.queue_id for ticket in ended]

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in list(self._threads))

    def _run(self) -> None:
        while (work := self.works.take()) is not None:
            try:
                self._carry_out(work)
            finally:
                self.works.done(work)
                work = None  # an idle thread keeps nothing of its last message
        self._threads.discard(threading.current_thread())

    def _carry_out(self, work: Work) -> None:
        ticket, errand, lane = work.ticket, work.errand, work.lane
        heard: list[Outcome] = []

        def settle(outcomes: list[Outcome]) -> None:
            heard.extend(outcomes)
            ticket.settle(errand, outcomes)

        job = errand.job.only(ticket.unsettled(errand))
        resting = None if ticket.forced else lane.resting(time.monotonic())
        try:
            if resting is not None:
                settle(job.all(resting))
            elif job.recipients:
                errand.route.transport.deliver(job, settle)
                self._rest(lane, heard)
        except HostBusy as busy:
            self._share(lane, busy.address)
            self.works.put_back(work, _BUSY_S)
            return
        except Exception as problem:
            self._complain(ticket, problem)
            words = Reply(451, "4.3.0", "an error in this server; its log says more")
            ticket.settle(errand, job.only(ticket.unsettled(errand)).all(Outcome("", Action.DELAYED, words)))
        ticket.forget_success(errand)
        if ticket.errand_done():
            self._end(ticket)

    def _share(self, lane: Lane, address: object) -> None:
        """From now on the destinations at this host wait at one gate, and not by asking again and again."""
        if len(self._hosts) >= _MOST_HOSTS:
            self._hosts.clear()
        lane.shared = self._hosts.setdefault(address, Gate(lane.gate.limit))
        lane.busy_until = time.monotonic() + _BUSY_S

    def _rest(self, lane: Lane, outcomes: list[Outcome]) -> None:
        """Nobody could be reached: who comes next need not find that out again."""
        if outcomes and all(outcome.unreachable for outcome in outcomes):
            words = f"{said(outcomes[-1])} (not tried again at once)"
            reply = Reply(451, outcomes[-1].reply.enhanced or "4.4.1", words)
            outcome = Outcome("", Action.DELAYED, reply, outcomes[-1].peer, unreachable=True)
            lane.failed(outcome, time.monotonic(), self._rest_s)
        elif outcomes:
            lane.succeeded()

    def _end(self, ticket: Ticket) -> None:
        when: float | None = self._desk.clock() + _TROUBLE_S
        try:
            when = ticket.finish()
        except Exception as problem:
            self._complain(ticket, problem)
        finally:
            ticket.release()
            self._finished(ticket.queue_id, when, ticket.unwritten)

    def _complain(self, ticket: Ticket, problem: Exception) -> None:
        self._desk.journal.warning(ticket.queue_id, f"the attempt broke off: {type(problem).__name__}: {problem}")
