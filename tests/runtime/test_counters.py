"""Numbers that processes share without a lock between them."""

import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from smtpd_classic.runtime import COUNTED, Counters

IP = "192.0.2.7"


def made(folder: Path, columns: int = 4) -> Counters:
    counters = Counters(str(folder / "counters"))
    counters.make(columns)
    return counters


def other_process(folder: Path, column: int) -> Counters:
    counters = Counters(str(folder / "counters"))
    counters.attach(column)
    return counters


def test_what_two_processes_count_is_one_sum(tmp_path: Path) -> None:
    made(tmp_path)
    first, second = other_process(tmp_path, 1), other_process(tmp_path, 2)
    first.count("received")
    second.count("received", 2)
    second.count("rejected")
    reader = Counters(str(tmp_path / "counters"))
    assert reader.totals() == dict.fromkeys(COUNTED, 0) | {"received": 3, "rejected": 1}
    assert reader.minutes(2)[-1].counts["received"] + reader.minutes(2)[0].counts["received"] == 3


def test_threads_of_one_process_lose_nothing(tmp_path: Path) -> None:
    made(tmp_path)
    counters = other_process(tmp_path, 1)

    def count() -> None:
        for _ in range(2000):
            counters.count("received")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.totals()["received"] == 16000
    assert sum(minute.counts["received"] for minute in counters.minutes(3)) == 16000


def test_limits_hold_across_processes(tmp_path: Path) -> None:
    made(tmp_path)
    first, second = other_process(tmp_path, 1), other_process(tmp_path, 2)
    assert first.connected(IP, 10, 2) == ""
    assert second.connected(IP, 10, 2) == ""
    assert first.connected(IP, 10, 2) == "client"
    assert first.connected("192.0.2.8", 2, 2) == "all"
    assert first.connected("192.0.2.8", 3, 2) == ""
    first.disconnected(IP)
    assert second.connected(IP, 10, 2) == ""
    assert first.open_connections() == 3


def test_of_ipv6_a_64_is_one_client(tmp_path: Path) -> None:
    made(tmp_path)
    counters = other_process(tmp_path, 1)
    assert counters.connected("2001:db8::1", 0, 1) == ""
    assert counters.connected("2001:db8::2", 0, 1) == "client"
    assert counters.connected("2001:db8:0:1::2", 0, 1) == ""


def test_no_limit(tmp_path: Path) -> None:
    made(tmp_path)
    counters = other_process(tmp_path, 1)
    assert {counters.connected(IP, 0, 0) for _ in range(1000)} == {""}


def test_a_dead_process_leaves_its_totals_and_no_connections(tmp_path: Path) -> None:
    supervisor = made(tmp_path)
    counters = other_process(tmp_path, 2)
    counters.connected(IP, 0, 0)
    counters.count("received", 5)
    assert supervisor.free_column() == 1
    supervisor.release(2)
    assert supervisor.free_column() == 1
    successor = other_process(tmp_path, 2)
    assert (successor.open_connections(), successor.totals()["received"]) == (0, 5)
    assert successor.connected(IP, 1, 1) == ""
    successor.count("received")
    supervisor.release(2)
    assert supervisor.totals()["received"] == 6
    assert sum(minute.counts["received"] for minute in supervisor.minutes(3)) == 6


def test_columns_run_out(tmp_path: Path) -> None:
    supervisor = made(tmp_path, columns=3)
    for expected in (1, 2, None):
        column = supervisor.free_column()
        assert column == expected
        if column:
            supervisor.reserve(column)


def test_the_ring_forgets_what_is_older_than_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    counters = other_process(tmp_path, 1)
    start = time.time()
    for minute in range(70):
        monkeypatch.setattr(time, "time", lambda later=minute: start + 60 * later)
        counters.count("received", minute + 1)
    ring = counters.minutes(60)
    assert [minute.counts["received"] for minute in ring] == list(range(11, 71))
    assert [b.start - a.start for a, b in pairwise(ring)] == [60.0] * 59
    monkeypatch.setattr(time, "time", lambda: start + 60 * 200)
    assert all(not minute.counts["received"] for minute in counters.minutes(60))
    assert counters.totals()["received"] == 70 * 71 // 2


