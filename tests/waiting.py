"""Waiting for what another thread or process does: as long as it takes, never longer than a deadline, never blindly."""

import select
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

__all__ = ["until"]

T = TypeVar("T")


def until(
    condition: Callable[[], T],
    timeout_s: float = 30.0,
    explain: Callable[[], str] = lambda: "what was waited for did not happen",
) -> T:
    """What `condition` returns as soon as it is true; a failed test with `explain()` when it is not in time."""
    deadline = time.monotonic() + timeout_s
    pause = 0.001
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"after {timeout_s:g} s: {explain()}", pytrace=False)
        select.select((), (), (), pause)
        pause = min(pause * 1.5, 0.05)
    return found
