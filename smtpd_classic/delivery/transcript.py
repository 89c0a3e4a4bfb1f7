"""The record of what was said in an attempt, bounded and without passwords."""

import threading

__all__ = ["Transcript"]

_LONGEST_LINE = 600
_LONGEST = 24 * 1024
_KEPT = 10  # lines at the beginning
_CUT = "…\n"


class Transcript:
    """Lines marked `C: ` (we), `S: ` (the other side) and `-- ` (what happened). Thread-safe."""

    def __init__(self, limit: int = _LONGEST) -> None:
        self._limit = limit
        self._lines: list[str] = []
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
        """Another transcript, whole."""
        for line in text.splitlines():
            self._add("", line)

    def _add(self, mark: str, line: str) -> None:
        text = mark + "".join(char if char.isprintable() else "?" for char in line[:_LONGEST_LINE]) + "\n"
        with self._lock:
            self._lines.append(text)
            self._length += len(text)
            # The end says what became of it: the middle goes, from behind the first lines.
            while self._length > self._limit and len(self._lines) > _KEPT + 1:
                self._length -= len(self._lines.pop(_KEPT))
                self._cut = True

    @property
    def text(self) -> str:
        with self._lock:
            lines = [*self._lines[:_KEPT], _CUT, *self._lines[_KEPT:]] if self._cut else self._lines
            return "".join(lines)
