"""The results of each milter by its name, in the column of a process.

A column has a few slots, each with a key made of the name. A process takes a slot at the first result, so that no
process needs a lock for those of another; a reader adds up the slots with the same key.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from smtpd_classic.runtime.measures import MILTER_RESULTS

__all__ = ["MICROSECONDS", "MILTER_WORDS", "add_milter", "milter_totals", "move_milters"]

MICROSECONDS = "us"
_SLOTS = 16  # further milters of one run are counted in the sums alone
_COUNTS = (*MILTER_RESULTS, MICROSECONDS)
_SLOT_WORDS = 1 + len(_COUNTS)
MILTER_WORDS = _SLOTS * _SLOT_WORDS
_AT = {name: 1 + index for index, name in enumerate(_COUNTS)}


@lru_cache(64)
def _key(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def _slot(words: memoryview, start: int, key: int) -> int:
    """Return the place of the slot with this key, else of a free one; -1 if all are taken."""
    for at in range(start, start + MILTER_WORDS, _SLOT_WORDS):
        if words[at] in (key, 0):
            return at
    return -1


def add_milter(words: memoryview, start: int, name: str, result: str, microseconds: int) -> None:
    """Add one message to the slot of a milter."""
    at = _slot(words, start, _key(name))
    if at >= 0:
        words[at + _AT[result]] += 1
        words[at + _AT[MICROSECONDS]] += microseconds
        words[at] = _key(name)


def move_milters(words: memoryview, kept: memoryview, start: int) -> None:
    """Add the slots of one column to those of another."""
    for place in range(start, start + MILTER_WORDS, _SLOT_WORDS):
        at = _slot(kept, start, words[place]) if words[place] else -1
        if at >= 0:
            for each in range(1, _SLOT_WORDS):
                kept[at + each] += words[place + each]
            kept[at] = words[place]


def milter_totals(columns: Iterable[memoryview], start: int, name: str) -> dict[str, int]:
    """Return the number of each result of a milter, and `MICROSECONDS`."""
    key, found = _key(name), dict.fromkeys(_COUNTS, 0)
    for words in columns:
        at = _slot(words, start, key)
        if at >= 0:
            for count in _COUNTS:
                found[count] += words[at + _AT[count]]
    return found
