"""An office behind one address keeps working, whatever its old devices and its typing errors do."""

from datetime import timedelta
from pathlib import Path

from smtpd_classic.runtime import Runtime
from smtpd_classic.runtime.failures import BlockRule, Failures

OFFICE, STRANGER = "192.0.2.1", "198.51.100.7"
MINUTE = 60.0


def test_an_office_with_a_broken_printer_and_a_mistyping_user_works_all_day(tmp_path: Path) -> None:
    now = [1_790_000_000.0]
    runtime = Runtime(str(tmp_path))
    runtime.make()
    rule = BlockRule(10, timedelta(minutes=10), timedelta(hours=1))
    failures = Failures(str(tmp_path / "failures"), runtime.blocks, rule, b"key", lambda: now[0])
    failures.succeeded(OFFICE)
    for minute in range(8 * 60):
        now[0] += MINUTE
        assert not any(failures.attack(OFFICE) for _ in range(5)), "the printer"
        assert not failures.login(OFFICE, "ann", f"typed wrong {minute}"), "the user"
        if minute % 5 == 0:
            failures.succeeded(OFFICE)
    assert not runtime.blocks.blocked(OFFICE)
    assert [failures.attack(STRANGER) for _ in range(10)] == [False] * 9 + [True]


def test_a_day_after_the_last_login_the_address_is_a_stranger_again(tmp_path: Path) -> None:
    now = [1_790_000_000.0]
    runtime = Runtime(str(tmp_path))
    runtime.make()
    failures = Failures(str(tmp_path / "failures"), runtime.blocks, BlockRule(3), b"key", lambda: now[0])
    failures.succeeded(OFFICE)
    now[0] += 11 * MINUTE
    assert [failures.login(OFFICE, "ann", str(each)) for each in range(3)] == [False, False, True]
    runtime.blocks.unblock(OFFICE)
    now[0] += 24 * 60 * MINUTE
    assert [failures.attack(OFFICE) for _ in range(3)] == [False, False, True]
