import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smtpd_classic.accounts import Account, login, scram_hash
from smtpd_classic.accounts.login import Logins
from smtpd_classic.accounts.passwords import cost_class, verify
from tests.accounts.place import HASH, PASSWORD, Place

USERS = f"""joe@example.org
ann@example.org:{scram_hash(PASSWORD)}::::::
off@example.org:!{HASH}::::::userdb_smtpd_status=disabled
held@example.org:{HASH}::::::userdb_smtpd_status=suspended
locked@example.org:!{HASH}
nologin@example.org:{HASH}::::::nologin
plain@example.org:{{PLAIN}}{PASSWORD}
bare@example.org:{PASSWORD}
none@example.org:
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, USERS, "info: joe")


@pytest.mark.parametrize(
    "name", ["joe", "joe@example.org", "JOE@Example.Net", "ann", "Ann@example.biz", '"joe"@example.org']
)
def test_a_login_succeeds_with_its_password_alone(place: Place, name: str) -> None:
    accounts = place.accounts()
    account = accounts.authenticate(name, PASSWORD)
    assert account is not None
    assert account.address.partition("@")[0] == name.strip('"').lower().partition("@")[0].strip('"')
    for wrong in ("", PASSWORD + " ", PASSWORD.upper(), PASSWORD + "\0", "\0" + PASSWORD):
        assert accounts.authenticate(name, wrong) is None


@pytest.mark.parametrize(
    "name",
    [
        "off",
        "held",
        "locked",
        "nologin",
        "plain",
        "bare",
        "none",
        "nobody",
        "info",
        "joe+tag",
        "joe@remote.example",
        "",
        "@",
    ],
)
def test_a_login_fails_even_with_the_password(place: Place, name: str) -> None:
    accounts = place.accounts()
    assert accounts.authenticate(name, PASSWORD) is None
    assert accounts.authenticate(name, PASSWORD) is None, "nor the second time"
    assert accounts.authenticate(name, "") is None


def test_a_disabled_account_is_out_although_its_password_was_just_used(place: Place) -> None:
    accounts = place.accounts()
    assert accounts.authenticate("joe", PASSWORD)
    place.users(USERS.replace("joe@example.org", f"joe@example.org:!{HASH}::::::userdb_smtpd_status=disabled"))
    assert accounts.authenticate("joe", PASSWORD) is None


def test_an_old_password_is_out_at_once(place: Place) -> None:
    accounts = place.accounts()
    assert accounts.authenticate("joe", PASSWORD)
    place.users(USERS.replace("joe@example.org", f"joe@example.org:{scram_hash('another')}"))
    assert accounts.authenticate("joe", PASSWORD) is None
    assert accounts.authenticate("joe", "another")


class Counting:
    """Stands where `verify` does, and counts how many run at once."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.running, self.most = 0, 0
        self._lock = threading.Lock()

    def __call__(self, stored: str, password: str) -> bool:
        with self._lock:
            self.stored.append(stored)
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            return verify(stored, password)
        finally:
            with self._lock:
                self.running -= 1


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    counting = Counting()
    monkeypatch.setattr(login, "verify", counting)
    return counting


@pytest.mark.source
def test_a_password_that_just_fitted_is_not_hashed_again(place: Place, counting: Counting) -> None:
    accounts = place.accounts()
    assert all(accounts.authenticate("joe", PASSWORD) for _ in range(5))
    assert len(counting.stored) == 1
    place.clock.now += 119
    assert accounts.authenticate("joe", PASSWORD)
    assert len(counting.stored) == 1
    place.clock.now += 2
    assert accounts.authenticate("joe", PASSWORD)
    assert len(counting.stored) == 2


@pytest.mark.source
def test_what_is_remembered_goes_with_the_file(place: Place, counting: Counting) -> None:
    accounts = place.accounts()
    assert accounts.authenticate("joe", PASSWORD)
    place.users(USERS + "more@example.org")
    assert accounts.authenticate("joe", PASSWORD)
    assert len(counting.stored) == 2


