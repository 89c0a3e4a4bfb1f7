"""The times of the periodic work of the scheduler's thread."""

from collections.abc import Callable

__all__ = ["Housekeeping"]

_SCAN_S = 120.0
_CLOCK_JUMP_S = 60.0


class Housekeeping:
    """The timers of the periodic work, and a check for a clock that was set back."""

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._next = self._next_scan = monotonic()
        self._next_scan += _SCAN_S
        self._difference = clock() - monotonic()

    def due(self) -> bool:
        now = self._monotonic()
        if now < self._next:
            return False
        self._next = now + 1.0
        return True

    def wait_s(self) -> float:
        return max(self._next - self._monotonic(), 0.0)

    def scan_due(self) -> bool:
        now = self._monotonic()
        if now < self._next_scan:
            return False
        self._next_scan = now + _SCAN_S
        return True

    def clock_set_back(self) -> bool:
        """Return True if the clock was set back since the last call."""
        before, self._difference = self._difference, self._clock() - self._monotonic()
        return self._difference < before - _CLOCK_JUMP_S
