"""Numbers that the processes share: open connections per address, totals, and a ring of the last hour by minute.

A file mapped into every process, one column for each. A column is written by its process alone, so that no lock is
needed between them; a reader adds up the columns. Column 0 is the supervisor's: into it go the totals of
the dead.
"""

import mmap
import os
import secrets
import struct
import threading
import time
from collections.abc import Iterable
from typing import Final

from smtpd_classic.atomic_file import draft_of
from smtpd_classic.runtime.clients import client_bucket
from smtpd_classic.runtime.measures import COUNTED, MEASURED, delivery_measure, milter_measure
from smtpd_classic.runtime.milter_counts import MILTER_WORDS, add_milter, milter_totals, move_milters
from smtpd_classic.runtime.minutes import MINUTE_WORDS, MINUTES, Minute, move_minutes

__all__ = ["COUNTED", "Counters", "TooMany"]

TooMany = str
_BUCKETS: Final = 8192
_MAGIC, _HEADER_SIZE = b"counter6", 64
_HEADER = struct.Struct("<8sII32s")  # magic, columns, unused, the key of the buckets
_ALL = COUNTED + MEASURED
_PID: Final = 0
_OPEN: Final = 1
_QUIET: Final = 2
_TOTALS: Final = 3
_RING: Final = _TOTALS + len(_ALL)
_MILTERS: Final = _RING + MINUTES * MINUTE_WORDS
_WORDS = _MILTERS + MILTER_WORDS
_COLUMN_SIZE = _WORDS * 8 + _BUCKETS * 2


