"""A model of the scheduler: messages, hosts, time, restarts and an administrator in any order, with a real spool.

The clock and the hosts are the test's own, and each delivery thread is a step of the test. No message is lost, doubled,
tried too early, tried while it is held, or left behind.
"""

import random
import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from smtpd_classic.client.attempt import AttemptPlanner
from smtpd_classic.client.routes import Route
from smtpd_classic.client.signing import MessageSigner
from smtpd_classic.client.transport import Action, DeliveryJob, HostBusy, Outcome, Peer, Settle
from smtpd_classic.keys.ring import KeyRing
from smtpd_classic.keys.store import KeyStore
from smtpd_classic.postmaster import PostmasterMail
from smtpd_classic.retry.approvals import ApprovalNotices
from smtpd_classic.retry.context import DeliveryContext
from smtpd_classic.retry.delivery_threads import DeliveryThreads
from smtpd_classic.retry.held import HeldMessages
from smtpd_classic.retry.journal import DeliveryLog
from smtpd_classic.retry.limits import ScheduledJob, ThreadShares
from smtpd_classic.retry.notices import Notices
from smtpd_classic.retry.scheduler import Scheduler
from smtpd_classic.schedule import JITTER, Schedule
from smtpd_classic.smtp.reply import Reply
from spool import NoSuchEntry, NotClaimed
from tests.retry.world import World

pytestmark = pytest.mark.source  # machine code takes no stand-in for an attempt or for the routes

DOMAINS = ("a.test", "b.test", "c.test")
MOST_SESSIONS, MOST_OPEN = 2, 4
TAKES, LATER, REFUSES, DEAD, BUSY = "takes", "later", "refuses", "dead", "busy"
OFTEN = ("step", "take_jobs", "run_a_job", "run_a_job") * 4
EVENTS = (
    *OFTEN,
    "send",
    "send",
    "wait",
    "wait",
    "change_host",
    "change_host",
    "scan",
    "tidy",
    "administer",
    "wake_early",
)
EVENTS_AT_ONCE = 60


@dataclass
class Host:
    """The transport to one domain; it behaves as the test says."""

    model: "Model"
    domain: str
    behaviour: str = TAKES

    def deliver(self, job: DeliveryJob, settle: Settle) -> None:
        self.model.contacted(self, job)
        if self.behaviour == BUSY:
            raise HostBusy((self.domain, 25))
        action, reply, dead = {
            TAKES: (Action.DELIVERED, Reply(250, "2.0.0", "taken"), False),
            LATER: (Action.DELAYED, Reply(450, "4.2.0", "later"), False),
            REFUSES: (Action.FAILED, Reply(550, "5.1.1", "no such user"), False),
            DEAD: (Action.DELAYED, Reply(451, "4.4.1", "no connection"), True),
        }[self.behaviour]
        if action is Action.DELIVERED:
            self.model.delivered.update((job.queue_id, each.address) for each in job.recipients)
        if action is Action.FAILED:
            self.model.refused += len(job.recipients)
        peer = Peer(f"mx.{self.domain}", "192.0.2.1", 25)
        settle(job.all(Outcome("", action, reply, peer, command="" if dead else "RCPT TO", unreachable=dead)))


class Threads(DeliveryThreads):
    """Delivery threads that are steps of the test."""

    def _spawn(self) -> None:
        self.works.thread_lost()

    def take(self) -> ScheduledJob | None:
        with self.works._lock:
            work = self.works._next(called=False)
            self.works._running += work is not None
            return work

    def run(self, work: ScheduledJob) -> None:
        following: ScheduledJob | None = work
        while following is not None:
            self._carry_out(following)
            following = self.works.done(following)


