"""Hosts that are dead, silent or slow cost other mail nothing: real sockets, real spool, more hosts than threads."""

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.client.network import Timeouts
from smtpd_classic.client.slots import TransactionSlots
from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from spool import Recipient
from tests.client.fake_host import FakeHost, Talk, own_ip
from tests.retry.world import JOE, World, running
from tests.waiting import until

SLOW = Timeouts()  # as in life: a silent host is waited for by minutes


class SilentHosts:
    """Addresses on one port that accept a connection, send the greeting and the answers, and then nothing more."""

    def __init__(self, number: int, port: int, greeting: bytes = b"", answers: tuple[bytes, ...] = ()) -> None:
        self.ips = [own_ip() for _ in range(number)]
        self._answers = answers
        self._greeting = greeting
        self._sockets = [socket.create_server((ip, port), backlog=64) for ip in self.ips]
        self._kept: list[socket.socket] = []
        self.most: dict[str, int] = dict.fromkeys(self.ips, 0)
        self._threads = [
            threading.Thread(target=self._accept, args=(ip, server), daemon=True)
            for ip, server in zip(self.ips, self._sockets, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def _accept(self, ip: str, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                self._kept.append(connection)
                self.most[ip] += 1
                if self._greeting:
                    connection.sendall(self._greeting)
                for answer in self._answers:
                    if connection.recv(4096):
                        connection.sendall(answer)

    def close(self) -> None:
        for sockets in (self._sockets, self._kept):  # nothing is accepted any more when the kept ones are closed
            for each in sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            for thread in self._threads:
                thread.join(10)


@contextlib.contextmanager
def playing(folder: Path, silent: "SilentHosts", good: FakeHost | None, port: int) -> Iterator[World]:
    """Run a world in which silentN.example leads to a silent host, good.example to a good one."""
    places = {f"silent{number}.example": [ip] for number, ip in enumerate(silent.ips)}
    if good is not None:
        places["good.example"] = [good.ip]
    world = World(folder, port=port, addresses=places)
    world.timeouts = SLOW
    try:
        yield world
    finally:
        silent.close()  # first, or the sessions would be waited for
        if good is not None:
            good.close()
        world.stop()
        world.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


KINDS = {
    "at the greeting": (b"", ()),
    "after EHLO": (b"220 x\r\n", ()),
    "at STARTTLS": (b"220 x\r\n", (b"250-x\r\n250 STARTTLS\r\n",)),
    "in the handshake": (b"220 x\r\n", (b"250-x\r\n250 STARTTLS\r\n", b"220 go\r\n")),
}


@pytest.mark.parametrize(("greeting", "answers"), KINDS.values(), ids=KINDS)
def test_more_silent_hosts_than_threads_do_not_hold_up_a_host_never_contacted_before(
    tmp_path: Path, greeting: bytes, answers: tuple[bytes, ...]
) -> None:
    port = free_port()
    silent, good = SilentHosts(60, port, greeting, answers), FakeHost(port=port)
    with playing(tmp_path, silent, good, port) as world:
        world.start()
        for number in range(60):
            world.send(f"bob@silent{number}.example")
            world.send(f"ann@silent{number}.example")
        until(lambda: sum(silent.most.values()) >= 100, explain=world.log)
        started = time.monotonic()
        world.gone(world.send("bob@good.example"))
        remote_s = time.monotonic() - started
        started = time.monotonic()
        world.gone(world.send(JOE))
        local_s = time.monotonic() - started
        assert (remote_s < 2.0, local_s < 1.0) == (True, True), (remote_s, local_s)
        assert max(silent.most.values()) <= 2, "a next hop begins with two sessions"


def test_success_notices_to_silent_hosts_hold_up_no_other_mail(tmp_path: Path) -> None:
    port = free_port()
    silent, good = SilentHosts(4, port), FakeHost(port=port)
    with playing(tmp_path, silent, good, port) as world:
        world.start()
        for number in range(56):
            stranger = f"eve{number}@silent{number % 4}.example"
            world.send(Recipient(JOE, notify=frozenset({"SUCCESS"})), sender=stranger)
        until(lambda: len(world.mailbox(JOE)) == 56, explain=world.log)
        started = time.monotonic()
        world.gone(world.send("bob@good.example"))
        world.gone(world.send(JOE))
        assert time.monotonic() - started < 3.0


def test_local_recipients_get_a_message_at_once_although_its_remote_host_is_silent(tmp_path: Path) -> None:
    port = free_port()
    with playing(tmp_path, SilentHosts(1, port), None, port) as world:
        world.start()
        world.send("bob@silent0.example", JOE)
        world.arrived(JOE)


def test_the_scheduler_sleeps_while_nothing_moves(tmp_path: Path) -> None:
    """While all entries that may be open are at silent hosts and more are due, it must not turn in circles."""
    port = free_port()
    silent = SilentHosts(12, port)
    with playing(tmp_path, silent, None, port) as world:
        ids = [world.put(f"user{each}@silent{each % 12}.example") for each in range(300)]
        world.start()
        until(lambda: sum(silent.most.values()) >= 24, explain=world.log)
        assert world.thread is not None
        world.services.runtime.wake("")  # a scan finds all that is due
        until(lambda: _settled(world), explain=world.log)
        before, cpu = world.thread.wakeups, _cpu_s()
        threading.Event().wait(3.0)  # nothing happens, and that is measured
        assert world.thread.wakeups - before <= 10, "one look a second and a few more"
        assert _cpu_s() - cpu < 0.3
        assert len(world.queue()) == len(ids)


def _settled(world: World) -> bool:
    assert world.thread is not None
    before = world.thread.wakeups
    threading.Event().wait(0.5)
    return world.thread.wakeups - before <= 3


class Counter:
    """The script of a host that counts its transactions, and waits in each until it is opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = self.most = 0
        self.open = threading.Event()

    def __call__(self, event: Event, talk: Talk) -> None:
        with self._lock:
            if isinstance(event, events.MailFrom):
                self._now += 1
                self.most = max(self.most, self._now)
            if isinstance(event, events.EndContent):
                self._now -= 1
        if isinstance(event, events.RcptTo):
            assert self.open.wait(20)


@pytest.mark.parametrize("names", [1, 3])
def test_twenty_domains_share_the_connections_of_their_host_and_slow_no_other(tmp_path: Path, names: int) -> None:
    counter = Counter()
    host = FakeHost(script=counter)
    good = FakeHost(port=host.port)
    domains = [f"d{number}.example" for number in range(20)]
    mx = {each: [(1, f"mx{number % names}.test")] for number, each in enumerate(domains)}
    mx["good.example"] = [(1, "mx.good.example")]
    addresses = {f"mx{number}.test": [host.ip] for number in range(names)} | {"mx.good.example": [good.ip]}
    text = "[remote]\nmax_connections_per_host = 2\n"
    with running(tmp_path, host, good, mx=mx, addresses=addresses, text=text) as world:
        for each in domains:
            world.send(f"bob@{each}")
        until(lambda: counter.most == 2)
        world.gone(world.send("bob@good.example"))
        counter.open.set()
        world.empty()
        assert (len(host.got), counter.most) == (len(domains), 2)
        assert names > 1 or host.connections < len(domains) / 2, "sessions are kept for each name of a host"


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def test_a_host_that_hangs_in_a_transaction_does_not_count_for_long() -> None:
    class Connection:
        def __init__(self) -> None:
            self.progressed, self.committing, self.aborted = 0.0, False, ""

        def abort(self, words: str) -> None:
            self.aborted = words

    now = [100.0]
    slots = TransactionSlots(2, clock=lambda: now[0])
    running = [Connection() for _ in range(7)]
    for each in running[:2]:
        slots.enter(each)
    for number in range(2, 7, 2):  # each pair makes no progress before the next begins
        now[0] += 6.0
        for each in running[number : number + 2]:
            slots.enter(each)
    assert slots.running == 7, "those without progress do not count"
    slots.enter(Connection())
    assert slots.running == 8
    waiting = threading.Thread(target=slots.enter, args=(Connection(),))
    waiting.start()
    waiting.join(1.5)
    assert waiting.is_alive(), "a slow host is not closed so soon"
    running[0].committing = True
    now[0] += 21.0
    waiting.join(10)
    assert not waiting.is_alive()
    assert [bool(each.aborted) for each in running[:3]] == [False, True, False], "never one after its final dot"
