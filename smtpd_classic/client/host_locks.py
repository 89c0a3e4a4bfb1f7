"""Locks that count the sessions with each host over all processes of the server.

At a reload two processes deliver mail for a while. Each session holds a lock on one octet of a file in the run folder,
and each host has as many octets there as it may have sessions. The kernel removes the locks of a process that ends,
after SIGKILL too.
"""

import fcntl
import os
import struct
import weakref
from collections.abc import Hashable
from hashlib import blake2b

__all__ = ["HostLocks"]

_OCTETS = 1024  # of one host; more than `max_connections_per_host` may be


class HostLocks:
    """The locks of one process on the file at `path`. Raises OSError. The caller serialises all calls."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held: dict[Hashable, list[int]] = {}
        weakref.finalize(self, os.close, self._file)

    def lock(self, host: Hashable, most: int) -> bool:
        """Lock one of the first `most` octets of the host. Return False if other processes leave no room."""
        first = _first(host)
        if self._taken(first + most, _OCTETS - most):  # by a process that may have more sessions than this one
            return False
        held = self._held.setdefault(host, [])
        for octet in range(first, first + most):
            if octet not in held and self._lock(octet):
                held.append(octet)
                return True
        if not held:
            del self._held[host]
        return False

    def unlock(self, host: Hashable) -> None:
        """Release one lock of the host."""
        held = self._held[host]
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, held.pop(), 1))
        if not held:
            del self._held[host]

    def _lock(self, octet: int) -> bool:
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, octet, 1))
        except OSError:
            return False
        return True

    def _taken(self, start: int, length: int) -> bool:
        """Return True if another process holds a lock in the range."""
        found = fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, start, length))
        return bool(struct.unpack_from("h", found)[0] != fcntl.F_UNLCK)


def _first(host: Hashable) -> int:
    """Return the first octet of the host; two hosts share their octets with a chance of 1 in 2^48."""
    return int.from_bytes(blake2b(repr(host).encode(), digest_size=6).digest(), "big") * _OCTETS


def _flock(kind: int, start: int, length: int) -> bytes:
    """Return `struct flock` of fcntl(2)."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
