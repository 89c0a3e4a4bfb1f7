"""Blocked clients: one file each in `blocked/`, named after the address. Its mtime is the end of the block.

Every process sees a block at once: making or removing a file changes the mtime of the folder, and a connection costs
one stat of it. To unblock a client, remove its file.
"""

import ipaddress
import os
import time
from typing import NamedTuple

from smtpd_classic.atomic_file import draft_of
from smtpd_classic.runtime.clients import client_key

__all__ = ["Block", "Blocks"]

# A folder that changed this recently may change again without its mtime showing it (the kernel's clock ticks coarsely).
_COARSE_S = 0.1


class Block(NamedTuple):
    """`ip` is an address, or the first of the IPv6 /64 that is blocked; `until` is wall-clock time."""

    ip: str
    until: float
    reason: str


class Blocks:
    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._seen: tuple[int, dict[str, float]] = (-1, {})

    def blocked(self, ip: str) -> bool:
        """Return True if the client is blocked now. Costs one stat; False if the folder cannot be read."""
        try:
            changed = os.stat(self.folder).st_mtime_ns
        except OSError:
            return False
        seen, ends = self._seen
        if seen != changed:
            ends = self._scan(changed)
        if not ends:
            return False
        try:
            return ends.get(client_key(ip), 0.0) > time.time()
        except ValueError:
            return False

    def block(self, ip: str, seconds: float, reason: str = "") -> None:
        """Block the client (of IPv6 its /64) from now on. Raises OSError, or ValueError when `ip` is no address."""
        name = client_key(ip)
        until = time.time() + seconds
        temporary = draft_of(os.path.join(self.folder, name))
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            os.write(fd, reason.encode("utf-8", "replace")[:500])
            os.utime(fd, (until, until))
            os.rename(temporary, os.path.join(self.folder, name))
        except OSError:
            os.unlink(temporary)
            raise
        finally:
            os.close(fd)

    def unblock(self, ip: str) -> bool:
        """Whether there was a block. Raises OSError, or ValueError when `ip` is no address."""
        try:
            os.unlink(os.path.join(self.folder, client_key(ip)))
        except FileNotFoundError:
            return False
        return True

    def list(self) -> list[Block]:
        """Return every block in force, the one that ends last first."""
        now = time.time()
        found = [Block(name, until, self._reason(name)) for name, until in self._ends().items() if until > now]
        return sorted(found, key=lambda block: -block.until)

    def sweep(self) -> None:
        """Remove the blocks that have ended. The supervisor calls this from time to time."""
        now = time.time()
        for name, until in self._ends().items():
            if until <= now:
                try:
                    os.unlink(os.path.join(self.folder, name))
                except OSError:
                    continue

    def _scan(self, changed: int) -> dict[str, float]:
        ends = self._ends()
        settled = abs(time.time() - changed / 1e9) > _COARSE_S
        self._seen = (changed if settled else -1, ends)
        return ends

    def _ends(self) -> dict[str, float]:
        ends: dict[str, float] = {}
        try:
            with os.scandir(self.folder) as files:
                for file in files:
                    if _is_address(file.name):
                        ends[file.name] = _mtime(file)
        except OSError:
            return ends
        return ends

    def _reason(self, name: str) -> str:
        try:
            with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as file:
                return file.read(500)
        except OSError:
            return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _mtime(file: "os.DirEntry[str]") -> float:
    try:
        return file.stat(follow_symlinks=False).st_mtime
    except OSError:  # unblocked meanwhile
        return 0.0
