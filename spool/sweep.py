"""The sweep: puts the spool in order after a process has died, at start and whenever a child process dies.

It uses the same locks as all other code, so it may run beside any number of working processes.
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
# The age at which the Maildir standard allows the removal of another program's file in tmp/.
_FOREIGN_AGE_S = 36 * 3600


def sweep(folders: Folders, now: float, complain: Callable[[str], None]) -> int:
    """Put the spool in order. Return the number of abandoned drafts.

    Remove abandoned drafts, states without an entry and stale temporary files. Give entries that a mail reader has
    renamed their names back. Move foreign files aside. Leave and report a file with an error. Raises OSError if a
    folder cannot be read.
    """
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
        pass  # another process has handled it
    except OSError as error:
        complain(f"{path}: {error.strerror}; it is left as it is")


def _sweep_item(folders: Folders, item: "os.DirEntry[str]", complain: Callable[[str], None]) -> int:
    """Sweep one item of new/ or cur/. Return 1 if it was an abandoned draft, else 0."""
    queue_id, colon, _ = item.name.partition(":")
    if not is_queue_id(queue_id):
        set_aside(folders, item.path, "its name is not that of an entry", complain)
    elif not item.is_file(follow_symlinks=False):
        set_aside(folders, item.path, "it is no file", complain)
    elif colon:  # renamed by a mail reader: ID:2,S
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
    """Return True if a process may be replacing the entry's state: only the holder of its lock does that."""
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
