"""The ring of the last hour by minute, in the column of a process."""

from typing import Final, NamedTuple

from smtpd_classic.runtime.measures import COUNTED

__all__ = ["MINUTES", "MINUTE_WORDS", "Minute", "move_minutes"]

MINUTES: Final = 64
MINUTE_WORDS: Final = 1 + len(COUNTED)  # its number, then how much of each


class Minute(NamedTuple):
    """One minute of the ring: its start by the wall clock, and how much of each of `COUNTED`."""

    start: float
    counts: dict[str, int]


def move_minutes(words: memoryview, kept: memoryview, ring: int) -> None:
    """Add the minutes of one column to another. `ring` is the place of the ring in both."""
    for at in range(ring, ring + MINUTES * MINUTE_WORDS, MINUTE_WORDS):
        if words[at] > kept[at]:
            kept[at : at + MINUTE_WORDS] = words[at : at + MINUTE_WORDS]
        elif words[at] == kept[at]:
            for each in range(at + 1, at + MINUTE_WORDS):
                kept[each] += words[each]
