"""Weeks of attempts on a clock of our own."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.config.schema import Basic, Remote
from smtpd_classic.schedule import Schedule

ARRIVAL = 1_800_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
USUAL = Schedule.of(Basic(), Remote())


def run(schedule: Schedule, chance: Callable[[], float], arrival: float = ARRIVAL) -> list[float]:
    """When a message that nobody takes is tried, from its arrival to its last attempt."""
    now, tries = arrival, [arrival]
    while not schedule.expired(arrival, len(tries), now):
        now = schedule.next_attempt(arrival, len(tries), now, chance)
        tries.append(now)
        assert len(tries) < 100_000
    return tries


def test_the_defaults_are_those_of_the_manual() -> None:
    assert Schedule(900, 2.0, 4 * HOUR, 5 * DAY, 4 * HOUR, None) == USUAL


@pytest.mark.parametrize("seed", range(20))
def test_five_days_with_the_defaults(seed: int) -> None:
    tries = run(USUAL, random.Random(seed).random)
    waits = [after - before for before, after in pairwise(tries)]
    for wait, nominal in zip(waits[:-1], [15, 30, 60, 120, *[240] * 100], strict=False):
        assert 0.9 * nominal * MINUTE <= wait <= min(1.1 * nominal, 240) * MINUTE
    assert tries[-1] == ARRIVAL + 5 * DAY, "the last attempt is made when the life time ends"
    assert 33 <= len(tries) <= 40


def test_what_failed_together_does_not_come_back_together() -> None:
    chance = random.Random(7).random
    due = [USUAL.next_attempt(ARRIVAL, 1, ARRIVAL, chance) - ARRIVAL for _ in range(1000)]
    assert max(due) - min(due) > 0.18 * 15 * MINUTE
    assert abs(sum(due) / len(due) - 15 * MINUTE) < 10


def test_a_constant_interval() -> None:
    schedule = replace(USUAL, interval_s=600, backoff=1.0)
    waits = [schedule.nominal_wait_s(attempts) for attempts in (1, 2, 50)]
    assert waits == [600, 600, 600]


def test_an_interval_of_nothing_does_not_spin() -> None:
    tries = run(replace(USUAL, interval_s=0, max_interval_s=0, lifetime_s=60), lambda: 0.0)
    assert len(tries) <= 61


def test_a_life_time_shorter_than_the_interval_still_has_its_last_attempt() -> None:
    assert run(replace(USUAL, lifetime_s=300), lambda: 1.0) == [ARRIVAL, ARRIVAL + 300]


def test_no_life_time_means_one_attempt() -> None:
    assert run(replace(USUAL, lifetime_s=0), lambda: 0.5) == [ARRIVAL]


def test_the_notice_is_due_once_the_time_has_come() -> None:
    assert not USUAL.notice_due(ARRIVAL, 5, ARRIVAL + 4 * HOUR - 1)
    assert USUAL.notice_due(ARRIVAL, 5, ARRIVAL + 4 * HOUR)
    assert not replace(USUAL, delay_notice_s=0).notice_due(ARRIVAL, 5, ARRIVAL + 3 * DAY)


@pytest.mark.parametrize(("retries", "exhausted_after"), [(0, 1), (3, 4), (None, 0)])
def test_tries_through_the_relay_are_one_and_n(retries: int | None, exhausted_after: int) -> None:
    schedule = Schedule.of(Basic(), Remote(relay_retries=retries))
    assert [tries for tries in range(100) if schedule.relay_exhausted(tries)][:1] == (
        [exhausted_after] if retries is not None else []
    )


def test_a_clock_that_jumps_a_year_ahead_costs_an_attempt_and_not_the_message() -> None:
    """Before the jump it was tried once; after it, it is due, tried, and only then given up."""
    due = USUAL.next_attempt(ARRIVAL, 1, ARRIVAL, lambda: 0.5)
    later = ARRIVAL + 365 * DAY
    assert due <= later
    assert not USUAL.expired(ARRIVAL, 1, ARRIVAL)
    assert USUAL.expired(ARRIVAL, 2, later)


def test_a_clock_that_is_set_back_stalls_nothing() -> None:
    due = USUAL.next_attempt(ARRIVAL, 3, ARRIVAL, lambda: 1.0)
    before = ARRIVAL - 365 * DAY
    assert USUAL.mended(due, before) == before, "further away than any wait: at once"
    assert USUAL.mended(due, ARRIVAL) == due


def test_a_message_from_the_future_is_not_tried_for_ever() -> None:
    """It came while the clock was a year ahead: now the number of attempts tells its age."""
    now, attempts = ARRIVAL - 365 * DAY, 1
    tries = [now]
    while not USUAL.expired(ARRIVAL, attempts, now):
        now = USUAL.next_attempt(ARRIVAL, attempts, now, lambda: 0.5)
        attempts += 1
        tries.append(now)
    assert 5 * DAY <= tries[-1] - tries[0] < 5.5 * DAY
    assert not USUAL.notice_due(ARRIVAL, 2, tries[1])
    assert USUAL.notice_due(ARRIVAL, 8, tries[7])


def test_a_restart_changes_nothing() -> None:
    """All that the schedule is told is on disk: arrival, attempts, the time of the next one."""
    chance = random.Random(3)
    state = chance.getstate()
    first = USUAL.next_attempt(ARRIVAL, 4, ARRIVAL + HOUR, chance.random)
    chance.setstate(state)
    again = Schedule.of(Basic(), Remote()).next_attempt(ARRIVAL, 4, ARRIVAL + HOUR, chance.random)
    assert first == again


durations = st.floats(0, 30 * DAY)


@given(durations, st.floats(1, 10), durations, st.floats(0, 10 * DAY), st.floats(0, 1), st.integers(1, 10_000))
def test_waits_are_positive_and_bounded(
    interval: float, backoff: float, longest: float, lifetime: float, chance: float, attempts: int
) -> None:
    schedule = Schedule(interval, backoff, longest, lifetime)
    due = schedule.next_attempt(ARRIVAL, attempts, ARRIVAL + 5, lambda: chance)
    assert ARRIVAL + 5 < due <= ARRIVAL + 5 + max(longest, 1.0)


@given(st.floats(-400 * DAY, 400 * DAY), st.integers(1, 200))
def test_age_never_runs_backwards_with_attempts(jump: float, attempts: int) -> None:
    now = ARRIVAL + jump
    assert 0 <= USUAL.age_s(ARRIVAL, attempts, now) <= USUAL.age_s(ARRIVAL, attempts + 1, now)


@given(st.integers(1, 12), st.integers(1, 30))
def test_the_life_time_counts_in_days_and_not_in_attempts(hours: int, days: int) -> None:
    basic = Basic(max_retry_interval=timedelta(hours=hours), queue_lifetime=timedelta(days=days))
    tries = run(Schedule.of(basic, Remote()), random.Random(1).random)
    assert tries[-1] == ARRIVAL + days * DAY
