"""Puts the spool in order after a process has died: at start, and whenever a child did.

Everything is done by the same locks as elsewhere, so it may run beside any number of working processes.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

from smtpd_classic.durable import COMPLETE, readable
from spool.claim import give_back, lock_entry
from spool.disk import Folders
from spool.quarantine import set_aside
from spool.queue_id import is_queue_id

__all__ = ["sweep"]

_OPEN_DRAFT = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_ENTRY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# How long the Maildir standard leaves a file of someone else's in tmp/.
_FOREIGN_AGE_S = 36 * 3600


def sweep(folders: Folders, now: float, complain: Callable[[str], None]) -> int:
    """Remove abandoned drafts (returns their number), states without an entry and stale temporary files; give entries
    that a mail reader has renamed their names back; set aside what does not belong here. Raises OSError when a folder
    cannot be read; what cannot be dealt with is complained of and left."""
    states = os.listdir(folders.state)  # before the entries, so that a state can only look older than its entry
    abandoned = 0
    for folder in (folders.new, folders.cur):
        with os.scandir(folder) as items:
            for item in items:
                with _complaining(item.path, complain):
                    abandoned += _sweep_item(folders, item, complain)
    entries = {*os.listdir(folders.new), *os.listdir(folders.cur)}
    for name in states:
        if name not in entries:
            with _complaining(f"{folders.state}/{name}", complain):
                _sweep_state(folders, name, complain)
    for name in os.listdir(folders.tmp):
        with _complaining(f"{folders.tmp}/{name}", complain):
            _sweep_tmp(folders, name, now)
    return abandoned


@contextlib.contextmanager
def _complaining(path: str, complain: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass  # someone else has dealt with it
    except OSError as error:
        complain(f"{path}: {error.strerror}; it is left as it is")


def _sweep_item(folders: Folders, item: "os.DirEntry[str]", complain: Callable[[str], None]) -> int:
    """One thing that stands in new/ or cur/; 1 when it was an abandoned draft."""
    queue_id, colon, _ = item.name.partition(":")
    if not is_queue_id(queue_id):
        set_aside(folders, item.path, "its name is not that of an entry", complain)
    elif not item.is_file(follow_symlinks=False):
        set_aside(folders, item.path, "it is no file", complain)
    elif colon:  # a mail reader was here: ID:2,S
        if _exists(folders, queue_id):
            set_aside(folders, item.path, "there is an entry of that name", complain)
        else:
            os.rename(item.path, f"{folders.cur}/{queue_id}")
            complain(f"{item.path}: a mail reader has renamed it; it is {queue_id} again")
    elif not readable(item.stat(follow_symlinks=False).st_mode):
        if item.path == f"{folders.new}/{queue_id}":
            return _remove_abandoned(item.path)
        os.chmod(item.path, COMPLETE)  # in cur/ there are no drafts
    return 0


def _exists(folders: Folders, queue_id: str) -> bool:
    # In this order: entries move from new/ to cur/ only.
    return os.path.lexists(f"{folders.new}/{queue_id}") or os.path.lexists(f"{folders.cur}/{queue_id}")


def _remove_abandoned(path: str) -> int:
    descriptor = os.open(path, _OPEN_DRAFT)
    try:
        if not lock_entry(descriptor, path) or readable(os.fstat(descriptor).st_mode):
            return 0
        os.unlink(path)
        return 1
    finally:
        give_back(descriptor)


def _sweep_state(folders: Folders, name: str, complain: Callable[[str], None]) -> None:
    path = f"{folders.state}/{name}"
    if not is_queue_id(name):
        set_aside(folders, path, "its name is not that of an entry", complain)
    elif not _exists(folders, name):
        os.unlink(path)


def _sweep_tmp(folders: Folders, name: str, now: float) -> None:
    path = f"{folders.tmp}/{name}"
    if is_queue_id(name):
        if _being_written(folders, name):
            return
    elif now - os.lstat(path).st_ctime <= _FOREIGN_AGE_S:
        return
    os.unlink(path)


def _being_written(folders: Folders, queue_id: str) -> bool:
    """Whether someone may be replacing the entry's state, which only the holder of its lock does."""
    for path, flags in ((f"{folders.new}/{queue_id}", _OPEN_DRAFT), (f"{folders.cur}/{queue_id}", _OPEN_ENTRY)):
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            continue
        try:
            if not lock_entry(descriptor, path):
                return True
        finally:
            give_back(descriptor)
    return False
