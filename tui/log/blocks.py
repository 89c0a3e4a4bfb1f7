"""Read a log file backwards from its end, in blocks: the last lines of a gigabyte cost no more than of a kilobyte."""

import os
from typing import NamedTuple

__all__ = ["Piece", "earlier", "end_of", "words_of"]

_BLOCK = 1 << 16
_SEARCH_BLOCK = 1 << 20
_LONGEST_LINE = 1 << 16  # bounds the memory for a file without line ends
_MOST_AT_ONCE = 1 << 26  # bytes to search in one piece of work, so that the screen can show the progress


class Piece(NamedTuple):
    """Lines, the oldest first, and the offset before which reading continues; 0 is the beginning of the file."""

    lines: list[str]
    start: int


def words_of(text: str) -> tuple[bytes, ...]:
    """Return the words of a filter. A line matches if it contains all of them, in upper or lower case."""
    return tuple(word.encode() for word in text.lower().split())


def end_of(path: str) -> int:
    """Return the size of the file. Raises OSError."""
    return os.stat(path).st_size


def earlier(path: str, before: int, words: tuple[bytes, ...], most: int) -> Piece:
    """Return about `most` matching lines before an offset: at least so many, or all that one piece of work finds."""
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
