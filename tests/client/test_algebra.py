"""Fallback over every pair of fates, and what is remembered of hosts and connections."""

import itertools
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from smtpd_classic.client.connections import Connections, places_of
from smtpd_classic.client.fallback import FallbackTransport
from smtpd_classic.client.health import Health
from smtpd_classic.client.host_locks import HostLocks
from smtpd_classic.client.transport import Action, DeliveryJob, HostBusy, Outcome, Peer, Settle
from smtpd_classic.runtime.hosts import read_all_marks, read_marks
from smtpd_classic.smtp.reply import Reply
from tests.client.world import Clock, deliver, job_for

FATES = {
    "sent": (Action.DELIVERED, False),
    "soft": (Action.DELAYED, True),
    "hard": (Action.DELAYED, False),
    "failed": (Action.FAILED, False),
}


@dataclass
class Fixed:
    """A transport with the fate of each recipient in its local part, `first-second@…`; `place` says which half."""

    place: int
    name: str
    seen: list[str] = field(default_factory=list)

    def deliver(self, job: DeliveryJob, settle: Settle) -> None:
        for recipient in job.recipients:  # one by one, as hosts answer
            self.seen.append(recipient.address)
            action, soft = FATES[recipient.address.partition("@")[0].split("-")[self.place]]
            settle([Outcome(recipient.address, action, Reply(250, "", self.name), soft=soft)])


def test_the_second_gets_what_the_first_could_not_do_softly_and_nothing_else() -> None:
    everybody = [f"{first}-{second}@example.org" for first, second in itertools.product(FATES, FATES)]
    first, second = Fixed(0, "first"), Fixed(1, "second")
    outcomes = deliver(FallbackTransport(first, second), job_for(*everybody))
    assert first.seen == everybody
    assert second.seen == [each for each in everybody if each.startswith("soft-")]
    for address, outcome in outcomes.items():
        one, two = address.partition("@")[0].split("-")
        expected = FATES[two] if one == "soft" else FATES[one]
        assert (outcome.action, outcome.soft) == expected
        assert outcome.reply.text == ("second" if one == "soft" else "first")


def test_fallback_is_a_transport_and_can_be_nested() -> None:
    three = [Fixed(place, str(place)) for place in range(3)]
    nested = FallbackTransport(three[0], FallbackTransport(three[1], three[2]))
    flat = FallbackTransport(FallbackTransport(three[0], three[1]), three[2])
    for expression in (nested, flat):
        outcomes = deliver(
            expression, job_for("soft-soft-sent@x.org", "soft-failed-sent@x.org", "hard-sent-sent@x.org")
        )
        found = {address: outcome.reply.text for address, outcome in outcomes.items()}
        assert found == {"soft-soft-sent@x.org": "2", "soft-failed-sent@x.org": "1", "hard-sent-sent@x.org": "0"}


def test_a_busy_host_is_no_reason_for_another_transport() -> None:
    class Busy:
        def deliver(self, job: DeliveryJob, settle: Settle) -> None:
            raise HostBusy("host")

    second = Fixed(0, "second")
    with pytest.raises(HostBusy):
        FallbackTransport(Busy(), second).deliver(job_for("sent@x.org"), lambda outcomes: None)
    assert not second.seen


# Health --------------------------------------------------------------------------------------------------------------

PEER = Peer("mx.example.org", "192.0.2.1", 25)


def test_a_dead_host_is_dead_for_so_long_and_a_troubled_one_is_not_dead() -> None:
    clock = Clock(1000.0)
    health = Health(clock, 300.0)
    health.failed(PEER, "no route", dead=True)
    other = PEER._replace(ip="192.0.2.2")
    health.failed(other, "greeted with 421", dead=False)
    assert health.dead(PEER) is not None
    assert health.dead(other) is None
    assert health.troubled(PEER)
    clock.now = 1300.0
    assert health.dead(PEER) is None
    assert not health.troubled(PEER)


def test_a_dead_host_is_dead_twice_as_long_after_each_failure_up_to_the_limit() -> None:
    clock = Clock(1000.0)
    health = Health(clock, 300.0)
    found = []
    for _ in range(5):
        health.failed(PEER, "no route", dead=True)
        mark = health.dead(PEER)
        assert mark is not None
        found.append(mark.until - clock.now)
        clock.now = mark.until
    assert found == [60.0, 120.0, 240.0, 300.0, 300.0]
    health.worked(PEER)
    health.failed(PEER, "no route", dead=True)
    mark = health.dead(PEER)
    assert mark is not None
    assert mark.until == clock.now + 60.0


def test_a_host_that_worked_is_well_again() -> None:
    health = Health(Clock(), 300.0)
    health.failed(PEER, "no route", dead=True)
    health.worked(PEER)
    assert health.dead(PEER) is None
    assert not health.troubled(PEER)


def test_a_clock_that_is_set_back_leaves_nobody_dead() -> None:
    clock = Clock(1000.0)
    health = Health(clock, 300.0)
    health.failed(PEER, "no route", dead=True)
    clock.now = 10.0
    assert health.dead(PEER) is None


