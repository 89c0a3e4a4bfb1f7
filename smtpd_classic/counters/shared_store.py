"""Counters in the shared state of several servers, and beside it the own counters of this server in a file.

Each count goes to both. While the shared state is down, the own counters decide; it gets the counts of that time when
it is back.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

from smtpd_classic.counters.file_store import FileCounterStore
from smtpd_classic.counters.store import Amount, Number, Seen, Taken
from smtpd_classic.shared_state import SharedState, SharedStateDown, scripts
from smtpd_classic.shared_state.client import PREFIX

__all__ = ["SharedCounterStore"]

_TEXT_LIFETIME_S = 400 * 86_400.0
_RECENT_S = 1.0
_MOST_RECENT = 1000


class SharedCounterStore:
    """The counter store of several servers. `own` is the store of this one; stores of another `kind` are others."""

    def __init__(
        self,
        shared: SharedState,
        own: FileCounterStore,
        clock: Callable[[], float] = time.time,
        *,
        kind: str = "count",
    ) -> None:
        self._kind = kind
        self._index = f"{PREFIX}:index:{kind}"
        self._shared = shared
        self._own = own
        self._clock = clock
        self._recent: dict[str, tuple[float, dict[str, int]]] = {}  # the time of the question, and its values

    def take(self, group: str, amounts: Sequence[Amount], seen: Seen | None = None) -> Taken:
        """Add all amounts, or none if one would exceed its limit. Raises OSError."""
        try:
            taken = self._take(group, amounts, seen)
        except SharedStateDown:
            taken = self._own.take(group, amounts, seen)
            if not taken.over:
                self._shared.owe(partial(self._pay, group, tuple(amounts), seen, self._clock()))
            return taken
        if not taken.over:
            self._own.take(group, [each._replace(most=0) for each in amounts], _unlimited(seen))
        known = self._recent.get(group)
        if known is not None:
            self._recent[group] = known[0], {**known[1], **taken.values}
        return taken

    def count(self, group: str, amounts: Sequence[Amount]) -> Taken:
        """Add amounts without a limit. Raises OSError."""
        return self.take(group, amounts)

    def give_back(self, taken: Taken) -> None:
        """Undo a `take`. Raises OSError."""
        self._own.give_back(taken)
        self._both(lambda: self._give_back(taken))
        self._recent.pop(taken.group, None)

    def numbers(self, group: str, names: Sequence[str]) -> dict[str, Number]:
        """Return the counters. Raises OSError."""
        try:
            said = self._shared.run(scripts.NUMBERS, [self._shared.key(self._kind, group)], names)
        except SharedStateDown:
            return self._own.numbers(group, names)
        now, *found = said.split()
        ahead_s = self._clock() - int(now) / 1000
        ends = [int(each) / 1000 + ahead_s if int(each) else 0.0 for each in found[1::2]]
        return {name: Number(int(value), end) for name, value, end in zip(names, found[::2], ends, strict=True)}

    def recent_values(self, group: str, names: Sequence[str]) -> dict[str, int]:
        """Return the values of the counters, as they were within the last second. Raises OSError."""
        now = self._clock()
        asked, values = self._recent.get(group, (0.0, {}))
        if not (0 <= now - asked < _RECENT_S and values.keys() >= set(names)):
            values = {name: number.value for name, number in self.numbers(group, names).items()}
            if len(self._recent) >= _MOST_RECENT:
                self._recent.clear()
            self._recent[group] = now, values
        return {name: values[name] for name in names}

    def put(self, group: str, name: str, value: int, lifetime_s: float) -> None:
        """Set a number, with a new lifetime. Raises OSError."""
        self._own.put(group, name, value, lifetime_s)
        keys, values = [self._shared.key(self._kind, group), self._index], [group, name, value, int(lifetime_s * 1000)]
        self._both(lambda: self._shared.run(scripts.PUT, keys, values))
        self._recent.pop(group, None)

    def forget(self, group: str, names: Sequence[str]) -> None:
        """Remove numbers and texts. Raises OSError."""
        self._own.forget(group, names)
        keys = [
            self._shared.key(self._kind, group),
            *(self._shared.key(f"{self._kind}-text", f"{group}\0{name}") for name in names),
        ]
        self._both(lambda: self._shared.run(scripts.FORGET, keys, names))
        self._recent.pop(group, None)

    def groups(self) -> list[str]:
        """Return all groups that may have numbers, in alphabetical order."""
        try:
            found = self._shared.run("return redis.call('ZRANGE', KEYS[1], 0, -1)", [self._index])
        except SharedStateDown:
            return self._own.groups()
        return sorted(map(str, found))

    def write_text(self, group: str, name: str, text: str) -> None:
        """Keep a short text. Raises OSError."""
        self._own.write_text(group, name, text)
        self._both(lambda: self._shared.keep(f"{self._kind}-text", f"{group}\0{name}", text, _TEXT_LIFETIME_S))

    def text(self, group: str, name: str) -> str:
        """Return a text; blank if there is none."""
        try:
            kept = self._shared.text(f"{self._kind}-text", f"{group}\0{name}")
        except SharedStateDown:
            return self._own.text(group, name)
        return kept.text if kept is not None else ""

    def close(self) -> None:
        self._own.close()

    def _both(self, action: Callable[[], object]) -> None:
        """Do what was done here in the shared state too, now or when it is back."""
        try:
            action()
        except SharedStateDown:
            self._shared.owe(action)

    def _take(self, group: str, amounts: Sequence[Amount], seen: Seen | None) -> Taken:
        shared = self._shared
        values: list[object] = [group, len(amounts)]
        for each in amounts:
            values += [each.name, each.number, int(each.lifetime_s * 1000), each.most]
        words: dict[str, str] = {}
        if seen is not None:
            words = {shared.digest(word): word for word in seen.words}
            lifetimes_ms = [int(seconds * 1000) for seconds in (seen.lifetime_s, seen.amount.lifetime_s, seen.grace_s)]
            values += [lifetimes_ms[0], seen.amount.name, lifetimes_ms[1], seen.amount.most, lifetimes_ms[2], *words]
        keys = [shared.key(self._kind, group), shared.key(f"{self._kind}-seen", group), self._index]
        since, now, numbers, over, digests = shared.run(scripts.TAKE, keys, values)
        new = tuple(words[each] for each in digests)
        counted = [*amounts, seen.amount._replace(number=len(new))] if seen is not None else list(amounts)
        added = () if over else tuple((each.name, each.number) for each in counted if each.number)
        found = {each.name: int(number) for each, number in zip(counted, numbers, strict=True)}
        return Taken(group, found, added, tuple(over), new, int(since) / 1000 + self._clock() - int(now) / 1000)

    def _give_back(self, taken: Taken) -> None:
        shared = self._shared
        values: list[object] = [len(taken.added)]
        for name, number in taken.added:
            values += [name, number]
        values += [shared.digest(word) for word in taken.new]
        shared.run(
            scripts.GIVE_BACK,
            [shared.key(self._kind, taken.group), shared.key(f"{self._kind}-seen", taken.group)],
            values,
        )

    def _pay(self, group: str, amounts: Sequence[Amount], seen: Seen | None, at: float) -> None:
        """Add counts of a time without the shared state: without a limit, and for the rest of their lifetime."""
        age_s = max(self._clock() - at, 0.0)
        rest = [
            each._replace(most=0, lifetime_s=each.lifetime_s - age_s) for each in amounts if each.lifetime_s > age_s
        ]
        self._take(group, rest, _unlimited(seen))


def _unlimited(seen: Seen | None) -> Seen | None:
    return seen._replace(amount=seen.amount._replace(most=0)) if seen is not None else None
