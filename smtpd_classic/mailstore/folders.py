"""The folders of Maildirs, and the errors of their disk. One user owns all Maildirs, with access for no other."""

import contextlib
import errno
import os
import stat

from smtpd_classic.durable import Broken, Full, advice, is_full, sync_folder

__all__ = ["MailStoreBroken", "MailStoreFull", "check_maildir", "failure", "forget_sum", "make_folder", "make_maildir"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TMP_AGE_S = 36 * 3600  # after this time the Maildir standard allows to remove a file from tmp/


class MailStoreFull(Full):
    """Raised when the file system of the mailboxes has no room. Room may come back later."""


class MailStoreBroken(Broken):
    """Raised when the disk, the permissions or a limit of the system prevent the work; the text names the remedy."""


def failure(error: OSError, place: str) -> MailStoreFull | MailStoreBroken:
    """Return the exception to raise from `error`, which happened to the file or folder `place`."""
    words = f"{place}: {advice(error, 'the mail folder')}"
    return MailStoreFull(words) if is_full(error) else MailStoreBroken(words)


def make_folder(path: str) -> None:
    """Make a folder and its parents, each with mode 0700 and a durable name. Raises OSError."""
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
    """Make a Maildir. `new` is made last: where it exists, the Maildir is complete. Raises OSError.

    A folder of a Maildir (`.Junk`, Maildir++) gets the file by which other programs know it, after its Maildir.
    """
    if os.path.basename(folder).startswith("."):
        if not os.path.isdir(f"{os.path.dirname(folder)}/new"):
            make_maildir(os.path.dirname(folder))
        make_folder(folder)
        os.close(os.open(f"{folder}/maildirfolder", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for name in ("tmp", "cur", "new"):
        make_folder(f"{folder}/{name}")


def forget_sum(folder: str) -> None:
    """Remove `maildirsize`, the sum of sizes that Dovecot keeps in the Maildir: after our delivery it is wrong.

    Dovecot then adds up the file names again, as this server does.
    """
    path = f"{folder}/maildirsize"
    if os.access(path, os.F_OK):  # hardly ever; unlink() would take the lock of the folder in any case
        with contextlib.suppress(OSError):
            os.unlink(path)


def check_maildir(folder: str, now: float) -> None:
    """Check the owner and mode of a Maildir, and remove stale files from its tmp/. Raises OSError.

    The mailbox itself may be a symbolic link to another disk; the folders in it must belong to the service user.
    """
    for name in ("new", "cur", "tmp"):
        path = f"{folder}/{name}"
        descriptor = os.open(path, _FOLDER | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
            raise PermissionError(errno.EACCES, "the folder must belong to the service user alone", path)
    with os.scandir(os.path.join(folder, "tmp")) as items:
        for item in items:
            with contextlib.suppress(OSError):
                if item.is_file(follow_symlinks=False) and now - item.stat(follow_symlinks=False).st_ctime > _TMP_AGE_S:
                    os.unlink(item.path)
