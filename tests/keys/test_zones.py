"""The printed zone, loaded as it is into a real name server: each kind of server is right by a resolver."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.config.kinds import Host
from smtpd_classic.dns import DnsFailure, DnsResolver, FixedResolver
from smtpd_classic.doctor.examination import relay_terms
from smtpd_classic.keys.publication import Publication
from smtpd_classic.keys.ring import KeyRing
from smtpd_classic.keys.store import KeyStore
from smtpd_classic.keys.watch import DomainKeys, KeyWatch
from smtpd_classic.mailauth.dmarc_record import parse_dmarc_record
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.spf import SpfQuery, check_spf
from smtpd_classic.mailauth.words import ResultWord
from tests.instance import Instance
from tests.keys.name_server import zone_server

ZONE = "example.test"
IP = "198.51.100.7"


@pytest.fixture
def instance() -> Iterator[Instance]:
    with tempfile.TemporaryDirectory(prefix="smtpd-classic-") as folder:
        Path(folder).chmod(0o755)
        yield Instance(Path(folder) / "instance")


def spf(resolver: DnsResolver, sender: str, helo: str, ip: str = IP) -> ResultWord:
    return check_spf(SpfQuery(ip, sender, helo), Lookups(resolver)).word


CASES = {
    "the HELO name is the mail domain": ({}, "example.test", "198.51.100.7"),
    "a host in the domain": ({"basic helo_name": "mail.example.test"}, "mail.example.test", "198.51.100.7"),
    "both families": ({"basic helo_name": "mail.example.test"}, "mail.example.test", "198.51.100.7, 2001:db8::7"),
    "with a relay": (
        {"remote relay_hosts": "smtp.relay.test", "remote relay_always": "yes", "basic helo_name": "mail.example.test"},
        "mail.example.test",
        "198.51.100.7",
    ),
}


@pytest.mark.parametrize(("options", "helo", "public"), CASES.values(), ids=CASES)
def test_the_printed_zone_is_right(
    instance: Instance, tmp_path: Path, options: dict[str, str], helo: str, public: str
) -> None:
    """The addresses are those of the option, as behind NAT: none of this machine's interfaces has them."""
    instance.set("server", "public_addresses", public)
    for name, value in options.items():
        section, option = name.split()
        instance.set(section, option, value)
    fragment = instance.run("dns", "records", ZONE, "--zone").stdout
    with zone_server(tmp_path / "nsd", ZONE, fragment) as port:
        resolver = DnsResolver((("127.0.0.1", port),))
        instance.set("server", "name_servers", f"127.0.0.1:{port}")
        checked = instance.run("dns", "check", ZONE)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert [each.host for each in resolver.mx_records(ZONE)] == [helo]
        texts = resolver.txt(ZONE)
        assert sum(text.startswith(b"v=spf1") for text in texts) == 1
        for address in public.split(", "):
            assert spf(resolver, f"joe@{ZONE}", helo, address) is ResultWord.PASS
            assert spf(resolver, "", helo, address) is ResultWord.PASS
            assert address in resolver.address_records(helo, 6 if ":" in address else 4)
        if "remote relay_hosts" in options:
            assert b"include:relay.test" in texts[0]
        else:
            assert spf(resolver, f"joe@{ZONE}", helo, "203.0.113.9") is ResultWord.SOFTFAIL
        (policy,) = resolver.txt(f"_dmarc.{ZONE}")
        assert parse_dmarc_record(policy).usable


@pytest.mark.parametrize(
    ("relays", "spf", "terms"),
    [
        (["smtp.relay.test"], {"relay.test": b"v=spf1 ip4:192.0.2.1 -all"}, ("include:relay.test",)),
        (["smtp.relay.co.test"], {"relay.co.test": b"v=spf1 ip4:192.0.2.1 -all"}, ("include:relay.co.test",)),
        (["a.relay.test", "b.relay.test"], {"relay.test": b"v=spf1 -all"}, ("include:relay.test",)),
        (["smtp.relay.test"], {"smtp.relay.test": b"v=spf1 a -all"}, ("include:smtp.relay.test",)),
        (["smtp.relay.test"], {"relay.test": DnsFailure("silence")}, ("include:relay.test",)),
        (["smtp.relay.test"], {}, ("include:relay.test",)),
        (["192.0.2.25", "[2001:db8::25]"], {}, ("ip4:192.0.2.25", "ip6:2001:db8::25")),
        (["relay"], {}, ("include:relay",)),
    ],
)
def test_the_spf_terms_of_a_relay_are_asked_for_in_dns(
    relays: list[str], spf: dict[str, bytes | Exception], terms: tuple[str, ...]
) -> None:
    answers = {name: [text] if isinstance(text, bytes) else text for name, text in spf.items()}
    assert relay_terms([Host(name) for name in relays], FixedResolver(txt=answers)) == terms


def zone_of(store: KeyStore, selectors: set[str]) -> str:
    """A zone with two name servers that shows these keys."""
    text = "@ 3600 IN NS ns2\nns 3600 IN A 127.0.0.1\nns2 3600 IN A 127.0.0.2\n"
    for key in store.keys(ZONE):
        if key.selector in selectors:
            text += f'{key.selector}._domainkey 3600 IN TXT "{store.record(key)}"\n'
    return text


def test_rotation_waits_for_the_last_real_name_server(tmp_path: Path) -> None:
    """Two name servers of the zone; the second lags behind. No message is signed with a key that one does not show."""
    now = 1_795_900_000.0
    store = KeyStore(str(tmp_path / "dkim"))
    store.add(ZONE, "ed25519", now)
    (first,) = (key.selector for key in store.keys(ZONE))

    def after(shown: set[str], shown_late: set[str], when: float) -> list[str]:
        """The selectors that sign after one look at two name servers with these keys."""
        with (
            zone_server(tmp_path / "one", ZONE, zone_of(store, shown)) as port,
            zone_server(tmp_path / "two", ZONE, zone_of(store, shown_late)) as late_port,
        ):
            ports = {"127.0.0.1": port, "127.0.0.2": late_port}

            def publication() -> Publication:
                resolver = DnsResolver((("127.0.0.1", port),))
                return Publication(store, resolver, lambda ip: DnsResolver((("127.0.0.1", ports[ip]),)))

            settings = [DomainKeys(ZONE, "ed25519", 90 * 86_400.0)]
            KeyWatch(store, publication, settings, lambda: when, lambda _: None).step()
            return [key.selector for key in KeyRing(store, lambda: when).keys(ZONE)]

    assert after({first}, set(), now) == []
    assert after({first}, set(), now + 7200) == []  # an hour makes no difference while one says no
    assert after({first}, {first}, now + 7300) == [first]
    assert after({first}, {first}, now + 91 * 86_400) == [first]
    (second,) = {key.selector for key in store.keys(ZONE)} - {first}
    assert after({first, second}, {first}, now + 92 * 86_400) == [first]
    assert after({first, second}, {first, second}, now + 93 * 86_400) == [second]
