"""Fetches the messages that `sendmail` left in maildrop/ while the server was down.

Every local user may put files there. So the pickup believes the kernel alone: a file must be a regular one, with one
name, and belongs to its owner.

Rule 1: a message is in the queue, in the mailboxes, or reported as undeliverable, before its file is removed; a crash
in between repeats it.
Rule 2: recipients that are deferred stay here, alone, until they are accepted or the message is too old.
Rule 3: a file that is no message is moved to quarantine/ and reported; one that a power cut left blank is removed.
Rule 4: no user keeps the others waiting. The users take turns, a look takes a bounded number of files of each, and
files of one user beyond a limit are set aside.
"""

import os
import stat
import threading
import time
from contextlib import suppress
from itertools import chain, zip_longest
from typing import NamedTuple

from smtpd_classic.log import printable
from smtpd_classic.services import Services
from smtpd_classic.submission import maildrop
from smtpd_classic.submission.inject import InjectionResult, Injector
from smtpd_classic.submission.maildrop import BlankMaildropFile, CorruptMaildropFile, MaildropMessage
from smtpd_classic.submission.message import HeaderTooLong
from spool.claim import give_back, lock_entry
from spool.quarantine import set_aside

__all__ = ["Pickup"]

_LOOK_S = 3.0
MOST_OF_A_USER_AT_ONCE = 20
MOST_OF_A_USER = 10_000
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 900.0
_DRAFT_AGE_S = 86_400.0
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class _Backoff(NamedTuple):
    """The end of the pause of a file, by the monotonic clock, and the length of the pause."""

    until: float
    length_s: float


