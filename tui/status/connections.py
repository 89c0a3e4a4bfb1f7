"""The connected clients, from the kernel's table of TCP connections, and the running deliveries, from its locks."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from spool import NoSuchEntry, Spool, SpoolBroken
from spool.rows import QueueRow, in_delivery, row_of
from tui.shell.remembered import Signature, signature

__all__ = ["ConnectedClient", "RunningDeliveries", "connected_clients"]

_ESTABLISHED = "01"
_MOST_LINES = 50_000
_MOST_DELIVERIES = 100


class ConnectedClient(NamedTuple):
    """One TCP connection to a port of the server."""

    ip: str
    port: int
    to_port: int


def connected_clients(pid: int, ports: Sequence[int]) -> list[ConnectedClient]:
    """Return the connections to these ports in the network of a process; none if the kernel shows no table."""
    found: list[ConnectedClient] = []
    for name in ("tcp", "tcp6"):
        with suppress(OSError, ValueError), open(f"/proc/{pid}/net/{name}", encoding="ascii") as file:
            found += _clients(file, frozenset(ports))
    return sorted(found)


def _clients(lines: Iterator[str], ports: frozenset[int]) -> Iterator[ConnectedClient]:
    """Yield the clients in such a table (proc_net_tcp(5)): address and port in hexadecimal, then the state."""
    next(lines, "")
    for _, line in zip(range(_MOST_LINES), lines, strict=False):
        _, here, there, state = line.split(maxsplit=4)[:4]
        port = int(here.rpartition(":")[2], 16)
        if state == _ESTABLISHED and port in ports:
            address, _, remote = there.partition(":")
            yield ConnectedClient(_address(address), int(remote, 16), port)


def _address(text: str) -> str:
    """Return the address from its hexadecimal form, in which each word of 32 bits has the order of this machine."""
    octets = b"".join(int(text[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(text), 8))
    if len(octets) == 4:
        return socket.inet_ntop(socket.AF_INET, octets)
    if octets.startswith(bytes(10) + b"\xff\xff"):
        return socket.inet_ntop(socket.AF_INET, octets[12:])
    return socket.inet_ntop(socket.AF_INET6, octets)


class RunningDeliveries:
    """The messages that are being delivered now. The names in the queue are read again only when the queue changes."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._spool = Spool(folder)
        self._seen: Signature = ()
        self._ids: dict[int, str] = {}

    def now(self) -> list[QueueRow]:
        """Return one row for each message with a file that a process has locked, the oldest first."""
        locked = in_delivery()
        if not locked:
            return []
        self._read_names()
        found = sorted(self._ids[inode] for inode in locked if inode in self._ids)
        return list(self._rows(found[:_MOST_DELIVERIES]))

    def _rows(self, ids: Sequence[str]) -> Iterator[QueueRow]:
        for queue_id in ids:
            with suppress(NoSuchEntry, SpoolBroken):  # it has just gone, or is being received
                yield row_of(*self._spool.read(queue_id), active=True)

    def _read_names(self) -> None:
        folders = (self._spool.folders.new, self._spool.folders.cur)
        seen = signature(folders)
        if seen == self._seen:
            return
        self._seen, self._ids = seen, {}
        for folder in folders:
            with suppress(OSError), os.scandir(folder) as items:
                self._ids.update((item.inode(), item.name) for item in items)
