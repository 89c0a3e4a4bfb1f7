"""Nobody waits for somebody else: dead destinations, long lists, slow hosts, holds, restarts in the middle."""

import socket
import threading
from pathlib import Path

import pytest

from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply
from spool import Spool
from tests.client.fake_host import FakeHost, Talk, own_ip
from tests.client.test_hosts import by_recipient, when
from tests.retry.world import JOE, World, running
from tests.waiting import until

BOB = "bob@example.org"
LATER = Reply(451, "4.7.1", "greylisted")


def closed_port() -> tuple[str, int]:
    with socket.create_server((own_ip(), 0)) as probe:
        ip, port = probe.getsockname()[:2]
        return str(ip), int(port)


class Gatekeeper:
    """Hosts that use its script answer MAIL only when it is opened."""

    def __init__(self) -> None:
        self.waiting = threading.Semaphore(0)
        self.open = threading.Event()

    def __call__(self, event: Event, talk: Talk) -> None:
        if isinstance(event, events.MailFrom):
            self.waiting.release()
            assert self.open.wait(20)


# Dead destinations ---------------------------------------------------------------------------------------------------


def test_a_dead_destination_is_found_out_once_and_everybody_is_told_why(tmp_path: Path) -> None:
    ip, port = closed_port()
    with running(
        tmp_path, mx={"dead.example": [(1, "mx.dead.example")]}, addresses={"mx.dead.example": [ip]}, port=port
    ) as world:
        first = world.send("bob@dead.example")
        assert "connection refused" in world.tried(first).recipients[0].last_reply
        others = [world.send(f"user{number}@dead.example") for number in range(50)]
        replies = [world.tried(each).recipients[0].last_reply for each in others]
        assert all("connection refused" in reply and "not tried again at once" in reply for reply in replies)


def test_what_waits_for_a_resting_destination_is_not_touched_until_it_rests_no_more(tmp_path: Path) -> None:
    ip, port = closed_port()
    mx = {"dead.example": [(1, "mx.dead.example")]}
    text = "[remote]\ndead_host_time = 1s\n[basic]\nretry_interval = 1m\n"
    with running(tmp_path, mx=mx, addresses={"mx.dead.example": [ip]}, port=port, text=text) as world:
        ids = [world.send(f"user{number}@dead.example") for number in range(5)]
        for each in ids:
            world.tried(each)
        host = FakeHost(ip=ip, port=port)
        try:
            world.later(70)  # all are due; the destination rests by a clock that cannot be turned
            for each in ids:
                world.gone(each)
        finally:
            world.stop()
            host.close()
        assert len(host.got) == 5


def test_a_back_off_is_no_longer_than_the_retry_interval(tmp_path: Path) -> None:
    ip, port = closed_port()
    mx = {"dead.example": [(1, "mx.dead.example")]}
    text = "[basic]\nretry_interval = 1s\n"
    with running(tmp_path, mx=mx, addresses={"mx.dead.example": [ip]}, port=port, text=text) as world:
        queue_id = world.send("bob@dead.example")
        world.tried(queue_id)
        host = FakeHost(ip=ip, port=port)
        try:
            world.later(2)
            until(lambda: world.state(queue_id) is None, 20, world.log)
        finally:
            world.stop()
            host.close()


@pytest.mark.parametrize(("notice", "notices"), [("0", 1), ("90s", 2)], ids=["expiry", "delay notice and expiry"])
def test_the_end_of_a_message_does_not_wait_for_a_dead_destination(tmp_path: Path, notice: str, notices: int) -> None:
    ip, _ = closed_port()
    mx = {"dead.example": [(1, "mx.dead.example")]}
    text = (
        f"[basic]\nretry_interval = 1m\nqueue_lifetime = 100s\ndelay_notice = {notice}\ncopy_bounces = none\n"
        "[remote]\ndead_host_time = 1m\n"
    )
    with running(tmp_path, mx=mx, addresses={"mx.dead.example": [ip]}, text=text) as world:
        queue_id = world.send("bob@dead.example")
        world.tried(queue_id)
        world.later(70)  # it is due, but its next hop backs off by a clock that cannot be turned
        until(lambda: world.throttled(queue_id), explain=world.log)
        if notices == 2:
            world.later(21)
            assert b"\nAction: delayed\n" in world.arrived(JOE)[0]
            world.later(9)
        else:
            world.later(30)
        assert b"\nStatus: 4.4.7\n" in world.arrived(JOE, notices)[-1]


