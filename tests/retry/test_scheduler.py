"""When the scheduler runs: its periodic work, the end of an attempt, and attempts that an administrator forces."""

from collections.abc import Callable
from pathlib import Path

import pytest

from smtpd_classic.retry.housekeeping import Housekeeping
from smtpd_classic.retry.limits import ConcurrencyLimit, ThreadShares
from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply
from spool import Spool
from tests.client.fake_host import FakeHost, Talk
from tests.client.test_hosts import when
from tests.client.world import Clock
from tests.retry.test_patience import Gatekeeper
from tests.retry.world import World, running
from tests.waiting import until

BOB = "bob@example.org"
LATER = Reply(451, "4.7.1", "greylisted")


# Periodic work -------------------------------------------------------------------------------------------------------


def test_housekeeping_falls_due_each_second_and_again() -> None:
    monotonic = Clock()
    chores = Housekeeping(Clock(), monotonic)
    assert chores.wait_s() == 0
    assert chores.due()
    for _ in range(3):
        assert not chores.due()
        assert chores.wait_s() == pytest.approx(1.0)
        monotonic.now += 0.75
        assert not chores.due()
        assert chores.wait_s() == pytest.approx(0.25)
        monotonic.now += 0.25
        assert chores.wait_s() == 0
        assert chores.due()


def test_a_scan_falls_due_every_two_minutes_and_again() -> None:
    monotonic = Clock()
    chores = Housekeeping(Clock(), monotonic)
    for _ in range(3):
        assert not chores.scan_due()
        monotonic.now += 119
        assert not chores.scan_due()
        monotonic.now += 1
        assert chores.scan_due()


@pytest.mark.parametrize(("jump", "seen"), [(-3600, True), (-61, True), (-59, False), (3600, False)])
def test_a_clock_that_is_set_back_is_noticed_once(jump: float, seen: bool) -> None:
    clock, monotonic = Clock(), Clock()
    chores = Housekeeping(clock, monotonic)
    for each in (clock, monotonic):
        each.now += 1000
    assert not chores.clock_set_back()
    clock.now += jump
    assert chores.clock_set_back() is seen
    assert not chores.clock_set_back()


def _no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_spool: Spool) -> dict[str, float]:
        return {}

    monkeypatch.setattr(Spool, "schedule", nothing)


def test_the_end_of_an_attempt_lets_the_next_message_begin_without_a_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages that wait for the only session of their next hop begin when an attempt ends."""
    _no_scan(monkeypatch)
    gate = Gatekeeper()
    text = "[remote]\ndelivery_threads = 1\nmax_connections_per_host = 1\n"
    host = FakeHost(script=gate)
    with running(tmp_path, host, text=text) as world:
        ids = [world.send(f"user{number}@example.org") for number in range(12)]
        assert gate.waiting.acquire(timeout=10)
        gate.open.set()
        for each in ids:
            world.gone(each)
    assert len(host.got) == 12


def test_a_deferred_message_is_tried_again_without_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of an attempt itself tells the scheduler the time of the next one."""
    _no_scan(monkeypatch)
    host = FakeHost(script=when(events.RcptTo, LATER))
    with running(tmp_path, host) as world:
        queue_id = world.send(BOB)
        for attempt in range(1, 4):
            world.tried(queue_id, attempt)
            until(lambda: not world.claimed(queue_id), explain=world.log)
            world.later(86400 / 4)
        world.tried(queue_id, 4)


# The limit of retries ------------------------------------------------------------------------------------------------


class _DeferThenWait:
    """Hosts that use its script defer each recipient until `patient` is set, and then answer RCPT when it is opened."""

    def __init__(self) -> None:
        self.patient = False
        self.gate = Gatekeeper()

    def __call__(self, event: Event, talk: Talk) -> Reply | None:
        if isinstance(event, events.RcptTo) and not self.patient:
            return LATER
        if isinstance(event, events.MailFrom) and self.patient:
            self.gate(event, talk)
        return None


def _retries_running(world: World, allowed: int) -> ConcurrencyLimit:
    """Let so many ordinary retries run at once."""
    assert world.thread is not None
    limit = ConcurrencyLimit(allowed)
    scheduler = world.thread._scheduler
    scheduler.shares = ThreadShares(limit, ConcurrencyLimit(100), scheduler.shares.notices)
    return limit


def _forced(world: World, queue_id: str) -> Callable[[], bool]:
    def asked() -> bool:
        claim = world.spool.claim(queue_id)
        if claim is None:
            return False
        claim.release()
        world.spool.retry_now(queue_id)
        return world.services.runtime.wake(queue_id)

    return asked


def test_a_forced_attempt_passes_the_limit_of_retries_and_an_ordinary_one_does_not(tmp_path: Path) -> None:
    script = _DeferThenWait()
    hosts = [FakeHost(script=script)]
    hosts += [FakeHost(script=script, port=hosts[0].port) for _ in range(2)]
    text = "[basic]\nretry_interval = 1h\nmax_retry_interval = 1h\n[remote]\ndead_host_time = 0\n"
    with running(tmp_path, *hosts, text=text) as world:
        retries = _retries_running(world, 1)
        first, second = (world.send(each) for each in (BOB, "bob@second.example"))
        for each in (first, second):
            world.tried(each)
        world.later(3700 / 2)
        forced = world.send("bob@third.example")
        world.tried(forced)
        script.patient = True
        try:
            world.later(3700 / 2)  # both ordinary ones are due, and the third is not
            assert script.gate.waiting.acquire(timeout=10)
            until(lambda: len(retries.blocked) == 1, explain=world.log)
            until(_forced(world, forced), explain=world.log)
            assert script.gate.waiting.acquire(timeout=10), "the forced attempt waits for the ordinary one"
            assert retries.running == 1
            assert len(retries.blocked) == 1
            script.gate.open.set()
            for each in (first, second, forced):
                world.gone(each)
        finally:
            script.gate.open.set()
    assert [len(host.got) for host in hosts] == [1, 1, 1]
