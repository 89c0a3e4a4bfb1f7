"""Puts the spool in order after a process has died: at start, and whenever a child did.

Everything is done by the same locks as elsewhere, so it may run beside any number of working processes.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

from spool.claim import give_back, lock_entry
from spool.disk import Folders, readable
from spool.quarantine import set_aside
from spool.queue_id import is_queue_id

__all__ = ["sweep"]

_OPEN_DRAFT = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_ENTRY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# How long the Maildir standard leaves a file of someone else's in tmp/.
_FOREIGN_AGE_S = 36 * 3600


def sweep(folders: Folders, now: float, complain: Callable[[str], None]) -> int:
    """Remove abandoned drafts (returns their number), states without an entry and stale temporary files; give entries
    that a mail reader has renamed their names back; set aside what does not belong here. Raises OSError."""
    states = os.listdir(folders.state)  # before the entries, so that a state can only look older than its entry
    abandoned = 0
    for item in _named(folders, folders.new, complain):
        if not readable(item.stat(follow_symlinks=False).st_mode):
            abandoned += _remove_abandoned(item.path)
    for _ in _named(folders, folders.cur, complain):
        pass
    _sweep_states(folders, states, complain)
    _sweep_tmp(folders, now)
    return abandoned


def _named(folders: Folders, folder: str, complain: Callable[[str], None]) -> Iterator["os.DirEntry[str]"]:
    """The files of new/ or cur/ that have an entry's name; the others are dealt with."""
    with os.scandir(folder) as items:
        for item in items:
            try:
                if not is_queue_id(item.name):
                    _deal_with_name(folders, item, complain)
                elif item.is_file(follow_symlinks=False):
                    yield item
                else:
                    set_aside(folders, item.path, "it is no file", complain)
            except FileNotFoundError:  # done by someone else meanwhile
                continue


def _deal_with_name(folders: Folders, item: "os.DirEntry[str]", complain: Callable[[str], None]) -> None:
    queue_id, colon, _ = item.name.partition(":")  # a mail reader was here: ID:2,S
    if colon and is_queue_id(queue_id) and not _exists(folders, queue_id):
        os.rename(item.path, f"{folders.cur}/{queue_id}")
        complain(f"{item.path}: a mail reader has renamed it; it is {queue_id} again")
    else:
        set_aside(folders, item.path, "its name is not that of an entry", complain)


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


def _sweep_states(folders: Folders, names: list[str], complain: Callable[[str], None]) -> None:
    entries = {*os.listdir(folders.new), *os.listdir(folders.cur)}
    for name in names:
        path = f"{folders.state}/{name}"
        if not is_queue_id(name):
            set_aside(folders, path, "its name is not that of an entry", complain)
        elif name not in entries and not _exists(folders, name):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(path)


def _sweep_tmp(folders: Folders, now: float) -> None:
    for name in os.listdir(folders.tmp):
        path = f"{folders.tmp}/{name}"
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            if (
                not _being_written(folders, name)
                if is_queue_id(name)
                else now - os.lstat(path).st_ctime > _FOREIGN_AGE_S
            ):
                os.unlink(path)


def _being_written(folders: Folders, queue_id: str) -> bool:
    """Whether someone may be replacing the entry's state, which only the holder of its lock does."""
    for path, flags in (
        (f"{folders.new}/{queue_id}", _OPEN_DRAFT),
        (f"{folders.cur}/{queue_id}", _OPEN_ENTRY),
    ):
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
