"""Key files and their states."""

import json
import os
from pathlib import Path

import pytest

from smtpd_classic.keys.store import IN_USE, NEW, RETIRED, SEEN, KeyStore, KeysUnreadable, NoSuchKey
from smtpd_classic.mailauth.dkim_key import parse_key_record
from smtpd_classic.mailauth.dkim_sign import load_signing_key

NOW = 1_795_900_000  # November 2026


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(str(tmp_path / "dkim"))


def test_a_new_key_has_files_that_only_the_service_may_read(store: KeyStore) -> None:
    (key,) = store.add("example.org", "rsa2048", NOW)
    assert (key.selector, key.state, key.dns_name) == ("202611", NEW, "202611._domainkey.example.org")
    folder = Path(store.folder)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "example.org")] == [0o700, 0o700]
    files = {path.name: path.stat().st_mode & 0o777 for path in (folder / "example.org").iterdir()}
    assert files == {"202611.pem": 0o600, "202611.txt": 0o600, "state.json": 0o600}
    assert store.keys("example.org") == (key,)
    assert store.domains() == ["example.org"]


@pytest.mark.parametrize(("algorithms", "kinds"), [("rsa3072", ["rsa"]), ("rsa2048+ed25519", ["rsa", "ed25519"])])
def test_the_record_is_that_of_the_private_key(store: KeyStore, algorithms: str, kinds: list[str]) -> None:
    made = store.add("example.org", algorithms, NOW)
    assert [parse_key_record(store.record(key).encode()).key_type for key in made] == kinds
    for key in made:
        assert load_signing_key(store.private(key), key.domain, key.selector).algorithm.startswith(
            "rsa" if key.algorithm.startswith("rsa") else "ed"
        )


def test_selectors_of_one_month_differ(store: KeyStore) -> None:
    made = [store.add("example.org", algorithm, NOW)[0] for algorithm in ("ed25519", "ed25519", "rsa2048")]
    assert [key.selector for key in made] == ["202611e", "202611e-2", "202611"]


def test_a_key_that_is_used_retires_the_other_of_its_kind(store: KeyStore) -> None:
    old, other = store.add("example.org", "rsa2048+ed25519", NOW)
    for key in (old, other):
        store.set_state(key, IN_USE, NOW)
    (new,) = store.add("example.org", "rsa2048", NOW + 5)
    store.set_state(new, IN_USE, NOW + 10)
    states = {key.selector: (key.state, key.since) for key in store.keys("example.org")}
    assert states == {
        old.selector: (RETIRED, NOW + 10),
        other.selector: (IN_USE, NOW),
        new.selector: (IN_USE, NOW + 10),
    }


def test_an_unknown_key_or_a_damaged_file_says_so(store: KeyStore) -> None:
    (key,) = store.add("example.org", "ed25519", NOW)
    with pytest.raises(NoSuchKey):
        store.key("example.org", "other")
    state = Path(store.folder, "example.org", "state.json")
    for damage in ("", "{}", '{"keys": [{"selector": "../x", "algorithm": "rsa", "state": "new"}]}', "[1]"):
        state.write_text(damage)
        with pytest.raises(KeysUnreadable):
            store.keys("example.org")
    os.unlink(Path(store.folder, "example.org", f"{key.selector}.pem"))
    with pytest.raises(KeysUnreadable, match="pem"):
        store.record(key)


def test_two_processes_at_once_lose_no_key(store: KeyStore) -> None:
    for _ in range(4):
        if os.fork() == 0:
            KeyStore(store.folder).add("example.org", "ed25519", NOW)
            os._exit(0)
    for _ in range(4):
        os.wait()
    rows = json.loads(Path(store.folder, "example.org", "state.json").read_text())["keys"]
    assert len({row["selector"] for row in rows}) == 4


def test_every_change_of_the_states_can_be_taken_back(store: KeyStore) -> None:
    """A key that comes back waits for DNS, as a new one; until then the one in use signs."""
    (old,) = store.add("example.org", "ed25519", NOW)
    store.set_state(old, IN_USE, NOW + 1)
    store.set_state(old, IN_USE, NOW + 2)  # changes nothing, and keeps no version
    (new,) = store.add("example.org", "ed25519", NOW + 3)
    store.set_state(new, IN_USE, NOW + 4)
    assert len(store.versions("example.org")) == 3
    third, second, first = (version.name for version in store.versions("example.org"))
    assert store.changes_of_restore("example.org", third) == (f"{old.selector}: new instead of retired",)
    store.restore("example.org", second, NOW + 5)
    states = {key.selector: key.state for key in store.keys("example.org")}
    assert states == {old.selector: NEW, new.selector: IN_USE}
    store.set_state(old, IN_USE, NOW + 6)
    assert {key.selector: key.state for key in store.keys("example.org")} == {
        old.selector: IN_USE,
        new.selector: RETIRED,
    }
    store.restore("example.org", first, NOW + 7)
    assert [(key.selector, key.state) for key in store.keys("example.org")] == [(old.selector, NEW)]
    latest = store.versions("example.org")[0].name
    assert store.changes_of_restore("example.org", latest) == (f"{new.selector} comes back, retired",)
    (third_key,) = store.add("example.org", "ed25519", NOW + 8)
    assert third_key.selector == "202611e-3"  # the private key of 202611e-2 is still there
    with pytest.raises(NoSuchKey):
        store.restore("example.org", "state.json.never", NOW + 9)


def test_an_old_answer_of_dns_does_not_count_for_a_key_that_comes_back(store: KeyStore) -> None:
    (key,) = store.add("example.org", "ed25519", NOW)
    store.set_state(key, SEEN, NOW + 1, first_seen=int(NOW + 1))
    store.set_state(key, RETIRED, NOW + 2)
    store.restore("example.org", store.versions("example.org")[0].name, NOW + 90_000)
    (back,) = store.keys("example.org")
    assert (back.state, back.first_seen) == (NEW, 0)


def test_a_domain_that_stops_signing_has_no_key_in_use(store: KeyStore) -> None:
    (key,) = store.add("example.org", "ed25519", NOW)
    store.set_state(key, IN_USE, NOW + 1)
    assert [each.selector for each in store.stop_signing("example.org", NOW + 2)] == [key.selector]
    assert [each.state for each in store.keys("example.org")] == [NEW]
    assert store.stop_signing("example.org", NOW + 3) == ()
