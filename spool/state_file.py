"""The file state/<id>, replaced as a whole by rename. Only the holder of the entry's lock writes it.

Its time is the next attempt and its execute bit means held, so that a listing needs no more than a stat.
"""

import contextlib
import os
import stat
from collections.abc import Mapping
from typing import Any

from smtpd_classic.durable import close, sync_folder, write_all
from spool.disk import Folders, failure
from spool.entry import WAITING, Entry, State
from spool.form import CorruptFile, decode_state, encode_state

__all__ = ["held", "make_due", "next_attempt", "read_state", "write_state"]

_PLAIN = 0o600
_HELD = 0o700
_LATEST = 2**33  # the year 2242; the kernel cuts a time that the file system cannot store
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_SIZE = 64 * 1024 * 1024


def held(mode: int) -> bool:
    return bool(mode & stat.S_IXUSR)


def next_attempt(status: os.stat_result) -> float:
    """Return the time of the next attempt, in seconds since the epoch: the time of the file in whole microseconds."""
    return status.st_mtime_ns // 1000 / 1_000_000


def read_state(folders: Folders, entry: Entry) -> tuple[State, Mapping[str, Any]] | None:
    """Return the state and the JSON that it was read from; None if there is none. Raises CorruptFile and OSError."""
    try:
        descriptor = os.open(f"{folders.state}/{entry.queue_id}", _READ)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_SIZE:
            raise CorruptFile("it is no file of ours")
        data = os.pread(descriptor, status.st_size, 0)
        return decode_state(data, entry, next_attempt(status), held(status.st_mode))
    finally:
        close(descriptor)


def write_state(folders: Folders, queue_id: str, state: State, before: Mapping[str, Any]) -> None:
    """Replace the state. Raises SpoolFull or SpoolBroken: then the old state stands, or the new one is perhaps not
    durable.
    """
    path = f"{folders.state}/{queue_id}"
    draft = f"{folders.tmp}/{queue_id}"
    try:
        try:
            _write(draft, state, before)
            os.rename(draft, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
        if _must_survive(state):
            sync_folder(folders.state)
    except OSError as error:
        raise failure(error, path) from error


def make_due(folders: Folders, queue_id: str) -> None:
    """Make the next attempt due at once. An entry without a state is due already."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(f"{folders.state}/{queue_id}", (0, 0), follow_symlinks=False)


def _write(path: str, state: State, before: Mapping[str, Any]) -> None:
    when = int(min(max(state.next_attempt, 0.0), _LATEST) * 1_000_000) * 1000
    descriptor = os.open(path, _WRITE, _PLAIN)
    try:
        write_all(descriptor, encode_state(state, before))
        os.fchmod(descriptor, _HELD if state.held else _PLAIN)
        os.utime(descriptor, ns=(when, when))
        os.fsync(descriptor)
    finally:
        close(descriptor)


def _must_survive(state: State) -> bool:
    """Return True if a return to the state before would send or notify twice, or release a held message.

    A state with only a new time of the next attempt is fsynced (so that it is whole or absent), but its name is not: a
    power cut then costs an attempt that comes too early.
    """
    return state.held or state.delay_notified or any(recipient.state != WAITING for recipient in state.recipients)
