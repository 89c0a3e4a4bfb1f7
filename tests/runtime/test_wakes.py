"""The wake FIFO, with both of its ends."""

import os
from pathlib import Path

from smtpd_classic.runtime import Runtime


def test_what_is_told_is_heard_once_and_in_order(tmp_path: Path) -> None:
    runtime = Runtime(str(tmp_path))
    wakes = runtime.wakes()
    assert [runtime.wake(word) for word in ("A1", "B2", "", "A1")] == [True] * 4
    assert wakes.read() == ("A1", "B2", "")
    assert wakes.read() == ()
    wakes.close()


def test_nobody_hears_it_where_there_is_no_reader_or_no_fifo(tmp_path: Path) -> None:
    runtime = Runtime(str(tmp_path))
    assert not runtime.wake("A1")
    (tmp_path / "wake").write_text("")
    assert not runtime.wake("A1")
    assert (tmp_path / "wake").read_text() == ""
    (tmp_path / "wake").unlink()
    os.mkfifo(tmp_path / "wake")
    assert not runtime.wake("A1")


def test_a_reader_that_comes_again_is_found_again(tmp_path: Path) -> None:
    runtime = Runtime(str(tmp_path))
    first = runtime.wakes()
    assert runtime.wake("A1")
    first.close()
    assert not runtime.wake("B2")
    again = runtime.wakes()
    assert runtime.wake("C3")
    assert again.read() == ("A1", "C3")
    again.close()
    (tmp_path / "wake").unlink()
    anew = runtime.wakes()
    assert runtime.wake("D4")
    assert anew.read() == ("D4",)
    anew.close()


def test_a_full_pipe_loses_words_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    runtime = Runtime(str(tmp_path))
    wakes = runtime.wakes()
    told = 0
    while runtime.wake("A" * 100):
        told += 1
    assert told > 100
    assert wakes.read() == ("A" * 100,)
    assert runtime.wake("B2")
    wakes.close()


def test_words_of_strangers_are_no_queue_ids(tmp_path: Path) -> None:
    runtime = Runtime(str(tmp_path))
    wakes = runtime.wakes()
    with (tmp_path / "wake").open("wb", buffering=0) as writer:
        writer.write(b"../../etc/passwd\n" + b"A" * 200 + b"\nA1\n")
    assert wakes.read() == ("A1",)
    wakes.close()
