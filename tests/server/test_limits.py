"""Who gets no connection: too many in all or of one client, blocked ones; and what it costs the others."""

import os
import resource
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from smtpd_classic.runtime import Runtime
from tests.server.serving import Dialog, place
from tests.waiting import until

PROXIED = "[listener smtp]\naddress = 127.0.0.1\nport = 1\nproxy_protocol = 127.0.0.1\n"


def test_over_the_cap_the_client_is_told_at_once(tmp_path: Path) -> None:
    with place(tmp_path, access="max_connections = 3") as found:
        inside = [found.dial() for _ in range(3)]
        for dialog in inside:
            assert dialog.reply().startswith("220")
        with found.dial() as turned_away:
            assert turned_away.reply().startswith("421 4.7.0 Too many connections")
            assert turned_away.ended()
        assert "NOQUEUE: reject: CONNECT from unknown[127.0.0.1]: 421 4.7.0" in found.log()
        inside.pop().close()
        until(lambda: found.runtime.counters.open_connections() == 2)
        with found.dial() as next_one:
            assert next_one.reply().startswith("220")
        for dialog in inside:
            dialog.close()


def test_the_cap_holds_across_processes(tmp_path: Path) -> None:
    """Another process has its column of the counters; what is in it counts here too."""
    with place(tmp_path, access="max_connections_per_address = 3") as found:
        other = Runtime(found.runtime.folder)
        other.counters.attach(2)
        other.counters.connected("127.0.0.1", 0, 0)
        other.counters.connected("127.0.0.1", 0, 0)
        with found.dial() as first, found.dial() as second:
            assert first.reply().startswith("220")
            assert second.reply().startswith("421 4.7.0 Too many connections from your address")
        found.runtime.counters.release(2)
        with found.dial() as third:
            assert third.reply().startswith("220")


@pytest.mark.parametrize("hosts", ["127.0.0.1", "::ffff:127.0.0.0/104"])
def test_trusted_hosts_are_not_counted_one_by_one(tmp_path: Path, hosts: str) -> None:
    trusting = place(tmp_path, access="max_connections_per_address = 1", trusted=f"hosts = {hosts}")
    with trusting as found, found.dial() as first, found.dial() as second:
        assert first.reply().startswith("220")
        assert second.reply().startswith("220")


def test_one_client_over_its_cap_does_not_cost_another(tmp_path: Path) -> None:
    with place(tmp_path, PROXIED, access="max_connections_per_address = 2") as found:
        greedy = [_proxied(found.ports["smtp"], "192.0.2.1") for _ in range(3)]
        replies = sorted(dialog.reply()[:3] for dialog in greedy)
        assert replies == ["220", "220", "421"]
        other = _proxied(found.ports["smtp"], "192.0.2.2")
        assert other.reply().startswith("220")
        for dialog in (*greedy, other):
            dialog.close()


def _proxied(port: int, client: str) -> Dialog:
    dialog = Dialog(port)
    dialog.send(f"PROXY TCP4 {client} 192.0.2.200 4000 25\r\n".encode())
    return dialog


def test_a_blocked_client_is_turned_away_and_back_in(tmp_path: Path) -> None:
    with place(tmp_path) as found:
        found.runtime.blocks.block("127.0.0.1", 60)
        with found.dial() as dialog:
            assert dialog.reply().startswith("421 4.7.0")
            assert dialog.ended()
        found.runtime.blocks.unblock("127.0.0.1")
        with found.dial() as dialog:
            assert dialog.reply().startswith("220")


def test_a_block_does_not_shut_out_a_trusted_host(tmp_path: Path) -> None:
    with place(tmp_path, trusted="hosts = 127.0.0.1") as found:
        found.runtime.blocks.block("127.0.0.1", 60)
        with found.dial() as dialog:
            assert dialog.reply().startswith("220")


def test_without_descriptors_the_server_waits_and_goes_on(tmp_path: Path) -> None:
    with place(tmp_path) as found:
        with found.dial() as dialog:
            assert dialog.reply().startswith("220")
        until(lambda: found.receiver.connections == 0)
        log = found.log_file.open(encoding="utf-8")
        waiting = socket.socket()
        allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken: list[int] = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, most))
            _take_all(taken)
            waiting.connect(("127.0.0.1", found.ports["smtp"]))
            until(lambda: "no room for another connection" in log.read())
        finally:
            for fd in taken:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
        waiting.settimeout(10)
        assert waiting.recv(100).startswith(b"220")
        waiting.close()
        log.close()
        until(lambda: "accepting connections again" in found.log())
        assert found.log().count("no room for another connection") == 1


def _take_all(taken: list[int]) -> None:
    with suppress(OSError):
        while True:
            taken.append(os.dup(0))


def test_idle_threads_end_when_there_are_many(tmp_path: Path) -> None:
    with place(tmp_path) as found:
        many = [found.dial() for _ in range(100)]
        for dialog in many:
            assert dialog.reply().startswith("220")
        assert found.receiver.threads == 100
        for dialog in many:
            dialog.close()
        until(lambda: found.receiver.threads == 64)
