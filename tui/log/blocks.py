"""Reads a log file from its end backwards, in blocks: what is shown of a gigabyte costs what is shown of a kilobyte."""

import os
from typing import NamedTuple

__all__ = ["Piece", "earlier", "end_of", "words_of"]

_BLOCK = 1 << 16
_SEARCH_BLOCK = 1 << 20
_LONGEST_LINE = 1 << 16  # a file without line ends must not be collected in memory
_MOST_AT_ONCE = 1 << 26  # searched in one piece of work, so that there is something to say in between


class Piece(NamedTuple):
    """Lines, the oldest first, and the place before which to go on; 0 is the beginning of the file."""

    lines: list[str]
    start: int


def words_of(text: str) -> tuple[bytes, ...]:
    """The words of a filter; a line is shown when it holds all of them, capital letters or not."""
    return tuple(word.encode() for word in text.lower().split())


def end_of(path: str) -> int:
    """The size of the file. Raises OSError."""
    return os.stat(path).st_size


def earlier(path: str, before: int, words: tuple[bytes, ...], most: int) -> Piece:
    """At least `most` lines before a place that hold the words, or as many as are found in one piece of work."""
    found: list[list[str]] = []
    number, at, rest = 0, before, b""
    size = _SEARCH_BLOCK if words else _BLOCK
    with open(path, "rb", buffering=0) as file:
        while at > 0 and number < most and before - at < _MOST_AT_ONCE:
            start = max(0, at - size)
            file.seek(start)
            block = file.read(at - start) + rest
            at = start
            first, parted, block = block.partition(b"\n") if start else (b"", b"\n", block)
            rest = (first + parted if start else b"")[-_LONGEST_LINE:]
            lines = _holding(block, words)
            number += len(lines)
            found.append(lines)
    return Piece([line for lines in reversed(found) for line in lines], at + len(rest) if at else 0)


def _holding(block: bytes, words: tuple[bytes, ...]) -> list[str]:
    lower = block.lower() if words else b""
    if not all(word in lower for word in words):
        return []
    lines = block.split(b"\n")
    if words:
        lines = [line for line in lines if all(word in line.lower() for word in words)]
    return [line[:_LONGEST_LINE].decode("utf-8", "replace") for line in lines if line]
