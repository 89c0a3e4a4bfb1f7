"""The record of the commands and replies of an attempt, bounded and without passwords."""

import threading
from collections.abc import Iterable

__all__ = ["Transcript", "joined"]

_LONGEST_LINE = 600
_LONGEST = 24 * 1024
_LONGEST_JOINED = 48 * 1024
_KEPT = 10  # lines at the beginning
_CUT = "…"


class Transcript:
    """Lines marked `C: ` (client), `S: ` (server) and `-- ` (events). Thread-safe."""

    def __init__(self, limit: int = _LONGEST) -> None:
        self._limit = limit
        self._lines: list[tuple[str, str]] = []
        self._length = 0
        self._cut = False
        self._lock = threading.Lock()

    def said(self, line: str) -> None:
        self._add("C: ", line)

    def heard(self, line: str) -> None:
        self._add("S: ", line)

    def happened(self, line: str) -> None:
        self._add("-- ", line)

    def add(self, text: str) -> None:
        """Append another transcript."""
        for line in text.splitlines():
            self._add("", line)

    def clear(self) -> None:
        with self._lock:
            self._lines.clear()
            self._length, self._cut = 0, False

    def _add(self, mark: str, line: str) -> None:
        """Append a line. It is made printable only when the transcript is read, since most transcripts never are."""
        line = line[:_LONGEST_LINE]
        with self._lock:
            self._lines.append((mark, line))
            self._length += len(line) + 4
            # The end holds the outcome: lines are dropped from the middle.
            while self._length > self._limit and len(self._lines) > _KEPT + 1:
                self._length -= len(self._lines.pop(_KEPT)[1]) + 4
                self._cut = True

    @property
    def text(self) -> str:
        with self._lock:
            lines = [mark + _readable(line) for mark, line in self._lines]
        if self._cut:
            lines.insert(_KEPT, _CUT)
        return "".join(line + "\n" for line in lines)


def joined(transcripts: Iterable[Transcript]) -> str:
    """Return the transcripts of one attempt as one text; those beyond its limit are left out."""
    pieces: list[str] = []
    length = 0
    for transcript in transcripts:
        text = transcript.text
        if text and length < _LONGEST_JOINED:
            pieces.append(text)
            length += len(text)
    return "\n".join(pieces)


def _readable(line: str) -> str:
    return line if line.isprintable() else "".join(char if char.isprintable() else "?" for char in line)
