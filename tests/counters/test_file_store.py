"""Counters that threads, processes and restarts share."""

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from smtpd_classic.counters import Amount, FileCounterStore, Number, Seen

HOUR, DAY = 3600.0, 86_400.0
NOW = 1_800_000_000.0
ANN = "account ann@example.org"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def hour(number: int, most: int = 0) -> Amount:
    return Amount("hour", number, HOUR, most)


def day(number: int, most: int = 0) -> Amount:
    return Amount("day", number, DAY, most)


def value(store: FileCounterStore, name: str, group: str = ANN) -> int:
    return store.numbers(group, [name])[name].value


def test_numbers_add_up_until_their_lifetime_ends(tmp_path: Path) -> None:
    clock = Clock()
    store = FileCounterStore(str(tmp_path), clock)
    store.take(ANN, [hour(3), day(3)])
    clock.now += HOUR - 1
    assert store.take(ANN, [hour(2), day(2)]).values == {"hour": 5, "day": 5}
    assert store.numbers(ANN, ["hour"]) == {"hour": Number(5, NOW + HOUR)}
    clock.now += 1
    assert store.take(ANN, [hour(1), day(1)]).values == {"hour": 1, "day": 6}
    assert store.numbers(ANN, ["hour"]) == {"hour": Number(1, NOW + 2 * HOUR)}


def test_all_amounts_are_added_or_none(tmp_path: Path) -> None:
    store = FileCounterStore(str(tmp_path))
    store.take(ANN, [hour(8), day(8)])
    taken = store.take(ANN, [hour(2, 100), day(3, 10)])
    assert (taken.over, dict(taken.values), taken.added) == (("day",), {"hour": 8, "day": 8}, ())
    assert not store.take(ANN, [hour(2, 10), day(2, 10)]).over
    assert (value(store, "hour"), value(store, "day")) == (10, 10)


def test_only_new_words_are_counted_and_use_renews_them(tmp_path: Path) -> None:
    clock = Clock()
    store = FileCounterStore(str(tmp_path), clock)
    new = Amount("new", 0, DAY, 3)
    assert store.take(ANN, [hour(2)], Seen(("a", "b", "a"), 30 * DAY, new)).new == ("a", "b")
    clock.now += 29 * DAY
    assert store.take(ANN, [hour(2)], Seen(("b", "c"), 30 * DAY, new)).new == ("c",)
    clock.now += 2 * DAY
    taken = store.take(ANN, [hour(4)], Seen(("a", "b", "c", "d", "e", "f"), 30 * DAY, new))
    assert (taken.over, taken.new) == (("new",), ("a", "d", "e", "f"))
    assert store.take(ANN, [hour(1)], Seen(("d",), 30 * DAY, new)).new == ("d",)  # refused words were not remembered


def test_a_take_is_given_back(tmp_path: Path) -> None:
    store = FileCounterStore(str(tmp_path))
    new = Amount("new", 0, DAY)
    store.take(ANN, [hour(3)], Seen(("a",), DAY, new))
    store.give_back(store.take(ANN, [hour(2)], Seen(("a", "b"), DAY, new)))
    assert (value(store, "hour"), value(store, "new")) == (3, 1)
    assert store.take(ANN, [], Seen(("a", "b"), DAY, new)).new == ("b",)


def test_the_first_count_of_a_group_is_kept(tmp_path: Path) -> None:
    clock = Clock()
    store = FileCounterStore(str(tmp_path), clock)
    store.take(ANN, [hour(1)])
    clock.now += 300 * DAY
    assert store.take(ANN, [hour(1)]).since == NOW
    clock.now += 300 * DAY
    assert store.take(ANN, [hour(1)]).since == NOW
    assert store.groups() == [ANN]


def test_put_forget_and_texts(tmp_path: Path) -> None:
    store = FileCounterStore(str(tmp_path))
    store.put(ANN, "suspended", 1, DAY)
    store.write_text(ANN, "suspended", "by hand\n")
    assert (value(store, "suspended"), store.text(ANN, "suspended")) == (1, "by hand\n")
    assert store.text("account bob@example.org", "suspended") == ""
    assert store.groups() == [ANN]
    store.forget(ANN, ["suspended", "hour"])
    assert (value(store, "suspended"), store.text(ANN, "suspended")) == (0, "")


def test_a_reader_without_a_file_makes_none(tmp_path: Path) -> None:
    store = FileCounterStore(str(tmp_path / "none"))
    assert store.numbers(ANN, ["hour"]) == {"hour": Number(0, 0.0)}
    assert store.groups() == []
    assert not (tmp_path / "none").exists()


def test_a_clock_set_back_makes_no_lifetime_longer(tmp_path: Path) -> None:
    clock = Clock()
    store = FileCounterStore(str(tmp_path), clock)
    store.take(ANN, [hour(1)])
    clock.now -= 10 * DAY
    store.take(ANN, [hour(1)])
    assert store.numbers(ANN, ["hour"]) == {"hour": Number(2, NOW - 10 * DAY + HOUR)}


