"""Replaces a file in one step: a reader sees the old one or the new one, whole, also after a power cut.

The new content is written beside the old file, synced, and renamed over it; then the folder is synced, so that the new
name is durable too. Every failure before the rename removes the new file and leaves the old one as it was. A process
that was killed on the way leaves its draft; the next replacement in the folder removes drafts that are an hour old.
`replace_text` does without the syncs. Modules with drafts of their own name them by `draft_of`; the server sweeps them.
"""

import os
import re
import secrets
import stat
import time
from contextlib import suppress

from smtpd_classic.durable import sync_folder, write_all

__all__ = ["draft_of", "replace", "replace_text", "sweep"]

_DRAFT = re.compile(r"\..+\.[0-9a-f]{16}")
_DRAFT_AGE_S = 3600.0
_NEW_FILE_MODE = 0o600  # a file that did not exist before may hold secrets


def draft_of(path: str) -> str:
    """Return a new name beside the file, for a draft that `sweep` removes if its process is killed."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name[:200]}.{secrets.token_hex(8)}")


def replace_text(path: str, text: str) -> None:
    """Replace a file without a sync: a power cut may lose it. Raises OSError, and leaves no draft then."""
    draft = draft_of(path)
    try:
        with open(draft, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise


def replace(path: str | os.PathLike[str], data: bytes) -> None:
    """Put `data` into the file, which keeps its owner and mode; a new one is 0600.

    Raises OSError, and nothing has changed then; only when the folder cannot be synced, the very last step, the new
    file is in place, but perhaps not for good. A symbolic link is followed: the file that it names is replaced.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    draft = draft_of(target)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            write_all(descriptor, data)
            _take_over_owner_and_mode(descriptor, target)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(draft, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
    sync_folder(folder)
    sweep(folder)


def sweep(folder: str, *, now: float | None = None) -> None:
    """Remove the drafts that killed processes have left in the folder. Never raises OSError."""
    oldest = (time.time() if now is None else now) - _DRAFT_AGE_S
    with suppress(OSError), os.scandir(folder) as items:
        for item in items:
            if _DRAFT.fullmatch(item.name):
                with suppress(OSError):
                    found = item.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode) and found.st_mtime < oldest:
                        os.unlink(item.path)


def _take_over_owner_and_mode(descriptor: int, target: str) -> None:
    try:
        old = os.stat(target)
    except FileNotFoundError:
        os.fchmod(descriptor, _NEW_FILE_MODE)
        return
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        # Before the mode: a change of owner takes set-id bits away, and the mode must never be wider than the owner.
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