def test_a_person_who_says_now_means_now(tmp_path: Path) -> None:
    ip, port = closed_port()
    mx = {"dead.example": [(1, "mx.dead.example")]}
    with running(tmp_path, mx=mx, addresses={"mx.dead.example": [ip]}, port=port) as world:
        queue_id = world.send("bob@dead.example")
        world.tried(queue_id)
        until(lambda: _retried(world, queue_id), explain=world.log)
        world.tried(queue_id, 2)
        host = FakeHost(ip=ip, port=port)
        try:
            until(lambda: _retried(world, queue_id), explain=world.log)
            world.gone(queue_id)
        finally:
            world.stop()
            host.close()


def _retried(world: World, queue_id: str) -> bool:
    claim = world.spool.claim(queue_id)
    if claim is None:
        return False
    claim.release()
    world.spool.retry_now(queue_id)
    return world.services.runtime.wake(queue_id)


def test_a_fresh_message_does_not_wait_for_a_slow_destination(tmp_path: Path) -> None:
    """More messages than delivery threads for a host that takes its time."""
    gate = Gatekeeper()
    slow, live = FakeHost(script=gate), FakeHost()
    mx = {"slow.example": [(1, "mx.slow.example")]}
    text = "[remote]\ndelivery_threads = 4\nmax_connections_per_host = 3\n"
    with running(tmp_path, live, mx=mx, addresses={"mx.slow.example": [slow.ip]}, text=text) as world:
        slow_host = FakeHost(script=gate, ip=slow.ip, port=live.port)
        try:
            ids = [world.send(f"user{number}@slow.example") for number in range(30)]
            for _ in range(2):  # the sessions that a next hop gets before its first success
                assert gate.waiting.acquire(timeout=10)
            world.gone(world.send(BOB))
            assert len(live.got) == 1
            gate.open.set()
            for each in ids:
                world.gone(each)
            assert slow_host.connections <= 3
        finally:
            gate.open.set()
            world.stop()
            slow_host.close()
            slow.close()


def test_many_domains_at_one_host_do_not_open_more_connections_than_allowed(tmp_path: Path) -> None:
    gate = Gatekeeper()
    host = FakeHost(script=gate)
    domains = [f"domain{number}.example" for number in range(12)]
    mx = {domain: [(1, "mx.example.org")] for domain in domains}
    text = "[remote]\nmax_connections_per_host = 2\n"
    with running(tmp_path, host, mx=mx, text=text) as world:
        try:
            ids = [world.send(f"bob@{domain}") for domain in domains]
            for _ in range(2):
                assert gate.waiting.acquire(timeout=10)
            assert host.connections == 2
            gate.open.set()
            for each in ids:
                world.gone(each)
            assert host.connections == 2
        finally:
            gate.open.set()


# Long lists ----------------------------------------------------------------------------------------------------------


def test_a_single_message_overtakes_a_list_for_the_same_relay(tmp_path: Path) -> None:
    gate = Gatekeeper()
    relay = FakeHost("relay.test", script=gate, hidden=("PIPELINING",))
    text = (
        f"[remote]\nrelay_always = yes\nrelay_hosts = relay.test:{relay.port}\nmax_connections_per_host = 1\n"
        "[basic]\nmax_recipients = 50000\n"
    )
    with running(tmp_path, relay, addresses={"relay.test": [relay.ip]}, text=text) as world:
        try:
            members = world.send(*(f"member{number}@far.example" for number in range(1000)))
            assert gate.waiting.acquire(timeout=10)
            single = world.send("bob@far.example")
            until(lambda: world.claimed(single), explain=world.log)
            gate.open.set()
            world.gone(single)
            before = sum(len(each.recipients) for each in relay.got if each.recipients != ("bob@far.example",))
            assert before <= 300, "it waited for the transactions that ran, not for the list"
            world.gone(members)
            assert sum(len(each.recipients) for each in relay.got) == 1001
        finally:
            gate.open.set()