def test_the_table_grows_and_forgets_the_dead(tmp_path: Path) -> None:
    clock = Clock()
    store, other = FileCounterStore(str(tmp_path), clock), FileCounterStore(str(tmp_path), clock)
    new = Amount("new", 0, DAY)
    other.take("account bob@example.org", [hour(7)])
    words = tuple(f"{number}@example.net" for number in range(5000))
    assert len(store.take(ANN, [hour(5000)], Seen(words, DAY, new)).new) == 5000
    assert other.take(ANN, [hour(1)], Seen((*words, "one@example.com"), DAY, new)).new == ("one@example.com",)
    assert value(store, "hour", "account bob@example.org") == 7
    large = (tmp_path / "numbers").stat().st_size
    for number in range(20):  # the slots of dead words are used again
        clock.now += 2 * DAY
        assert len(store.take(ANN, [], Seen(tuple(f"{number}-{word}" for word in words), DAY, new)).new) == 5000
    assert (tmp_path / "numbers").stat().st_size <= 2 * large
    assert sorted(os.listdir(tmp_path)) == ["groups", "numbers"]


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"numbers1" + bytes(5000)], ids=["empty", "other", "cut"])
def test_a_damaged_file_is_moved_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "numbers").write_bytes(content)
    store = FileCounterStore(str(tmp_path))
    assert store.take(ANN, [hour(1)]).values == {"hour": 1}
    assert (tmp_path / "numbers.damaged").read_bytes() == content


def test_a_removed_file_is_made_anew(tmp_path: Path) -> None:
    store = FileCounterStore(str(tmp_path))
    store.take(ANN, [hour(1)])
    (tmp_path / "numbers").unlink()
    assert store.take(ANN, [hour(1)]).values == {"hour": 1}


_COUNT = """
import sys, threading
from smtpd_classic.counters import Amount, FileCounterStore, Seen
folder, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = FileCounterStore(folder)
print("ready", flush=True)
sys.stdin.readline()
accepted = [0] * 3
def count(thread):
    for number in range(rounds):
        for account in range(3):
            words = (f"{name}-{thread}-{number}@example.net",)
            amounts = [Amount("hour", 2, 3600.0, 1001), Amount("day", 2, 86400.0)]
            taken = store.take(f"account {account}", amounts, Seen(words, 86400.0, Amount("new", 0, 86400.0)))
            with lock:
                accepted[account] += 0 if taken.over else 2
lock = threading.Lock()
threads = [threading.Thread(target=count, args=(each,)) for each in range(3)]
for each in threads: each.start()
for each in threads: each.join()
print(*accepted, flush=True)
"""


def counting(folder: Path, name: str, rounds: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _COUNT, str(folder), name, str(rounds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_threads_of_two_processes_and_of_this_one_count_to_the_unit(tmp_path: Path) -> None:
    """900 takes of 2 for each account: the limit of 1001 lets 1000 pass, exactly, while the table grows."""
    processes = [counting(tmp_path, name, 150) for name in ("one", "two")]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    accepted = [[int(word) for word in process.communicate()[0].split()] for process in processes]
    assert [sum(each) for each in zip(*accepted, strict=True)] == [1000, 1000, 1000]
    store = FileCounterStore(str(tmp_path))
    for account in range(3):
        numbers = store.numbers(f"account {account}", ["hour", "day", "new"])
        assert [numbers[name].value for name in ("hour", "day", "new")] == [1000, 1000, 500]


def test_a_fork_has_a_lock_of_its_own(tmp_path: Path) -> None:
    store = FileCounterStore(str(tmp_path))
    store.take(ANN, [hour(1)])
    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            for _ in range(500):
                store.take(ANN, [hour(1)])
            os._exit(0)
        children.append(child)
    for _ in range(500):
        store.take(ANN, [hour(1)])
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert value(store, "hour") == 1501


def test_kill_9_ends_the_locks_and_loses_no_number(tmp_path: Path) -> None:
    """Kill a counting process again and again: the numbers agree within the one take that was under way."""
    store = FileCounterStore(str(tmp_path))
    for number in range(5):
        process = counting(tmp_path, f"{number}", 100_000)
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        limit = threading.Event()
        while value(store, "new", "account 0") < (number + 1) * 20 and not limit.wait(0.001):
            pass
        process.send_signal(signal.SIGKILL)
        process.communicate()
    store.take("account 0", [day(1)])
    numbers = store.numbers("account 0", ["hour", "day", "new"])
    assert abs(numbers["day"].value - 1 - numbers["hour"].value) <= 10
    assert abs(numbers["new"].value * 2 - numbers["hour"].value) <= 10


class _Killed(BaseException):
    """Ends an operation at one of its lines, as the end of its process would."""


def killed_at(number: int, act: Callable[[], object]) -> bool:
    """End the operation at its line of this number. Return False if it has fewer lines."""
    lines = itertools.count(1)

    def trace(frame: FrameType, event: str, _arg: object) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.endswith(("group_counters.py", "counters/table.py")):
            return None
        if event == "line" and next(lines) == number:
            raise _Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except _Killed:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.source
@pytest.mark.parametrize("undo", [False, True], ids=["take", "give back"])
def test_an_operation_that_is_killed_at_any_line_counts_too_much_and_never_too_little(
    tmp_path: Path, undo: bool
) -> None:
    """The next process takes the same recipients again: all of them are counted, at most twice."""
    store = FileCounterStore(str(tmp_path))
    seen = Seen(("a@x", "b@x", "c@x"), 30 * DAY, Amount("new", 0, DAY))
    for number in itertools.count(1):
        group = f"account {number}"
        store.take(group, [hour(255), day(255)])  # the next count changes more than one octet
        take = partial(store.take, group, [hour(3), day(3)], seen)
        killed = killed_at(number, partial(store.give_back, take()) if undo else take)
        take()
        found = [value(store, name, group) for name in ("hour", "day", "new")]
        assert all(least <= each <= least + 3 for least, each in zip((258, 258, 3), found, strict=True)), number
        if not killed:
            assert number > 20
            return
