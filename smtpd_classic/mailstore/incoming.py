"""A message on its way into Maildirs, in <mail root>/.incoming/.

Rule 1: the file is locked before its first byte. It cannot be read before it is complete: the mode bit that permits
reading is set before the fsync, and marks it as complete.
Rule 2: the message comes into a Maildir by rename or link, after its fsync, so half a message is never visible.
Rule 3: a file that carries its own envelope (Return-Path:, then Envelope-To:, which is for one recipient) needs no
second sync for its new name: after a crash it is in the Maildir or, complete, still in .incoming/, and is delivered
from there.
"""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from smtpd_classic.durable import COMPLETE, close, create_locked, sync, sync_folder, write_all
from smtpd_classic.mailstore.folders import failure, forget_sum, make_maildir

__all__ = ["JUNK", "Incoming", "copy_into", "envelope_to"]

# Besides COMPLETE: the message is for the junk folder, also for a sweep after a crash.
JUNK = 0o040
# Octets held in memory before they are written: most messages are one write.
_BUFFER = 64 * 1024
_ENVELOPE = re.compile(rb"Return-Path:[^\n]*+\nEnvelope-To:([^\n]*+)\n")
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def envelope_to(head: bytes) -> str:
    """Return the one recipient that a message in final form names in its second line, or "".

    Only the first two lines are ours: further down, the same words may come from anyone.
    """
    found = _ENVELOPE.match(head)
    if found is None:
        return ""
    return found[1].decode("utf-8", "surrogateescape").strip().removeprefix("<").removesuffix(">")


def copy_into(folder: str, name: str, chunks: Iterator[bytes]) -> None:
    """Copy a message into a Maildir on another file system.

    The copy is whole and durable before it gets its name in new/, and then the name is made durable too.
    """
    draft, target = os.path.join(folder, "tmp", name), f"{folder}/new/{name}"
    descriptor = os.open(draft, _CREATE, COMPLETE)
    try:
        try:
            for chunk in chunks:
                write_all(descriptor, chunk)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(draft, target)
        draft = target
        sync_folder(f"{folder}/new")
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


