"""Facts from files: read again only after a file has changed, as a stat tells."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["Remembered", "Signature", "is_settled", "signature"]

_COARSE_NS = 100_000_000  # the kernel's clock of files ticks coarsely
T = TypeVar("T")
Signature = tuple[tuple[int, int, int], ...]


def signature(paths: Sequence[str]) -> Signature:
    """Return the time, size and inode of each file or folder; zeros for one that is missing."""
    return tuple(_of(path) for path in paths)


def _of(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino


def is_settled(seen: Signature) -> bool:
    """Return True if the files have not changed just now, so that a further change must show in the signature."""
    return all(time.time_ns() - changed > _COARSE_NS for changed, _, _ in seen)


class Remembered(Generic[T]):
    """The result of a function of one file. `get` calls the function only if the file is another one than before."""

    def __init__(self) -> None:
        self._seen: tuple[str, Signature] | None = None
        self._value: list[T] = []

    def get(self, path: str, read: Callable[[], T]) -> T:
        seen = (path, signature((path,)))
        if seen != self._seen or not self._value:
            self._value = [read()]
            self._seen = seen
        return self._value[0]
