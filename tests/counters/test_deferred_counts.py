"""Counts without a limit: written together, and never lost but by kill -9 or a power cut."""

import errno
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from smtpd_classic.counters import Amount, FileCounterStore
from smtpd_classic.counters.deferred_counts import DeferredCounts

HOST = "host 192.0.2.1"


def hour(number: int) -> list[Amount]:
    return [Amount("hour", number, 3600.0)]


class Table:
    """The numbers that were written, each time that it happened."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, int]] = []
        self.sums: dict[str, int] = {}
        self.now = 100.0
        self.full = False
        self.written = threading.Event()
        self.counts = DeferredCounts(self.write, lambda: self.now)

    def write(self, group: str, amounts: Sequence[Amount]) -> Mapping[str, int]:
        if self.full:
            raise OSError(errno.ENOSPC, "no space")
        (amount,) = amounts
        self.writes.append((group, amount.number))
        self.sums[group] = self.sums.get(group, 0) + amount.number
        if len(self.writes) > 1:
            self.written.set()
        return {"hour": self.sums[group]}


def test_the_first_count_is_written_at_once_and_those_of_one_second_together() -> None:
    table = Table()
    assert [table.counts.add(HOST, hour(number))["hour"] for number in (1, 2, 3)] == [1, 3, 6]
    assert table.writes == [(HOST, 1)]
    assert table.written.wait(30)
    assert table.writes == [(HOST, 1), (HOST, 5)]


def test_a_count_after_a_second_writes_those_before_it() -> None:
    table = Table()
    for number in (1, 2):
        table.counts.add(HOST, hour(number))
    table.now += 1
    assert table.counts.add(HOST, hour(4)) == {"hour": 7}
    assert table.writes == [(HOST, 1), (HOST, 6)]


def test_a_full_disk_refuses_the_next_message_and_loses_no_other_count() -> None:
    table = Table()
    table.counts.add(HOST, hour(1))
    table.full = True
    table.counts.add(HOST, hour(2))
    table.now += 1
    with pytest.raises(OSError, match="no space"):
        table.counts.add(HOST, hour(4))
    table.full = False
    table.counts.flush()
    assert table.sums == {HOST: 3}


def test_the_counts_of_many_groups_are_bounded_and_none_is_lost() -> None:
    table = Table()
    for number in range(3000):
        for _ in range(2):
            table.counts.add(f"host {number}", hour(1))
    table.counts.flush()
    assert set(table.sums.values()) == {2}
    assert len(table.counts._recent) <= 1000


def test_another_process_sees_the_counts_of_a_store_that_was_closed(tmp_path: Path) -> None:
    store, other = FileCounterStore(str(tmp_path)), FileCounterStore(str(tmp_path))
    for _ in range(3):
        store.count(HOST, hour(1))
    store.close()
    assert other.numbers(HOST, ["hour"])["hour"].value == 3


def test_counts_that_wait_can_be_given_back_and_forgotten(tmp_path: Path) -> None:
    store = FileCounterStore(str(tmp_path))
    taken = [store.count(HOST, hour(1)) for _ in range(3)]
    store.give_back(taken[-1])
    assert store.numbers(HOST, ["hour"])["hour"].value == 2
    store.count(HOST, hour(5))
    store.forget(HOST, ["hour"])
    assert store.numbers(HOST, ["hour"])["hour"].value == 0
