"""Turns, limits and times, without threads or disks."""

import threading
import time
from queue import SimpleQueue
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.client.transport import Action, Outcome
from smtpd_classic.retry.due_times import DueTimes
from smtpd_classic.retry.job_queue import JobQueue
from smtpd_classic.retry.limits import ConcurrencyLimit, NextHopQueue, ScheduledJob
from smtpd_classic.retry.round_robin import RoundRobin
from smtpd_classic.retry.throttled import ThrottledMessages
from smtpd_classic.smtp.reply import Reply
from tests.client.world import Clock
from tests.waiting import until

pytestmark = pytest.mark.source  # machine code takes no stand-in for an attempt or for the routes


class Fake:
    """As much of a attempt as the queue looks at."""

    def __init__(self, queue_id: str) -> None:
        self.queue_id = queue_id


def work(queue_id: str, hop: NextHopQueue, *more: ConcurrencyLimit) -> ScheduledJob:
    return ScheduledJob(cast("Any", Fake(queue_id)), cast("Any", None), hop, (hop.sessions, *more))


def taken(queue: JobQueue, number: int) -> list[str]:
    found = [queue.take() for _ in range(number)]
    return [each.key for each in found if each is not None]


def hop(limit: int = 1, name: str = "mx example.org") -> NextHopQueue:
    return NextHopQueue(name, ConcurrencyLimit(limit))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers())))
def test_a_fair_queue_loses_nothing_and_keeps_the_order_of_each(items: list[tuple[str, int]]) -> None:
    queue: RoundRobin[tuple[str, int]] = RoundRobin()
    for item in items:
        queue.put(item[0], item)
    assert len(queue) == len(items)
    out = []
    while (found := queue.take()) is not None:
        out.append(found)
    for key in "abc":
        assert [each for each in out if each[0] == key] == [each for each in items if each[0] == key]
    assert len(queue) == 0


def test_the_second_of_one_comes_after_the_first_of_all() -> None:
    queue: RoundRobin[str] = RoundRobin()
    for key, item in (("list", "l1"), ("list", "l2"), ("list", "l3"), ("single", "s1"), ("other", "o1")):
        queue.put(key, item)
    assert [queue.take() for _ in range(5)] == ["l1", "s1", "o1", "l2", "l3"]


def test_a_full_lane_is_in_nobodys_way() -> None:
    queue = JobQueue(Clock())
    busy, free = hop(1), hop(1, "mx second.example")
    for each in (work("a", busy), work("b", busy), work("c", free)):
        queue.put(each)
    first, second = queue.take(), queue.take()
    assert first is not None
    assert second is not None
    assert (first.key, second.key) == ("a", "c")
    queue.done(first)
    assert taken(queue, 1) == ["b"]


def test_the_thread_of_a_session_takes_the_next_message_for_it() -> None:
    queue, busy = JobQueue(Clock()), hop(1)
    for name in "ab":
        queue.put(work(name, busy))
    first = queue.take()
    assert first is not None
    assert taken(queue, 0) == []
    queue.put(work("new", hop(1, "mx second.example")))
    other = queue.take()  # lets "b" wait at the limit of its next hop
    assert other is not None
    following = queue.done(first)
    assert following is not None
    assert following.key == "b"
    assert queue.done(following) is None


def test_the_thread_of_a_session_leaves_it_while_a_next_hop_waits_for_its_first() -> None:
    queue, busy = JobQueue(Clock()), hop(1)
    for name in "ab":
        queue.put(work(name, busy))
    first = queue.take()
    assert first is not None
    queue.put(work("c", hop(1, "mx second.example")))
    assert taken(queue, 1) == ["c"]
    queue.put(work("d", hop(1, "mx third.example")))
    assert queue.done(first) is None
    assert sorted(taken(queue, 2)) == ["b", "d"]


def test_a_second_gate_holds_back_retries_only() -> None:
    queue, retries = JobQueue(Clock()), ConcurrencyLimit(1)
    wide = hop(10)
    for each in (work("old", wide, retries), work("older", wide, retries), work("new", wide)):
        queue.put(each)
    assert taken(queue, 2) == ["old", "new"]


