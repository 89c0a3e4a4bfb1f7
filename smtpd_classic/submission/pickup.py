"""Fetches what `sendmail` has left in maildrop/ while the server was down.

Everybody may put files there. So a file is taken for what the kernel says of it and for nothing else: a regular one,
with one name, of the user who owns it.

Rule 1: a letter is in the queue, in the mailboxes, or told to be undeliverable, before its file is removed; a crash in
between repeats it.
Rule 2: recipients that cannot be had now stay here, alone, until they can or the letter is too old.
Rule 3: what is no letter is moved to quarantine/ and reported.
"""

import os
import stat
import threading
import time
from contextlib import suppress
from typing import NamedTuple

from smtpd_classic.log import printable
from smtpd_classic.services import Services
from smtpd_classic.submission import maildrop
from smtpd_classic.submission.inject import InjectionResult, Injector
from smtpd_classic.submission.maildrop import CorruptMaildropFile, MaildropMessage
from smtpd_classic.submission.message import HeaderTooLong
from spool.claim import give_back, lock_entry
from spool.quarantine import set_aside

__all__ = ["Pickup"]

_LOOK_S = 3.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 900.0
_DRAFT_AGE_S = 86_400.0
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class _Backoff(NamedTuple):
    """Until when, by the monotonic clock, a file is left alone, and for how long."""

    until: float
    length_s: float


class Pickup:
    """A thread: `start()`, and once `stop()`. Any number of processes may look after the same folder."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._folder = services.spool.folders.maildrop
        self._posting = Injector(services)
        self._pauses: dict[str, _Backoff] = {}
        self._unreadable: int | None = None  # why the folder could not be read the last time
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pickup", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Begin nothing more, and wait for what runs."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.look()
            self._stopping.wait(_LOOK_S)

    def look(self) -> None:
        """Deal with everything that is there, the oldest first."""
        try:
            with os.scandir(self._folder) as items:
                found = sorted((_age(item), item.name) for item in items)
        except OSError as problem:
            if problem.errno != self._unreadable:
                self._warn(f"{self._folder} cannot be read: {problem.strerror}")
            self._unreadable = problem.errno
            return
        self._unreadable = None
        names = {name for _, name in found}
        self._pauses = {name: pause for name, pause in self._pauses.items() if name in names}
        for _, name in found:
            if self._stopping.is_set():
                return
            pause = self._pauses.get(name)
            if pause is None or pause.until <= time.monotonic():
                self._deal_with(name)

    def _deal_with(self, name: str) -> None:
        path = f"{self._folder}/{name}"
        try:
            self._take(name, path)
        except FileNotFoundError:
            return
        except (CorruptMaildropFile, HeaderTooLong) as why:
            self._set_aside(name, path, why)
        except OSError as problem:
            self._put_off(name, f"{problem.strerror}")
        except Exception as problem:  # one letter must not stop all the others
            self._put_off(name, f"{type(problem).__name__}: {problem}")

    def _take(self, name: str, path: str) -> None:
        """Raises Garbage, HeaderTooLong or OSError."""
        if not maildrop.is_name(name):
            raise CorruptMaildropFile("its name is not that of a letter")
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
        # A hard link could be to somebody else's file, which we can read and who put it here cannot.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise CorruptMaildropFile("it is no file" if status.st_nlink == 1 else "it has more than one name")
        if not lock_entry(fd, path):
            return
        found = maildrop.read(fd)
        now = self._services.clock()
        # The owner may set the time of modification, but not the other one; ours is what we have put back.
        ours = status.st_uid == os.geteuid()
        arrival = min(now, status.st_mtime if ours else status.st_ctime)
        uid = found.uid if ours and found.uid >= 0 else status.st_uid
        posted = self._posting.post(found.letter, uid, arrival)
        self._settle(name, path, found, posted, uid, arrival)

    def _settle(
        self, name: str, path: str, found: MaildropMessage, posted: InjectionResult, uid: int, arrival: float
    ) -> None:
        left = posted.left
        if posted.queue_ids:
            self._services.log.write("pickup", f"maildrop/{name} was fetched as {', '.join(posted.queue_ids)}")
        if left and len(left) == len(found.letter.recipients):
            self._put_off(name, str(next(iter(left.values()))))
            return
        if left:
            put_back = maildrop.leave(
                self._folder, found.letter._replace(recipients=tuple(left)), uid=uid, arrival=arrival
            )
            self._put_off(put_back, str(next(iter(left.values()))))
        if posted.hopeless:
            raise CorruptMaildropFile("it cannot be delivered, and there is nobody to tell")
        os.unlink(path)

    def _wait_for(self, path: str, status: os.stat_result) -> None:
        """A draft: `sendmail` writes it just now, or was killed while it did."""
        if self._services.clock() - status.st_ctime > _DRAFT_AGE_S:
            os.unlink(path)

    def _put_off(self, name: str, why: str) -> None:
        before = self._pauses.get(name)
        length_s = _FIRST_PAUSE_S if before is None else min(2 * before.length_s, _LONGEST_PAUSE_S)
        self._pauses[name] = _Backoff(time.monotonic() + length_s, length_s)
        self._warn(f"maildrop/{name} waits for another {length_s:.0f} s: {why}")

    def _set_aside(self, name: str, path: str, why: Exception) -> None:
        """Once: what cannot be moved, such as somebody's folder, stays where it is."""
        set_aside(self._services.spool.folders, path, why, self._warn)
        self._pauses[name] = _Backoff(float("inf"), 0.0)

    def _warn(self, sentence: str) -> None:
        self._services.log.warning("pickup", printable(sentence, 900))


def _age(item: "os.DirEntry[str]") -> float:
    with suppress(OSError):
        return item.stat(follow_symlinks=False).st_mtime
    return 0.0
