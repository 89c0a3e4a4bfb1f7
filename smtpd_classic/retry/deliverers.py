"""The delivery threads: each takes work, has it delivered, and sees to what is said about it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from smtpd_classic.client.transport import Action, HostBusy, Outcome
from smtpd_classic.retry.journal import said
from smtpd_classic.retry.lanes import Gate, Lane, Work, WorkQueue
from smtpd_classic.retry.ticket import Desk, Ticket
from smtpd_classic.smtp.reply import Reply

__all__ = ["Deliverers"]

_BUSY_S = 0.2
_MOST_HOSTS = 10_000
_TROUBLE_S = 300.0


@dataclass(frozen=True, slots=True)
class Deliverers:
    """`rest_s` is how long a destination rests of which nobody could be reached. `finished` is told of every attempt's
    end, when the message is to be looked at again, and who has it although the disk could not be told so."""

    works: WorkQueue
    desk: Desk
    rest_s: float
    finished: Callable[[str, float | None, frozenset[str]], None]
    _threads: list[threading.Thread] = field(default_factory=list)
    _hosts: dict[object, Gate] = field(default_factory=dict)

    def start(self, number: int) -> None:
        for each in range(number):
            thread = threading.Thread(target=self._run, name=f"delivery {each}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, timeout_s: float) -> list[str]:
        """Begin nothing more, wait for what runs, and let go of the rest. Returns the ids that somebody else may take
        on now."""
        end = time.monotonic() + timeout_s
        left = self._let_go(self.works.stop())
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
        return left + self._let_go(self.works.stop())  # what was put back meanwhile

    def _let_go(self, works: list[Work]) -> list[str]:
        ended = [work.ticket for work in works if work.ticket.errand_done(cut_short=True)]
        for ticket in ended:
            if ticket.untouched:
                ticket.release()
            else:
                self._finish(ticket)
        return [ticket.queue_id for ticket in ended]

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while (work := self.works.take()) is not None:
            try:
                self._carry_out(work)
            finally:
                self.works.done(work)

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
            self._finish(ticket)

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
            lane.outcome = Outcome("", Action.DELAYED, reply, outcomes[-1].peer, unreachable=True)
            lane.rests_until = time.monotonic() + self.rest_s
        else:
            lane.rests_until = 0.0

    def _finish(self, ticket: Ticket) -> None:
        when: float | None = self.desk.clock() + _TROUBLE_S
        try:
            when = ticket.finish()
        except Exception as problem:
            self._complain(ticket, problem)
        finally:
            ticket.release()
            self.finished(ticket.queue_id, when, ticket.unwritten)

    def _complain(self, ticket: Ticket, problem: Exception) -> None:
        self.desk.journal.warning(ticket.queue_id, f"the attempt broke off: {type(problem).__name__}: {problem}")
