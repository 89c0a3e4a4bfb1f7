"""The folder on disk where messages wait. Any number of processes of one host may work on it at once.

    new/<id>    content, then a trailer with the envelope (form.py)
    cur/<id>    the same file after its first attempt
    state/<id>  the record of attempts; absent until a retry is needed (state_file.py)
    tmp/        states being written
    maildrop/   submissions made while the daemon was down
    quarantine/ files found in the spool that are no messages

Guarantee 1: a file that is complete and not locked is whole and on disk.
Guarantee 2: only the holder of its lock moves or removes it, or touches its state.
Guarantee 3: from the return of `commit()` until its claim's holder removes it, a message is queued at every instant,
whatever crashes.

The spool has no clock: every time is a parameter, in seconds since the epoch. It is a Maildir, so a mail reader can
read it.
"""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator

from smtpd_classic.durable import close, names_need_sync, sync_folder
from spool import sweep
from spool.claim import Claim, EntryContent, give_back, lock_entry, open_entry, read_entry
from spool.disk import Folders, NoSuchEntry, NotClaimed, NotWaiting, SpoolBroken, failure, folders_in
from spool.draft import Draft
from spool.entry import APPROVAL, Entry, Hold, Listed, State, untried
from spool.form import CorruptFile, NeverSynced
from spool.listing import count, due_times, held_entries, in_order, rows
from spool.quarantine import set_aside
from spool.queue_id import is_queue_id
from spool.state_file import make_due, read_state

__all__ = ["Spool"]

_BY_HAND = Hold()
_NO_FILE_OF_OURS = frozenset({errno.ELOOP, errno.ENXIO})


def _say_nothing(_text: str) -> None:
    return