def test_what_is_remembered_can_be_read_by_the_screens(tmp_path: Path) -> None:
    clock = Clock(1000.0)
    health = Health(clock, 300.0)
    path = str(tmp_path / "hosts.json")
    assert read_marks(path, 1000.0) == []
    health.failed(PEER, "no route\x1b", dead=True)
    health.save(path)
    marks = read_marks(path, 1001.0)
    assert [(mark.host, mark.dead, mark.until) for mark in marks] == [("mx.example.org:25", True, 1060.0)]
    assert read_marks(path, 1060.0) == []
    health.save(str(tmp_path / "missing" / "hosts.json"))
    (tmp_path / "hosts.json").write_text("{")
    assert read_marks(path, 1001.0) == []


def test_failures_and_limits_survive_a_restart_until_they_are_out_of_date(tmp_path: Path) -> None:
    clock, path = Clock(1000.0), str(tmp_path / "hosts.json")
    before, pool = Health(clock, 300.0), Connections(10, 5.0, clock)
    before.failed(PEER, "no route", dead=True)
    before.failed(PEER, "no route", dead=True)  # for two minutes
    pool.failed(places_of(PEER))
    before.save(path, pool.allowed)
    clock.now += 100.0
    health, pool = Health(clock, 300.0), Connections(10, 5.0, clock)
    pool.restore(health.restore(read_all_marks(path, clock.now)))
    assert [health.dead(PEER), pool.allowed(places_of(PEER)[0]), pool.allowed(places_of(PEER)[1])] == [
        before.dead(PEER)._replace(limit=1),  # type: ignore[union-attr]
        1,
        1,
    ]
    health.failed(PEER, "no route", dead=True)
    assert health.dead(PEER).until == clock.now + 240.0  # type: ignore[union-attr]
    clock.now += 1000.0
    assert Health(clock, 300.0).restore(read_all_marks(path, clock.now)) == {}


def test_memory_is_bounded() -> None:
    clock = Clock(1000.0)
    health = Health(clock, 300.0)
    for number in range(25_000):
        health.failed(Peer(f"mx{number}.example.org", f"2001:db8::{number:x}", 25), "no route", dead=True)
        health.cannot_pipeline(Peer(f"mx{number}.example.org", f"2001:db8::{number:x}", 25))
    assert health.dead(Peer("mx24999.example.org", "2001:db8::61a7", 25)) is not None
    assert len(health._marks) <= 10_002
    assert len(health._plain) <= 10_000


# Connections ---------------------------------------------------------------------------------------------------------


@dataclass
class Idle:
    reusable: bool = True
    ended: bool = False

    def quit(self) -> None:
        self.ended = True


def test_kept_sessions_are_found_by_their_kind_only() -> None:
    pool = Connections(5, 10.0, Clock(0.0))
    assert pool.take(("host",), "plain") is None
    session = Idle()
    pool.give_back(("host",), "plain", session)
    assert pool.take(("host",), "with login") is None
    assert pool.take(("host",), "plain") is session
    assert pool.open == 2


def test_a_session_of_another_kind_makes_room() -> None:
    pool = Connections(1, 10.0, Clock(0.0))
    pool.take(("host",), "plain")
    session = Idle()
    pool.give_back(("host",), "plain", session)
    assert pool.take(("host",), "with login") is None
    assert (session.ended, pool.open) == (True, 1)
    with pytest.raises(HostBusy):
        pool.take(("host",), "plain")
    assert pool.take(("another",), "plain") is None


def test_sessions_end_when_nobody_uses_them() -> None:
    clock = Clock(0.0)
    pool = Connections(5, 10.0, clock)
    sessions = [Idle(), Idle()]
    for moment, session in enumerate(sessions):
        clock.now = moment * 5.0
        pool.take((f"host {moment}",), "")
        pool.give_back((f"host {moment}",), "", session)
    clock.now = 10.0
    pool.close_idle()
    assert [session.ended for session in sessions] == [True, False]
    assert pool.open == 1
    pool.close_idle(all_of_them=True)
    assert (sessions[1].ended, pool.open) == (True, 0)
    late = Idle()
    pool.take(("host",), "")
    pool.give_back(("host",), "", late)
    assert (late.ended, pool.open) == (True, 0)


def test_what_cannot_be_used_again_is_not_kept() -> None:
    pool = Connections(5, 10.0, Clock(0.0))
    pool.take(("host",), "")
    spoiled = Idle(reusable=False)
    pool.give_back(("host",), "", spoiled)
    pool.take(("host",), "")
    pool.give_back(("host",), "", None)
    assert (spoiled.ended, pool.open) == (True, 0)


def test_not_more_sessions_are_kept_than_there_is_room_for() -> None:
    pool = Connections(1, 10.0, Clock(0.0))
    sessions = [Idle() for _ in range(350)]
    for number, session in enumerate(sessions):
        pool.take((number,), "")
        pool.give_back((number,), "", session)
    assert pool.open == 300
    assert [session.ended for session in sessions] == [True] * 50 + [False] * 300, "the longest idle ends"


