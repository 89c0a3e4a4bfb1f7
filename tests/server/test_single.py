"""The server in one process: what a reload hands over to the threads of the new generation."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from smtpd_classic.daemon.sending import Sending
from smtpd_classic.retry import RetryThread, network_for
from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply
from spool import Spool
from tests.client.fake_host import FakeHost, Talk
from tests.retry.test_patience import Gatekeeper
from tests.retry.world import World
from tests.waiting import until

BOB = "bob@example.org"


class _WaitThenDefer:
    """Hosts that use its script wait at MAIL, and defer each recipient."""

    def __init__(self) -> None:
        self.gate = Gatekeeper()

    def __call__(self, event: Event, talk: Talk) -> Reply | None:
        self.gate(event, talk)
        return Reply(451, "4.7.1", "greylisted") if isinstance(event, events.RcptTo) else None


def _sending(world: World, host: FakeHost) -> Sending:
    services = world.services
    network = replace(network_for(services), timeouts=world.timeouts, smtp_port=host.port)
    world.thread = RetryThread(services, network=network)
    return Sending(services, world.thread)


def test_a_message_that_the_old_threads_defer_after_a_reload_does_not_wait_for_the_periodic_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, scans = Spool.schedule, threading.Semaphore(0)

    def scan(spool: Spool) -> dict[str, float]:
        """Read the folder as it was before the message came, at the start of either generation."""
        scans.release()
        return read(spool) if stopping.is_set() else {}

    monkeypatch.setattr(Spool, "schedule", scan)
    script, stopping = _WaitThenDefer(), threading.Event()
    host = FakeHost(script=script)
    world = World(tmp_path, host)
    old, new = _sending(world, host), _sending(world, host)
    ending = threading.Thread(target=old.stop, args=(20.0,))
    try:
        old.start()
        assert scans.acquire(timeout=10)
        queue_id = world.send(BOB)
        assert script.gate.waiting.acquire(timeout=10)
        new.start()
        assert scans.acquire(timeout=10)
        stopping.set()
        ending.start()
        script.gate.open.set()
        ending.join(20)
        assert world.tried(queue_id).attempts == 1
        world.clock.now += 86400 / 4
        world.tried(queue_id, 2)
    finally:
        script.gate.open.set()
        new.stop(10.0)
        world.close()
        host.close()


def test_mail_after_a_reload_is_delivered_by_the_new_configuration_alone(tmp_path: Path) -> None:
    before, after = FakeHost(), FakeHost()
    old_world, new_world = World(tmp_path, before), World(tmp_path, after)
    old, new = _sending(old_world, before), _sending(new_world, after)
    try:
        old.start()
        old_world.gone(old_world.send(BOB))
        new.start()
        old.detach()
        for _ in range(20):  # each wake could be read by either
            new_world.gone(new_world.send(BOB))
    finally:
        old.stop(10.0)
        new.stop(10.0)
        for world, host in ((old_world, before), (new_world, after)):
            world.close()
            host.close()
    assert (len(before.got), len(after.got)) == (1, 20)


def test_messages_that_wait_behind_a_slow_delivery_are_passed_on_at_once(tmp_path: Path) -> None:
    script = _WaitThenDefer()
    before, after = FakeHost(script=script), FakeHost()
    text = "[remote]\nmax_connections_per_host = 1\n"
    old_world, new_world = World(tmp_path, before, text=text), World(tmp_path, after, text=text)
    old, new = _sending(old_world, before), _sending(new_world, after)
    try:
        old.start()
        slow = old_world.send(BOB)
        assert script.gate.waiting.acquire(timeout=10)
        waiting = [old_world.send(f"user{number}@example.org") for number in range(2)]
        until(lambda: all(map(old_world.claimed, waiting)))
        new.start()
        old.detach()
        for queue_id in waiting:
            new_world.gone(queue_id)
        state = old_world.state(slow)
        assert state is not None
        assert state.attempts == 0
    finally:
        script.gate.open.set()
        old.stop(10.0)
        new.stop(10.0)
        for world, host in ((old_world, before), (new_world, after)):
            world.close()
            host.close()
