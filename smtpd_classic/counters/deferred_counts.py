"""Counts without a limit: nothing depends on their exact values, so those of one second are written together."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from smtpd_classic.counters.store import Amount

__all__ = ["DeferredCounts"]

_DELAY_S = 1.0
_MOST_GROUPS = 1000


class _RecentCount:
    """The counts of one group since `written`, the time of the last write. `values` has them too."""

    __slots__ = ("_kinds", "added", "values", "written")

    def __init__(self, values: Mapping[str, int], written: float) -> None:
        self.values = dict(values)
        self.written = written
        self.added: dict[str, int] = {}
        self._kinds: dict[str, Amount] = {}

    def add(self, amounts: Sequence[Amount], sign: int = 1) -> None:
        for each in amounts:
            name, number = each.name, sign * each.number
            self.values[name] = self.values.get(name, 0) + number
            self.added[name] = self.added.get(name, 0) + number
            self._kinds[name] = each

    @property
    def amounts(self) -> list[Amount]:
        return [self._kinds[name]._replace(number=number) for name, number in self.added.items()]


class DeferredCounts:
    """`write` adds amounts to a group in the table, and returns its values. `clock` is a monotonic one in seconds."""

    def __init__(
        self, write: Callable[[str, Sequence[Amount]], Mapping[str, int]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._lock = threading.Lock()
        self._recent: dict[str, _RecentCount] = {}
        self._writer: threading.Thread | None = None

    def add(self, group: str, amounts: Sequence[Amount]) -> dict[str, int]:
        """Add amounts, and return the values of the group.

        They are written within a second, and at once if the last write was earlier. Raises OSError.
        """
        with self._lock:
            recent = self._recent.get(group)
            now = self._clock()
            if recent is None:
                if len(self._recent) >= _MOST_GROUPS:
                    self._write_all()
                    self._recent.clear()
                recent = self._recent[group] = _RecentCount(self._write(group, amounts), now)
                return dict(recent.values)
            recent.add(amounts)
            if now - recent.written >= _DELAY_S:
                try:
                    self._write_one(group, recent)
                except OSError:  # the message is refused, and those before it stay counted
                    recent.add(amounts, -1)
                    raise
            elif self._writer is None:
                self._writer = threading.Thread(target=self._write_later, name="counts", daemon=True)
                self._writer.start()
            return dict(recent.values)

    def flush(self) -> None:
        """Write the deferred counts. Raises OSError."""
        with self._lock:
            self._write_all()

    def _write_later(self) -> None:
        time.sleep(_DELAY_S)
        with self._lock:
            self._writer = None
            try:
                self._write_all()
            except OSError:
                return  # the next message of the group writes them, and is refused if that fails

    def _write_all(self) -> None:
        for group, recent in self._recent.items():
            if recent.added:
                self._write_one(group, recent)

    def _write_one(self, group: str, recent: _RecentCount) -> None:
        recent.values = dict(self._write(group, recent.amounts))
        recent.added = {}
        recent.written = self._clock()
