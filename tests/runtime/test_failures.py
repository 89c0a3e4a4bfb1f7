"""What blocks a client: different failures within the window, however many processes count them."""

import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from smtpd_classic.config import Access
from smtpd_classic.runtime import Runtime
from smtpd_classic.runtime.failures import BlockRule, Failures

IP = "192.0.2.7"


def runtime_in(folder: Path, **options: object) -> Runtime:
    runtime = Runtime(str(folder / "run"), Access(**options))  # type: ignore[arg-type]
    runtime.make()
    return runtime


def test_different_passwords_block(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path, max_failures=3)
    assert [runtime.failures.login(IP, "joe", f"guess {number}") for number in range(3)] == [False, False, True]
    assert runtime.blocks.blocked(IP)
    assert runtime.blocks.list()[0].reason == "3 failed logins"


def test_the_same_wrong_password_counts_once(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path, max_failures=3)
    assert not any(runtime.failures.login(IP, "joe", "the old one") for _ in range(50))
    assert not runtime.blocks.blocked(IP)


def test_one_password_tried_on_many_accounts_blocks(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path, max_failures=3)
    assert [runtime.failures.login(IP, f"user{number}", "123456") for number in range(3)] == [False, False, True]


def test_protocol_errors_count_each_and_apart_from_logins(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path, max_failures=3)
    assert not runtime.failures.login(IP, "joe", "a")
    assert not runtime.failures.login(IP, "joe", "b")
    assert [runtime.failures.attack(IP) for _ in range(3)] == [False, False, True]
    assert runtime.blocks.list()[0].reason == "3 signs of an attack"


def test_clients_are_counted_one_by_one(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path, max_failures=2)
    assert not runtime.failures.attack("192.0.2.1")
    assert not runtime.failures.attack("192.0.2.2")
    assert not runtime.failures.attack("2001:db8::1")
    assert runtime.failures.attack("2001:db8::2")
    assert not runtime.blocks.blocked("192.0.2.1")


def test_who_was_blocked_starts_with_none_in_every_process(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path, max_failures=2)
    other = runtime.under(Access(max_failures=2))
    assert not runtime.failures.attack(IP)
    assert other.failures.attack(IP)
    runtime.blocks.unblock(IP)
    assert not runtime.failures.attack(IP)
    assert other.failures.attack(IP)


def test_processes_count_together(tmp_path: Path) -> None:
    """The same try in two processes is still one failure."""
    runtime = runtime_in(tmp_path, max_failures=4)
    others = [runtime.under(Access(max_failures=4)) for _ in range(3)]
    for other in others:
        assert not other.failures.login(IP, "joe", "the same")
    assert not others[0].failures.login(IP, "joe", "second")
    assert not others[1].failures.login(IP, "joe", "third")
    assert others[2].failures.login(IP, "joe", "fourth")


def test_threads_and_processes_at_once_lose_no_failure(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path, max_failures=400)
    shared = [runtime.under(Access(max_failures=400)) for _ in range(4)]
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda own=each: found.extend(own.failures.attack(IP) for _ in range(100)))
        for each in shared
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(True) == 1


def test_what_is_old_does_not_count(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    rule = BlockRule(2, timedelta(seconds=0), timedelta(minutes=1))
    failures = Failures(str(tmp_path / "own"), runtime.blocks, rule, b"key")
    assert not any(failures.attack(IP) for _ in range(10))


def test_switched_off_nobody_is_blocked(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path, auto_block=False, max_failures=1)
    assert not runtime.failures.attack(IP)
    assert not runtime.failures.login(IP, "joe", "x")


def test_no_password_is_written(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    runtime.failures.login(IP, "joe@example.org", "correct horse")
    content = (tmp_path / "run/failures").read_bytes()
    assert b"horse" not in content
    assert b"joe" not in content
    assert (tmp_path / "run/failures").stat().st_mode & 0o077 == 0


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path, max_failures=10000)
    reader = runtime.under(Access(max_failures=10000))
    most = 0
    for number in range(41_000):
        runtime.failures.login(f"10.0.{number % 250}.{number // 250 % 250}", "joe", str(number))
        most = max(most, number % 1000 == 0 and os.stat(tmp_path / "run/failures").st_size)
    assert most > 500_000
    assert os.stat(tmp_path / "run/failures").st_size < 600_000
    # Whoever had read the file before goes on from where it begins anew.
    assert not reader.failures.attack(IP)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"x" * 5000], ids=["empty", "short rubbish", "long rubbish"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    runtime = runtime_in(tmp_path, max_failures=2)
    (tmp_path / "run/failures").write_bytes(content)
    assert not runtime.failures.attack(IP)
    assert runtime.failures.attack(IP)


def test_without_the_folder_nothing_is_raised(tmp_path: Path) -> None:
    runtime = Runtime(str(tmp_path / "none"))
    assert not runtime.failures.attack(IP)
    assert not runtime.failures.login("no address", "joe", "\udcff")
    assert not runtime.failures.login(IP, "joe", b"\xff\x00")