def test_a_host_has_one_limit_for_all_its_addresses_and_an_address_for_all_its_names() -> None:
    pool = Connections(2, 10.0, Clock(0.0))
    for name, ip in (("mx", "192.0.2.1"), ("mx", "192.0.2.2")):
        assert pool.take(places_of(Peer(name, ip, 25)), "") is None
    with pytest.raises(HostBusy):
        pool.take(places_of(Peer("MX", "192.0.2.3", 25)), "")
    assert pool.take(places_of(Peer("other", "192.0.2.1", 25)), "") is None
    with pytest.raises(HostBusy):
        pool.take(places_of(Peer("third", "192.0.2.1", 25)), "")
    assert pool.take(places_of(Peer("third", "192.0.2.1", 26)), "") is None, "another port is another server"


def test_a_limit_begins_with_two_grows_by_one_and_shrinks_after_timeouts_and_failures() -> None:
    pool, places = Connections(10, 10.0, Clock(0.0)), (("192.0.2.1", 25), ("mx", 25))
    found = [pool.allowed(places[0])]
    for change in (*[pool.worked] * 9, pool.timed_out, pool.timed_out, pool.failed, pool.timed_out, pool.worked):
        change(places)
        found.append(pool.allowed(places[1]))
    assert found == [2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 5, 2, 1, 1, 2]


def test_a_session_is_not_kept_when_its_host_may_have_fewer_by_now() -> None:
    pool, sessions = Connections(5, 10.0, Clock(0.0)), [Idle(), Idle()]
    for _ in sessions:
        pool.take(("host",), "")
    pool.failed(("host",))
    for session in sessions:
        pool.give_back(("host",), "", session)
    assert ([session.ended for session in sessions], pool.open) == ([True, False], 1)


def test_sessions_of_another_process_count(tmp_path: Path) -> None:
    old, new = (Connections(2, 10.0, Clock(0.0), HostLocks(str(tmp_path / "locks"))) for _ in range(2))
    old.take(("host", "name"), "")
    new.take(("host", "other name"), "")
    for pool in (old, new):
        with pytest.raises(HostBusy):
            pool.take(("host", "name"), "")
    old.give_back(("host", "name"), "", None)
    assert new.take(("host", "name"), "") is None


def test_a_process_with_a_smaller_limit_waits_for_the_sessions_above_it(tmp_path: Path) -> None:
    old, new = (Connections(most, 10.0, Clock(0.0), HostLocks(str(tmp_path / "locks"))) for most in (2, 1))
    for _ in range(2):
        old.take(("host",), "")
    for _ in range(2):
        with pytest.raises(HostBusy):
            new.take(("host",), "")
        old.give_back(("host",), "", None)
    assert new.take(("host",), "") is None


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    path = str(tmp_path / "locks")
    code = (
        "import sys, time; from smtpd_classic.client.host_locks import HostLocks;"
        f"locks = HostLocks({path!r}); print(locks.lock('host', 1), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        locks = HostLocks(path)
        assert not locks.lock("host", 1)
        other.kill()
        other.wait(10)
    assert locks.lock("host", 1)


def test_a_closed_session_counts_a_moment_longer_at_a_host_without_room() -> None:
    clock = Clock(0.0)
    pool = Connections(2, 10.0, clock, linger_s=0.2)
    for _ in range(2):
        pool.take(("host",), "")
    pool.give_back(("host",), "", Idle(reusable=False))
    with pytest.raises(HostBusy):
        pool.take(("host",), "")
    clock.now = 0.2
    assert pool.take(("host",), "") is None
    pool.give_back(("host",), "", Idle(reusable=False))
    pool.close()
    pool.give_back(("host",), "", Idle(reusable=False))
    assert pool.open == 0, "nothing lingers at the end"


def test_a_session_that_was_just_closed_leaves_the_others_in_use() -> None:
    """The jobs of a host use its other sessions meanwhile: none of them must find out that the host is full."""
    clock = Clock(0.0)
    pool = Connections(3, 10.0, clock, linger_s=0.2)
    pool.worked(("host",))
    for _ in range(3):
        pool.take(("host",), "")
    assert pool.room("host") == 3
    pool.give_back(("host",), "", Idle(reusable=False))
    assert pool.room("host") == 2
    assert pool.room("another") == 2
    for _ in range(2):
        pool.give_back(("host",), "", Idle(reusable=False))
    assert pool.room("host") == 1, "one job finds out when there is room"
    clock.now = 0.2
    pool.take(("host",), "")
    assert pool.room("host") == 3


def test_a_connection_that_never_became_a_session_leaves_room_at_once() -> None:
    pool = Connections(1, 10.0, Clock(0.0), linger_s=0.2)
    pool.take(("host",), "")
    pool.give_back(("host",), "", None)
    assert pool.take(("host",), "") is None


def test_a_pool_that_is_closed_opens_no_session() -> None:
    pool = Connections(5, 10.0, Clock(0.0))
    pool.close()
    with pytest.raises(HostBusy):
        pool.take(("host",), "")