class Spool:
    """The spool at one path. `complain` gets a sentence about each damaged file that was moved aside."""

    def __init__(self, path: str, complain: Callable[[str], None] = _say_nothing) -> None:
        self.path = path
        self.folders: Folders = folders_in(path)
        self._complain = complain
        self._names_need_sync: bool | None = None

    def make(self) -> None:
        """Make the missing folders, and check the others. Raises SpoolBroken."""
        try:
            for folder in (self.path, *self.folders):
                with contextlib.suppress(FileExistsError):
                    os.makedirs(folder, 0o700)
                status = os.stat(folder, follow_symlinks=folder == self.path)
                if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                    raise SpoolBroken(f"{folder}: it must be a folder of user {os.geteuid()}, who runs this")
            sync_folder(self.path)
            sync_folder(os.path.dirname(os.path.abspath(self.path)))
        except OSError as error:
            raise failure(error, self.path) from error

    def lock(self, *, exclusive: bool = False) -> int | None:
        """Lock the folder as a server does, or alone. Return the descriptor, which keeps the lock, also in forked
        processes; None if another process has a lock that excludes this one. Raises SpoolBroken.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise failure(error, self.path) from error
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            close(descriptor)
            return None
        except OSError as error:
            close(descriptor)
            raise failure(error, self.path) from error
        return descriptor

    def draft(self, queue_id: str) -> Draft:
        """Return a new message of that name (from `new_queue_id(now)`), to be used as a context manager. Raises
        SpoolBroken.
        """
        if self._names_need_sync is None:
            try:
                self._names_need_sync = names_need_sync(self.folders.new)
            except OSError as error:
                raise failure(error, self.folders.new) from error
        return Draft(self.folders, queue_id, self._names_need_sync)

    def claim(self, queue_id: str) -> Claim | None:
        """Return the entry for this thread alone, to be used as a context manager.

        Return None if the entry is gone or a draft, or if another thread has it. A damaged entry is moved aside. Raises
        SpoolBroken.
        """
        if not is_queue_id(queue_id):
            return None
        for folder in (self.folders.new, self.folders.cur):
            path = f"{folder}/{queue_id}"
            try:
                descriptor = open_entry(path)
                claim = None if descriptor is None else self._take(descriptor, path, queue_id)
            except OSError as error:
                if error.errno in _NO_FILE_OF_OURS:
                    set_aside(self.folders, path, "it is no file", self._complain)
                    continue
                raise failure(error, path) from error
            if claim is not None:
                return claim
        return None

    def _take(self, descriptor: int, path: str, queue_id: str) -> Claim | None:
        taken = None
        try:
            if lock_entry(descriptor, path):
                claim = Claim(self.folders, path, descriptor, read_entry(descriptor, queue_id))
                self._load_state(claim)
                taken = claim
        except NoSuchEntry:
            pass
        except CorruptFile as why:
            if isinstance(why, NeverSynced) and path.startswith(self.folders.new):  # a file in cur/ was synced once
                os.unlink(path)
                self._complain(f"{path}: {why}; the power failed before it was acknowledged, so it is removed")
            else:
                set_aside(self.folders, path, why, self._complain)
            set_aside(self.folders, f"{self.folders.state}/{queue_id}", "its entry is damaged", self._complain)
        finally:
            if taken is None:
                give_back(descriptor)
        return taken

    def _load_state(self, claim: Claim) -> None:
        try:
            claim.load_state()
        except CorruptFile as why:
            path = f"{self.folders.state}/{claim.entry.queue_id}"
            set_aside(self.folders, path, f"{why}; the entry starts anew", self._complain)

    def list(self) -> Iterator[Listed]:
        """Yield every entry, in no order, by scandir and stat alone. Raises SpoolBroken."""
        try:
            yield from rows(self.folders)
        except OSError as error:
            raise failure(error, self.path) from error

    def list_by_arrival(self) -> Iterator[Listed]:
        """Yield every entry, the oldest first. The first row comes at once however long the queue is. Raises
        SpoolBroken.
        """
        try:
            yield from in_order(self.folders)
        except OSError as error:
            raise failure(error, self.path) from error

    def count(self) -> int:
        """Return the number of entries. Raises SpoolBroken."""
        try:
            return count(self.folders)
        except OSError as error:
            raise failure(error, self.path) from error

    def schedule(self) -> dict[str, float]:
        """Return the due time of each entry that is not held; 0.0 means at once. Raises SpoolBroken.

        It is cheaper than `list()`, and may contain drafts, which cannot be claimed.
        """
        try:
            return due_times(self.folders)
        except OSError as error:
            raise failure(error, self.path) from error

    def due(self, now: float) -> Iterator[str]:
        """Yield the ids of the entries to be tried by `now`, the longest due first, then by arrival.

        The caller must check `claim.state` again, because another process may have tried the entry meanwhile.
        """
        ready = [(when, queue_id) for queue_id, when in self.schedule().items() if when <= now]
        ready.sort()
        for _, queue_id in ready:
            yield queue_id

    def read(self, queue_id: str) -> tuple[Entry, State]:
        """Return an entry and its state without taking its lock. Raises NoSuchEntry and SpoolBroken."""
        descriptor, entry = self._open(queue_id)
        close(descriptor)
        try:
            found = read_state(self.folders, entry)
        except CorruptFile:
            found = None
        except OSError as error:
            raise failure(error, f"{self.folders.state}/{queue_id}") from error
        return entry, found[0] if found else untried(entry)

    def open_content(self, queue_id: str) -> EntryContent:
        """Return the content for display, without taking the lock. Raises NoSuchEntry and SpoolBroken."""
        descriptor, entry = self._open(queue_id)
        return EntryContent(descriptor, entry.size)

    def _open(self, queue_id: str) -> tuple[int, Entry]:
        for folder in (self.folders.new, self.folders.cur) if is_queue_id(queue_id) else ():
            path = f"{folder}/{queue_id}"
            try:
                descriptor = open_entry(path)
                if descriptor is None:
                    continue
                try:
                    return descriptor, read_entry(descriptor, queue_id)
                except BaseException:
                    close(descriptor)
                    raise
            except CorruptFile as why:
                raise SpoolBroken(f"{path}: {why}") from why
            except OSError as error:
                raise failure(error, path) from error
        raise NoSuchEntry(queue_id)

    def hold(self, queue_id: str, hold: Hold = _BY_HAND) -> None:
        """Hold the entry, so that it is not tried.

        This and the next four functions raise NotClaimed, NoSuchEntry, SpoolFull and SpoolBroken.
        """
        with self._claimed(queue_id) as claim:
            claim.record(claim.state.on_hold(hold))

    def held(self) -> dict[str, int]:
        """Return the entries on hold, each with the time of the last change of its state in ns. Raises SpoolBroken."""
        try:
            return held_entries(self.folders)
        except OSError as error:
            raise failure(error, self.folders.state) from error

    def release(self, queue_id: str, *, now: float) -> Hold | None:
        """End a hold; the due time is unchanged. Return the hold that begins then if the message needs approval."""
        with self._claimed(queue_id) as claim:
            if claim.state.held:
                claim.record(claim.state.released(now))
            return claim.state.hold

    def decide(self, queue_id: str, by: str, *, approved: bool, now: float) -> None:
        """Approve or refuse a message. Raises NotWaiting too."""
        with self._claimed(queue_id) as claim:
            state = claim.state
            if not state.held or state.hold_reason != APPROVAL or state.decision:
                raise NotWaiting(queue_id)
            claim.record(state.decided(by, approved=approved, now=now))

    def retry_now(self, queue_id: str) -> Hold | None:
        """Make the entry due at once. A held entry stays held; return the hold then."""
        with self._claimed(queue_id) as claim:
            try:
                make_due(self.folders, queue_id)
            except OSError as error:
                raise failure(error, f"{self.folders.state}/{queue_id}") from error
            return claim.state.hold

    def delete(self, queue_id: str) -> None:
        """Remove the entry without a notification."""
        with self._claimed(queue_id) as claim:
            claim.remove()

    def _claimed(self, queue_id: str) -> Claim:
        claim = self.claim(queue_id)
        if claim is None:
            close(self._open(queue_id)[0])  # raises NoSuchEntry if there is none
            raise NotClaimed(queue_id)
        return claim

    def sweep(self, now: float) -> int:
        """Put in order the files of a dead process (sweep.py). Return the number of abandoned drafts. Raises
        SpoolBroken.
        """
        try:
            return sweep.sweep(self.folders, now, self._complain)
        except OSError as error:
            raise failure(error, self.path) from error

    def free_bytes(self) -> int:
        """Return the free octets; 0 also when no more files can be made. Raises SpoolBroken."""
        try:
            status = os.statvfs(self.folders.new)
        except OSError as error:
            raise failure(error, self.folders.new) from error
        return status.f_bavail * status.f_frsize if status.f_favail or not status.f_files else 0
