"""The queue as people look at it: one row a message, for the command and for the screen."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from spool import WAITING, Entry, Listed, NoSuchEntry, RecipientState, Spool, SpoolBroken, State
from spool.disk import Folders

__all__ = ["ACTIVE", "HELD", "NEW", "STATES", "WAITING_FOR_RETRY", "QueueRow", "in_delivery", "row_of", "rows"]

NEW, ACTIVE, WAITING_FOR_RETRY, HELD = "new", "active", "waiting", "held"
STATES = (NEW, ACTIVE, WAITING_FOR_RETRY, HELD)


@dataclass(frozen=True, slots=True)
class QueueRow:
    """`recipients` are those that still wait; `delivered` and `failed` count the others. `last_reply` is the newest one
    that a waiting recipient got. Times are seconds since the epoch, 0 for never."""

    queue_id: str
    arrival: float
    size: int
    state: str
    sender: str
    recipients: tuple[str, ...]
    delivered: int
    failed: int
    attempts: int
    last_attempt: float
    next_attempt: float
    last_reply: str
    delay_reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def in_delivery() -> frozenset[int]:
    """The inodes of all files that are locked now, as far as the kernel tells (proc(5), locks); nobody is disturbed."""
    found = set()
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            for line in file:
                words = line.split()
                if len(words) > 5 and words[1] == "FLOCK":
                    found.add(int(words[5].rpartition(":")[2]))
    except (OSError, ValueError):
        return frozenset()
    return frozenset(found)


def rows(spool: Spool, listed: Iterable[Listed]) -> Iterator[QueueRow]:
    """The rows of these messages; those that are gone by now are left out."""
    locked = in_delivery()
    for each in listed:
        try:
            entry, state = spool.read(each.queue_id)
        except (NoSuchEntry, SpoolBroken):
            continue
        yield row_of(entry, state, active=_inode(spool.folders, each) in locked)


def row_of(entry: Entry, state: State, *, active: bool = False) -> QueueRow:
    waiting = [row for row in state.recipients if row.state == WAITING]
    newest = max(waiting, key=lambda row: row.at, default=None)
    return QueueRow(
        queue_id=entry.queue_id,
        arrival=entry.arrival,
        size=entry.size,
        state=_state(state, active=active),
        sender=entry.envelope.sender,
        recipients=tuple(row.address for row in waiting),
        delivered=sum(row.state == "delivered" for row in state.recipients),
        failed=sum(row.state == "failed" for row in state.recipients),
        attempts=state.attempts,
        last_attempt=state.last_attempt,
        next_attempt=0.0 if not state.attempts else state.next_attempt,
        last_reply=_said(newest) if newest is not None else "",
        delay_reasons=tuple(_said(row) for row in waiting),
    )


def _state(state: State, *, active: bool) -> str:
    if state.held:
        return HELD
    if active:
        return ACTIVE
    return WAITING_FOR_RETRY if state.attempts else NEW


def _said(row: RecipientState) -> str:
    """With the host, where a host said it."""
    return f"{row.host}: {row.last_reply}" if row.host and row.last_reply[:3].isdigit() else row.last_reply


def _inode(folders: Folders, listed: Listed) -> int:
    for folder in (folders.cur, folders.new) if listed.attempted else (folders.new, folders.cur):
        try:
            return os.stat(f"{folder}/{listed.queue_id}").st_ino
        except OSError:
            continue
    return 0
