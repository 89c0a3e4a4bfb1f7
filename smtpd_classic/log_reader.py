"""Reads a log file: its last lines, and appended lines, also after a rotation."""

import os
import time
from collections.abc import Callable, Iterator

__all__ = ["LogFollower", "last_lines", "lines"]

_BLOCK = 65536
_LONGEST_LINE = 65536  # of a file that is not ours, after all
_PAUSE_S = 0.25


def lines(path: str, end: int | None = None) -> Iterator[str]:
    """Every line, the oldest first, up to the offset `end` if it is given; none when there is no such file."""
    try:
        with open(path, "rb") as file:
            while (line := file.readline(_LONGEST_LINE)) and (end is None or file.tell() <= end):
                yield _text(line.rstrip(b"\n"))
    except FileNotFoundError:
        return


def last_lines(path: str, number: int, wanted: Callable[[str], bool], end: int | None = None) -> list[str]:
    """The last `number` lines that are wanted, read backwards from the end of the file, or from the offset `end`.

    Raises OSError.
    """
    found: list[str] = []
    with open(path, "rb") as file:
        rest, at = b"", file.seek(0, os.SEEK_END) if end is None else end
        while at > 0 and len(found) < number:
            start = max(0, at - _BLOCK)
            file.seek(start)
            first, *others = (file.read(at - start) + rest).split(b"\n")
            found += [line for line in map(_text, reversed(others)) if line and wanted(line)]
            rest, at = first[-_LONGEST_LINE:], start
        if at == 0 and rest and wanted(_text(rest)):
            found.append(_text(rest))
    return found[number - 1 :: -1] if 0 < number <= len(found) else found[::-1] if number else []


class LogFollower:
    """Follows a file from now on. It waits for a file that does not exist yet."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._rest = b""
        self._open()
        if self._fd >= 0:
            os.lseek(self._fd, 0, os.SEEK_END)

    @property
    def offset(self) -> int:
        """Up to where the file has been read; 0 when there is none."""
        return os.lseek(self._fd, 0, os.SEEK_CUR) if self._fd >= 0 else 0

    def read(self) -> list[str]:
        """The lines that have come since the last call."""
        found = self._read_on()
        if not found and self._rotated():
            self.close()
            self._open()
            found = self._read_on()
        *whole, self._rest = (self._rest + found).split(b"\n")
        self._rest = self._rest[-_LONGEST_LINE:]
        return [_text(line) for line in whole]

    def wait(self) -> list[str]:
        """The same, but not before there is one."""
        while not (found := self.read()):
            time.sleep(_PAUSE_S)
        return found

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_on(self) -> bytes:
        if self._fd < 0:
            return b""
        if os.fstat(self._fd).st_size < os.lseek(self._fd, 0, os.SEEK_CUR):  # emptied in place
            os.lseek(self._fd, 0, os.SEEK_SET)
            self._rest = b""
        return os.read(self._fd, 16 * _BLOCK)

    def _rotated(self) -> bool:
        if self._fd < 0:
            return True
        try:
            named, opened = os.stat(self._path), os.fstat(self._fd)
        except OSError:
            return False
        return (named.st_ino, named.st_dev) != (opened.st_ino, opened.st_dev)

    def _open(self) -> None:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            self._fd = -1


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")