class Incoming:
    """A message that is being written. A context manager: a message that is not delivered is removed.

    Used by one thread: call `write()` any number of times, then `deliver()`.
    """

    __slots__ = (
        "_carries_envelope",
        "_descriptor",
        "_finished",
        "_look_at",
        "_name",
        "_names_need_sync",
        "_over",
        "_path",
        "_pending",
        "_pending_size",
        "_placed",
        "_root",
        "size",
    )

    def __init__(self, root: str, name: str, look_at: Callable[[str], None], names_need_sync: bool) -> None:
        """Prepare the message; `root` is .incoming/. `look_at` raises OSError for a Maildir that is not ours."""
        self.size = 0
        self._root = root
        self._name = name
        self._look_at = look_at
        self._names_need_sync = names_need_sync
        self._path = ""
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._descriptor = -1
        self._carries_envelope = False
        self._finished = False
        self._over = False
        self._placed: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.abandon()

    def write(self, data: bytes) -> None:
        """Add to the message (LF line ends). Raises MailStoreFull or MailStoreBroken after giving up the message."""
        if self._over or self._finished:
            raise ValueError("the message is delivered or given up")
        self._pending.append(data)
        self.size += len(data)
        self._pending_size += len(data)
        if self._pending_size >= _BUFFER:
            try:
                self._flush(self._name)
            except OSError as error:
                self.abandon()
                raise failure(error, self._root) from error

    def overwrite(self, position: int, data: bytes) -> None:
        """Replace octets that were written, before the message is complete. Raises MailStoreFull or MailStoreBroken."""
        try:
            if self._pending:
                self._flush(self._name)
            while data:
                written = os.pwrite(self._descriptor, data, position)
                data, position = data[written:], position + written
        except OSError as error:
            self.abandon()
            raise failure(error, self._root) from error

    def deliver(self, folders: Sequence[str], *, sync_names: bool = False, is_junk: bool = False) -> list[str]:
        """Put the message into these Maildirs, durably. Return the Maildirs that failed; all others have the message.

        `sync_names`: the address in Envelope-To does not lead to the Maildir by itself, so a sweep could not deliver by
        it. `is_junk`: the Maildirs are junk folders, which a sweep has to find too. Raises MailStoreFull or
        MailStoreBroken if no Maildir has the message; then `chunks()` still works, unless the writing itself failed.
        """
        if self._over:
            raise ValueError("the message is given up")
        if not folders:
            raise ValueError("no Maildir to deliver to")
        if not self._finished:
            self._finish(COMPLETE | JUNK if is_junk else COMPLETE)
        name = f"{self._name},S={self.size}"
        if len(folders) == 1:
            return self._deliver_one(
                folders[0], name, sync_names or self._names_need_sync or not self._carries_envelope
            )
        return self._deliver_several(list(dict.fromkeys(folders)), name)

    def undo(self) -> None:
        """Remove the message from the Maildirs again, for a caller that cannot serve its other recipients either."""
        for path in self._placed:
            with contextlib.suppress(OSError):
                os.unlink(path)
        self._placed.clear()

    def chunks(self) -> Iterator[bytes]:
        """Yield the message after `deliver()`, for a caller that queues it for the Maildirs that failed. Raises
        MailStoreBroken.
        """
        if not self._finished or self._over:
            raise ValueError("the message is not complete, or given up")
        try:
            yield from self._pieces()
        except OSError as error:
            raise failure(error, self._root) from error

    def _pieces(self) -> Iterator[bytes]:
        position = 0
        while position < self.size:
            piece = os.pread(self._descriptor, _BUFFER, position)
            if not piece:
                raise OSError(errno.EIO, "half a message must not pass for a whole one")
            position += len(piece)
            yield piece

    def abandon(self) -> None:
        """End the message: remove its file in .incoming/. Delivered copies stay."""
        if self._over:
            return
        self._over = True
        self._pending.clear()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._remove_name()
            close(descriptor)

    def _deliver_one(self, folder: str, name: str, sync_name: bool) -> list[str]:
        target = f"{folder}/new/{name}"
        try:
            if self._place(os.rename, folder, target):
                self._path = ""
                if sync_name:
                    sync_folder(f"{folder}/new")
            else:
                copy_into(folder, name, self._pieces())
                self._placed.append(target)
                self._remove_name()
        except OSError as error:
            self.undo()
            raise failure(error, target) from error
        forget_sum(folder)
        return []

    def _deliver_several(self, folders: list[str], name: str) -> list[str]:
        refused: dict[str, OSError] = {}
        linked: list[str] = []
        for folder in folders:
            target = f"{folder}/new/{name}"
            try:
                if self._place(os.link, folder, target):
                    linked.append(folder)
                else:
                    copy_into(folder, name, self._pieces())
                    self._placed.append(target)
            except OSError as error:
                refused[folder] = error
        try:
            # A journal makes the names before the last one durable with it.
            for folder in linked if self._names_need_sync else linked[-1:]:
                sync_folder(f"{folder}/new")
        except OSError as error:
            self.undo()
            raise failure(error, self._root) from error
        if len(refused) == len(folders):
            raise failure(refused[folders[0]], folders[0])
        self._remove_name()
        for folder in folders:
            forget_sum(folder)
        return list(refused)

    def _place(self, link: Callable[[str, str], None], folder: str, target: str) -> bool:
        """Rename or link the file into a Maildir, and make the Maildir if it is missing. Return False if a copy is
        needed.
        """
        try:
            try:
                self._look_at(folder)
                link(self._path, target)
            except FileNotFoundError:
                make_maildir(folder)
                self._look_at(folder)
                link(self._path, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return False
        self._placed.append(target)
        return True

    def _finish(self, mode: int) -> None:
        """Write the pending data; the file is then complete and durable in .incoming/."""
        try:
            self._flush(f"{self._name},S={self.size}")
            os.fchmod(self._descriptor, mode)
            sync(self._descriptor)
        except OSError as error:
            self.abandon()
            raise failure(error, self._root) from error
        self._finished = True

    def _flush(self, name: str) -> None:
        data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        if self._descriptor < 0:
            self._carries_envelope = envelope_to(data) != ""
            self._create(f"{self._root}/{name}")
        write_all(self._descriptor, data)

    def _create(self, path: str) -> None:
        self._descriptor, self._path = create_locked(path), path

    def _remove_name(self) -> None:
        if self._path:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
                self._path = ""
