"""When a key may be used: every name server of the zone shows it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from smtpd_classic.dns import DnsFailure, FixedResolver
from smtpd_classic.keys.publication import Publication, RecordState, same_record
from smtpd_classic.keys.store import IN_USE, NEW, RETIRED, SEEN, DkimKey, KeyStore

NOW = 1_795_900_000.0
Txt = dict[str, Sequence[bytes] | Exception]


class Zone:
    """A zone with two name servers and our resolver; each has its own view of the TXT records."""

    def __init__(
        self,
        folder: Path,
        *,
        ns: Sequence[str] | Exception = ("ns1.example.net", "ns2.example.net"),
        delegated: dict[str, Sequence[str]] | None = None,
    ) -> None:
        self.store = KeyStore(str(folder))
        (self.key,) = self.store.add("example.org", "ed25519", NOW)
        self.record = self.store.record(self.key).encode()
        self.views: dict[str, Txt] = {name: {"other.example": ()} for name in ("resolver", "192.0.2.1", "192.0.2.2")}
        resolver = FixedResolver(
            addresses={"ns1.example.net": ["192.0.2.1"], "ns2.example.net": ["192.0.2.2"]},
            txt=self.views["resolver"],
            ns={"example.org": ns, **(delegated or {})},
        )
        self.publication = Publication(self.store, resolver, lambda ip: FixedResolver(txt=self.views[ip]))

    def show(self, *views: str, record: Sequence[bytes] | Exception | None = None) -> None:
        for view in views:
            self.views[view][self.key.dns_name] = (self.record,) if record is None else record

    def advance(self, now: float = NOW) -> str:
        return self.publication.advance(self.store.key("example.org", self.key.selector), now).state


def test_a_key_is_used_when_every_name_server_shows_it(tmp_path: Path) -> None:
    zone = Zone(tmp_path)
    assert zone.advance() == NEW
    zone.show("resolver", "192.0.2.1")
    assert zone.advance() == SEEN
    assert zone.advance(NOW + 100_000) == SEEN  # time alone never does it
    zone.show("192.0.2.2", record=(b"v=DKIM1; k=ed25519; p=AAAA",))
    assert zone.advance() == SEEN
    zone.show("192.0.2.2")
    assert zone.advance() == IN_USE


def test_a_zone_of_the_keys_alone_has_its_own_name_servers(tmp_path: Path) -> None:
    zone = Zone(tmp_path, ns=("ns1.example.net",), delegated={"_domainkey.example.org": ("ns2.example.net",)})
    zone.show("resolver", "192.0.2.1")
    assert zone.advance() == SEEN
    zone.show("192.0.2.1", record=())  # the servers of the domain refer to those of the zone
    zone.show("192.0.2.2")
    assert zone.advance() == IN_USE


def test_a_record_that_goes_away_begins_anew(tmp_path: Path) -> None:
    zone = Zone(tmp_path)
    zone.show("resolver")
    assert zone.advance() == SEEN
    zone.show("resolver", record=())
    assert zone.advance() == NEW


@pytest.mark.parametrize("ns", [DnsFailure("silence"), ("unknown.example.net",)])
def test_where_the_name_servers_cannot_be_asked_two_answers_an_hour_apart_do(
    tmp_path: Path, ns: Sequence[str] | Exception
) -> None:
    zone = Zone(tmp_path, ns=ns)
    zone.show("resolver")
    assert zone.advance(NOW) == SEEN
    assert zone.advance(NOW + 3500) == SEEN
    zone.show("resolver", record=DnsFailure("an outage"))
    assert zone.advance(NOW + 3550) == SEEN
    zone.show("resolver")
    assert zone.advance(NOW + 3600) == IN_USE


def test_a_silent_name_server_waits_for_the_hour(tmp_path: Path) -> None:
    zone = Zone(tmp_path)
    zone.show("resolver", "192.0.2.1")
    zone.show("192.0.2.2", record=DnsFailure("silence"))
    assert zone.advance(NOW) == SEEN
    assert zone.advance(NOW + 3600) == IN_USE


def test_a_zone_without_name_servers_has_our_resolver_alone(tmp_path: Path) -> None:
    zone = Zone(tmp_path, ns=())
    zone.show("resolver")
    assert zone.advance() == IN_USE


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        ((), RecordState.NO),
        ((b"v=DKIM1; k=ed25519; p=",), RecordState.OTHER),
        ((b"one", b"two"), RecordState.OTHER),
        (DnsFailure("silence"), RecordState.UNKNOWN),
    ],
)
def test_what_dns_shows(tmp_path: Path, record: Sequence[bytes] | Exception, shown: RecordState) -> None:
    zone = Zone(tmp_path)
    assert zone.publication.shown(zone.key) is RecordState.NO
    zone.show("resolver", record=record)
    assert zone.publication.shown(zone.key) is shown


def test_blanks_and_other_tags_of_a_record_do_not_matter() -> None:
    assert same_record(b" v=DKIM1;k=rsa ; t=s; p=QUJD REVG ", "v=DKIM1; k=rsa; p=QUJDREVG")
    assert same_record(b"p=QUJDREVG", "v=DKIM1; k=rsa; p=QUJDREVG")
    assert not same_record(b"v=DKIM1; k=rsa; p=QUJDREVH", "v=DKIM1; k=rsa; p=QUJDREVG")


@pytest.mark.parametrize(
    "record",
    [
        b"v=DKIM; k=rsa; p=QUJDREVG",
        b"k=rsa; v=DKIM1; p=QUJDREVG",
        b"DKIM1; k=rsa; p=QUJDREVG",
        b"v=DKIM1; k=rsa; p=QUJDREVG; p=QUJDREVG",
        b"v=DKIM1; k=rsa; h=sha1; p=QUJDREVG",
        b"v=DKIM1; k=rsa; s=tls; p=QUJDREVG",
        b'"v=DKIM1; k=rsa; p=QUJDREVG"',
        b"v=DKIM1; k=rsa; n=\xff; p=QUJDREVG",
    ],
)
def test_a_record_by_which_receivers_cannot_verify_is_not_that_of_the_key(record: bytes) -> None:
    assert not same_record(record, "v=DKIM1; k=rsa; p=QUJDREVG")
    assert same_record(b"v=DKIM1; h=sha256:sha1; s=email:x; p=QUJDREVG", "v=DKIM1; k=rsa; p=QUJDREVG")


def test_a_key_in_use_is_left_alone(tmp_path: Path) -> None:
    zone = Zone(tmp_path)
    zone.store.set_state(zone.key, IN_USE, NOW)
    key: DkimKey = zone.store.key("example.org", zone.key.selector)
    assert zone.publication.advance(key, NOW) == key


def test_a_key_is_used_by_hand_only_if_every_name_server_shows_it(tmp_path: Path) -> None:
    zone = Zone(tmp_path)
    assert zone.publication.use(zone.key, NOW) is RecordState.NO
    zone.show("resolver", "192.0.2.1")
    assert zone.publication.use(zone.key, NOW) is RecordState.PART
    zone.show("192.0.2.2", record=DnsFailure("silence"))
    assert zone.publication.use(zone.key, NOW) is RecordState.UNKNOWN
    assert zone.store.key("example.org", zone.key.selector).state == NEW
    assert zone.advance() == SEEN
    seen = zone.store.key("example.org", zone.key.selector)
    assert zone.publication.use(seen, NOW + 3599) is RecordState.UNKNOWN
    assert zone.publication.use(seen, NOW + 3600) is RecordState.YES
    assert zone.store.key("example.org", zone.key.selector).state == IN_USE


def test_a_retired_key_returns_only_if_every_name_server_shows_it(tmp_path: Path) -> None:
    zone = Zone(tmp_path)
    zone.show("resolver", "192.0.2.1", "192.0.2.2")
    assert zone.advance() == IN_USE
    zone.store.set_state(zone.key, RETIRED, NOW + 1, first_seen=int(NOW))
    retired = zone.store.key("example.org", zone.key.selector)
    zone.show("192.0.2.2", record=DnsFailure("silence"))
    assert zone.publication.use(retired, NOW + 90_000) is RecordState.UNKNOWN  # its old answer does not count
    zone.show("192.0.2.2")
    assert zone.publication.use(retired, NOW + 90_000) is RecordState.YES
