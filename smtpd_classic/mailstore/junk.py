"""The end of junk: messages that have been in a junk folder for long enough are removed."""

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterable

from smtpd_classic.durable import COMPLETE
from smtpd_classic.mailstore.incoming import JUNK

__all__ = ["JunkExpiry"]

_FIRST_S = 5.0
_MOST_S, _LEAST_S = 3600.0, 1.0
_PARTS_OF_THE_TIME = 10


class JunkExpiry:
    """The thread that removes old junk. `step()` looks once, also in tests.

    `folders` returns the junk folders. A message of ours counts from its delivery. One that a user has moved there has
    no mark of ours, and counts from that moment: its delivery may be years ago.
    """

    def __init__(
        self,
        folders: Callable[[], Iterable[str]],
        age_s: float,
        clock: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self._folders = folders
        self._age_s = age_s
        self._clock = clock
        self._say = say
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="junk", daemon=True)

    def start(self) -> None:
        """Look from now on; without a time nothing is ever removed."""
        if self._age_s > 0:
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    def _run(self) -> None:
        wait_s = min(_FIRST_S, max(self._age_s / _PARTS_OF_THE_TIME, _LEAST_S))
        while not self._stopping.wait(wait_s):
            self.step()
            wait_s = min(max(self._age_s / _PARTS_OF_THE_TIME, _LEAST_S), _MOST_S)

    def step(self) -> int:
        """Remove the messages that are older than the time. Return their number."""
        oldest = self._clock() - self._age_s
        removed = 0
        for folder in self._folders():
            for part in (f"{folder}/new", f"{folder}/cur"):
                try:
                    removed += _removed(part, oldest)
                except OSError as problem:
                    self._say(f"warning: old junk in {part} cannot be removed: {problem.strerror}")
        if removed:
            self._say(f"removed {removed} messages from the junk folders: their time is over")
        return removed


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
