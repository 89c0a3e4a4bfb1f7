"""The message on standard input, made readable more than once: in memory when it is small, else in a file without a
name.
"""

import os
from collections.abc import Iterator

__all__ = ["StandardInput", "read_message"]

_IN_MEMORY = 1024 * 1024
_CHUNK = 64 * 1024


class StandardInput:
    """Octets with LF line ends; a `Body`."""

    __slots__ = ("_fd", "_held", "eight_bit", "size")

    def __init__(self) -> None:
        self.size = 0
        self.eight_bit = False
        self._held = bytearray()
        self._fd = -1

    def write(self, data: bytes) -> None:
        """Add octets, in memory or in a file without a name. Raises OSError."""
        self.size += len(data)
        self.eight_bit = self.eight_bit or not data.isascii()
        if self._fd < 0:
            self._held += data
            if len(self._held) <= _IN_MEMORY:
                return
            self._fd = _nameless_file()
            data, self._held = bytes(self._held), bytearray()
        while data:
            data = data[os.write(self._fd, data) :]

    def read(self, offset: int, size: int) -> bytes:
        if self._fd < 0:
            return bytes(self._held[offset : offset + size])
        data = b""
        while len(data) < size and (piece := os.pread(self._fd, size - len(data), offset + len(data))):
            data += piece
        return data


def _nameless_file() -> int:
    folder = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108  it has no name there
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:  # not every file system has files without names
        from tempfile import mkstemp  # noqa: PLC0415  slow to import, and rarely needed

        fd, path = mkstemp()
        os.unlink(path)
        return fd


def read_message(fd: int, *, dot_ends: bool) -> StandardInput:
    """Read the descriptor to its end, or with `dot_ends` to a line with a single dot. Raises OSError."""
    source = StandardInput()
    for piece in _until_dot(_lf(_pieces(fd))) if dot_ends else _lf(_pieces(fd)):
        source.write(piece)
    return source


def _pieces(fd: int) -> Iterator[bytes]:
    while data := os.read(fd, _CHUNK):
        yield data


def _lf(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """CR LF becomes LF: PHP and others write so. A CR alone stays, and is the server's to judge."""
    held = b""
    for piece in pieces:
        data = held + piece
        held = b"\r" if data.endswith(b"\r") else b""
        yield data[: len(data) - len(held)].replace(b"\r\n", b"\n")
    if held:
        yield held


def _until_dot(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Without `-i` a dot on a line of its own ends the message, as it does for a person who types."""
    held, begun = b"\n", False  # the beginning counts as that of a line
    for piece in pieces:
        data = held + piece
        end = data.find(b"\n.\n")
        kept = data[: end + 1] if end >= 0 else data
        tail = 0 if end >= 0 else 2 if data.endswith(b"\n.") else 1 if data.endswith(b"\n") else 0
        held = kept[len(kept) - tail :]
        kept = kept[: len(kept) - tail]
        if not begun and kept:
            begun, kept = True, kept[1:]
        yield kept
        if end >= 0:
            return
    rest = held.removesuffix(b".") if held == b"\n." else held
    yield rest if begun else rest[1:]
