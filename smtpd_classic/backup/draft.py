"""The file of a backup while it is written: FILE.part. Its writer has locked it; one without a lock is a leftover."""

import fcntl
import os
import stat
import zlib
from contextlib import suppress

from smtpd_classic.backup.form import MANIFEST

__all__ = ["DraftInUse", "new_draft", "remove_leftovers"]

_SUFFIX = ".part"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_HEAD = 4096


class DraftInUse(Exception):
    """Raised when another backup writes to the same file."""


def new_draft(path: str) -> tuple[str, int]:
    """Make the draft of a backup to `path`, in place of one that a killed backup has left. Return its name and
    descriptor. Raises DraftInUse and OSError.
    """
    draft = path + _SUFFIX
    if os.path.lexists(draft) and not _removed(draft):
        raise DraftInUse(f"{draft} is there, and another backup may be writing it.")
    descriptor = os.open(draft, _CREATE, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return draft, descriptor


def remove_leftovers(folder: str) -> None:
    """Remove the drafts of killed backups to other names in the folder; other files named so are left alone."""
    with suppress(OSError):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name.endswith(_SUFFIX) and _is_backup(path):
                _removed(path)


def _removed(path: str) -> bool:
    """Remove a regular file that no other process has locked. Return True if it is gone."""
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_backup(path: str) -> bool:
    """Return True if the file begins as an archive of this program does."""
    try:
        with open(os.open(path, _READ), "rb") as file:
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(file.read(_HEAD), 512)
    except (OSError, zlib.error):
        return False
    return head.startswith(MANIFEST.encode() + b"\0")
