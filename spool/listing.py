"""The queue, listed from folders and stat alone: 100,000 entries without opening a file."""

import os
import stat
from collections.abc import Iterator

from smtpd_classic.durable import readable
from spool.disk import Folders
from spool.entry import Listed
from spool.queue_id import arrival_of, is_queue_id
from spool.state_file import held

__all__ = ["count", "due_times", "held_entries", "in_order", "rows"]


def count(folders: Folders) -> int:
    """Return the number of entries. An entry in cur/ is complete, one in new/ may be a draft."""
    found = {queue_id for queue_id in os.listdir(folders.cur) if is_queue_id(queue_id)}
    with os.scandir(folders.new) as items:
        for item in items:
            if item.name not in found and is_queue_id(item.name) and _is_complete(item):
                found.add(item.name)
    return len(found)


def _is_complete(item: os.DirEntry[str]) -> bool:
    try:
        return readable(item.stat(follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def in_order(folders: Folders) -> Iterator[Listed]:
    """Yield the entries by arrival. Only names are read in advance, so that the first entry comes at once."""
    new = frozenset(filter(is_queue_id, os.listdir(folders.new)))
    cur = filter(is_queue_id, os.listdir(folders.cur))
    for queue_id in sorted(new.union(cur)):
        found = _listed(folders, queue_id, new=queue_id in new)
        if found is not None:
            yield found


def _listed(folders: Folders, queue_id: str, *, new: bool) -> Listed | None:
    """Return the row of one entry, which may have moved to cur/; None for a draft and for an entry that is gone."""
    for folder, attempted in ((folders.new, False), (folders.cur, True)) if new else ((folders.cur, True),):
        try:
            status = os.stat(f"{folder}/{queue_id}", follow_symlinks=False)
        except FileNotFoundError:
            continue
        if not readable(status.st_mode):
            return None
        when = _state_now(folders.state, queue_id)
        arrival = arrival_of(queue_id)
        return Listed(queue_id, arrival, status.st_size, abs(when), attempted, _is_held(when), status.st_ino)
    return None


def rows(folders: Folders) -> Iterator[Listed]:
    states = _states(folders.state)
    seen: set[str] = set()
    for folder, attempted in ((folders.new, False), (folders.cur, True)):
        with os.scandir(folder) as items:
            for item in items:
                queue_id = item.name
                if queue_id in seen or not is_queue_id(queue_id):
                    continue
                try:
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not readable(status.st_mode):
                    continue
                if not attempted:
                    seen.add(queue_id)  # it may move on to cur/ meanwhile
                when = states.get(queue_id)
                if when is None and attempted:
                    when = _state_now(folders.state, queue_id)
                due, is_held = (0.0, False) if when is None else (abs(when), _is_held(when))
                arrival = arrival_of(queue_id)
                yield Listed(queue_id, arrival, status.st_size, due, attempted, is_held, status.st_ino)


def due_times(folders: Folders) -> dict[str, float]:
    states = _states(folders.state)
    found: dict[str, float] = {}
    for folder, attempted in ((folders.new, False), (folders.cur, True)):
        for queue_id in os.listdir(folder):
            if not is_queue_id(queue_id) or queue_id in found:
                continue
            when = states.get(queue_id)
            if when is None:
                when = _state_now(folders.state, queue_id) if attempted else 0.0
            if not _is_held(when):
                found[queue_id] = when
    return found


def held_entries(folders: Folders) -> dict[str, int]:
    """Return the entries on hold, each with the time of the last change of its state in ns."""
    found: dict[str, int] = {}
    with os.scandir(folders.state) as items:
        for item in items:
            try:
                status = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if held(status.st_mode) and stat.S_ISREG(status.st_mode) and is_queue_id(item.name):
                found[item.name] = status.st_ctime_ns
    return found


def _states(folder: str) -> dict[str, float]:
    """Return the next attempt of each entry, negative (also -0.0) if it is held: 100,000 floats are small."""
    found: dict[str, float] = {}
    with os.scandir(folder) as items:
        for item in items:
            try:
                found[item.name] = _when(item.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue
    return found


def _state_now(folder: str, queue_id: str) -> float:
    """Return the next attempt of an entry that has moved to cur/ since the states were read."""
    try:
        return _when(os.stat(f"{folder}/{queue_id}", follow_symlinks=False))
    except FileNotFoundError:
        return 0.0


def _when(status: os.stat_result) -> float:
    return -status.st_mtime if held(status.st_mode) and stat.S_ISREG(status.st_mode) else status.st_mtime


def _is_held(when: float) -> bool:
    return when < 0 or str(when) == "-0.0"
