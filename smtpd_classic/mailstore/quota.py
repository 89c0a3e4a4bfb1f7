"""The size of a mailbox: the sum of the sizes that Maildir++ writes into file names (`,S=4711`), with all sub-folders
but the junk folder.

The result for a folder is valid until the folder's time changes, so an unchanged mailbox costs two stats a folder.
"""

import os
import re
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["QuotaCache"]

_SIZE = re.compile(r",S=(\d+)")
_MAX_FOLDERS = 10_000
# A folder that changed this shortly before it was read may change again within the same tick of its time.
_TICK_NS = 50_000_000


class _Contents(NamedTuple):
    changed: int
    octets: int
    sub_folders: tuple[str, ...]


_NOTHING = _Contents(0, 0, ())


class QuotaCache:
    """The known sizes of folders. Used by several threads; at worst a folder is read twice."""

    def __init__(self) -> None:
        self._known: dict[str, _Contents] = {}

    def used(self, folder: str, junk: str = "") -> int:
        """Return the octets in the mailbox; 0 while there is none. Raises OSError.

        The sub-folder `junk` does not count, because its mail is removed after some time.
        """
        octets = 0
        for part in (folder, *self._look(folder, _sub_folders).sub_folders):
            if part == junk != folder:
                continue
            octets += self._look(f"{part}/new", _messages).octets + self._look(f"{part}/cur", _messages).octets
        return octets

    def _look(self, path: str, read: Callable[[str, int], _Contents]) -> _Contents:
        try:
            changed = os.stat(path).st_mtime_ns
            known = self._known.get(path)
            if known is not None and known.changed == changed:
                return known
            began = time.time_ns()
            found = read(path, changed)
        except (FileNotFoundError, NotADirectoryError):
            self._known.pop(path, None)
            return _NOTHING
        if began - changed > _TICK_NS:
            if len(self._known) >= _MAX_FOLDERS:
                self._known.clear()
            self._known[path] = found
        return found


def _messages(path: str, changed: int) -> _Contents:
    octets = 0
    for name in os.listdir(path):
        size = _SIZE.search(name)
        if size is not None:
            octets += int(size[1])
        else:
            try:
                octets += os.stat(f"{path}/{name}", follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # read or removed meanwhile
    return _Contents(changed, octets, ())


def _sub_folders(path: str, changed: int) -> _Contents:
    """Return the sub-folders of Maildir++: `.Sent`, `.Archive.2024`, all beside one another."""
    with os.scandir(path) as items:
        parts = tuple(item.path for item in items if item.name.startswith(".") and item.is_dir(follow_symlinks=False))
    return _Contents(changed, 0, parts)
