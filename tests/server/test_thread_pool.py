"""Threads that are used again."""

import threading
from collections.abc import Sized
from functools import partial

from smtpd_classic.server.thread_pool import ThreadPool
from tests.waiting import until


def test_a_thread_is_used_again() -> None:
    pool = ThreadPool(10, 10, _fail)
    seen: list[int] = []
    for number in range(50):
        assert pool.run(lambda: seen.append(threading.get_ident()))
        until(partial(_done, pool, seen, number + 1))
    assert len(set(seen)) == 1
    assert pool.threads == 1
    pool.close()
    until(lambda: pool.threads == 0)


def _done(pool: ThreadPool, seen: Sized, number: int) -> bool:
    return len(seen) == number and pool.busy == 0


def _divide() -> None:
    1 // 0  # noqa: B018


def _fail(problem: BaseException) -> None:
    raise AssertionError(problem)


def test_over_the_most_a_task_is_refused() -> None:
    pool = ThreadPool(3, 3, _fail)
    go_on = threading.Event()
    assert [pool.run(lambda: _wait(go_on)) for _ in range(4)] == [True, True, True, False]
    go_on.set()
    until(lambda: pool.busy == 0)
    assert pool.run(lambda: None)
    pool.close()


def _wait(event: threading.Event) -> None:
    event.wait(30)


def test_not_all_idle_threads_stay() -> None:
    pool = ThreadPool(20, 4, _fail)
    go_on = threading.Event()
    for _ in range(20):
        assert pool.run(lambda: _wait(go_on))
    assert pool.threads == 20
    go_on.set()
    until(lambda: pool.threads == 4)
    pool.close()


def test_what_a_task_raises_is_told_and_costs_no_thread() -> None:
    told: list[BaseException] = []
    pool = ThreadPool(2, 2, told.append)
    for number in range(5):
        assert pool.run(_divide)
        until(partial(_done, pool, told, number + 1))
    assert {type(problem) for problem in told} == {ZeroDivisionError}
    assert pool.threads == 1
    pool.close()


def test_a_closed_pool_takes_nothing_and_finishes_what_it_has() -> None:
    pool = ThreadPool(5, 5, _fail)
    go_on, done = threading.Event(), threading.Event()

    def task() -> None:
        go_on.wait(30)
        done.set()

    assert pool.run(task)
    pool.close()
    assert not pool.run(task)
    go_on.set()
    assert done.wait(10)
    until(lambda: pool.threads == 0)


def test_many_tasks_at_once_are_each_done_once() -> None:
    pool = ThreadPool(50, 10, _fail)
    done: list[int] = []
    taken = 0
    for number in range(2000):
        taken += pool.run(partial(done.append, number))
    until(lambda: len(done) == taken)
    assert len(set(done)) == taken
    assert taken > 50
    pool.close()
