"""A table of counters in a mapped file, without locks: `file_store` has them.

    header   magic, slots of a region, then for each region the number of slots that were ever used
    regions  each a hash table of its own, so that operations in different regions need no common lock
    slot     16 octets of hash, value, end of the lifetime

All counters of a group are in one region. A slot whose lifetime has ended is used again. A process may be killed
between any two instructions: a slot gets its value first and its hash last, so a half-written one has no name. Numbers
are copied as a whole: `pack_into` writes them octet by octet, and a process killed in between would leave another one.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b

__all__ = [
    "HEADER_SIZE",
    "REGIONS",
    "USED_SIZE",
    "CounterTable",
    "Slot",
    "WrongForm",
    "key_of",
    "region_of",
    "used_at",
    "write_empty",
]

REGIONS = 64
_MAGIC = b"numbers1"
_HEADER = struct.Struct("<8sQ")
_USED = struct.Struct("<Q")
_SLOT = struct.Struct("<16sqd")
_CONTENT = struct.Struct("<qd")
_HASH_SIZE = 16
USED_SIZE = _USED.size
HEADER_SIZE = _HEADER.size + REGIONS * USED_SIZE
_NO_HASH = bytes(_HASH_SIZE)


class WrongForm(Exception):
    """Raised when a file is no table."""


class Slot:
    """A slot of a region: its position in the file and its content."""

    __slots__ = ("at", "until", "value")

    def __init__(self, at: int, value: int, until: float) -> None:
        self.at = at
        self.value = value
        self.until = until


@lru_cache(1024)
def region_of(group: str) -> int:
    return blake2b(group.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0] % REGIONS


@lru_cache(4096)
def key_of(group: str, name: str) -> bytes:
    return blake2b(f"{group}\0{name}".encode("utf-8", "surrogatepass"), digest_size=_HASH_SIZE).digest()


class CounterTable:
    """The table in an open file. The caller holds the lock of the region that it names."""

    def __init__(self, descriptor: int) -> None:
        """Map the file. Raises WrongForm and OSError."""
        size = os.fstat(descriptor).st_size
        if size < HEADER_SIZE:
            raise WrongForm("it is too short")
        self._map = mmap.mmap(descriptor, 0)
        self.slots: int
        magic, self.slots = _HEADER.unpack_from(self._map)
        if magic != _MAGIC or not self.slots or size != size_for(self.slots):
            self._map.close()
            raise WrongForm("it is no table of numbers")

    def close(self) -> None:
        self._map.close()

    def find(self, region: int, key: bytes) -> Slot | None:
        start = HEADER_SIZE + region * self.slots * _SLOT.size
        first = int.from_bytes(key[:8], "little") % self.slots
        for step in range(self.slots):
            at = start + (first + step) % self.slots * _SLOT.size
            found, value, until = _SLOT.unpack_from(self._map, at)
            if found == key:
                return Slot(at, value, until)
            if found == _NO_HASH:
                return None
        return None

    def set(self, slot: Slot, value: int, until: float) -> None:
        """Write value and end of a slot that `find` returned. It stays valid as long as its lifetime has not ended."""
        self._write(slot.at, value, until)

    def _write(self, at: int, value: int, until: float) -> None:
        self._map[at + _HASH_SIZE : at + _SLOT.size] = _CONTENT.pack(value, until)

    def insert(self, region: int, key: bytes, value: int, until: float, now: float) -> bool:
        """Add a counter that is not in the table. Return False if the region is full."""
        start = HEADER_SIZE + region * self.slots * _SLOT.size
        first = int.from_bytes(key[:8], "little") % self.slots
        for step in range(self.slots):
            at = start + (first + step) % self.slots * _SLOT.size
            found, _, end = _SLOT.unpack_from(self._map, at)
            if found == _NO_HASH:
                if not self._use_one_more(region):
                    return False
            elif end > now:
                continue
            self._write(at, 0, 0.0)
            self._map[at : at + _HASH_SIZE] = key
            self._write(at, value, until)
            return True
        return False

    def living(self, region: int, now: float) -> Iterator[tuple[bytes, int, float]]:
        """Yield the counters of a region whose lifetime has not ended."""
        if _USED.unpack_from(self._map, used_at(region))[0]:
            start = HEADER_SIZE + region * self.slots * _SLOT.size
            for key, value, until in _SLOT.iter_unpack(self._map[start : start + self.slots * _SLOT.size]):
                if until > now and key != _NO_HASH:
                    yield key, value, until

    def room(self, region: int) -> int:
        """Return the number of counters that may be added before searches become slow."""
        used: int = _USED.unpack_from(self._map, used_at(region))[0]
        return self.slots * 3 // 4 - used

    def _use_one_more(self, region: int) -> bool:
        """Count a slot as used. Return False if there is no room."""
        room = self.room(region)
        if room > 0:
            at = used_at(region)
            self._map[at : at + USED_SIZE] = _USED.pack(self.slots * 3 // 4 - room + 1)
        return room > 0


def used_at(region: int) -> int:
    """Return the position of a region's record in the header."""
    return _HEADER.size + region * USED_SIZE


def size_for(slots: int) -> int:
    return HEADER_SIZE + REGIONS * slots * _SLOT.size


def write_empty(descriptor: int, slots: int) -> None:
    """Make an empty table of an empty file. Raises OSError."""
    os.posix_fallocate(descriptor, 0, size_for(slots))  # a map of a sparse file kills the process on a full disk
    os.pwrite(descriptor, _HEADER.pack(_MAGIC, slots), 0)
