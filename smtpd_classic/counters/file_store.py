"""Counters in files: `numbers` (mapped), `groups` (a line each) and `texts/`. They survive a restart and kill -9.

Rule 1: a region is changed under two locks: of this object, between threads, and an open-file-description lock of the
region's record in the header, between processes. The kernel ends the lock of a process that dies.
Rule 2: a full table is replaced by a larger one under the locks of all regions. After locking, each process looks
whether its file still has its name.
Rule 3: nothing is synced to disk. A power cut may lose the numbers of the last seconds, a crash of the program none but
those of `count` within the last second.
"""

import errno
import fcntl
import os
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import TypeVar

from smtpd_classic.atomic_file import draft_of, replace_text
from smtpd_classic.counters.deferred_counts import DeferredCounts
from smtpd_classic.counters.group_counters import NO_NUMBER, GroupCounters, TableFull
from smtpd_classic.counters.store import Amount, Number, Seen, Taken
from smtpd_classic.counters.table import (
    HEADER_SIZE,
    REGIONS,
    USED_SIZE,
    CounterTable,
    WrongForm,
    region_of,
    used_at,
    write_empty,
)

__all__ = ["FileCounterStore"]

_FLOCK = struct.Struct("hhqqi")  # struct flock of fcntl(2)
_FIRST_SLOTS = 64
_PATIENCE_S = 5.0
_POLL_S = 0.0001  # a change takes about as long
_ALL = REGIONS  # the lock of all regions
_Result = TypeVar("_Result")


def _requests(kind: int) -> list[bytes]:
    """Return the requests of fcntl(2) for the lock of each region, and of all regions."""
    ranges = [(used_at(region), USED_SIZE) for region in range(REGIONS)] + [(0, HEADER_SIZE)]
    return [_FLOCK.pack(kind, os.SEEK_SET, start, length, 0) for start, length in ranges]


_LOCKS, _UNLOCKS = _requests(fcntl.F_WRLCK), _requests(fcntl.F_UNLCK)


