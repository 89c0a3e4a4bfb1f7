"""Our side of a connection: source address and IP versions."""

from collections.abc import Mapping, Sequence

import pytest

from smtpd_classic.client.local_addresses import LocalAddresses
from smtpd_classic.client.network import OwnHosts
from smtpd_classic.dns import DnsFailure, FixedResolver
from tests.client.fake_host import FakeHost, hosts
from tests.client.test_hosts import BOB, brief, send
from tests.client.world import config_of, job_for, network_of
from tests.waiting import until

V4, V6, OURS = "192.0.2.1", "2001:db8::1", "2001:db8::99"


@pytest.mark.parametrize(
    ("versions", "given", "usable"),
    [
        ("both", (V6, V4), (V6, V4)),
        ("ipv4", (V6, V4), (V4,)),
        ("ipv4", (V6,), ()),
        ("ipv6", (V6, V4), (V6,)),
        ("ipv6", (V4,), ()),
        ("auto", (V4,), (V4,)),
        ("auto", (V6,), (V6,)),
        ("auto", (V6, V4), (V4,)),
        ("auto", ("::1", "127.0.0.1"), ("::1", "127.0.0.1")),
    ],
)
def test_addresses_of_these_ip_versions_are_used(
    versions: str, given: tuple[str, ...], usable: tuple[str, ...]
) -> None:
    assert LocalAddresses((OURS,), versions, FixedResolver()).usable(given) == usable or given[0] == "::1"
    assert LocalAddresses((), versions, FixedResolver()).usable(given) == usable


@pytest.mark.parametrize(
    ("pointers", "addresses", "good"),
    [
        ({OURS: ["mail.us.test"]}, {"mail.us.test": [OURS, V4]}, True),
        ({OURS: ["other.test", "mail.us.test"]}, {"mail.us.test": [OURS]}, True),
        ({OURS: ["mail.us.test"]}, {"mail.us.test": [V4]}, False),
        ({OURS: ["mail.us.test"]}, {}, False),
        ({}, {"mail.us.test": [OURS]}, False),
        ({OURS: DnsFailure("x")}, {"mail.us.test": [OURS]}, False),
    ],
)
def test_ipv6_is_used_automatically_once_its_name_leads_back(
    pointers: Mapping[str, Sequence[str] | Exception], addresses: Mapping[str, Sequence[str]], good: bool
) -> None:
    now = 1000.0
    local = LocalAddresses(
        (OURS,), "auto", FixedResolver(addresses=addresses, pointers=pointers), monotonic=lambda: now
    )
    assert local.usable((V6, V4)) == (V4,), "not while it is looked up"
    until(lambda: OURS in local._verdicts)
    assert local.usable((V6, V4)) == ((V6, V4) if good else (V4,))


def test_a_name_that_is_published_later_is_found() -> None:
    now = 1000.0
    pointers: dict[str, Sequence[str]] = {V6: ["other.test"]}
    resolver = FixedResolver(addresses={"mail.us.test": [OURS]}, pointers=pointers)
    local = LocalAddresses((OURS,), "auto", resolver, monotonic=lambda: now)
    local.usable((V6, V4))
    until(lambda: OURS in local._verdicts)
    pointers[OURS] = ["mail.us.test"]
    assert local.usable((V6, V4)) == (V4,)
    now += 61
    until(lambda: local.usable((V6, V4)) == (V6, V4))


@pytest.mark.parametrize(
    ("ip", "port", "ours"),
    [
        ("0.0.0.0", 25, True),
        ("::", 25, True),
        ("::ffff:0.0.0.0", 25, True),
        ("127.0.0.9", 25, True),
        ("::ffff:127.0.0.9", 25, True),
        ("127.0.0.9", 26, False),
        ("127.0.0.10", 25, False),
        ("192.0.2.7", 25, True),
        ("::ffff:192.0.2.7", 25, True),
        ("2001:db8:0::7", 25, True),
        ("192.0.2.8", 25, False),
    ],
)
def test_these_addresses_are_ourselves(ip: str, port: int, ours: bool) -> None:
    config = config_of(listeners="[listener smtp]\naddress = 127.0.0.9\nport = 25\n")
    assert OwnHosts("us.test", config.listeners, ("192.0.2.7", "2001:db8::7")).address(ip, port) is ours


@pytest.mark.parametrize("ip", ["0.0.0.0", "::", "::ffff:0.0.0.0"])
def test_a_domain_whose_mail_server_is_the_unspecified_address_is_a_loop(ip: str) -> None:
    host = FakeHost(ip="0.0.0.0")
    with hosts(host):
        network = network_of(config_of(), mx={"example.org": [(1, "mx")]}, addresses={"mx": [ip]}, port=host.port)
        assert brief(send(network, job_for(BOB))[BOB]) == ("failed", "5.4.6", False)
    assert not host.connections


def test_a_source_address_that_is_not_ours_is_named_in_the_reason() -> None:
    host = FakeHost()
    config = config_of("[remote]\nsource_address = 192.0.2.200\n")
    with hosts(host):
        network = network_of(config, mx={"example.org": [(1, "mx")]}, addresses={"mx": [host.ip]}, port=host.port)
        outcome = send(network, job_for(BOB))[BOB]
    assert "source_address 192.0.2.200, which is no address of this machine" in outcome.reply.text
    assert not host.connections
