"""Adoption: the entries of a spool that no server uses any more are moved into another one, one at a time.

Rule 1: an entry is removed from its old spool only when it is whole and on disk in the new one, its state before its
content. A crash at any instruction may repeat a delivery, and never loses a message.
Rule 2: the name in the new spool depends on nothing but the two spools, so that a second run finds the copies that the
first one made, and finishes them.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from smtpd_classic.durable import COMPLETE, close, create_locked, readable, sync_folder, write_all
from spool.claim import Claim, give_back, is_draft, lock_entry
from spool.disk import Folders, failure
from spool.spool import Spool

__all__ = ["Adopted", "adopt"]

_CHUNK = 256 * 1024
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Adopted(NamedTuple):
    """An entry that was moved: its name before and its name now, which is blank if another process has the entry."""

    before: str
    now: str


def adopt(old: Spool, new: Spool) -> Iterator[Adopted]:
    """Move every entry of `old` into `new`, the oldest first, and yield each. Raises SpoolFull and SpoolBroken.

    An entry that another process has is left, and yielded with a blank name. A damaged one is moved aside in `old`.
    """
    for listed in old.list_by_arrival():
        queue_id = listed.queue_id
        claim = old.claim(queue_id)
        if claim is not None:
            with claim:
                yield Adopted(queue_id, _move(claim, old.folders, new.folders))
        elif any(os.path.lexists(f"{folder}/{queue_id}") for folder in (old.folders.new, old.folders.cur)):
            yield Adopted(queue_id, "")


def _move(claim: Claim, old: Folders, new: Folders) -> str:
    """Move one claimed entry. Return its name in the new spool."""
    path = claim.path
    queue_id = claim.entry.queue_id
    try:
        name, draft = _reserved(path, _names(queue_id, claim.entry.envelope.sender), new)
        if draft is not None:
            try:
                _fill(claim, draft, name, old, new)
            finally:
                give_back(draft)
        with contextlib.suppress(FileNotFoundError):  # a rename has moved it
            os.unlink(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{old.state}/{queue_id}")
    except OSError as error:
        raise failure(error, error.filename or path) from error
    return name


def _names(queue_id: str, sender: str) -> Iterator[str]:
    """Yield the names for the entry: its own, then others with its time of arrival, the same in every run."""
    yield queue_id
    number = 0
    while True:
        number += 1
        digest = hashlib.sha256(f"{queue_id} {sender} {number}".encode("utf-8", "surrogatepass")).hexdigest()
        yield queue_id[:13] + digest[:7].upper()


def _reserved(path: str, names: Iterator[str], new: Folders) -> tuple[str, int | None]:
    """Return the first name that is free, with the descriptor of its draft; None if the message is there already."""
    for name in names:
        if is_draft(f"{new.new}/{name}"):
            _remove_abandoned(f"{new.new}/{name}")
        found = [taken for folder in (new.new, new.cur) if os.path.lexists(taken := f"{folder}/{name}")]
        if same := [taken for taken in found if _same(path, taken)]:
            _sync_file(same[0])
            return name, None
        if not found:
            with contextlib.suppress(FileExistsError):  # a server begins to write it just now
                return name, create_locked(f"{new.new}/{name}")
    raise AssertionError("the names have no end")


def _remove_abandoned(path: str) -> None:
    """Remove the draft of a dead process, such as a run before that was interrupted."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if lock_entry(descriptor, path) and not readable(os.fstat(descriptor).st_mode):
            os.unlink(path)
    finally:
        give_back(descriptor)


def _same(one: str, other: str) -> bool:
    """Return True if both files are whole and have the same octets, or are one file."""
    if os.path.samefile(one, other):
        return True
    status = os.stat(other)
    if not readable(status.st_mode) or status.st_size != os.stat(one).st_size:
        return False
    with open(one, "rb") as first, open(other, "rb") as second:
        while piece := first.read(_CHUNK):
            if piece != second.read(_CHUNK):
                return False
    return True


def _sync_file(path: str) -> None:
    """Make a copy durable that an interrupted run has left complete, but perhaps not on disk."""
    descriptor = os.open(path, _READ)
    try:
        os.fsync(descriptor)
    finally:
        close(descriptor)
    sync_folder(os.path.dirname(path))


def _fill(claim: Claim, draft: int, name: str, old: Folders, new: Folders) -> None:
    """Replace the draft by the entry, with its state first. The draft's lock keeps a server away meanwhile."""
    place = f"{new.new}/{name}"
    try:
        _copy_state(f"{old.state}/{claim.entry.queue_id}", name, new)
        try:
            os.rename(claim.path, place)
        except OSError:  # another file system
            _copy(claim.path, draft)
            os.fchmod(draft, COMPLETE)
            os.fsync(draft)
        sync_folder(new.new)
    except BaseException:
        if os.path.lexists(claim.path):
            with contextlib.suppress(OSError):
                os.unlink(place)
        raise
    if os.path.dirname(claim.path) == old.cur:
        with contextlib.suppress(OSError):  # in new/ it is as safe
            os.rename(place, f"{new.cur}/{name}")


def _copy_state(path: str, name: str, new: Folders) -> None:
    """Copy the state with its time of the next attempt and its hold; nothing if the entry has no state."""
    try:
        source = os.open(path, _READ)
    except FileNotFoundError:
        with contextlib.suppress(FileNotFoundError):  # of a run that was interrupted
            os.unlink(f"{new.state}/{name}")
        return
    try:
        status = os.fstat(source)
        target = os.open(f"{new.tmp}/{name}", _WRITE, COMPLETE)
        try:
            _copy_octets(source, target)
            os.fchmod(target, status.st_mode & 0o700)
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(target)
        finally:
            close(target)
    finally:
        close(source)
    os.rename(f"{new.tmp}/{name}", f"{new.state}/{name}")
    sync_folder(new.state)


def _copy(path: str, target: int) -> None:
    source = os.open(path, _READ)
    try:
        _copy_octets(source, target)
    finally:
        close(source)


def _copy_octets(source: int, target: int) -> None:
    while piece := os.read(source, _CHUNK):
        write_all(target, piece)
