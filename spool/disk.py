"""What every part of the spool does to the disk, and what can go wrong there.

A draft can be written but not read; the read permission given before its fsync says that it is complete. So a listing
tells drafts from entries without opening them, and nothing that a client puts into its message can pass for the end of
one.
"""

import ctypes
import errno
import os
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = [
    "COMPLETE",
    "DRAFT",
    "Folders",
    "NoSuchEntry",
    "NotClaimed",
    "SpoolBroken",
    "SpoolFull",
    "close",
    "failure",
    "folders_in",
    "names_need_sync",
    "readable",
    "sync",
    "sync_folder",
    "write_all",
]

DRAFT = 0o200
COMPLETE = 0o600

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ADVICE = {
    errno.EMFILE: "this process may open no more files; raise its limit (ulimit -n, LimitNOFILE=)",
    errno.ENFILE: "the system may open no more files; raise fs.file-max",
    errno.EACCES: "the service user has no right to; look at the owner and mode of the spool folder",
    errno.EPERM: "the service user has no right to; look at the owner and mode of the spool folder",
    errno.EROFS: "the file system is read-only; the kernel log says why",
    errno.EIO: "the disk fails; the kernel log says where",
    errno.ENOENT: "the spool folder is not there or not complete",
}
# Where the fsync of a new file makes its name durable too: power cut tried.
_SYNCS_NEW_NAMES = frozenset({"ext4", "xfs"})
_CROWD, _CROWD_S, _TOGETHER_S = 3, 0.05, 0.004
_WRITE = 2  # SYNC_FILE_RANGE_WRITE: begin, and do not wait
_syncing: list[int] = []
_crowd_until = 0.0


class SpoolFull(Exception):
    """There is no room; there may be, later."""


class SpoolBroken(Exception):
    """The disk, the rights or a limit of the system do not let us; the text says what to look at."""


class NotClaimed(Exception):
    """Someone else has the entry: it is being delivered just now."""


class NoSuchEntry(Exception):
    """There is no entry of that name (any more)."""


class Folders(NamedTuple):
    new: str
    cur: str
    state: str
    tmp: str
    maildrop: str
    quarantine: str


def folders_in(path: str) -> Folders:
    return Folders(*(os.path.join(path, name) for name in Folders._fields))


def failure(error: OSError, what: str) -> SpoolFull | SpoolBroken:
    """The exception to raise from `error`, which happened to the file or folder `what`."""
    number = error.errno or 0
    if number in _FULL:
        return SpoolFull(f"{what}: {os.strerror(number)}")
    return SpoolBroken(f"{what}: {_ADVICE.get(number) or os.strerror(number)}")


def readable(mode: int) -> bool:
    """Whether a file of that mode is a complete one."""
    return stat.S_ISREG(mode) and bool(mode & stat.S_IRUSR)


def write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):  # a disk that fills up takes a part first, and says so at the next write
        written += os.write(descriptor, data[written:])


def close(descriptor: int) -> None:
    """Close what was only read, or is durable already: an error says nothing about it any more."""
    try:
        os.close(descriptor)
    except OSError:
        return


def _writer() -> Callable[[int], object]:
    """What has the kernel begin to write a file; sync_file_range(2), which Python does not have. What goes wrong there
    is told by the fsync that follows."""
    try:
        call = ctypes.CDLL(None).sync_file_range
    except AttributeError:  # a C library without it
        return lambda descriptor: None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return lambda descriptor: call(descriptor, 0, 0, _WRITE)


_begin_to_write = _writer()


def sync(descriptor: int) -> None:
    """Do an fsync. Where many threads do so, they do it at the same moments as those of the other processes, at most
    `_TOGETHER_S` apart: one write of the journal then serves several messages, and costs each of them less. What is in
    the files goes to the disk before, or the journal would be written for the first file while the others' are on their
    way, and then once more."""
    global _crowd_until  # noqa: PLW0603 - of the process, as its threads are
    _syncing.append(descriptor)
    try:
        now = time.monotonic()
        if len(_syncing) >= _CROWD:
            _crowd_until = now + _CROWD_S
        if now < _crowd_until:
            _begin_to_write(descriptor)
            time.sleep(_TOGETHER_S - time.monotonic() % _TOGETHER_S)
        os.fsync(descriptor)
    finally:
        _syncing.pop()


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        close(descriptor)


def names_need_sync(path: str) -> bool:
    """Whether the name of a file that was created and fsynced is safe only after an fsync of its folder."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                before, _, after = line.partition(" - ")  # proc(5): optional fields end with a hyphen
                if before.split(" ", 3)[2] == number:
                    return after.split(" ", 1)[0] not in _SYNCS_NEW_NAMES
    except OSError:
        pass
    return True
