"""What a mailbox holds, without reading it again while nothing has changed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from smtpd_classic.mailstore import quota
from smtpd_classic.mailstore.folders import make_maildir
from smtpd_classic.mailstore.quota import QuotaCache

LONG_AGO = 1_600_000_000


def settle(mailbox: Path) -> None:
    """Let every folder look as if nothing had happened for long."""
    for path in (mailbox, *mailbox.rglob("*")):
        if path.is_dir():
            os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture
def mailbox(tmp_path: Path) -> Path:
    make_maildir(str(tmp_path / "u"))
    (tmp_path / "u" / "new" / "1.M1P1Q1.mx,S=100").write_bytes(b"not 100 octets")
    (tmp_path / "u" / "cur" / "1.M1P1Q2.mx,S=20:2,S").write_bytes(b"")
    (tmp_path / "u" / "cur" / "1.M1P1Q3.mx:2,").write_bytes(b"1234567")
    return tmp_path / "u"


def test_sizes_in_names_are_believed_and_others_are_looked_up(mailbox: Path) -> None:
    assert QuotaCache().used(str(mailbox)) == 127


def test_sub_folders_count(mailbox: Path) -> None:
    make_maildir(str(mailbox / ".Sent"))
    (mailbox / ".Sent" / "cur" / "1.M1P1Q4.mx,S=1000:2,S").write_bytes(b"")
    (mailbox / ".not-a-maildir").mkdir()
    (mailbox / "dovecot.index").write_bytes(b"x" * 99)
    assert QuotaCache().used(str(mailbox)) == 1127


def test_no_mailbox_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert QuotaCache().used(str(tmp_path / "none")) == 0
    assert QuotaCache().used(str(tmp_path / "file")) == 0


def test_message_that_goes_while_it_is_looked_up_counts_nothing(mailbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*real(path), "gone"])
    assert QuotaCache().used(str(mailbox)) == 127


def reads_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read: list[str] = []
    real: Callable[..., list[str]] = os.listdir

    def listdir(path: str) -> list[str]:
        read.append(os.path.basename(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    return read


def test_what_did_not_change_is_not_read_again(mailbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(mailbox)
    read = reads_of(monkeypatch)
    cache = QuotaCache()
    assert [cache.used(str(mailbox)) for _ in range(3)] == [127] * 3
    assert read == ["new", "cur"]
    (mailbox / "new" / "1.M1P1Q5.mx,S=3").write_bytes(b"")
    assert cache.used(str(mailbox)) == 130
    assert read == ["new", "cur", "new"]


def test_folder_changed_just_now_is_read_again_even_at_the_same_time(
    mailbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = reads_of(monkeypatch)
    cache = QuotaCache()
    now = 1_700_000_000_000_000_000
    monkeypatch.setattr("smtpd_classic.mailstore.quota.time.time_ns", lambda: now + 1_000_000)
    for path in (mailbox, mailbox / "new", mailbox / "cur"):
        os.utime(path, ns=(now, now))
    assert cache.used(str(mailbox)) == 127
    (mailbox / "new" / "1.M1P1Q5.mx,S=3").write_bytes(b"")
    os.utime(mailbox / "new", ns=(now, now))
    assert cache.used(str(mailbox)) == 130
    assert read == ["new", "cur"] * 2


def test_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "_MAX_FOLDERS", 6)
    cache = QuotaCache()
    for number in range(10):
        path = tmp_path / str(number)
        make_maildir(str(path))
        (path / "new" / "1.M1P1Q5.mx,S=3").write_bytes(b"")
        settle(path)
        assert cache.used(str(path)) == 3
    assert len(cache._known) <= 6
    assert all(cache.used(str(tmp_path / str(number))) == 3 for number in range(10))