def test_a_list_over_many_domains_records_every_one_of_them(tmp_path: Path) -> None:
    host = FakeHost(script=by_recipient(late=LATER))
    domains = [f"domain{number}.example" for number in range(60)]
    mx = {domain: [(1, "mx.example.org")] for domain in domains}
    with running(tmp_path, host, mx=mx) as world:
        members = [f"bob@{domain}" for domain in domains[:-1]]
        queue_id = world.send(*members, f"late@{domains[-1]}")
        state = world.tried(queue_id)
        assert [row.state for row in state.recipients] == ["delivered"] * 59 + ["waiting"]
        assert sorted(path for each in host.got for path in each.recipients) == sorted(members)


# Holds and restarts --------------------------------------------------------------------------------------------------


def test_a_held_message_waits_until_it_is_released(tmp_path: Path) -> None:
    host = FakeHost()
    with running(tmp_path, host) as world:
        world.stop()
        queue_id = world.put(BOB)
        world.spool.hold(queue_id)
        world.start()
        world.gone(world.send("eve@example.org"))
        world.later(86400)
        world.gone(world.send("sue@example.org"))
        assert world.queue() == [queue_id]
        world.spool.release(queue_id, now=world.clock.now)
        assert world.services.runtime.wake(queue_id)
        world.gone(queue_id)


def test_a_successor_takes_over_what_a_stopping_thread_has_not_begun(tmp_path: Path) -> None:
    gate = Gatekeeper()
    host = FakeHost(script=gate)
    text = "[remote]\nmax_connections_per_host = 1\n"
    with running(tmp_path, host, text=text) as world:
        try:
            ids = [world.send(f"user{number}@example.org") for number in range(8)]
            assert gate.waiting.acquire(timeout=10)
            old = world.thread
            assert old is not None
            world.start()  # as a reload in one process does
            stopping = threading.Thread(target=old.stop, args=(20.0,))
            stopping.start()
            gate.open.set()
            for each in ids:
                world.gone(each)
            stopping.join(20)
        finally:
            gate.open.set()
    assert sorted(each.recipients for each in host.got) == [(f"user{number}@example.org",) for number in range(8)]


def test_the_schedule_survives_a_restart(tmp_path: Path) -> None:
    host = FakeHost(script=when(events.RcptTo, LATER))
    with running(tmp_path, host) as world:
        queue_id = world.send(BOB)
        state = world.tried(queue_id)
        world.stop()
        world.start()
        world.gone(world.send("root@us.test"))
        assert world.state(queue_id) == state, "not tried before its time"
        world.later(state.next_attempt - world.clock.now + 1)
        assert world.tried(queue_id, 2).next_attempt > state.next_attempt + 25 * 60


def test_a_clock_that_was_a_year_ahead_stalls_nothing(tmp_path: Path) -> None:
    host = FakeHost(script=when(events.RcptTo, LATER))
    with running(tmp_path, host) as world:
        right = world.clock.now
        world.clock.now += 365 * 86400
        queue_id = world.send(BOB)
        world.tried(queue_id)
        world.stop()
        world.clock.now = right
        world.start()
        world.tried(queue_id, 2)


def test_what_nobody_was_told_of_is_found_by_looking(tmp_path: Path) -> None:
    host = FakeHost()
    with running(tmp_path, host) as world:
        queue_id = world.put(BOB)
        assert world.services.runtime.wake("")
        world.gone(queue_id)


def test_a_message_that_comes_during_a_scan_is_found_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, listed, go_on = FakeHost(), threading.Event(), threading.Event()
    read = Spool.schedule

    def slow(spool: Spool) -> dict[str, float]:
        found = read(spool)
        listed.set()
        assert go_on.wait(10)
        return found

    monkeypatch.setattr(Spool, "schedule", slow)
    with running(tmp_path, host) as world:
        assert listed.wait(10)
        queue_id = world.put(BOB)  # behind the place that the scan has passed
        assert world.thread is not None
        before = world.thread.wakeups
        assert world.services.runtime.wake("")
        until(lambda: world.thread is not None and world.thread.wakeups > before)  # it is heard during the scan
        go_on.set()
        world.gone(queue_id)


def test_an_entry_that_somebody_else_has_is_looked_at_again(tmp_path: Path) -> None:
    host = FakeHost()
    with running(tmp_path, host) as world:
        world.stop()
        queue_id = world.put(BOB)
        claim = world.spool.claim(queue_id)
        assert claim is not None
        world.start()
        world.gone(world.send("eve@example.org"))
        claim.release()
        world.later(6)
        world.gone(queue_id)
