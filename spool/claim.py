"""An entry claimed by one thread, by the lock on the entry's own file: the lock ends with its holder.

Rule 1: only the holder of a claim changes, moves or removes the entry and its state.
Rule 2: the entry is removed before its state. A crash in between leaves a state without an entry (swept), and never an
entry without the record of its deliveries.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from filelock import lock_descriptor, unlock_descriptor

from smtpd_classic.durable import close, readable
from spool.disk import Folders, NoSuchEntry, SpoolBroken, failure
from spool.entry import Entry, State, untried
from spool.form import CorruptFile, decode_trailer, footer_length, trailer_start
from spool.state_file import read_state, write_state

__all__ = ["Claim", "EntryContent", "lock_entry", "open_entry", "read_entry"]

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 64 * 1024
_TAIL = 4096


class EntryContent:
    """The content of an entry, LF line ends, as a file to read. Close it.

    It has its own descriptor and position: several may be open, also in several threads.
    """

    __slots__ = ("_descriptor", "_position", "size")

    def __init__(self, descriptor: int, size: int) -> None:
        """Take over `descriptor`; `close()` closes it."""
        self._descriptor = descriptor
        self._position = 0
        self.size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def read(self, size: int = -1) -> bytes:
        """Read like a binary file: return b"" at the end. Raises SpoolBroken."""
        left = self.size - self._position
        wanted = left if size < 0 else min(size, left)
        data = b""
        while len(data) < wanted:
            try:
                piece = os.pread(self._descriptor, wanted - len(data), self._position)
            except OSError as error:
                raise failure(error, "a queued message") from error
            if not piece:  # half a message must not pass for a whole one
                raise SpoolBroken("a queued message: it has been cut off since it was opened")
            self._position += len(piece)
            data += piece
        return data

    def chunks(self, size: int = _CHUNK) -> Iterator[bytes]:
        """Yield the rest of the content in pieces."""
        while piece := self.read(size):
            yield piece

    def seek(self, position: int) -> None:
        self._position = min(max(position, 0), self.size)

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            close(descriptor)


class Claim:
    """The result of `Spool.claim()`; leaving its block releases the entry.

    `record()` and `remove()` are called by one thread at a time.
    """

    __slots__ = ("_before", "_descriptor", "_folders", "_has_state", "_path", "entry", "state")

    def __init__(self, folders: Folders, path: str, descriptor: int, entry: Entry) -> None:
        self._folders = folders
        self._path = path
        self._descriptor = descriptor
        self._before: Mapping[str, Any] = {}
        self._has_state = True
        self.entry = entry
        self.state = untried(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.release()

    @property
    def path(self) -> str:
        """The file of the entry."""
        return self._path

    @property
    def quarantined(self) -> bool:
        """Return True if the message was ever in quarantine."""
        return self.state.quarantined

    def load_state(self) -> None:
        """Read the state from disk. Raises CorruptFile if it has no valid form, and OSError."""
        found = read_state(self._folders, self.entry)
        self._has_state = found is not None
        if found is not None:
            self.state, self._before = found

    def open_content(self) -> EntryContent:
        """Return the content; the caller closes it. Raises SpoolBroken when no more files can be opened."""
        try:
            return EntryContent(os.dup(self._descriptor), self.entry.size)
        except OSError as error:
            raise failure(error, self._path) from error

    def record(self, state: State) -> None:
        """Write `state` to disk as the entry's. After SpoolFull or SpoolBroken, either state may be on disk."""
        self._check()
        if [each.address for each in state.recipients] != [each.address for each in self.entry.envelope.recipients]:
            raise ValueError("the recipients of the state are not those of the envelope")
        self._has_state = True
        write_state(self._folders, self.entry.queue_id, state, self._before)
        self.state = state
        tried = f"{self._folders.cur}/{self.entry.queue_id}"
        if state.attempts and self._path != tried:
            with contextlib.suppress(OSError):  # in new/ it is as safe, and is found too
                os.rename(self._path, tried)
                self._path = tried

    def remove(self) -> None:
        """Remove the entry, which is done. Raises SpoolBroken if that fails."""
        self._check()
        try:
            os.unlink(self._path)
        except OSError as error:
            raise failure(error, self._path) from error
        self._path = ""
        if self._has_state:
            with contextlib.suppress(OSError):  # a state without an entry is swept
                os.unlink(f"{self._folders.state}/{self.entry.queue_id}")

    def release(self) -> None:
        """Unlock the entry."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            give_back(descriptor)

    def _check(self) -> None:
        if self._descriptor < 0 or not self._path:
            raise ValueError("the entry is given back or removed")


def give_back(descriptor: int) -> None:
    """Unlock and close the file.

    Closing alone would leave the lock with an EntryContent, or with a child process forked meanwhile.
    """
    with contextlib.suppress(OSError):
        unlock_descriptor(descriptor)
    close(descriptor)


def open_entry(path: str) -> int | None:
    """Return a descriptor of the file; None if there is none, or only a draft that cannot be read yet.

    Raises other OSErrors.
    """
    try:
        return os.open(path, _READ)
    except FileNotFoundError:
        return None
    except PermissionError:
        if is_draft(path):
            return None
        raise


def is_draft(path: str) -> bool:
    """Return True if `path` is a draft or does not exist."""
    try:
        return not readable(os.stat(path, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return True


def lock_entry(descriptor: int, path: str) -> bool:
    """Lock the file. Return False if another process has the lock, or if `path` names another file by now."""
    if not lock_descriptor(descriptor, blocking=False):
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def read_entry(descriptor: int, queue_id: str) -> Entry:
    """Return the entry in a file. Raises NoSuchEntry for a draft, CorruptFile, and OSError."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise CorruptFile("it is no file")
    if not readable(status.st_mode):
        raise NoSuchEntry(queue_id)
    size = status.st_size
    tail = os.pread(descriptor, _TAIL, max(size - _TAIL, 0))
    start = trailer_start(tail[-footer_length:], size)
    if size - start > len(tail):
        tail = b""
        while len(tail) < size - start and (piece := os.pread(descriptor, size - start - len(tail), start + len(tail))):
            tail += piece
    return decode_trailer(queue_id, tail[start - size :])