def test_the_hash_that_stands_for_nobody_lets_nobody_in(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "DUMMY_HASH", HASH)
    accounts = place.accounts()
    for name in ("none", "nobody", "someone@remote.example"):
        assert accounts.authenticate(name, PASSWORD) is None


@pytest.mark.source
def test_wrong_passwords_are_hashed_every_time(place: Place, counting: Counting) -> None:
    accounts = place.accounts()
    for name in ("joe", "nobody", "off", "none"):
        assert [accounts.authenticate(name, "wrong") for _ in range(3)] == [None] * 3
    assert len(counting.stored) == 36, "the file has three kinds of hashes"


@pytest.mark.source
def test_no_more_verifications_at_once_than_there_are_cores(counting: Counting) -> None:
    logins = Logins()
    accounts = [Account(f"u{number}@x.org", password=HASH) for number in range(24)]
    with ThreadPoolExecutor(24) as pool:
        assert all(pool.map(lambda account: logins.succeeds(account, PASSWORD, 0.0), accounts))
    assert len(counting.stored) == 24
    assert 1 <= counting.most <= login.CORES


@pytest.mark.source
def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "verify", lambda stored, password: True)
    monkeypatch.setattr(login, "_MAX_KEPT", 10)
    logins = Logins()
    account = Account("joe@x.org", password=HASH)
    for number in range(100):
        assert logins.succeeds(account, str(number), 0.0)
    assert len(logins._kept) <= 10
    assert all(PASSWORD.encode() not in key for key in logins._kept)


MIXED = f"""joe@example.org
ann@example.org:{scram_hash(PASSWORD)}
old@example.org:{{SHA512-CRYPT}}$6$saltsalt${"a" * 86}
slow@example.org:{{SHA512-CRYPT}}$6$rounds=9000$saltsalt${"a" * 86}
blow@example.org:{{BLF-CRYPT}}$2y$04${"a" * 53}
off@example.org:!{HASH}::::::userdb_smtpd_status=disabled
locked@example.org:!{HASH}
plain@example.org:{{PLAIN}}{PASSWORD}
none@example.org:
"""


@pytest.mark.source
@pytest.mark.parametrize(
    "name", ["joe", "ann", "old", "slow", "blow", "off", "locked", "plain", "none", "nobody", "someone@remote.example"]
)
@pytest.mark.parametrize("password", ["wrong", PASSWORD])
def test_every_failure_does_the_same_work(tmp_path: Path, counting: Counting, name: str, password: str) -> None:
    """One verification of each kind in the file, whichever account is tried: not even the scheme shows in the time."""
    accounts = Place(tmp_path, MIXED).accounts()
    if accounts.authenticate(name, password) is not None:
        assert password == PASSWORD
        return
    kinds = sorted(cost_class(stored) for stored in counting.stored if cost_class(stored))
    everything = [f"joe@x:{line.partition(':')[2] or HASH}" for line in MIXED.split("\n") if line]
    expected = {cost_class(line.split(":")[1]) for line in everything} | {cost_class(HASH)}
    assert kinds == sorted(expected - {""})


def test_scram_keys_are_given_for_those_who_may_log_in(place: Place) -> None:
    accounts = place.accounts()
    keys = accounts.scram_keys("ann@example.net")
    assert keys is not None
    assert (keys.iterations, len(keys.salt)) == (4096, 16)
    assert accounts.scram_keys("joe") is None
    place.users(f"ann@example.org:!{scram_hash(PASSWORD)}")
    assert place.accounts().scram_keys("ann") is None


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ("", False),
        ("joe@example.org", False),
        (f"joe@example.org:{scram_hash('x')}", True),
        (f"joe@example.org:{scram_hash('x')}\nann@example.org", False),
        (f"joe@example.org:{scram_hash('x')}\nann@example.org:!{HASH}\nbob@example.org:", True),
        (f"ann@example.org:!{scram_hash('x')}", False),
        (f"joe@example.org:{scram_hash('x')}\nann@elsewhere.example", True),
    ],
)
def test_scram_is_for_all_or_none(tmp_path: Path, users: str, expected: bool) -> None:
    assert ("SCRAM-SHA-256" in Place(tmp_path, users).accounts().mechanisms()) is expected
