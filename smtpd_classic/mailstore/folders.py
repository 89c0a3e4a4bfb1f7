"""Maildirs and what their disk may say. One user owns them all, and nobody else may look into them."""

import contextlib
import errno
import os
import stat

__all__ = [
    "MailStoreBroken",
    "MailStoreFull",
    "failure",
    "look_at_maildir",
    "make_folder",
    "make_maildir",
    "names_need_sync",
    "sync_folder",
    "write_all",
]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ADVICE = {
    errno.EMFILE: "this process may open no more files; raise its limit (ulimit -n, LimitNOFILE=)",
    errno.ENFILE: "the system may open no more files; raise fs.file-max",
    errno.EACCES: "the service user has no right to; look at the owner and mode of the mail folder",
    errno.EPERM: "the service user has no right to; look at the owner and mode of the mail folder",
    errno.EROFS: "the file system is read-only; the kernel log says why",
    errno.EIO: "the disk fails; the kernel log says where",
    errno.ELOOP: "it is a symbolic link",
}
# Where the fsync of a new file makes its name durable too: power cut tried.
_SYNCS_NEW_NAMES = frozenset({"ext4", "xfs"})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# How long the Maildir standard leaves a file in tmp/.
_TMP_AGE_S = 36 * 3600


class MailStoreFull(Exception):
    """There is no room in the mailboxes' file system; there may be, later."""


class MailStoreBroken(Exception):
    """The disk, the rights or a limit of the system do not let us; the text says what to look at."""


def failure(error: OSError, what: str) -> MailStoreFull | MailStoreBroken:
    """The exception to raise from `error`, which happened to the file or folder `what`."""
    number = error.errno or 0
    if number in _FULL:
        return MailStoreFull(f"{what}: {os.strerror(number)}")
    return MailStoreBroken(f"{what}: {_ADVICE.get(number) or error.strerror or os.strerror(number)}")


def write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):  # a disk that fills up takes a part first, and says so at the next write
        written += os.write(descriptor, data[written:])


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, _FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def names_need_sync(path: str) -> bool:
    """Whether the name of a file that was fsynced is safe only after an fsync of its folder."""
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


def make_folder(path: str) -> None:
    """Make a folder and those above it, each 0700 and its name durable."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_folder(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
    sync_folder(os.path.dirname(path))


def make_maildir(folder: str) -> None:
    """`new` comes last: where it stands, the Maildir is complete."""
    for name in ("tmp", "cur", "new"):
        make_folder(f"{folder}/{name}")


def look_at_maildir(folder: str, now: float) -> None:
    """Refuse a Maildir that is not ours; remove from its tmp/ what the standard calls stale. Raises OSError.

    The mailbox itself may be a link that an administrator has made to another disk; what it leads to must be ours.
    """
    for name in ("new", "cur", "tmp"):
        path = f"{folder}/{name}"
        descriptor = os.open(path, _FOLDER | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
            raise PermissionError(errno.EACCES, "it is not a folder of the service user's alone", path)
    with os.scandir(os.path.join(folder, "tmp")) as items:
        for item in items:
            with contextlib.suppress(OSError):
                if item.is_file(follow_symlinks=False) and now - item.stat(follow_symlinks=False).st_ctime > _TMP_AGE_S:
                    os.unlink(item.path)
