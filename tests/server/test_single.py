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
    return Sending(services, RetryThread(services, network=network))


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