def test_without_the_file_everything_is_zero(tmp_path: Path) -> None:
    counters = Counters(str(tmp_path / "counters"))
    counters.count("received")
    assert counters.connected(IP, 1, 1) == ""
    counters.disconnected(IP)
    assert counters.totals() == dict.fromkeys(COUNTED, 0)
    assert counters.open_connections() == 0
    assert len(counters.minutes(60)) == 60


def test_a_reader_follows_a_daemon_that_was_started_again(tmp_path: Path) -> None:
    reader = Counters(str(tmp_path / "counters"))
    assert reader.totals()["received"] == 0
    made(tmp_path)
    other_process(tmp_path, 1).count("received")
    assert reader.totals()["received"] == 1
    made(tmp_path)
    assert reader.totals()["received"] == 0
    other_process(tmp_path, 1).count("received", 3)
    assert reader.totals()["received"] == 3


@pytest.mark.parametrize("content", [b"", b"x", b"counter1" + b"\xff" * 100], ids=["empty", "short", "other form"])
def test_a_reader_takes_no_harm_from_another_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "counters").write_bytes(content)
    assert Counters(str(tmp_path / "counters")).totals()["received"] == 0


def test_a_fork_counts_into_its_own_column(tmp_path: Path) -> None:
    counters = made(tmp_path)
    counters.attach(1)
    counters.count("received")
    script = f"""
from smtpd_classic.runtime import Counters
counters = Counters({str(tmp_path / "counters")!r})
counters.attach(2)
counters.count("received", 10)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    assert counters.totals()["received"] == 11


def test_who_has_many_more_connections_than_any_other_is_ahead(tmp_path: Path) -> None:
    made(tmp_path)
    first, second = other_process(tmp_path, 1), other_process(tmp_path, 2)
    for _ in range(3):
        assert first.connected(IP, 0, 0) == ""
    assert not first.ahead(3)
    assert first.ahead(2)
    assert second.connected(IP, 0, 0) == ""
    assert not first.ahead(2)
    assert not second.ahead(0)
    assert not Counters(str(tmp_path / "missing")).ahead(0)


def test_quiet_connections_put_nobody_ahead(tmp_path: Path) -> None:
    made(tmp_path)
    first, second = other_process(tmp_path, 1), other_process(tmp_path, 2)
    for _ in range(5):
        assert first.connected(IP, 0, 0) == ""
    first.quiet(4)
    assert not first.ahead(1)
    assert first.ahead(0)
    first.quiet(9)  # some of them have been closed since
    assert not first.ahead(0)
    assert not second.ahead(0)
    Counters(str(tmp_path / "missing")).quiet(1)


def test_the_results_of_milters_are_kept_apart_by_name_and_outlive_a_process(tmp_path: Path) -> None:
    supervisor = made(tmp_path)
    first, second = other_process(tmp_path, 1), other_process(tmp_path, 2)
    first.filtered("rspamd", "refused", 0.002)
    second.filtered("clamav", "accepted", 0.001)
    second.filtered("rspamd", "refused", 0.003)
    supervisor.release(2)
    other_process(tmp_path, 2).filtered("clamav", "down", 1.0)
    found = Counters(str(tmp_path / "counters"))
    rspamd, clamav = found.milter("rspamd"), found.milter("clamav")
    assert (rspamd["refused"], rspamd["accepted"], rspamd["us"]) == (2, 0, 5000)
    assert (clamav["accepted"], clamav["down"], clamav["refused"]) == (1, 1, 0)


def test_more_milters_than_slots_are_counted_in_the_sums(tmp_path: Path) -> None:
    made(tmp_path)
    counters = other_process(tmp_path, 1)
    for number in range(20):
        counters.filtered(f"m{number}", "accepted", 0.0)
    assert counters.measured()["milter_accepted"] == 20
    assert [counters.milter(f"m{number}")["accepted"] for number in (0, 15, 16)] == [1, 1, 0]
