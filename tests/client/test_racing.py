"""Addresses of equal preference that do not answer: the next one is tried beside them."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from smtpd_classic.client.mx import MxTransport
from smtpd_classic.client.network import Network
from smtpd_classic.client.transport import HostBusy, Peer
from tests.client.fake_host import FakeHost, hosts, own_ip
from tests.client.world import QUICK, config_of, deliver, job_for, network_of

BOB = "bob@example.org"


@contextmanager
def silent(port: int) -> Iterator[str]:
    """An address that does not answer: its queue of connections is full, so the kernel drops each SYN."""
    with socket.socket() as listening:
        ip = own_ip()
        listening.bind((ip, port))
        listening.listen(0)
        kept = []
        for _ in range(4):
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex((ip, port))
            kept.append(each)
        yield ip
        for each in kept:
            each.close()


def network_for(host: FakeHost, *addresses: str) -> Network:
    return network_of(
        config_of(),
        mx={"example.org": [(1, "mx")]},
        addresses={"mx": list(addresses)},
        port=host.port,
        timeouts=QUICK._replace(connect=20),
    )


def test_a_silent_address_costs_three_seconds_once() -> None:
    host = FakeHost()
    with hosts(host), silent(host.port) as ip:
        network = network_for(host, ip, host.ip)
        job = job_for(BOB)
        start = time.monotonic()
        outcome = deliver(MxTransport(network), job)[BOB]
        assert outcome.action.value == "delivered"
        assert time.monotonic() - start >= 2.9
        assert outcome.peer == Peer("mx", host.ip, host.port)
        mark = network.health.dead(Peer("mx", ip, host.port))
        assert mark is not None
        assert "no answer while" in mark.reason
        assert network.connections.open == 1, "the loser is closed"
        start = time.monotonic()
        assert deliver(MxTransport(network), job_for(BOB))[BOB].action.value == "delivered"
        assert time.monotonic() - start < 2.9
        network.connections.close()
        assert network.connections.open == 0
    assert host.connections == 1


def test_a_refusal_is_followed_by_the_next_address_at_once() -> None:
    host = FakeHost()
    with hosts(host):
        network = network_for(host, own_ip(), host.ip)
        assert deliver(MxTransport(network), job_for(BOB))[BOB].peer == Peer("mx", host.ip, host.port)
        assert network.health.dead(Peer("mx", host.ip, host.port)) is None
        network.connections.close()
    assert network.connections.open == 0


def test_an_address_at_its_limit_is_not_tried_beside() -> None:
    host = FakeHost()
    with hosts(host), silent(host.port) as ip:
        network = network_for(host, ip, host.ip)
        network = replace(network, timeouts=QUICK)
        network.connections.failed(((host.ip, host.port),))
        network.connections.take(((host.ip, host.port),), "another")
        with pytest.raises(HostBusy):
            deliver(MxTransport(network), job_for(BOB))
        assert host.connections == 0