class FileCounterStore:
    """The counter store of one machine, in `folder`. `clock` returns seconds since the epoch."""

    def __init__(self, folder: str, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._path = os.path.join(folder, "numbers")
        self._clock = clock
        self._lock = threading.Lock()
        self._descriptor = -1
        self._owner = 0
        self._table: CounterTable | None = None
        self._deferred = DeferredCounts(lambda group, amounts: self.take(group, amounts).values)

    def take(self, group: str, amounts: Sequence[Amount], seen: Seen | None = None) -> Taken:
        """Add all amounts, or none if one would exceed its limit. Raises OSError."""
        return self._changed(group, lambda counters: counters.take(amounts, seen))

    def count(self, group: str, amounts: Sequence[Amount]) -> Taken:
        """Add amounts without a limit, which other processes see within a second. Raises OSError."""
        values = self._deferred.add(group, amounts)
        return Taken(group, values, tuple([(each.name, each.number) for each in amounts]), (), (), 0.0)

    def give_back(self, taken: Taken) -> None:
        """Undo a `take`. Raises OSError."""
        self._deferred.flush()
        self._changed(taken.group, lambda counters: counters.give_back(taken))

    def numbers(self, group: str, names: Sequence[str]) -> dict[str, Number]:
        """Return the counters; all are 0 if there is no file that this user may write."""
        if not os.access(self._path, os.R_OK | os.W_OK):
            return dict.fromkeys(names, NO_NUMBER)
        return self._changed(group, lambda counters: {name: counters.number(name) for name in names})

    def recent_values(self, group: str, names: Sequence[str]) -> dict[str, int]:
        """Return the values of the counters. Raises OSError."""
        return {name: number.value for name, number in self.numbers(group, names).items()}

    def put(self, group: str, name: str, value: int, lifetime_s: float) -> None:
        """Set a number, with a new lifetime. Raises OSError."""
        self._changed(group, lambda counters: counters.keep(name, value, lifetime_s))

    def forget(self, group: str, names: Sequence[str]) -> None:
        """Remove numbers and texts. Raises OSError."""
        self._deferred.flush()
        self._changed(group, lambda counters: counters.forget(names))
        for name in names:
            with suppress(FileNotFoundError):
                os.unlink(self._text_path(group, name))

    def groups(self) -> list[str]:
        """Return all groups that may have numbers, in alphabetical order."""
        try:
            with open(os.path.join(self._folder, "groups"), encoding="utf-8", errors="surrogateescape") as file:
                return sorted({line.rstrip("\n") for line in file if line.endswith("\n")})
        except OSError:
            return []

    def write_text(self, group: str, name: str, text: str) -> None:
        """Keep a short text. Raises OSError."""
        path = self._text_path(group, name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        replace_text(path, text)

    def text(self, group: str, name: str) -> str:
        """Return a text; blank if there is none."""
        try:
            with open(self._text_path(group, name), encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except OSError:
            return ""

    def close(self) -> None:
        """Write the deferred counts, and close the files. Raises OSError."""
        self._deferred.flush()
        self._close()

    def _close(self) -> None:
        table, self._table = self._table, None
        if table is not None:
            table.close()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _text_path(self, group: str, name: str) -> str:
        digest = blake2b(f"{group}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return os.path.join(self._folder, "texts", digest)

    def _changed(self, group: str, change: "Callable[[GroupCounters], _Result]") -> "_Result":
        region = region_of(group)
        with self._lock:
            while True:
                table = self._locked(region)
                try:
                    return change(GroupCounters(table, group, region, self._clock(), self._remember))
                except TableFull as full:
                    need = full.need
                finally:
                    self._unlock(region)
                self._enlarge(need)

    def _locked(self, region: int) -> CounterTable:
        """Lock a region, or all of them, of the file that has the name now, and return its table."""
        while True:
            table = self._opened()
            _lock(self._descriptor, region)
            if os.fstat(self._descriptor).st_nlink:
                return table
            self._close()  # it was replaced by a larger one, or removed

    def _unlock(self, region: int) -> None:
        if self._descriptor >= 0:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _UNLOCKS[region])

    def _opened(self) -> CounterTable:
        # The lock belongs to the open file, which a fork shares with its parent: each process opens its own.
        if self._owner != os.getpid():
            self._close()
        if self._table is None:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            if not os.path.exists(self._path):
                self._make()
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            self._owner = os.getpid()
            try:
                self._table = CounterTable(self._descriptor)
            except WrongForm:
                os.replace(self._path, f"{self._path}.damaged")
                self._close()
                return self._opened()
        return self._table

    def _make(self) -> None:
        """Make an empty table, unless another process has made it meanwhile."""
        draft, descriptor = self._draft(_FIRST_SLOTS)
        os.close(descriptor)
        try:
            with suppress(FileExistsError):
                os.link(draft, self._path)
        finally:
            os.unlink(draft)

    def _draft(self, slots: int) -> tuple[str, int]:
        draft = draft_of(self._path)
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            write_empty(descriptor, slots)
        except BaseException:
            os.close(descriptor)
            os.unlink(draft)
            raise
        return draft, descriptor

    def _enlarge(self, need: int) -> None:
        """Replace the table by one with room for `need` more counters in its fullest region."""
        now = self._clock()
        old = self._locked(_ALL)
        try:
            living = [list(old.living(region, now)) for region in range(REGIONS)]
            slots = _FIRST_SLOTS
            while slots < 2 * (max(map(len, living)) + need):
                slots *= 2
            draft, descriptor = self._draft(slots)
            try:
                new = CounterTable(descriptor)
                for region, counters in enumerate(living):
                    for key, value, until in counters:
                        new.insert(region, key, value, until, now)
                new.close()
                os.replace(draft, self._path)
            finally:
                os.close(descriptor)
                with suppress(FileNotFoundError):
                    os.unlink(draft)
        finally:
            self._unlock(_ALL)

    def _remember(self, group: str) -> None:
        with open(os.path.join(self._folder, "groups"), "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{group}\n")


def _lock(descriptor: int, region: int) -> None:
    """Wait for a lock. Raises TimeoutError if a process keeps it: one that was stopped, perhaps."""
    if _lock_now(descriptor, region):
        return
    deadline = time.monotonic() + _PATIENCE_S
    while not _lock_now(descriptor, region):
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "another process keeps the lock of the counters")
        time.sleep(_POLL_S)


def _lock_now(descriptor: int, region: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _LOCKS[region])
    except OSError as problem:
        if problem.errno not in {errno.EAGAIN, errno.EACCES}:
            raise
        return False
    return True
