"""Write files that survive a power cut: whole writes, fsync, locked creation, and advice for errors of the disk.

The spool and the mail store both build on this module. A draft has write permission only; the read permission, given
before its fsync, marks it as complete. A listing therefore tells drafts from complete files by stat alone.
"""

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import stat
import time
from collections.abc import Callable

__all__ = [
    "COMPLETE",
    "DRAFT",
    "Broken",
    "Full",
    "advice",
    "close",
    "create_locked",
    "file_system",
    "is_full",
    "names_need_sync",
    "observe_syncs",
    "readable",
    "sync",
    "sync_folder",
    "write_all",
]

DRAFT = 0o200
COMPLETE = 0o600

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ADVICE = {
    errno.EMFILE: "this process may open no more files; raise its limit (ulimit -n, LimitNOFILE=)",
    errno.ENFILE: "the system may open no more files; raise fs.file-max",
    errno.EACCES: "permission denied for the service user; check the owner and mode of {folder}",
    errno.EPERM: "permission denied for the service user; check the owner and mode of {folder}",
    errno.ENOENT: "{folder} is missing or incomplete",
    errno.EROFS: "the file system is read-only; the kernel log gives the reason",
    errno.EIO: "the disk fails; the kernel log gives the place",
    errno.ELOOP: "it is a symbolic link",
}
# On these file systems the fsync of a new file makes its name durable too (tested with power cuts).
_SYNCS_NEW_NAMES = frozenset({"ext4", "xfs"})
# From `_CROWD` threads on, fsyncs share a beat of `_TOGETHER_S` seconds, until `_CROWD_S` after the last crowd.
_CROWD, _CROWD_S, _TOGETHER_S = 3, 0.05, 0.004
_WRITE = 2  # SYNC_FILE_RANGE_WRITE: start the write and return
_syncing: list[int] = []
_crowd_until = 0.0
_observe: Callable[[float], None] | None = None


class Full(Exception):
    """Raised when the file system has no room. Room may come back later."""


class Broken(Exception):
    """Raised when the disk, the permissions or a limit of the system prevent the work; the text names the remedy."""


def is_full(error: OSError) -> bool:
    """Return True if the error means that there is no room."""
    return (error.errno or 0) in _FULL


def advice(error: OSError, folder: str) -> str:
    """Return the error in words, with the remedy where there is one; `folder` names the folder to look at."""
    number = error.errno or 0
    known = _ADVICE.get(number)
    return known.format(folder=folder) if known else error.strerror or os.strerror(number)


def readable(mode: int) -> bool:
    """Return True if a file of this mode is complete."""
    return stat.S_ISREG(mode) and bool(mode & stat.S_IRUSR)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every octet. Raises OSError."""
    written = os.write(descriptor, data)
    while written < len(data):  # a disk that fills up takes a part first and fails at the next write
        written += os.write(descriptor, data[written:])


def close(descriptor: int) -> None:
    """Close a descriptor of a file that was only read, or is durable already: an error no longer matters."""
    try:
        os.close(descriptor)
    except OSError:
        return


def create_locked(path: str) -> int:
    """Create a draft under this name and return its descriptor, with its lock held. Raises OSError.

    A sweep may see the new name before the lock is taken, and may remove the file as abandoned; then it is created
    again. The lock is the same flock(2) that filelock takes.
    """
    while True:
        descriptor = os.open(path, _CREATE, DRAFT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            close(descriptor)
            raise
        close(descriptor)


@functools.cache
def _writer() -> Callable[[int], object]:
    """Return a function that makes the kernel start to write a file: sync_file_range(2), which Python lacks.

    Its errors are not lost: the fsync that follows reports them.
    """
    try:
        call = ctypes.CDLL(None).sync_file_range
    except AttributeError:  # a C library without it
        return lambda descriptor: None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return lambda descriptor: call(descriptor, 0, 0, _WRITE)


def sync(descriptor: int) -> None:
    """Do an fsync. Raises OSError.

    When many threads sync, all processes do it at the same moments, at most `_TOGETHER_S` apart: one write of the
    journal then serves several messages. The contents are sent to the disk before that moment; otherwise the journal
    would be written for the first file while the others are still under way, and then once more.
    """
    global _crowd_until  # noqa: PLW0603 - the threads of a process share it
    _syncing.append(descriptor)
    try:
        now = time.monotonic()
        if len(_syncing) >= _CROWD:
            _crowd_until = now + _CROWD_S
        if now < _crowd_until:
            _writer()(descriptor)
            time.sleep(_TOGETHER_S - time.monotonic() % _TOGETHER_S)
        began = time.monotonic()
        os.fsync(descriptor)
        if _observe is not None:
            _observe(time.monotonic() - began)
    finally:
        _syncing.pop()


def observe_syncs(observe: Callable[[float], None]) -> None:
    """Call `observe` with the seconds that each fsync of a message takes, from now on in this process."""
    global _observe  # noqa: PLW0603 - the threads of a process share it
    _observe = observe


def sync_folder(path: str) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        close(descriptor)


def names_need_sync(path: str) -> bool:
    """Return True if the name of a new, fsynced file is safe only after an fsync of its folder. Raises OSError."""
    return file_system(path) not in _SYNCS_NEW_NAMES


def file_system(path: str) -> str:
    """Return the type of the file system of a path, such as ext4; blank if it is not known. Raises OSError."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                before, _, after = line.partition(" - ")  # proc(5): optional fields end with a hyphen
                if before.split(" ", 3)[2] == number:
                    return after.split(" ", 1)[0]
    except OSError:
        pass
    return ""
