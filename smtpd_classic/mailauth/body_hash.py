"""The hash of a body in DKIM's canonical forms (RFC 6376 3.4.3 and 3.4.4), taken from pieces of any size.

Rule 1: a piece may end anywhere, also between blanks, or between a blank and the LF behind it.
Rule 2: empty lines and blanks are held back as numbers until text follows them, because at the end they do not count.
Rule 3: a body has LF line ends here and is hashed with CRLF.
"""

import hashlib
from collections.abc import Iterable

__all__ = ["RELAXED", "SIMPLE", "BodyHash", "single_blanks"]

SIMPLE, RELAXED = "simple", "relaxed"
_TAB_IS_BLANK = bytes.maketrans(b"\t", b" ")
_LINES_AT_ONCE = 32_768
_TAB = 9  # as a number: for `b"\t" in octets` Python raises an exception within, and drops it


def single_blanks(text: bytes) -> bytes:
    """Return the text with one blank for each run of blanks and tabs."""
    if _TAB in text:
        text = text.translate(_TAB_IS_BLANK)
    while text.find(b"  ") >= 0:
        text = text.replace(b"  ", b" ")
    return text


class BodyHash:
    """SHA-256 of one canonical form of a body, and of each beginning of it in `lengths` (the tag l=)."""

    def __init__(self, canonicalization: str, lengths: Iterable[int] = ()) -> None:
        self._relaxed = canonicalization == RELAXED
        self._hash = hashlib.sha256()
        self._empty_lines = 0  # line ends after the last text
        self._blank = False  # the piece before ended with a blank
        self._lengths = sorted(set(lengths), reverse=True)  # the next one is the last
        self._beginnings: dict[int, bytes] = {}
        self.octets = 0

    def update(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        if self._relaxed:
            piece = self._without_blanks(piece)
        text = piece.rstrip(b"\n")
        if text:
            self._end_lines()
            self._add(text.replace(b"\n", b"\r\n"))
        self._empty_lines += len(piece) - len(text)

    def _without_blanks(self, piece: bytes) -> bytes:
        """Return the piece with one blank for each run of them, and none before an LF or at the piece's end."""
        piece = single_blanks(b" " + piece if self._blank else piece).replace(b" \n", b"\n")
        self._blank = piece.endswith(b" ")
        return piece[:-1] if self._blank else piece

    def _end_lines(self) -> None:
        """Hash the line ends that text has turned out to follow."""
        while self._empty_lines:
            now = min(self._empty_lines, _LINES_AT_ONCE)
            self._add(b"\r\n" * now)
            self._empty_lines -= now

    def _add(self, data: bytes) -> None:
        begin = 0
        while self._lengths and self._lengths[-1] <= self.octets + len(data) - begin:
            wanted = self._lengths.pop()
            end = begin + wanted - self.octets
            self._hash.update(data[begin:end])
            self.octets, begin = wanted, end
            self._beginnings[wanted] = self._hash.digest()
        self._hash.update(data[begin:])
        self.octets += len(data) - begin

    def finish(self) -> bytes:
        """Return the hash of the whole body. A body without text is an empty string, or one CRLF in the simple form."""
        self._blank = False
        if self.octets or not self._relaxed:
            self._empty_lines = 1
            self._end_lines()
        return self._hash.digest()

    def beginning(self, length: int) -> bytes | None:
        """Return the hash of the first `length` octets of the canonical form, None when it is shorter."""
        return self._beginnings.get(length)
