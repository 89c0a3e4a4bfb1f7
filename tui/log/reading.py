"""The lines of the log, read backwards from its end in pieces: from a file, or from the journal."""

from collections.abc import Callable, Sequence
from typing import Protocol

from smtpd_classic.log_source import JournalLog
from tui.log.blocks import earlier, end_of
from tui.log.times import Period, time_of

__all__ = ["FileReading", "JournalReading", "Reading"]

_PAGE_OF_PERIOD = 20_000
_FIRST_OF_JOURNAL = 2_000


class Reading(Protocol):
    """One pass over the log, from its end. `left` is the number of octets not read yet, `done` says that none is left.

    `fetch` may take long: call it beside the screen, one call at a time.
    """

    left: int
    done: bool

    def fetch(self, most: int) -> list[str]:
        """Return about `most` earlier lines, the oldest first. Raises OSError or NoLog."""
        ...


class FileReading:
    """The lines of a file that hold all words. Raises OSError if there is no such file."""

    def __init__(self, path: str, words: Sequence[bytes], period: Period, now: float) -> None:
        self._path = path
        self._words = tuple(words)
        self._period = period
        self._now = now
        self.left = end_of(path)
        self.done = self.left <= 0

    def fetch(self, most: int) -> list[str]:
        """Return about `most` earlier lines; fewer if the period ends among them."""
        page = max(most, _PAGE_OF_PERIOD) if self._period.until else most
        piece = earlier(self._path, self.left, self._words, page)
        self.left = piece.start
        first = time_of(piece.lines[0], self._now) if piece.lines else None
        self.done = self.left <= 0 or (first is not None and first < self._period.since)
        return _in_period(piece.lines, self._period, self._now)


class JournalReading:
    """The lines of the journal that hold all words."""

    left = 0

    def __init__(self, journal: JournalLog, wanted: Callable[[str], bool], period: Period, now: float) -> None:
        self._journal = journal
        self._wanted = wanted
        self._period = period
        self._now = now
        self._given = 0
        self.done = False

    def fetch(self, most: int) -> list[str]:
        """Read the end of the journal again, four times as far as before, and return the lines that were not in it."""
        number = max(most, _FIRST_OF_JOURNAL, 4 * self._given)
        lines = self._journal.last(number, self._wanted)
        new = lines[: len(lines) - self._given]
        first = time_of(new[0], self._now) if new else None
        self.done = len(lines) < number or (first is not None and first < self._period.since)
        self._given = len(lines)
        return _in_period(new, self._period, self._now)


def _in_period(lines: list[str], period: Period, now: float) -> list[str]:
    if not period.since and not period.until:
        return lines
    return [line for line in lines if period.holds(time_of(line, now))]
