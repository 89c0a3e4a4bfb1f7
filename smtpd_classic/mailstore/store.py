"""The mailboxes: Maildirs under one mail folder, with <mail folder>/.incoming/ as the way into them (incoming.py).

Unique names are those of the Maildir standard, with the size as Maildir++ has it:
`<secs>.M<usec>P<pid>Q<n>.<host>,S=<size>`.
"""

import contextlib
import errno
import itertools
import os
import stat
import time
from collections.abc import Callable, Iterable

from filelock import lock_descriptor

from smtpd_classic.durable import names_need_sync, sync_folder
from smtpd_classic.mailstore.folders import (
    MailStoreBroken,
    MailStoreFull,
    check_maildir,
    failure,
    forget_sum,
    make_folder,
    make_maildir,
)
from smtpd_classic.mailstore.incoming import JUNK, Incoming, copy_into, envelope_to
from smtpd_classic.mailstore.quota import QuotaCache

__all__ = ["Incoming", "MailStore", "MailStoreBroken", "MailStoreFull"]

_MAX_SEEN = 100_000
_HEAD = 4096
_CHUNK = 64 * 1024


def _say_nothing(_text: str) -> None:
    return


class MailStore:
    """The mailboxes. Used by several threads. `complain` gets a sentence about each file that a sweep had to leave."""

    def __init__(
        self,
        mail_folder: str,
        host_name: str,
        complain: Callable[[str], None] = _say_nothing,
    ) -> None:
        """Open the mailboxes under `mail_folder`."""
        self.mail_folder = os.path.abspath(mail_folder)
        self._root = f"{self.mail_folder}/.incoming"
        # The Maildir standard escapes characters that a file name, or its own separators, cannot hold.
        self._host = host_name.replace("/", r"\057").replace(":", r"\072").replace(",", r"\054")
        self._complain = complain
        # A random start keeps two stores of one process apart, and processes of one pid in two containers.
        self._numbers = itertools.count(int.from_bytes(os.urandom(4)))
        self._seen: set[str] = set()
        self._quota = QuotaCache()
        self._names_need_sync: bool | None = None

    def make(self) -> None:
        """Make the mail folder and .incoming/ unless they exist. Raises MailStoreBroken."""
        try:
            make_folder(self._root)
            status = os.stat(self._root, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                raise MailStoreBroken(f"{self._root}: it must be a folder of user {os.geteuid()}, who runs this")
        except OSError as error:
            raise failure(error, self._root) from error

    def incoming(self) -> Incoming:
        """Return a new message, to be used as a context manager. Raises MailStoreBroken."""
        if self._names_need_sync is None:
            self.make()
            try:
                self._names_need_sync = names_need_sync(self._root)
            except OSError as error:
                raise failure(error, self._root) from error
        return Incoming(self._root, self._new_name(), self._look_at, self._names_need_sync)

    def deliver_copy(self, folder: str, chunks: Iterable[bytes]) -> None:
        """Put a message that is complete already into one Maildir, durably. Raises MailStoreFull or MailStoreBroken."""
        with self.incoming() as incoming:
            for chunk in chunks:
                incoming.write(chunk)
            incoming.deliver([folder])

    def quota_used(self, folder: str, junk: str = "") -> int:
        """Return the octets in a mailbox without its Maildir for junk. Raises MailStoreBroken."""
        try:
            return self._quota.used(folder, junk)
        except OSError as error:
            raise failure(error, folder) from error

    def sweep(self, folder_of: Callable[[str], str | None], junk_of: Callable[[str], str | None] | None = None) -> int:
        """Put .incoming/ in order after a process has died. Return the number of messages delivered from there.

        `folder_of` returns the Maildir of a recipient, and `junk_of` that for junk. A complete message with its
        envelope is delivered. A complete message without it was to be linked into several Maildirs and not yet
        acknowledged, so it is removed, as is a draft. The files of a living process stay. Raises MailStoreBroken.
        """
        self.make()
        delivered = 0
        try:
            for name in os.listdir(self._root):
                delivered += self._sweep_one(name, folder_of, junk_of or folder_of)
        except OSError as error:
            raise failure(error, self._root) from error
        return delivered

    def _new_name(self) -> str:
        seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
        return f"{seconds}.M{microseconds:06d}P{os.getpid()}Q{next(self._numbers)}.{self._host}"

    def _look_at(self, folder: str) -> None:
        """Check a Maildir once in the life of a process: only our own processes can change it afterwards."""
        if folder not in self._seen:
            check_maildir(folder, time.time())
            if len(self._seen) >= _MAX_SEEN:
                self._seen.clear()
            self._seen.add(folder)

    def _sweep_one(
        self, name: str, folder_of: Callable[[str], str | None], junk_of: Callable[[str], str | None]
    ) -> int:
        path = f"{self._root}/{name}"
        try:
            status = os.stat(path, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                self._complain(f"{path}: it is no file, and left")
                return 0
            complete = bool(status.st_mode & stat.S_IRUSR)
            descriptor = os.open(path, (os.O_RDONLY if complete else os.O_WRONLY) | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        try:
            if not lock_descriptor(descriptor, blocking=False) or not _unchanged(descriptor, path, status):
                return 0
            if not complete:
                os.unlink(path)
                return 0
            return self._sweep_complete(descriptor, path, status, junk_of if status.st_mode & JUNK else folder_of)
        finally:
            os.close(descriptor)

    def _sweep_complete(
        self, descriptor: int, path: str, status: os.stat_result, folder_of: Callable[[str], str | None]
    ) -> int:
        address = envelope_to(os.pread(descriptor, _HEAD, 0))
        if not address:
            os.unlink(path)
            return 0
        folder = folder_of(address)
        if folder is None:
            self._complain(f"{path}: it is for {address!r}, who has no mailbox here (any more), and left")
            return 0
        name = os.path.basename(path).partition(",S=")[0] + f",S={status.st_size}"
        try:
            os.fsync(descriptor)  # its writer may have died before its own fsync
            self._move(descriptor, path, folder, name)
        except OSError as error:
            self._complain(f"{path}: it could not be delivered into {folder}, and is left: {failure(error, folder)}")
            return 0
        return 1

    def _move(self, descriptor: int, path: str, folder: str, name: str) -> None:
        make_maildir(folder)
        self._look_at(folder)
        try:
            os.rename(path, f"{folder}/new/{name}")
            sync_folder(f"{folder}/new")
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, "tmp", name))  # an unfinished copy of the dead writer
            copy_into(folder, name, iter(lambda: os.read(descriptor, _CHUNK), b""))
            os.unlink(path)
        forget_sum(folder)


def _unchanged(descriptor: int, path: str, before: os.stat_result) -> bool:
    """Return True if the file still exists and its mode is the same as before the lock was taken."""
    try:
        now = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), now) and now.st_mode == before.st_mode
