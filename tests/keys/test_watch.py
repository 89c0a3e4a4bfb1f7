"""Rotation on a clock of its own: the next key is made in time, and used when every name server shows it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from smtpd_classic.daemon.keys import key_watch
from smtpd_classic.dns import FixedResolver
from smtpd_classic.keys.publication import Publication
from smtpd_classic.keys.ring import KeyRing
from smtpd_classic.keys.store import IN_USE, NEW, RETIRED, KeyStore
from smtpd_classic.keys.watch import DomainKeys, KeyWatch
from tests.reception.world import CONFIG, world

DAY = 86_400.0


class Domain:
    """A domain whose two name servers may lag behind one another."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_795_900_000.0
        self.views: dict[str, dict[str, Sequence[bytes] | Exception]] = {
            name: {"other.example": ()} for name in ("resolver", "192.0.2.1", "192.0.2.2")
        }
        self.store = KeyStore(str(folder))
        self.said: list[str] = []
        self.watch = KeyWatch(
            self.store,
            self._publication,
            [DomainKeys("example.org", "ed25519", 90 * DAY)],
            lambda: self.now,
            self.said.append,
        )
        self.ring = KeyRing(self.store, lambda: self.now)

    def _publication(self) -> Publication:
        resolver = FixedResolver(
            addresses={"ns1.example.net": ["192.0.2.1"], "ns2.example.net": ["192.0.2.2"]},
            txt=self.views["resolver"],
            ns={"example.org": ("ns1.example.net", "ns2.example.net")},
        )
        return Publication(self.store, resolver, lambda ip: FixedResolver(txt=self.views[ip]))

    def publish(self, *views: str) -> None:
        for key in self.store.keys("example.org"):
            for view in views:
                self.views[view][key.dns_name] = (self.store.record(key).encode(),)

    def step(self, days: float = 0.1) -> list[str]:
        """Let time pass; the selectors that sign then, each of which every name server shows."""
        self.now += days * DAY
        self.watch.step()
        used = [key.selector for key in self.ring.keys("example.org")]
        assert self.ring.is_idle() is not bool(used)
        for selector in used:
            assert all(f"{selector}._domainkey.example.org" in view for view in self.views.values())
        return used


def test_a_year_of_rotation_with_name_servers_that_lag(tmp_path: Path) -> None:
    domain = Domain(tmp_path)
    domain.store.add("example.org", "ed25519", domain.now)
    assert domain.step() == []
    domain.publish("resolver", "192.0.2.1")
    assert domain.step() == []
    domain.publish("192.0.2.2")
    (first,) = domain.step()
    assert domain.step(89) == [first]
    assert domain.step(1) == [first]
    states = {key.selector: key.state for key in domain.store.keys("example.org")}
    assert sorted(states.values()) == [IN_USE, NEW]
    domain.publish("resolver", "192.0.2.2")
    for _ in range(30):
        assert domain.step(1) == [first]
    domain.publish("192.0.2.1")
    (second,) = domain.step()
    assert second != first
    assert {key.selector: key.state for key in domain.store.keys("example.org")} == {first: RETIRED, second: IN_USE}
    assert any("the next DKIM key" in sentence for sentence in domain.said)
    assert domain.step(80) == [second]


def test_a_damaged_file_is_told_once(tmp_path: Path) -> None:
    domain = Domain(tmp_path)
    domain.store.add("example.org", "ed25519", domain.now)
    Path(tmp_path, "example.org", "state.json").write_text("{")
    domain.watch.step()
    domain.watch.step()
    assert len(domain.said) == 1
    assert "damaged" in domain.said[0]


@pytest.mark.parametrize(("shared", "number"), [("", 2), ("shared_state = redis://127.0.0.1:6379\n", 1)])
def test_servers_that_share_a_state_make_no_key_by_themselves(tmp_path: Path, shared: str, number: int) -> None:
    text = CONFIG.replace("[server]\n", f"[server]\n{shared}")
    text = text.replace("[domain example.org]\n", "[domain example.org]\ndkim_rotate = 90d\ndkim_algorithm = ed25519\n")
    place = world(tmp_path, config=text)
    store = KeyStore(str(tmp_path / "dkim"))
    (key,) = store.add("example.org", "ed25519", place.clock.now)
    store.set_state(key, IN_USE, place.clock.now)
    place.clock.now += 91 * DAY
    key_watch(place.services).step()
    assert len(store.keys("example.org")) == number


def test_a_domain_that_signs_again_asks_dns_first(tmp_path: Path) -> None:
    domain = Domain(tmp_path)
    domain.store.add("example.org", "ed25519", domain.now)
    domain.publish(*domain.views)
    (selector,) = domain.step()
    off = KeyWatch(domain.store, domain._publication, [], lambda: domain.now, domain.said.append)
    domain.now += DAY
    off.step()
    assert domain.ring.keys("example.org") == ()
    assert domain.said[-1].startswith("example.org does not sign here")
    for view in domain.views.values():
        view.pop(f"{selector}._domainkey.example.org")
    assert domain.step() == []
    domain.publish(*domain.views)
    assert domain.step() == [selector]


def test_a_restored_key_signs_when_every_name_server_shows_it_again(tmp_path: Path) -> None:
    domain = Domain(tmp_path)
    domain.store.add("example.org", "ed25519", domain.now)
    domain.publish(*domain.views)
    (old,) = domain.step()
    domain.step(90)
    domain.publish(*domain.views)
    (new,) = domain.step()
    assert new != old
    removed = {name: view.pop(f"{old}._domainkey.example.org") for name, view in domain.views.items()}
    domain.store.restore("example.org", domain.store.versions("example.org")[0].name, domain.now)
    assert domain.step() == [new]
    domain.views["resolver"][f"{old}._domainkey.example.org"] = removed["resolver"]
    assert domain.step(2) == [new]
    for name, view in domain.views.items():
        view[f"{old}._domainkey.example.org"] = removed[name]
    assert domain.step() == [old]
