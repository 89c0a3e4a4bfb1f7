"""What the daemon says of itself, the wake FIFO, and how both look when it is down."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from smtpd_classic.runtime import Listening, Runtime, own_status
from smtpd_classic.runtime.control import NotRunning, reload, stop
from smtpd_classic.runtime.status import birth_of
from tests.waiting import until


def runtime_in(folder: Path) -> Runtime:
    runtime = Runtime(str(folder / "run"))
    runtime.make()
    return runtime


def test_a_status_is_read_as_it_was_written(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    status = replace(
        own_status("/etc/x.conf", "abc", "1.0"),
        state="running",
        listening=(Listening("smtp", "::1", 25, "starttls"),),
        waiting_for_restart=("workers waits.",),
        not_listening=("no IPv6.",),
        error="x:1: “é”",
        children={"receiver 1": 7},
    )
    runtime.status.write(status)
    assert runtime.status.read() == status
    assert runtime.status.running() == status
    assert sorted(os.listdir(tmp_path / "run")) == ["blocked", "counters", "status.json"]


def test_a_process_that_is_gone_does_not_run(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    status = replace(own_status("x", "x", "x"), pid=child.pid, born=birth_of(child.pid))
    runtime.status.write(status)
    assert status.alive
    child.communicate(b"\n")
    assert runtime.status.running() is None
    assert runtime.status.read() == status
    for tell in (reload, stop):
        with pytest.raises(NotRunning):
            tell(runtime.status)


def test_a_number_that_another_process_has_by_now_is_not_the_daemon(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    status = own_status("x", "x", "x")
    runtime.status.write(replace(status, born=status.born - 1))
    assert runtime.status.running() is None


def test_a_dead_child_that_nobody_has_looked_at_does_not_run() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    until(lambda: birth_of(child.pid) == 0)
    child.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"listening": 1}', '{"state": "running"}'])
def test_what_is_no_status_is_none(tmp_path: Path, content: str) -> None:
    runtime = runtime_in(tmp_path)
    (tmp_path / "run/status.json").write_text(content)
    assert runtime.status.read() is None
    assert runtime.status.running() is None


def test_a_status_of_another_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    runtime.status.write(own_status("x", "x", "x"))
    text = (tmp_path / "run/status.json").read_text()
    (tmp_path / "run/status.json").write_text(text.replace("{", '{"future": 1,', 1))
    assert runtime.status.read() is not None


def test_wakes_arrive_in_order_and_once(tmp_path: Path) -> None:
    runtime, other = runtime_in(tmp_path), Runtime(str(tmp_path / "run"))
    wakes = runtime.wakes()
    assert wakes.read(0) == ()
    assert other.wake("first")
    assert other.wake()
    assert other.wake("second")
    assert other.wake("first")
    assert wakes.read(5) == ("first", "", "second")
    assert wakes.read(0) == ()
    wakes.close()


def test_what_is_no_queue_id_is_dropped(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    wakes = runtime.wakes()
    for word in ("../../etc/passwd", "a b", "x" * 200, "good"):
        runtime.wake(word)
    assert "good" in wakes.read(5)
    with (tmp_path / "run/wake").open("wb") as fifo:
        fifo.write(b"\xff\xfe\n" + b"y" * 300 + b"\nlast\n")
    assert wakes.read(5) == ("last",)
    wakes.close()


def test_a_full_fifo_does_not_hold_anybody(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    wakes = runtime.wakes()
    told = 0
    while runtime.wake("A" * 100):
        told += 1
        assert told < 100_000
    found: set[str] = set()
    while ids := wakes.read(0):
        found.update(ids)
    assert found == {"A" * 100}
    assert runtime.wake("again")
    wakes.close()


def test_waking_nobody_is_no_error(tmp_path: Path) -> None:
    runtime = Runtime(str(tmp_path / "run"))
    assert not runtime.wake("x")
    runtime.make()
    runtime.wakes().close()
    assert not runtime.wake("x")  # the FIFO is there, but nobody reads


def test_something_else_in_the_place_of_the_fifo_is_replaced(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    (tmp_path / "run/wake").write_text("a file")
    assert not runtime.wake("x")
    wakes = runtime.wakes()
    assert runtime.wake("x")
    assert wakes.read(5) == ("x",)
    wakes.close()


def test_a_start_keeps_the_blocks_and_forgets_the_rest(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    runtime.blocks.block("192.0.2.7", 60)
    runtime.counters.attach(1)
    runtime.counters.count("received")
    runtime.failures.attack("192.0.2.8")
    again = runtime_in(tmp_path)
    assert again.blocks.blocked("192.0.2.7")
    assert again.counters.totals()["received"] == 0
    assert not (tmp_path / "run/failures").exists()