def test_work_that_is_put_back_comes_again_when_it_is_time() -> None:
    clock = Clock(0.0)
    queue, busy = JobQueue(clock), hop(2)
    queue.put(work("a", busy))
    first = queue.take()
    assert first is not None
    queue.put_back(first, 5.0)
    queue.done(first)
    assert len(busy.queued) == 1
    queue.put(work("b", busy))
    assert taken(queue, 1) == ["b"]
    clock.now = 5.0
    assert taken(queue, 1) == ["a"]


def test_destinations_that_share_a_host_wait_at_one_gate() -> None:
    clock = Clock(0.0)
    queue, shared = JobQueue(clock), ConcurrencyLimit(1)
    one, two = hop(5), hop(5, "mx second.example")
    one.shared = two.shared = shared
    for each in (work("a", one), work("b", two)):
        queue.put(each)
    for busy in (queue.take(), queue.take()):
        assert busy is not None
        queue.put_back(busy, 1.0)
        queue.done(busy)
    clock.now = 2.0
    first = queue.take()
    assert first is not None
    assert shared.running == 1
    queue.done(first)
    assert taken(queue, 1) == ["b"]


def test_stopping_returns_what_nobody_took_wherever_it_waited() -> None:
    clock = Clock(0.0)
    queue, busy = JobQueue(clock), hop(1)
    for name in "abcd":
        queue.put(work(name, busy))
    first = queue.take()
    assert first is not None
    queue.put_back(first, 9.0)
    queue.put(work("e", hop(1, "other")))
    assert sorted(each.key for each in queue.stop()) == ["a", "b", "c", "d", "e"]
    assert queue.take() is None


def test_a_waiting_thread_is_woken() -> None:
    queue = JobQueue(time.monotonic)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(taken(queue, 1)))
    thread.start()
    queue.put(work("a", hop()))
    thread.join(10)
    assert found == ["a"]


def test_jobs_that_were_held_back_all_begin_when_there_is_room_again() -> None:
    crowded = threading.Event()
    queue = JobQueue(time.monotonic, crowded=crowded.is_set)
    queue.put(work("first", hop(1, "mx first.example")))
    first = queue.take()
    assert first is not None
    crowded.set()
    begun: SimpleQueue[str] = SimpleQueue()
    threads = [threading.Thread(target=lambda: begun.put(taken(queue, 1)[0])) for _ in range(5)]
    for thread in threads:
        thread.start()
    for number in range(5):
        queue.put(work(f"job {number}", hop(1, f"mx {number}.example")))
    until(lambda: queue.calls == 0)  # each has woken a thread in vain
    crowded.clear()
    queue.done(first)
    assert sorted(begun.get(timeout=5) for _ in threads) == [f"job {number}" for number in range(5)]


def test_what_is_to_be_done_later_is_waited_for_whoever_takes_other_work() -> None:
    queue = JobQueue(time.monotonic)
    queue.put(work("late", hop()))
    first = queue.take()
    assert first is not None
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.extend(taken(queue, 1))) for _ in range(2)]
    for thread in threads:
        thread.start()
    queue.put_back(first, 0.2)
    queue.done(first)
    queue.put(work("soon", hop(1, "other")))
    for thread in threads:
        thread.join(10)
    assert found == ["soon", "late"]


def test_all_who_wait_end_when_the_queue_is_stopped() -> None:
    queue = JobQueue(time.monotonic)
    threads = [threading.Thread(target=queue.take) for _ in range(5)]
    for thread in threads:
        thread.start()
    queue.stop()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_a_lane_counts_messages_and_not_their_recipients() -> None:
    queue, narrow = JobQueue(Clock()), hop(1)
    for _ in range(100):
        queue.put(work("list", narrow))
    assert not narrow.full(0.0)
    for name in ("a", "b", "c"):
        queue.put(work(name, narrow))
    assert narrow.full(0.0)


# Due times -----------------------------------------------------------------------------------------------------------


def test_due_in_the_order_of_time() -> None:
    waiting = DueTimes()
    for queue_id, when in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("later", 9.0)):
        waiting.add(queue_id, when)
    assert list(waiting.due(3.0)) == ["a", "b", "c"]
    assert (len(waiting), waiting.next, "later" in waiting) == (1, 9.0, True)


def test_the_newest_word_counts() -> None:
    waiting = DueTimes()
    waiting.add("a", 1.0)
    waiting.add("a", 5.0)
    waiting.add("b", 1.0)
    waiting.forget("b")
    assert list(waiting.due(4.0)) == []
    assert list(waiting.due(5.0)) == ["a"]


