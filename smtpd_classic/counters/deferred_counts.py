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

    __slots__ = ("amounts", "values", "written")

    def __init__(self, values: Mapping[str, int], written: float) -> None:
        self.values = dict(values)
        self.written = written
        self.amounts: dict[str, Amount] = {}

    def add(self, amounts: Sequence[Amount]) -> None:
        for each in amounts:
            self.values[each.name] = self.values.get(each.name, 0) + each.number
            before = self.amounts.get(each.name)
            self.amounts[each.name] = each if before is None else each._replace(number=before.number + each.number)


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
                    recent.add([each._replace(number=-each.number) for each in amounts])
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
            if recent.amounts:
                self._write_one(group, recent)

    def _write_one(self, group: str, recent: _RecentCount) -> None:
        recent.values = dict(self._write(group, list(recent.amounts.values())))
        recent.amounts = {}
        recent.written = self._clock()
