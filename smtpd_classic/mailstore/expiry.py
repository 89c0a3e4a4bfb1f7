"""The end of mail that is kept for some time only: junk, and reports that other servers send."""

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

from smtpd_classic.durable import COMPLETE
from smtpd_classic.mailstore.incoming import JUNK

__all__ = ["ExpiringFolder", "MailExpiry"]

_FIRST_S = 5.0


class ExpiringFolder(NamedTuple):
    """A Maildir, the time that its messages are kept, and the name of its kind for the log."""

    path: str
    age_s: float
    kind: str


class MailExpiry:
    """The thread that removes old mail. `step()` looks once, also in tests.

    `folders` returns the Maildirs. Junk of ours counts from its delivery. Any other message has no mark of ours, and
    counts from the moment when it came into the folder: a user may have moved it there years after its delivery.
    """

    def __init__(
        self,
        folders: Callable[[], Iterable[ExpiringFolder]],
        interval_s: float,
        clock: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self._folders = folders
        self._interval_s = interval_s
        self._clock = clock
        self._say = say
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="expiry", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _run(self) -> None:
        wait_s = min(_FIRST_S, self._interval_s)
        while not self._stopping.wait(wait_s):
            self.step()
            wait_s = self._interval_s

    def step(self) -> int:
        """Remove the messages that are older than the time of their folder. Return their number."""
        now = self._clock()
        removed: dict[str, int] = {}
        for folder in self._folders():
            for part in (f"{folder.path}/new", f"{folder.path}/cur"):
                try:
                    number = _removed(part, now - folder.age_s)
                except OSError as problem:
                    self._say(f"warning: old mail in {part} cannot be removed: {problem.strerror}")
                else:
                    removed[folder.kind] = removed.get(folder.kind, 0) + number
        for kind, number in removed.items():
            if number:
                self._say(f"removed {number} messages from the {kind}: their time is over")
        return sum(removed.values())


def _removed(folder: str, oldest: float) -> int:
    removed = 0
    try:
        items = list(os.scandir(folder))
    except FileNotFoundError:
        return 0
    for item in items:
        with contextlib.suppress(FileNotFoundError):  # read or removed meanwhile
            status = item.stat(follow_symlinks=False)
            since = status.st_mtime if stat.S_IMODE(status.st_mode) == COMPLETE | JUNK else status.st_ctime
            if since < oldest and item.is_file(follow_symlinks=False):
                os.unlink(item.path)
                removed += 1
    return removed