class Counters:
    """Without the file, because the daemon is down, everything is zero and nothing is counted."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._map: mmap.mmap | None = None
        self._inode = 0
        self._key = b""
        self._columns: list[tuple[memoryview, memoryview]] = []  # words and buckets of each
        self._own: tuple[memoryview, memoryview] | None = None
        self._lock = threading.Lock()

    # For the supervisor ------------------------------------------------------------------------------------------

    def make(self, columns: int) -> None:
        """Make the file anew, everything zero. Raises OSError."""
        temporary = draft_of(self._path)
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            os.pwrite(fd, _HEADER.pack(_MAGIC, columns, 0, secrets.token_bytes(32)), 0)
            os.posix_fallocate(fd, 0, _HEADER_SIZE + columns * _COLUMN_SIZE)  # a full disk must not end a process later
            os.replace(temporary, self._path)
        except OSError:
            os.unlink(temporary)
            raise
        finally:
            os.close(fd)
        self.close()
        self._open(write=True)

    def attach(self, column: int) -> None:
        """Count into this column from now on. No other process may use it."""
        if self._map is None:
            self._open(write=True)
        self._own = self._columns[column] if column < len(self._columns) else None
        self._lock = threading.Lock()  # after a fork, the holder of the old one is gone
        if self._own is not None:
            self._own[0][_PID] = os.getpid()

    def free_column(self) -> int | None:
        """Return a column that no process uses; never 0."""
        return next((n for n, (words, _) in enumerate(self._columns) if n and not words[_PID]), None)

    def reserve(self, column: int) -> None:
        """Mark a column as taken before the process that is to have it exists."""
        self._columns[column][0][_PID] = os.getpid()

    def release(self, column: int) -> None:
        """The process of `column` is dead: its connections are closed; its totals go into column 0."""
        words, buckets = self._columns[column]
        kept = self._columns[0][0]
        for each in range(len(_ALL)):
            kept[_TOTALS + each] += words[_TOTALS + each]
        move_minutes(words, kept, _RING)
        move_milters(words, kept, _MILTERS)
        words.cast("B")[:] = bytes(len(words) * 8)
        buckets.cast("B")[:] = bytes(len(buckets) * 2)

    # For the receivers and the retry thread ----------------------------------------------------------------------

    def count(self, what: str, number: int = 1) -> None:
        """Count one of `COUNTED`. Does nothing in a process without a column; never raises."""
        self.count_several([(what, number)])

    def count_several(self, counts: list[tuple[str, int]]) -> None:
        """Count several of `COUNTED`, each with its number, as `count` does."""
        own = self._own
        if own is None:
            return
        words = own[0]
        minute = int(time.time()) // 60
        at = _RING + minute % MINUTES * MINUTE_WORDS
        with self._lock:
            if words[at] != minute:
                words[at + 1 : at + MINUTE_WORDS] = _NOTHING
                words[at] = minute
            for what, number in counts:
                index = _INDEX[what]
                words[_TOTALS + index] += number
                words[at + 1 + index] += number

    def measure(self, what: str, number: int = 1) -> None:
        """Count one of `MEASURED`. Does nothing in a process without a column; never raises."""
        own = self._own
        if own is not None:
            with self._lock:
                own[0][_TOTALS + _INDEX[what]] += number

    def delivered_after(self, seconds: float, number: int = 1) -> None:
        """Measure the time from arrival to delivery of `number` recipients."""
        self._measure_both(delivery_measure(seconds), number, "delivery_ms", max(int(seconds * 1000), 0) * number)

    def synced(self, seconds: float) -> None:
        """Measure the time of one fsync of a message."""
        self._measure_both("syncs", 1, "sync_us", int(seconds * 1_000_000))

    def filtered(self, name: str, result: str, seconds: float) -> None:
        """Measure the result of a milter for one message, one of `MILTER_RESULTS`, and its time."""
        microseconds = int(seconds * 1_000_000)
        self._measure_both(milter_measure(result), 1, "milter_us", microseconds)
        own = self._own
        if own is not None:
            with self._lock:
                add_milter(own[0], _MILTERS, name, result, microseconds)

    def _measure_both(self, what: str, number: int, time_of: str, time_taken: int) -> None:
        own = self._own
        if own is not None:
            with self._lock:
                own[0][_TOTALS + _INDEX[what]] += number
                own[0][_TOTALS + _INDEX[time_of]] += time_taken

    def connected(self, ip: str, most: int, most_per_client: int) -> TooMany:
        """Count a connection as open. When there are too many already, say which kind ("all", "client") and do not.

        A limit of 0 is none. Blank means counted: `disconnected` is due. Addresses are hashed into buckets, so that
        now and then two share one; the key of the hash is secret, so that a client cannot choose its neighbour.
        """
        own = self._own
        if own is None:
            return ""
        bucket = client_bucket(ip, self._key, _BUCKETS)
        with self._lock:
            if most and self.open_connections() >= most:
                return "all"
            if most_per_client and sum(buckets[bucket] for _, buckets in self._columns) >= most_per_client:
                return "client"
            own[0][_OPEN] += 1
            if own[1][bucket] < 0xFFFF:
                own[1][bucket] += 1
        return ""

    def quiet(self, number: int) -> None:
        """Note how many of the connections of this process give it nothing to do; `ahead` does not count them."""
        if self._own is not None:
            self._own[0][_QUIET] = number

    def ahead(self, margin: int) -> bool:
        """Whether this process has so many connections more than any other; without those that are quiet."""
        own = self._own
        if own is None:
            return False
        words = own[0]
        most = _active(words) - margin
        return most > 0 and all(_active(other) < most for other, _ in self._columns if other is not words)

    def disconnected(self, ip: str) -> None:
        own = self._own
        if own is None:
            return
        bucket = client_bucket(ip, self._key, _BUCKETS)
        with self._lock:
            if own[0][_OPEN]:
                own[0][_OPEN] -= 1
            if own[1][bucket]:
                own[1][bucket] -= 1

    def connections_of(self, ip: str) -> int:
        """Return the open connections of a client, this one included; 0 in a process that counts nothing."""
        bucket = client_bucket(ip, self._key, _BUCKETS)
        return 0 if self._own is None else sum(buckets[bucket] for _, buckets in self._columns)

    # For readers -------------------------------------------------------------------------------------------------

    def open_connections(self) -> int:
        self._look()
        return sum(words[_OPEN] for words, _ in self._columns)

    def totals(self) -> dict[str, int]:
        """How much of each of `COUNTED` since the daemon was started."""
        self._look()
        return {name: sum(words[_TOTALS + index] for words, _ in self._columns) for index, name in enumerate(COUNTED)}

    def measured(self) -> dict[str, int]:
        """Return the total of each of `MEASURED` since the daemon was started."""
        self._look()
        first = len(COUNTED) + _TOTALS
        return {name: sum(words[first + index] for words, _ in self._columns) for index, name in enumerate(MEASURED)}

    def milter(self, name: str) -> dict[str, int]:
        """Return the results of a milter since the daemon was started, and the microseconds that it took."""
        self._look()
        return milter_totals((words for words, _ in self._columns), _MILTERS, name)

    def minutes(self, number: int = 60) -> list[Minute]:
        """The last minutes, the oldest first; the current one, which is not over, is the last."""
        self._look()
        now = int(time.time()) // 60
        return [
            Minute(minute * 60.0, self._minute(minute)) for minute in range(now - min(number, MINUTES) + 1, now + 1)
        ]

    def close(self) -> None:
        """Forget the map."""
        self._own = None
        for words, buckets in self._columns:
            words.release()
            buckets.release()
        self._columns = []
        if self._map is not None:
            self._map.close()
            self._map = None

    def _minute(self, minute: int) -> dict[str, int]:
        at = _RING + minute % MINUTES * MINUTE_WORDS
        rows: Iterable[memoryview] = [words for words, _ in self._columns if words[at] == minute]
        return {name: sum(words[at + 1 + index] for words in rows) for index, name in enumerate(COUNTED)}

    def _look(self) -> None:
        """A reader looks for the file again as long as there is none; one that counts has it already."""
        if self._own is None:
            try:
                self._open(write=False)
            except (OSError, ValueError):
                self.close()

    def _open(self, *, write: bool) -> None:
        fd = os.open(self._path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)
        try:
            if self._map is not None and os.fstat(fd).st_ino == self._inode:
                return
            self.close()
            self._inode = os.fstat(fd).st_ino
            self._map = mmap.mmap(fd, 0, access=mmap.ACCESS_WRITE if write else mmap.ACCESS_READ)
        finally:
            os.close(fd)
        self._map_columns(self._map)

    def _map_columns(self, mapped: mmap.mmap) -> None:
        if len(mapped) < _HEADER_SIZE:
            raise ValueError("the counters have another form")
        magic, columns, _, self._key = _HEADER.unpack_from(mapped)
        if magic != _MAGIC or len(mapped) < _HEADER_SIZE + columns * _COLUMN_SIZE:
            raise ValueError("the counters have another form")
        whole = memoryview(mapped)
        for column in range(columns):
            start = _HEADER_SIZE + column * _COLUMN_SIZE
            middle, end = start + _WORDS * 8, start + _COLUMN_SIZE
            self._columns.append((whole[start:middle].cast("Q"), whole[middle:end].cast("H")))


def _active(words: memoryview) -> int:
    return max(words[_OPEN] - words[_QUIET], 0)  # some of the quiet ones may have been closed since they were counted


_INDEX: Final = {name: index for index, name in enumerate(_ALL)}
_NOTHING: Final = memoryview(bytes(8 * len(COUNTED))).cast("Q")
