"""The names of files within zip files and winmail.dat, read while their octets arrive.

Rule 1: nothing is unpacked; of a zip file the directory alone is read, one level deep.
Rule 2: the octets held are bounded, and so is the number of names. A broken file has no names.
"""

import re
import struct
from collections.abc import Iterator
from typing import Protocol

__all__ = ["FileNames", "is_zip_name"]

_MOST_NAMES = 1000
# A file in one piece may begin with the mark of one that was split (APPNOTE 8.5.3 and 8.5.4).
_ZIP = (b"PK\x03\x04", b"PK00PK\x03\x04", b"PK\x07\x08PK\x03\x04")
_LONGEST_SIGNATURE = 8
_TAIL = 512 * 1024
_DIRECTORY_END = b"PK\x05\x06"
_ENTRY = struct.Struct("<4s6H3L5H2L")
_UTF8 = 0x800
_TNEF = bytes.fromhex("789f3e22")
_ATTRIBUTE = struct.Struct("<BLL")
_TITLE, _PROPERTIES = 0x00018010, 0x00069005
_LONGEST_HELD = 64 * 1024
# PR_ATTACH_FILENAME and PR_ATTACH_LONG_FILENAME, 8-bit or Unicode: the number of values is 1, then the length.
_FILE_NAME = re.compile(rb"([\x1e\x1f])\x00[\x04\x07]\x37\x01\x00\x00\x00(....)", re.DOTALL)


def is_zip_name(name: str) -> bool:
    """Return True if programs open a file of this name as a zip file."""
    return name.rstrip(" .\0\t\r\n").lower().endswith(".zip")


class _Reader(Protocol):
    def take(self, data: bytes) -> None: ...

    def names(self) -> Iterator[str]: ...


class FileNames:
    """Takes the octets of one file, and then names the files within it. `is_plain` is True as soon as its first octets
    show that there are none: the rest need not be taken.

    The sender chooses the length of the first piece, so that the first octets may come in several. `is_zip`: it is one
    by its name, and programs open it also if it begins with other octets.
    """

    __slots__ = ("_beginning", "_reader", "is_plain")

    def __init__(self, *, is_zip: bool = False) -> None:
        self._beginning = b""
        self._reader: _Reader | None = _ZipReader() if is_zip else None
        self.is_plain = False

    def take(self, data: bytes) -> None:
        if self._reader is not None:
            self._reader.take(data)
        elif not self.is_plain:
            self._beginning += data
            if len(self._beginning) >= _LONGEST_SIGNATURE:
                self._choose(self._beginning)

    def _choose(self, beginning: bytes) -> None:
        if beginning.startswith(_ZIP):
            self._reader = _ZipReader()
        elif beginning.startswith(_TNEF):
            self._reader = _TnefReader()
        if self._reader is not None:
            self._reader.take(beginning)
        self.is_plain, self._beginning = self._reader is None, b""

    def names(self) -> Iterator[str]:
        if self._reader is not None:
            yield from self._reader.names()


class _ZipReader:
    """Keeps the end of the file, where the directory is."""

    def __init__(self) -> None:
        self._tail = bytearray()

    def take(self, data: bytes) -> None:
        self._tail += data
        if len(self._tail) > 2 * _TAIL:
            del self._tail[:-_TAIL]

    def names(self) -> Iterator[str]:
        tail = bytes(self._tail)
        end = tail.rfind(_DIRECTORY_END)
        if end < 0 or len(tail) < end + 20:
            return
        (size,) = struct.unpack_from("<L", tail, end + 12)
        at = end - size if size <= end else tail.find(b"PK\x01\x02")
        for _ in range(_MOST_NAMES):
            if at < 0 or tail[at : at + 4] != b"PK\x01\x02" or len(tail) < at + _ENTRY.size:
                return
            fields = _ENTRY.unpack_from(tail, at)
            start, length = at + _ENTRY.size, fields[10]
            yield tail[start : start + length].decode("utf-8" if fields[3] & _UTF8 else "cp437", "replace")
            at = start + length + fields[11] + fields[12]


class _TnefReader:
    """Reads the attributes of a TNEF stream (MS-OXTNEF 2.1.3) as they arrive; their data is skipped but for names."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 6  # signature and key
        self._names: list[str] = []

    def take(self, data: bytes) -> None:
        dropped = min(self._skip, len(data))
        self._skip -= dropped
        self._buffer += data[dropped:]
        while len(self._buffer) >= _ATTRIBUTE.size and len(self._names) < _MOST_NAMES:
            _, kind, length = _ATTRIBUTE.unpack_from(self._buffer)
            held = min(length, _LONGEST_HELD) if kind in {_TITLE, _PROPERTIES} else 0
            if len(self._buffer) < _ATTRIBUTE.size + held:
                return
            self._names += _tnef_names(kind, bytes(self._buffer[_ATTRIBUTE.size : _ATTRIBUTE.size + held]))
            whole = _ATTRIBUTE.size + length + 2  # the checksum is behind the data
            self._skip = max(0, whole - len(self._buffer))
            del self._buffer[:whole]
        if len(self._names) >= _MOST_NAMES:
            self._buffer.clear()

    def names(self) -> Iterator[str]:
        yield from self._names[:_MOST_NAMES]


def _tnef_names(kind: int, data: bytes) -> Iterator[str]:
    if kind == _TITLE:
        yield data.partition(b"\0")[0].decode("cp1252", "replace")
    elif kind == _PROPERTIES:
        for found in _FILE_NAME.finditer(data):
            (length,) = struct.unpack("<L", found[2])
            raw = data[found.end() : found.end() + min(length, 1024)]
            text = raw.decode("utf-16-le", "replace") if found[1] == b"\x1f" else raw.decode("cp1252", "replace")
            yield text.partition("\0")[0]
