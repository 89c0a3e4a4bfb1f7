"""The operations of a counter store.

A group is a holder of numbers, such as one account. All numbers of a group that an operation names change together, or
none does. A number begins with its first count, and ends a lifetime later.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

__all__ = ["Amount", "CounterStore", "Number", "Seen", "Taken"]


class Amount(NamedTuple):
    """A number to add to the counter `name`. `most` is the limit of the sum; 0 means no limit."""

    name: str
    number: int
    lifetime_s: float
    most: int = 0


class Seen(NamedTuple):
    """Words to remember for a while, renewed by each use. `amount` counts those that were not known; its own number is
    not used. In the first `grace_s` of a group the limit of `amount` does not count.
    """

    words: tuple[str, ...]
    lifetime_s: float
    amount: Amount
    grace_s: float = 0.0


class Number(NamedTuple):
    """A counter: its value, and the end of its lifetime in seconds since the epoch; 0, 0.0 if it has ended."""

    value: int
    until: float


class Taken(NamedTuple):
    """The result of `take`. `over` names the limits that the amounts would exceed: then nothing was added, and `values`
    are the present ones. `new` are the words that were not known, `since` is the first count of the group (0.0 after
    `count`, which does not ask for it).
    """

    group: str
    values: Mapping[str, int]
    added: tuple[tuple[str, int], ...]
    over: tuple[str, ...]
    new: tuple[str, ...]
    since: float


class CounterStore(Protocol):
    """Numbers and short texts by group and name. Each operation is atomic, and may raise OSError."""

    def take(self, group: str, amounts: Sequence[Amount], seen: Seen | None = None) -> Taken:
        """Add all amounts, or none if one would exceed its limit."""

    def count(self, group: str, amounts: Sequence[Amount]) -> Taken:
        """Add amounts without a limit; others may see them a second later."""

    def close(self) -> None:
        """Write the counts of the last second."""

    def give_back(self, taken: Taken) -> None:
        """Undo a `take`."""

    def numbers(self, group: str, names: Sequence[str]) -> dict[str, Number]:
        """Return the counters; one that has ended is 0."""

    def recent_values(self, group: str, names: Sequence[str]) -> dict[str, int]:
        """Return the values of counters; another server may have added to them within the last second."""

    def put(self, group: str, name: str, value: int, lifetime_s: float) -> None:
        """Set a number, with a new lifetime."""

    def forget(self, group: str, names: Sequence[str]) -> None:
        """Remove numbers and texts."""

    def groups(self) -> list[str]:
        """Return all groups that may have numbers."""

    def write_text(self, group: str, name: str, text: str) -> None:
        """Keep a short text."""

    def text(self, group: str, name: str) -> str:
        """Return a text; blank if there is none."""