class Pickup:
    """The thread that empties maildrop/: `start()`, and once `stop()`. Several processes may share a folder."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._folder = services.spool.folders.maildrop
        self._injector = Injector(services)
        self._pauses: dict[str, _Backoff] = {}
        self._put_back: dict[str, int] = {}  # the users of files that are ours because we wrote them
        self._unreadable: int | None = None  # the error of the last attempt to read the folder
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pickup", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop after the present message, and wait for that."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self.look():
                self._stopping.wait(_LOOK_S)

    def look(self) -> bool:
        """Take the files that are due, the users in turn, of each the oldest first. Return True if more are left."""
        try:
            with os.scandir(self._folder) as items:
                found = [(_owner_and_age(item), item.name) for item in items]
        except OSError as problem:
            if problem.errno != self._unreadable:
                self._warn(f"{self._folder} cannot be read: {problem.strerror}")
            self._unreadable = problem.errno
            return False
        self._unreadable = None
        names = {name for _, name in found}
        self._pauses = {name: pause for name, pause in self._pauses.items() if name in names}
        self._put_back = {name: uid for name, uid in self._put_back.items() if name in names}
        users: dict[int, list[tuple[float, str]]] = {}
        for (owner, age), name in found:
            users.setdefault(self._put_back.get(name, owner), []).append((age, name))
        queues = [self._bounded(sorted(files)) for files in users.values()]
        turns = zip_longest(*(files[:MOST_OF_A_USER_AT_ONCE] for files in queues))
        for name in filter(None, chain.from_iterable(turns)):
            if self._stopping.is_set():
                return False
            self._deal_with(name)
        return any(len(files) > MOST_OF_A_USER_AT_ONCE for files in queues)

    def _bounded(self, files: list[tuple[float, str]]) -> list[str]:
        """Return the names of one user's files that are due. The youngest ones beyond the limit are set aside."""
        for _, name in files[MOST_OF_A_USER:]:
            why = CorruptMaildropFile(f"its user has more than {MOST_OF_A_USER} messages here")
            self._set_aside(name, f"{self._folder}/{name}", why)
        now = time.monotonic()
        return [
            name
            for _, name in files[:MOST_OF_A_USER]
            if (pause := self._pauses.get(name)) is None or pause.until <= now
        ]

    def _deal_with(self, name: str) -> None:
        path = f"{self._folder}/{name}"
        try:
            self._take(name, path)
        except FileNotFoundError:
            return
        except BlankMaildropFile as why:  # its writer did not come to its end
            self._warn(f"maildrop/{name} was removed: {why}")
            with suppress(OSError):
                os.unlink(path)
        except (CorruptMaildropFile, HeaderTooLong) as why:
            self._set_aside(name, path, why)
        except OSError as problem:
            self._put_off(name, f"{problem.strerror}")
        except Exception as problem:  # one message must not stop all the others
            self._put_off(name, f"{type(problem).__name__}: {problem}")

    def _take(self, name: str, path: str) -> None:
        """Submit the message in a file. Raises CorruptMaildropFile, HeaderTooLong or OSError."""
        if not maildrop.is_name(name):
            raise CorruptMaildropFile("its name is not that of a message")
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and not status.st_mode & stat.S_IRUSR:
            self._wait_for(path, status)
            return
        try:
            fd = os.open(path, _READ)
        except FileNotFoundError:
            raise
        except OSError as problem:
            raise CorruptMaildropFile(f"it cannot be opened: {problem.strerror}") from None
        try:
            self._look_into(name, path, fd)
        finally:
            give_back(fd)

    def _look_into(self, name: str, path: str, fd: int) -> None:
        status = os.fstat(fd)
        # A hard link may name a file of another user, which we can read and the user who made the link cannot.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise CorruptMaildropFile("it is no file" if status.st_nlink == 1 else "it has more than one name")
        if not lock_entry(fd, path):
            return
        found = maildrop.read(fd)
        now = self._services.clock()
        # The owner may set the time of modification, but not the other one; ours are put back.
        ours = status.st_uid == os.geteuid()
        arrival = min(now, status.st_mtime if ours else status.st_ctime)
        uid = found.uid if ours and found.uid >= 0 else status.st_uid
        posted = self._injector.post(found.message, uid, arrival)
        self._settle(name, path, found, posted, uid, arrival)

    def _settle(
        self, name: str, path: str, found: MaildropMessage, posted: InjectionResult, uid: int, arrival: float
    ) -> None:
        left = posted.left
        if posted.queue_ids:
            self._services.log.write("pickup", f"maildrop/{name} was fetched as {', '.join(posted.queue_ids)}")
        if left and len(left) == len(found.message.recipients):
            self._put_off(name, str(next(iter(left.values()))))
            return
        if left:
            put_back = maildrop.leave(
                self._folder, found.message._replace(recipients=tuple(left)), uid=uid, arrival=arrival
            )
            self._put_back[put_back] = uid
            self._put_off(put_back, str(next(iter(left.values()))))
        if posted.hopeless:
            raise CorruptMaildropFile("it cannot be delivered, and no sender can be told")
        os.unlink(path)

    def _wait_for(self, path: str, status: os.stat_result) -> None:
        """Wait for a draft: `sendmail` writes it at this moment, or was killed while it did."""
        if self._services.clock() - status.st_ctime > _DRAFT_AGE_S:
            os.unlink(path)

    def _put_off(self, name: str, why: str) -> None:
        before = self._pauses.get(name)
        length_s = _FIRST_PAUSE_S if before is None else min(2 * before.length_s, _LONGEST_PAUSE_S)
        self._pauses[name] = _Backoff(time.monotonic() + length_s, length_s)
        self._warn(f"maildrop/{name} waits for another {length_s:.0f} s: {why}")

    def _set_aside(self, name: str, path: str, why: Exception) -> None:
        """Set a file aside, once: one that cannot be moved, such as a folder of a user, stays."""
        set_aside(self._services.spool.folders, path, why, self._warn)
        self._pauses[name] = _Backoff(float("inf"), 0.0)

    def _warn(self, sentence: str) -> None:
        self._services.log.warning("pickup", printable(sentence, 900))


def _owner_and_age(item: "os.DirEntry[str]") -> tuple[int, float]:
    with suppress(OSError):
        found = item.stat(follow_symlinks=False)
        return found.st_uid, found.st_mtime
    return -1, 0.0
