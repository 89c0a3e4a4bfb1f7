"""Blocked clients: seen at once by everybody who shares the folder."""

import os
import time
from pathlib import Path

import pytest

from smtpd_classic.runtime import Block, Blocks, client_key
from tests.waiting import until


def blocks_in(folder: Path) -> Blocks:
    folder.mkdir(exist_ok=True)
    return Blocks(str(folder))


@pytest.mark.parametrize(
    ("ip", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:DB8:1:2::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::1"),
        ("::", "::"),
    ],
)
def test_whom_an_address_stands_for(ip: str, key: str) -> None:
    assert client_key(ip) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mail.example",
        "../status.json",
        "192.0.2",
        "192.0.2.256",
        "1.2.3.4/24",
        "::1::",
        "a:b",
        "192.0.2.07",
        "1.2.3.4\0",
    ],
)
def test_what_is_no_address(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        client_key(text)
    blocks = blocks_in(tmp_path / "blocked")
    blocks.block("192.0.2.1", 60)
    assert not blocks.blocked(text)
    with pytest.raises(ValueError, match=r"."):
        blocks.block(text, 60)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["192.0.2.1", "blocked"]


def test_a_block_is_seen_by_others_at_once_and_so_is_its_end(tmp_path: Path) -> None:
    ours, theirs = blocks_in(tmp_path), blocks_in(tmp_path)
    for _ in range(50):  # faster than the clock of the file system ticks
        assert not theirs.blocked("192.0.2.7")
        ours.block("192.0.2.7", 60)
        assert theirs.blocked("192.0.2.7")
        assert ours.unblock("192.0.2.7")
    assert not ours.unblock("192.0.2.7")


def test_a_block_ends_by_itself(tmp_path: Path) -> None:
    blocks = blocks_in(tmp_path)
    blocks.block("192.0.2.7", 0.2)
    assert blocks.blocked("192.0.2.7")
    until(lambda: not blocks.blocked("192.0.2.7"))
    assert blocks.list() == []
    blocks.sweep()
    assert os.listdir(tmp_path) == []


def test_a_settled_folder_is_not_read_again(tmp_path: Path) -> None:
    blocks = blocks_in(tmp_path)
    blocks.block("192.0.2.7", 60)
    past = time.time() - 100
    os.utime(tmp_path, (past, past))
    assert blocks.blocked("192.0.2.7")
    (tmp_path / "192.0.2.7").unlink()
    os.utime(tmp_path, (past, past))  # as if nothing had changed: then one stat is all that is asked
    assert blocks.blocked("192.0.2.7")
    os.utime(tmp_path)
    assert not blocks.blocked("192.0.2.7")


def test_of_ipv6_the_whole_64_is_blocked(tmp_path: Path) -> None:
    blocks = blocks_in(tmp_path)
    blocks.block("2001:db8:1:2:aaaa::1", 60)
    assert blocks.blocked("2001:db8:1:2:bbbb::2")
    assert not blocks.blocked("2001:db8:1:3::1")
    assert blocks.unblock("2001:db8:1:2:cccc::")


def test_the_list_says_until_when_and_why(tmp_path: Path) -> None:
    blocks = blocks_in(tmp_path)
    before = time.time()
    blocks.block("192.0.2.7", 60, "10 failed logins")
    blocks.block("192.0.2.8", 600)
    blocks.block("192.0.2.9", -1)
    (tmp_path / "not an address").touch()
    last, first = blocks.list()
    assert first == Block("192.0.2.7", first.until, "10 failed logins")
    assert before + 59 < first.until < before + 120
    assert last.ip == "192.0.2.8"


def test_without_the_folder_nobody_is_blocked(tmp_path: Path) -> None:
    blocks = Blocks(str(tmp_path / "none"))
    assert not blocks.blocked("192.0.2.7")
    assert blocks.list() == []
    assert not blocks.unblock("192.0.2.7")
    blocks.sweep()
    with pytest.raises(FileNotFoundError):
        blocks.block("192.0.2.7", 60)
