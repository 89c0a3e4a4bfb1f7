"""The turns of clients at an inner server: in a fixed second, and between threads."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from smtpd_classic.client.fair_turns import FairTurns
from tests.waiting import until


def taken(turns: FairTurns, client: str) -> bool:
    found = turns.take(client, 0.0)
    if found:
        turns.give_back(client)
    return found


def test_a_client_has_half_of_a_second_and_all_clients_the_whole() -> None:
    now = 5.0
    turns = FairTurns(2, 20, lambda: now)
    assert [taken(turns, "one") for _ in range(11)] == [True] * 10 + [False]
    assert [taken(turns, f"client {number}") for number in range(11)] == [True] * 10 + [False]
    now = 5.9
    assert not taken(turns, "one")
    now = 6.1
    assert taken(turns, "one")


def test_a_client_has_one_turn_at_a_time_and_two_clients_fill_a_server() -> None:
    turns = FairTurns(2, 20, lambda: 5.0)
    assert [turns.take(client, 0.0) for client in ("one", "one", "two", "three")] == [True, False, True, False]
    turns.give_back("one")
    assert turns.take("three", 0.0)


def test_a_question_that_is_not_paced_waits_for_a_turn_but_not_for_a_second() -> None:
    turns = FairTurns(1, 4)
    assert turns.take("one", 0.0)
    threading.Timer(0.1, turns.give_back, ["one"]).start()
    assert turns.take("two", 5.0, is_paced=False)
    turns.give_back("two")
    assert turns.take("two", 0.0)
    turns.give_back("two")
    began = time.monotonic()
    assert not turns.take("two", 5.0, is_paced=False)
    assert time.monotonic() - began < 0.5


def asked(turns: FairTurns, client: str, order: list[str]) -> bool:
    """Wait for a turn, and use it."""
    found = turns.take(client, 60.0)
    if found:
        order.append(client)
        turns.give_back(client)
    return found


def test_of_those_that_wait_the_client_that_has_asked_least_goes_first() -> None:
    """Twenty questions of one client wait; the one of another client that comes last is the first."""
    turns, order = FairTurns(1, 1000), list[str]()
    assert turns.take("flood", 0.0)
    with ThreadPoolExecutor(21) as pool:
        for _ in range(20):
            pool.submit(asked, turns, "flood", order)
        until(lambda: turns.waiting == 20)
        pool.submit(asked, turns, "other", order)
        until(lambda: turns.waiting == 21)
        turns.give_back("flood")
    assert order == ["other"] + ["flood"] * 20


def test_too_many_questions_of_one_client_or_of_all_end_at_once() -> None:
    """The question of a newcomer takes the place of one of the client that has asked most."""
    turns, order = FairTurns(1, 1000), list[str]()
    assert turns.take("held", 0.0)
    with ThreadPoolExecutor(101) as pool:
        floods = [pool.submit(asked, turns, f"flood {number % 5}", order) for number in range(100)]
        until(lambda: turns.waiting == 100)
        assert not asked(turns, "flood 1", order)
        newcomer = pool.submit(asked, turns, "other", order)
        until(lambda: any(each.done() for each in floods))
        turns.give_back("held")
        assert newcomer.result(20)
    assert sum(each.result() for each in floods) == 99
    assert "other" in order[:6]