def test_a_clock_that_was_set_back() -> None:
    waiting = DueTimes()
    waiting.fill({"a": 1_000_000.0, "b": 5.0})
    waiting.no_later_than(100.0)
    assert list(waiting.due(99.0)) == ["b"]
    assert list(waiting.due(100.0)) == ["a"]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.one_of(st.none(), st.floats(0, 100)))))
def test_waiting_is_what_a_dictionary_would_be(steps: list[tuple[str, float | None]]) -> None:
    waiting, plain = DueTimes(), dict[str, float]()
    for queue_id, when in steps:
        if when is None:
            waiting.forget(queue_id)
            plain.pop(queue_id, None)
        else:
            waiting.add(queue_id, when)
            plain[queue_id] = when
    expected = [queue_id for queue_id, when in plain.items() if when <= 50]
    due = list(waiting.due(50.0))
    assert sorted(due) == sorted(expected)
    assert [plain[each] for each in due] == sorted(plain[each] for each in due)
    assert len(waiting) == len(plain) - len(due)


@pytest.mark.parametrize("number", [10, 5000])
def test_forgotten_entries_do_not_pile_up(number: int) -> None:
    waiting = DueTimes()
    for each in range(number):
        waiting.add("a", 1000.0 + each)
    list(waiting.due(0.0))
    assert list(waiting.due(1000.0 + number)) == ["a"]


# Throttled messages --------------------------------------------------------------------------------------------------

DEAD = Outcome("", Action.DELAYED, Reply(451, "4.4.1", "connection refused"))


def rest(tired: NextHopQueue, until: float) -> NextHopQueue:
    tired.outcome, tired.backs_off_until = DEAD, until
    return tired


def test_parked_at_a_lane_that_rests_until_it_rests_no_more() -> None:
    parking, tired = ThrottledMessages(), rest(hop(), 10.0)
    for name in "abc":
        parking.add(name, tired, new=False)
    assert parking.take(5.0) is None
    assert parking.next_look(5.0) == 5.0
    assert [parking.take(10.0) for _ in range(4)] == ["a", "b", "c", None]
    assert "a" not in parking


def test_what_was_never_tried_does_not_wait_for_the_rest_to_end() -> None:
    parking, tired = ThrottledMessages(), rest(hop(), 10.0)
    parking.add("old", tired, new=False)
    parking.add("new", tired, new=True)
    assert [parking.take(5.0), parking.take(5.0)] == ["new", None]
    assert parking.take(11.0) == "old"


def test_whoever_leaves_is_not_called_any_more() -> None:
    parking, tired = ThrottledMessages(), rest(hop(), 10.0)
    for name in "ab":
        parking.add(name, tired, new=False)
    parking.leave("a")
    parking.leave("never here")
    assert [parking.take(10.0), parking.take(10.0)] == ["b", None]


def test_lanes_take_turns_and_full_ones_wait() -> None:
    parking, queue = ThrottledMessages(), JobQueue(Clock())
    one, two, full = hop(1, "one"), hop(1, "two"), hop(1, "full")
    for name in "uvwxyz":
        queue.put(work(name, full))
    for name, place in (("a", one), ("b", one), ("c", two), ("d", full)):
        parking.add(name, place, new=False)
    assert [parking.take(0.0) for _ in range(4)] == ["a", "c", "b", None]
    assert parking.next_look(0.0) is None, "the end of an attempt will tell"
    assert "d" in parking


def test_a_new_lane_of_the_same_name_is_another() -> None:
    parking, old, new = ThrottledMessages(), rest(hop(), 10.0), rest(hop(), 20.0)
    parking.add("a", old, new=False)
    parking.add("b", new, new=False)
    parking.take(0.0)
    assert [parking.take(10.0), parking.take(10.0), parking.take(20.0)] == ["a", None, "b"]


def test_lanes_that_rest_are_not_looked_at() -> None:
    parking = ThrottledMessages()
    for number in range(10_000):
        parking.add(f"m{number}", rest(hop(1, f"mx {number}"), 100.0 + number), new=False)
    assert parking.take(0.0) is None
    assert not parking._stops
    assert [parking.take(100.0), parking.take(100.0)] == ["m0", None]
