"""Many clients at once: those that only wait must cost little and be in nobody's way."""

import resource
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.load import Load
from tests.server.daemons import USER, Daemon, daemon
from tests.waiting import until

GENEROUS = "[access]\nmax_connections = 5000\nmax_connections_per_address = 5000\n[basic]\nmin_free_space = 1M\n"


def room_for(connections: int) -> None:
    """As many descriptors as both ends of so many connections need, in this process and in what it starts."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < connections + 500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, min(most, connections + 500)), most))


def memory(found: Daemon) -> int:
    """Octets that all processes of the server occupy, what they share counted once (PSS, proc(5))."""
    assert found.process is not None
    total = 0
    for pid in (found.process.pid, *found.children().values()):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def idle_clients(found: Daemon, number: int) -> list[socket.socket]:
    """Connected and greeted, and then silent after EHLO."""
    clients = []
    for _ in range(number):
        client = socket.create_connection(("127.0.0.1", found.port), 30)
        assert client.recv(200).startswith(b"220")
        client.sendall(b"EHLO client.example\r\n")
        clients.append(client)
    for client in clients:
        assert client.recv(1000).startswith(b"250")
    return clients


def slowest_banner(found: Daemon, number: int) -> float:
    """Seconds until the banner: the slowest but one of a hundred."""
    times = []
    for _ in range(number):
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", found.port), 30) as client:
            assert client.recv(200).startswith(b"220")
        times.append(time.monotonic() - start)
    return sorted(times)[int(len(times) * 0.99) - 1]


def hold(idle: int, active: int, messages: int) -> tuple[float, float, float]:
    """Idle and active clients at once: memory per idle client in KiB, memory in all in MiB, the slowest banner in s."""
    room_for(idle + active)
    with daemon("workers = 2", GENEROUS) as found:
        found.start()
        before = memory(found)
        clients = idle_clients(found, idle)
        each = (memory(found) - before) / idle / 1024
        load = Load(found.port, USER, connections=active, size=1024)
        load.start()
        until(lambda: len(load.acknowledged) > messages // 4, 120)
        banner = slowest_banner(found, 100)
        until(lambda: len(load.acknowledged) > messages, 120)
        whole = memory(found) / 1024**2
        load.stop()
        for client in clients:  # all of them are still served
            client.sendall(b"NOOP\r\n")
        for client in clients:
            assert client.recv(100).startswith(b"250")
            client.close()
        assert "reject: CONNECT" not in found.log()
        assert len(found.mail()) >= len(load.acknowledged)
    return each, whole, banner


def test_idle_clients_cost_little() -> None:
    each, whole, banner = hold(idle=200, active=20, messages=200)
    print(f"200 idle and 20 active: {each:.0f} KiB each, {whole:.0f} MiB in all, slowest banner {banner * 1000:.0f} ms")
    assert each < 120
    assert whole < 200


@pytest.mark.torture
def test_a_thousand_idle_and_two_hundred_active_clients() -> None:
    each, whole, banner = hold(idle=1000, active=200, messages=4000)
    print(f"1000 idle, 200 active: {each:.0f} KiB each, {whole:.0f} MiB in all, slowest banner {banner * 1000:.0f} ms")
    assert each < 120
    assert whole < 300
    assert banner < 1.0


def slow_loris(port: int, number: int, stop: threading.Event) -> threading.Thread:
    """Clients that send an octet now and then, and come back when they are cut off."""

    def run() -> None:
        clients: list[socket.socket] = []
        while not stop.is_set():
            clients = [client for client in clients if _drip(client)]
            while len(clients) < number and not stop.is_set():
                clients.append(socket.create_connection(("127.0.0.1", port), 30))
            stop.wait(0.2)
        for client in clients:
            client.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def _drip(client: socket.socket) -> bool:
    try:
        client.send(b"N", socket.MSG_DONTWAIT)
    except OSError:
        client.close()
        return False
    return True


@pytest.mark.parametrize(
    ("number", "messages"),
    [(50, 100), pytest.param(500, 2000, marks=pytest.mark.torture)],
    ids=["a few", "five hundred"],
)
def test_slow_clients_are_cut_off_while_others_are_served(number: int, messages: int) -> None:
    room_for(2 * number)
    rest = GENEROUS.replace("[access]\n", "[access]\nidle_timeout = 2s\nauto_block = no\n")
    with daemon("workers = 2", rest) as found:
        found.start()
        quiet = time_of(found, messages)
        stop = threading.Event()
        thread = slow_loris(found.port, number, stop)
        try:
            until(lambda: found.runtime.counters.open_connections() >= number * 0.9, 30)
            disturbed = time_of(found, messages)
            until(lambda: found.log().count("timeout after CONNECT") >= number, 60)
        finally:
            stop.set()
            thread.join()
        print(f"{messages} messages took {quiet:.2f} s alone and {disturbed:.2f} s beside {number} slow clients")
        assert disturbed < 2 * quiet + 2


def time_of(found: Daemon, messages: int) -> float:
    """Seconds that so many messages of fifty clients take."""
    start = time.monotonic()
    load = Load(found.port, USER, connections=50, size=1024)
    load.start()
    until(lambda: len(load.acknowledged) >= messages, 120)
    load.stop()
    return time.monotonic() - start
