"""The queue for display: one row a message, for the command and for the screens."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from spool import DELIVERED, FAILED, WAITING, Entry, Listed, NoSuchEntry, Spool, SpoolBroken, State
from spool.disk import Folders
from spool.entry import BY_HAND
from spool.form import CorruptFile, footer_length, trailer_start
from spool.state_file import held, next_attempt

__all__ = [
    "ACTIVE",
    "HELD",
    "NEW",
    "STATES",
    "WAITING_FOR_RETRY",
    "QueueRow",
    "in_delivery",
    "is_in_delivery",
    "row_of",
    "rows",
    "trailer_and_state",
]

NEW, ACTIVE, WAITING_FOR_RETRY, HELD = "new", "active", "waiting", "held"
_LOCKS_HOLD = 5_000
_TAIL = 4096
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_decode = json.JSONDecoder().raw_decode
STATES = (NEW, ACTIVE, WAITING_FOR_RETRY, HELD)


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One message of the queue.

    `recipients` are those that still wait; `delivered` and `failed` count the others. `last_reply` is the newest reply
    to a waiting recipient, `hosts` are those that deferred one. `hold_reason` and `hold_text` are blank unless the
    message is held. Times are seconds since the epoch, 0 for never.
    """

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
    hosts: tuple[str, ...] = ()
    hold_reason: str = ""
    hold_text: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def in_delivery() -> frozenset[int]:
    """Return the inodes of all files that are locked now, from /proc/locks (proc(5)). No lock is touched."""
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


def is_in_delivery(spool: Spool, queue_id: str) -> bool:
    """Return True if a process holds the lock of the entry."""
    locked = in_delivery()
    for folder in (spool.folders.new, spool.folders.cur) if locked else ():
        try:
            return os.stat(f"{folder}/{queue_id}").st_ino in locked
        except OSError:
            continue
    return False


def rows(spool: Spool, listed: Iterable[Listed]) -> Iterator[QueueRow]:
    """Yield the rows of these messages, each as soon as it is read; messages that are gone by now are left out."""
    locked: frozenset[int] = frozenset()
    for number, each in enumerate(listed):
        if number % _LOCKS_HOLD == 0:  # a long listing takes seconds, a delivery does not
            locked = in_delivery()
        row = _row(spool, each, active=each.inode in locked)
        if row is not None:
            yield row


def _row(spool: Spool, listed: Listed, *, active: bool) -> QueueRow | None:
    try:
        return _quick_row(spool.folders, listed, active=active)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, CorruptFile):
        pass  # it has moved, or is damaged: read it with every check
    try:
        entry, state = spool.read(listed.queue_id)
    except (NoSuchEntry, SpoolBroken):
        return None
    return row_of(entry, state, active=active)


def _quick_row(folders: Folders, listed: Listed, *, active: bool) -> QueueRow:
    """Return the row without the checks and objects of `Spool.read`, in a third of the time.

    Raises all kinds of errors for a file in an unexpected form.
    """
    size, trailer, stored = trailer_and_state(folders, listed)
    said = _decode(str(trailer, "ascii"))[0]
    envelope = said["envelope"]
    state: dict[str, Any] = _decode(str(stored.text, "ascii"))[0] if stored.text else {}
    everyone = state.get("recipients") or envelope["recipients"]
    waiting = [each for each in everyone if each.get("state", WAITING) == WAITING]
    attempts = state.get("attempts", 0)
    reasons = [_said(each.get("host", ""), each.get("last_reply", "")) for each in waiting]
    newest = max(range(len(waiting)), key=lambda number: waiting[number].get("at", 0.0), default=-1)
    return QueueRow(
        queue_id=listed.queue_id,
        arrival=said["arrival"],
        size=size,
        state=_state(attempts, held=stored.held, active=active),
        sender=envelope.get("sender", ""),
        recipients=tuple([each["address"] for each in waiting]),
        delivered=sum([each.get("state") == DELIVERED for each in everyone]),
        failed=sum([each.get("state") == FAILED for each in everyone]),
        attempts=attempts,
        last_attempt=state.get("last_attempt", 0.0),
        next_attempt=stored.next_attempt if attempts else 0.0,
        last_reply=reasons[newest] if waiting else "",
        delay_reasons=tuple(reasons),
        hosts=tuple(dict.fromkeys([each["host"] for each in waiting if each.get("host")])),
        hold_reason=state.get("hold_reason", BY_HAND) if stored.held else "",
        hold_text=state.get("hold_text", "") if stored.held else "",
    )


class StoredState(NamedTuple):
    """The JSON of a state, with what the file itself says. An entry without a state has no text."""

    text: bytes
    next_attempt: float
    held: bool


def trailer_and_state(folders: Folders, listed: Listed) -> tuple[int, bytes, StoredState]:
    """Return the length of the content, the JSON of the trailer, and the state.

    Raises OSError, CorruptFile, or ValueError for an envelope that is not among the last octets of the file.
    """
    folder = folders.cur if listed.attempted else folders.new
    tail = _last_octets(f"{folder}/{listed.queue_id}")
    size = trailer_start(tail[-footer_length:], listed.size)
    start = size - listed.size
    if -start > len(tail):
        raise ValueError("a long envelope")
    has_state = listed.attempted or listed.held
    state = _stored(f"{folders.state}/{listed.queue_id}") if has_state else StoredState(b"", 0.0, held=False)
    return size, tail[start + 1 : -footer_length - 1], state


def _last_octets(path: str) -> bytes:
    descriptor = os.open(path, _READ)
    try:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, _TAIL, max(size - _TAIL, 0))
    finally:
        os.close(descriptor)


def _stored(path: str) -> StoredState:
    """Return the state from one look: since the listing, a delivery may have replaced the file."""
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        return StoredState(os.pread(descriptor, status.st_size, 0), next_attempt(status), held(status.st_mode))
    finally:
        os.close(descriptor)


def row_of(entry: Entry, state: State, *, active: bool = False) -> QueueRow:
    waiting = [row for row in state.recipients if row.state == WAITING]
    newest = max(waiting, key=lambda row: row.at, default=None)
    return QueueRow(
        queue_id=entry.queue_id,
        arrival=entry.arrival,
        size=entry.size,
        state=_state(state.attempts, held=state.held, active=active),
        sender=entry.envelope.sender,
        recipients=tuple(row.address for row in waiting),
        delivered=sum(row.state == "delivered" for row in state.recipients),
        failed=sum(row.state == "failed" for row in state.recipients),
        attempts=state.attempts,
        last_attempt=state.last_attempt,
        next_attempt=0.0 if not state.attempts else state.next_attempt,
        last_reply=_said(newest.host, newest.last_reply) if newest is not None else "",
        delay_reasons=tuple(_said(row.host, row.last_reply) for row in waiting),
        hosts=tuple(dict.fromkeys(row.host for row in waiting if row.host)),
        hold_reason=(state.hold_reason or BY_HAND) if state.held else "",
        hold_text=state.hold_text if state.held else "",
    )


def _state(attempts: int, *, held: bool, active: bool) -> str:
    if held:
        return HELD
    if active:
        return ACTIVE
    return WAITING_FOR_RETRY if attempts else NEW


def _said(host: str, reply: str) -> str:
    """Return the reply, with its host if a host sent it."""
    return f"{host}: {reply}" if host and reply[:3].isdigit() else reply
