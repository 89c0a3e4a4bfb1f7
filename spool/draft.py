"""A message on its way into the spool.

Rule 1: the file is created under its final name and locked before its first byte. A draft with a free lock is therefore
one without a living writer.
Rule 2: a message is acknowledged only after the fsync. After a failed fsync the file is given up, since the kernel may
have dropped data that it could not write.
Rule 3: leaving the block without `commit()` removes the file.
"""

import contextlib
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from filelock import unlock_descriptor

from smtpd_classic.durable import COMPLETE, DRAFT, close, create_locked, sync, sync_folder, write_all
from spool.disk import Folders, failure
from spool.entry import Entry, Envelope, Hold, untried
from spool.form import encode_trailer
from spool.state_file import write_state

__all__ = ["Draft"]

# Octets held in memory before they are written: most messages are one write.
_BUFFER = 64 * 1024


class Draft:
    """A message that is being written, by one thread: call `write()` any number of times, `commit()` once."""

    __slots__ = (
        "_descriptor",
        "_folders",
        "_names_need_sync",
        "_over",
        "_path",
        "_pending",
        "_pending_size",
        "queue_id",
        "size",
    )

    def __init__(self, folders: Folders, queue_id: str, names_need_sync: bool) -> None:
        self.queue_id = queue_id
        self.size = 0
        self._folders = folders
        self._names_need_sync = names_need_sync
        self._path = f"{folders.new}/{queue_id}"
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._descriptor = -1
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.abandon()

    def write(self, data: bytes) -> None:
        """Add to the content (LF line ends). After SpoolFull or SpoolBroken the draft is given up."""
        if self._over:
            raise ValueError("the draft is committed or given up")
        self._pending.append(data)
        self.size += len(data)
        self._pending_size += len(data)
        if self._pending_size >= _BUFFER:
            try:
                self._flush()
            except OSError as error:
                self.abandon()
                raise failure(error, self._path) from error

    def content(self) -> Iterator[bytes]:
        """Yield the data written so far. Raises SpoolFull or SpoolBroken."""
        try:
            self._flush()
            position = 0
            while piece := os.pread(self._descriptor, _BUFFER, position):
                position += len(piece)
                yield piece
        except OSError as error:
            self.abandon()
            raise failure(error, self._path) from error

    def commit(self, envelope: Envelope, now: float, hold: Hold | None = None) -> str:
        """Return the queue id once the message is on disk. After SpoolFull or SpoolBroken it is not in the queue."""
        if self._over:
            raise ValueError("the draft is committed or given up")
        self._pending.append(encode_trailer(envelope, now, self.size))
        try:
            self._flush()
            if hold is not None:  # before the entry can be claimed
                entry = Entry(self.queue_id, now, envelope, self.size)
                write_state(self._folders, self.queue_id, untried(entry).on_hold(hold._replace(since=now)), {})
            os.fchmod(self._descriptor, COMPLETE)
            sync(self._descriptor)
            if self._names_need_sync:
                sync_folder(self._folders.new)
        except OSError as error:
            self.abandon()
            raise failure(error, self._path) from error
        self._release()
        return self.queue_id

    def _flush(self) -> None:
        if self._descriptor < 0:
            self._descriptor = create_locked(self._path)
        data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        self._pending_size = 0
        write_all(self._descriptor, data)

    def _release(self) -> None:
        self._over = True
        descriptor, self._descriptor = self._descriptor, -1
        # Closing alone would leave the lock with a child process forked meanwhile.
        with contextlib.suppress(OSError):
            unlock_descriptor(descriptor)
        close(descriptor)

    def unlink(self) -> None:
        """Remove the name, so that another draft can have it; `content()` still works. Then only `abandon()` is
        left."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._path = ""

    def abandon(self) -> None:
        """Remove the file unless it is committed; leaving the block calls this."""
        self._over = True
        self._pending.clear()
        if self._descriptor >= 0:
            # If the name survives, it must not look like a message.
            with contextlib.suppress(OSError):
                os.fchmod(self._descriptor, DRAFT)
            if self._path:
                with contextlib.suppress(OSError):
                    os.unlink(self._path)
            self._release()