class Model(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="model-"))
        self.world = World(self.folder)
        self.clock = self.world.clock
        self.schedule = Schedule()
        self.hosts = {domain: Host(self, domain) for domain in (*DOMAINS, "us.test")}
        self.sent: dict[str, tuple[str, ...]] = {}
        self.delivered: Counter[tuple[str, str]] = Counter()
        self.refused = 0
        self.faults: list[str] = []
        self._start()

    def _start(self) -> None:
        services = self.world.services
        journal = DeliveryLog(services.log, services.runtime.counters, self.clock)
        wakes: list[str] = []
        mail = PostmasterMail(services.config, services.spool, services.accounts, self.clock, wakes.append)
        notices = Notices(services.config, mail, self.clock, journal)
        self.wakes = wakes
        keys = KeyRing(KeyStore(str(self.folder / "keys")), self.clock)
        signer = MessageSigner(services.config, keys, self.clock)
        planner = AttemptPlanner(services.config, self, services.accounts, str, self._complain, signer)  # type: ignore[arg-type]
        context = DeliveryContext(self.schedule, notices, journal, self.clock, random.Random(1).random)
        approvals = ApprovalNotices(services.config, mail, journal)
        self.remote = Threads(context, self._finished, "delivery", 10, rest_s=300.0, monotonic=self.clock)
        self.local = Threads(context, self._finished, "mailbox", 10, monotonic=self.clock)
        self.scheduler = Scheduler(
            services.spool,
            context,
            planner,
            self.remote.works,
            self.local.works,
            MOST_SESSIONS,
            ThreadShares.of(10),
            MOST_OPEN,
            self.clock,
            HeldMessages(services.config, services.spool, context, services.counters, approvals, lambda domain: False),
        )
        self.running: list[tuple[Threads, ScheduledJob]] = []
        self.scan()

    def _complain(self, words: str) -> None:
        raise AssertionError(words)

    def _finished(self, queue_id: str, when: float | None, unwritten: frozenset[str]) -> None:
        self.scheduler.finished(queue_id, when, unwritten)

    def route(self, address: str, *, relay_exhausted: bool = False) -> Route:
        """Route an address, in place of `Routes`."""
        domain = address.rpartition("@")[2]
        return Route("local" if domain == "us.test" else f"mx {domain}", self.hosts[domain], local=domain == "us.test")

    def contacted(self, host: Host, job: DeliveryJob) -> None:
        """Check the moment of an attempt. A delivery thread would only log an exception, so faults are collected."""
        now, state = self.clock.now, self.world.state(job.queue_id)
        assert state is not None
        self._fault_if("held", state.held)
        hop = self.scheduler.hops[self.route(f"x@{host.domain}").destination]
        self._fault_if("backs off", not job.forced and hop.backing_off(now) is not None)
        self._fault_if("too early", not job.forced and bool(state.attempts) and now < state.next_attempt)

    def _fault_if(self, words: str, found: bool) -> None:
        if found:
            self.faults.append(words)

    # Events ----------------------------------------------------------------------------------------------------------

    @rule(seed=st.integers(0, 2**32))
    def happen(self, seed: int) -> None:
        """Let some of the events below happen. As rules of their own, they would come in long rows of one kind."""
        dice = random.Random(seed)
        for _ in range(EVENTS_AT_ONCE):
            getattr(self, dice.choice(EVENTS))(dice.randrange(100))
            self.limits_hold()

    def send(self, number: int) -> None:
        domains = [domain for bit, domain in enumerate((*DOMAINS, "us.test")) if (number + 1) >> bit & 1]
        recipients = tuple(f"joe@{domain}" for domain in domains or ("us.test",))
        queue_id = self.world.put(*recipients)
        self.sent[queue_id] = recipients
        if number % 3:  # else a scan finds it
            self.scheduler.wake(queue_id)

    def change_host(self, number: int) -> None:
        behaviours = (TAKES, LATER, REFUSES, DEAD, BUSY)
        self.hosts[DOMAINS[number % 3]].behaviour = behaviours[number // 3 % len(behaviours)]

    def step(self, _number: int = 0) -> None:
        while self.wakes:
            self.scheduler.wake(self.wakes.pop(0))
        for _ in range(100):
            if not self.scheduler.step(5):
                return
        raise AssertionError("a busy loop")

    def take_jobs(self, number: int) -> None:
        for threads in (self.remote, self.local):
            for _ in range(number % 5 + 1):
                work = threads.take()
                if work is not None:
                    self.running.append((threads, work))

    def run_a_job(self, number: int) -> None:
        if self.running:
            threads, work = self.running.pop(number % len(self.running))
            threads.run(work)

    def _run_all_jobs(self) -> None:
        self.take_jobs(4)
        while self.running:
            self.run_a_job(0)
            self.step()
            self.take_jobs(4)

    def wait(self, number: int) -> None:
        self.clock.now += (0.5, 61.0, 301.0, 1000.0, 5000.0)[number % 5]

    def scan(self, _number: int = 0) -> None:
        self.scheduler.fill(self.world.spool.schedule())

    def tidy(self, _number: int) -> None:
        self.scheduler.tidy()

    def administer(self, number: int) -> None:
        if not self.sent:
            return
        queue_id = sorted(self.sent)[number % len(self.sent)]
        with suppress(NoSuchEntry, NotClaimed):
            self._order(queue_id, number % 3)
        self.scheduler.wake(queue_id)

    def _order(self, queue_id: str, order: int) -> None:
        if order == 0:
            self.world.spool.hold(queue_id)
        elif order == 1:
            self.world.spool.release(queue_id, now=self.clock.now)
        else:
            self.world.spool.retry_now(queue_id)

    def wake_early(self, number: int) -> None:
        if self.sent:
            self.scheduler.wake(sorted(self.sent)[number % len(self.sent)])

    def kill(self, _number: int) -> None:
        """Kill the process: nothing is written, and the kernel releases the locks."""
        claims = {id(work.attempt): work.attempt for _, work in self.running}
        claims |= {id(work.attempt): work.attempt for each in (self.remote, self.local) for work in each.works.stop()}
        for attempt in claims.values():
            attempt.release()
        self._start()

    # What must hold --------------------------------------------------------------------------------------------------

    @invariant()
    def none_is_tried_at_the_wrong_moment(self) -> None:
        assert not self.faults

    @invariant()
    def none_is_doubled(self) -> None:
        assert all(number == 1 for number in self.delivered.values())

    @invariant()
    def none_is_lost(self) -> None:
        queued = set(self.world.queue())
        for queue_id, recipients in self.sent.items():
            if queue_id not in queued:
                missing = [each for each in recipients if not self.delivered[queue_id, each]]
                assert len(missing) <= self.refused, f"{queue_id} is gone without {missing}"

    @invariant()
    def limits_hold(self) -> None:
        for hop in self.scheduler.hops.values():
            assert hop.name == "local" or hop.sessions.running <= MOST_SESSIONS

    def teardown(self) -> None:
        """Let all hosts work: everything leaves within bounded time."""
        try:
            for host in self.hosts.values():
                host.behaviour = TAKES
            for queue_id in self.world.queue():
                with suppress(NotClaimed):
                    self._order(queue_id, 1)
            self.scan()  # for messages that were sent without a wake
            for _ in range(60):
                self.step()
                self._run_all_jobs()
                if not self.world.queue():
                    break
                self.clock.now += self.schedule.longest_s * (1 + JITTER) / 10
            self.none_is_lost()
            self.none_is_doubled()
            self.none_is_tried_at_the_wrong_moment()
            assert not self.world.queue(), "left behind"
        finally:
            self.world.close()
            shutil.rmtree(self.folder, ignore_errors=True)


def test_new_mail_for_a_full_next_hop_does_not_delay_what_waits_for_another() -> None:
    """While new messages are sorted into the queue of a slow host, the sessions of the others have work."""
    model = Model()
    model.begin()
    model.scheduler.most_open = 40
    try:
        for domain, number in (("a.test", 20), ("b.test", 60)):
            for _ in range(number):
                model.scheduler.wake(model.world.put(f"joe@{domain}"))
        model.scheduler.step(30)
        slow: list[tuple[Threads, ScheduledJob]] = []
        for _ in range(10):
            model.take_jobs(4)
            slow += [each for each in model.running if each[1].hop.name == "mx b.test"]
            model.running = [each for each in model.running if each not in slow]
            while model.running:
                model.run_a_job(0)
            model.scheduler.step(3)
        assert model.scheduler.fresh, "the test is about a moment when new mail comes in"
        assert sum(model.delivered.values()) >= 12
    finally:
        model.world.close()
        shutil.rmtree(model.folder, ignore_errors=True)


def _run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_message_is_lost_doubled_or_left_behind() -> None:
    _run(12, 3)


@pytest.mark.torture
def test_no_message_is_lost_doubled_or_left_behind_in_long_runs() -> None:
    _run(500, 12)
