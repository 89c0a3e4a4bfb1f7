"""Changed files take effect by themselves; broken ones leave in force what was known."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from smtpd_classic.accounts import Accounts, AccountsUnreadable, ResolvedAddress, add_account
from smtpd_classic.accounts import accounts as live
from tests.accounts.place import HASH, PASSWORD, Place

JOE = ResolvedAddress("account", ("joe@example.org",))


def test_a_new_account_is_found_at_once(tmp_path: Path) -> None:
    place = Place(tmp_path, "joe@example.org")
    accounts = place.accounts()
    assert accounts.find("ann@example.org") is None
    place.users("joe@example.org\nann@example.org")
    assert accounts.find("ann@example.org"), "a miss looks at the file, whatever the time"
    place.users("joe@example.org\nann@example.org\nbob@example.org")
    assert accounts.account("bob")


def test_a_deleted_account_is_gone_a_second_later(tmp_path: Path) -> None:
    place = Place(tmp_path, "joe@example.org\nann@example.org", "team: joe, ann")
    accounts = place.accounts()
    assert accounts.find("team@example.org") == ResolvedAddress("alias", ("joe@example.org", "ann@example.org"))
    place.users("joe@example.org")
    place.later()
    assert accounts.find("ann@example.org") is None
    assert accounts.find("team@example.org") == ResolvedAddress("alias", ("joe@example.org",))


def test_a_changed_alias_counts_a_second_later(tmp_path: Path) -> None:
    place = Place(tmp_path, "joe@example.org\nann@example.org", "info: joe")
    accounts = place.accounts()
    assert accounts.find("info@example.org") == ResolvedAddress("alias", ("joe@example.org",))
    place.aliases("info: ann")
    place.later()
    assert accounts.find("info@example.org") == ResolvedAddress("alias", ("ann@example.org",))


def test_the_files_are_looked_at_once_a_second(tmp_path: Path) -> None:
    place = Place(tmp_path, "joe@example.org\nann@example.org")
    accounts = place.accounts()
    place.users("ann@example.org")
    assert accounts.find("joe@example.org"), "not yet looked at"
    place.clock.now += 0.9
    assert accounts.find("joe@example.org")
    place.clock.now += 0.2
    assert accounts.find("joe@example.org") is None


@pytest.mark.parametrize(
    "left", ["", "# all gone\n", "a@example.org\n", "new@example.org\na@example.org\nb@example.org\n"]
)
def test_a_users_file_that_loses_most_accounts_waits_for_a_reload(tmp_path: Path, left: str) -> None:
    place = Place(tmp_path, "".join(f"{name}@example.org\n" for name in "abcde"))
    accounts = place.accounts()
    place.users(left)
    place.later()
    for name in "abcde":
        assert accounts.find(f"{name}@example.org")
        assert accounts.authenticate(name, PASSWORD)
    assert accounts.find("new@example.org") is None
    assert len(place.complaints) == 1
    assert "of 5 accounts are gone" in place.complaints[0]
    assert "reload" in place.complaints[0]
    place.later()
    assert accounts.find("e@example.org")
    assert len(place.complaints) == 1, "said once"
    assert place.accounts().find("e@example.org") is None, "a reload confirms it"
    place.users("".join(f"{name}@example.org\n" for name in "abcdef"))
    place.later()
    assert accounts.find("f@example.org"), "what is restored counts at once"


def test_half_of_the_accounts_may_go_at_once(tmp_path: Path) -> None:
    place = Place(tmp_path, "".join(f"{name}@example.org\n" for name in "abcd"))
    accounts = place.accounts()
    place.users("a@example.org\nb@example.org\n")
    place.later()
    assert accounts.find("d@example.org") is None
    assert place.complaints == []


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_read_again(tmp_path: Path) -> None:
    place = Place(tmp_path, "joe@example.org")
    accounts = place.accounts()
    before = os.stat(place.users_file)
    other = tmp_path / "other"
    other.write_text(place.users_file.read_text().replace("joe@", "ann@"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(place.users_file)
    assert accounts.find("ann@example.org")


BROKEN = {
    "a line that is no account": f"joe@example.org:{HASH}\nnonsense\n".encode(),
    "not UTF-8": f"joe@example.org:{HASH}\n\xff\xfe".encode("latin-1"),
    "nothing but garbage": os.urandom(1000),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_file_that_breaks_leaves_the_old_in_force_until_it_is_mended(tmp_path: Path, content: bytes) -> None:
    place = Place(tmp_path, "joe@example.org\nann@example.org", "info: ann")
    accounts = place.accounts()
    place.users_file.write_bytes(content)
    place.later()
    assert accounts.find("ann@example.org")
    assert accounts.find("info@example.org") == ResolvedAddress("alias", ("ann@example.org",))
    assert accounts.find("nobody@example.org") is None
    assert accounts.authenticate("ann", PASSWORD)
    assert any("stays in force" in said for said in place.complaints)
    said = len(place.complaints)
    place.later()
    assert accounts.find("joe@example.org")
    assert len(place.complaints) == said, "said once, not every second"
    place.users("joe@example.org")
    place.later()
    assert accounts.find("ann@example.org") is None
    assert accounts.find("joe@example.org") == JOE


def test_a_file_that_disappears_leaves_the_old_in_force(tmp_path: Path) -> None:
    place = Place(tmp_path, "joe@example.org", "info: joe")
    accounts = place.accounts()
    place.users_file.unlink()
    place.aliases_file.unlink()
    place.later()
    assert accounts.find("joe@example.org") == JOE
    assert accounts.find("info@example.org") == ResolvedAddress("alias", ("joe@example.org",))
    assert len([said for said in place.complaints if "No such file" in said]) == 2


def test_broken_aliases_do_not_hold_back_new_users(tmp_path: Path) -> None:
    place = Place(tmp_path, "joe@example.org", "info: joe")
    accounts = place.accounts()
    place.aliases("info: |/bin/sh\n")
    place.users("joe@example.org\nann@example.org")
    place.later()
    assert accounts.find("ann@example.org")
    assert accounts.find("info@example.org") == ResolvedAddress("alias", ("joe@example.org",))


@pytest.mark.parametrize("content", [*BROKEN.values(), None], ids=[*BROKEN, "no file"])
def test_started_with_a_broken_file_what_is_missing_is_deferred(tmp_path: Path, content: bytes | None) -> None:
    place = Place(tmp_path)
    place.users_file.unlink()
    if content is not None:
        place.users_file.write_bytes(content)
    accounts = place.accounts()
    with pytest.raises(AccountsUnreadable):
        accounts.find("ann@example.org")
    with pytest.raises(AccountsUnreadable):
        accounts.account("ann@example.org")
    with pytest.raises(AccountsUnreadable):
        accounts.authenticate("ann", PASSWORD)
    assert accounts.find("ann@remote.example") is None, "no file says anything about other domains"
    place.users("ann@example.org")
    assert accounts.find("ann@example.org")
    assert accounts.find("joe@example.org") is None


def test_started_with_a_broken_line_the_other_lines_work(tmp_path: Path) -> None:
    place = Place(tmp_path, f"joe@example.org:{HASH}", "team: joe, ann")
    place.users_file.write_text(place.users_file.read_text() + "\nnonsense\n")
    accounts = place.accounts()
    assert accounts.find("joe@example.org") == JOE
    assert accounts.authenticate("joe", PASSWORD)
    for address in ("ann@example.org", "team@example.org", "ann@other.org", "postmaster"):
        with pytest.raises(AccountsUnreadable, match="users:"):
            accounts.find(address)
    assert accounts.find("joe+tag@example.org")
    assert accounts.authenticate("joe", "wrong") is None
    assert accounts.authenticate("ann@remote.example", PASSWORD) is None


@pytest.mark.source
def test_a_file_that_could_not_be_read_once_is_read_again_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, "joe@example.org", "info: joe")
    accounts = place.accounts()

    def out_of_descriptors(path: str) -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    place.users("joe@example.org\nann@example.org")
    place.aliases("info: ann")
    with monkeypatch.context() as patch:
        patch.setattr(live, "read_text", out_of_descriptors)
        for _ in range(3):
            place.later()
            assert accounts.find("ann@example.org") is None
            assert accounts.find("info@example.org") == ResolvedAddress("alias", ("joe@example.org",))
        fresh = Accounts(place.config)
        with pytest.raises(AccountsUnreadable, match="open files"):
            fresh.find("ann@example.org")
    assert len(place.complaints) == 4, place.complaints
    place.later()
    assert accounts.find("ann@example.org")
    assert accounts.find("info@example.org") == ResolvedAddress("alias", ("ann@example.org",))
    assert fresh.find("info@example.org") == ResolvedAddress("alias", ("ann@example.org",))


def test_many_threads_look_up_while_the_files_change(tmp_path: Path) -> None:
    place = Place(tmp_path, "joe@example.org", "info: joe")
    accounts = Accounts(place.config, place.complaints.append)  # on the real clock
    stop = threading.Event()

    def look_up() -> int:
        count = 0
        while not stop.is_set():
            assert accounts.find("JOE@example.org") == JOE
            assert accounts.find("info@example.org") == ResolvedAddress("alias", ("joe@example.org",))
            assert accounts.find("nobody@example.org") is None
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        counts = [pool.submit(look_up) for _ in range(4)]
        try:
            for number in range(50):
                add_account(place.config, f"u{number}", HASH)
                assert accounts.find(f"u{number}@example.org")
        finally:
            stop.set()
        assert all(count.result() > 0 for count in counts)
    assert not place.complaints


@pytest.mark.parametrize("missing", ["aliases", "users"])
def test_a_missing_file_is_not_looked_for_with_every_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    place = Place(tmp_path, "joe@example.org")
    (tmp_path / missing).unlink()
    accounts = place.accounts()
    reads: list[str] = []
    monkeypatch.setattr(live, "read_text", reads.append)
    for _ in range(5):
        with suppress(AccountsUnreadable):
            accounts.find("nobody@example.org")
        place.later()
    assert reads == []


def test_no_aliases_file_is_no_problem(tmp_path: Path) -> None:
    place = Place(tmp_path, "joe@example.org")
    place.aliases_file.unlink()
    accounts = place.accounts()
    assert accounts.find("info@example.org") is None
    place.aliases("info: joe")
    assert accounts.find("info@example.org")
    assert not place.complaints
