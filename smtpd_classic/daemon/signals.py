"""Signals as a descriptor to wait on, so that nothing is interrupted and nothing is done in a handler."""

import os
import signal
from collections.abc import Iterable

__all__ = ["Signals"]


class Signals:
    """Collects the `wanted` signals of this process; `ignored` ones have no effect, nor have SIGUSR1 and SIGUSR2, by
    which other daemons write statistics or open their logs again. Only in the main thread."""

    def __init__(self, wanted: Iterable[signal.Signals], ignored: Iterable[signal.Signals] = ()) -> None:
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wanted = frozenset(wanted)
        for number in self._wanted:
            signal.signal(number, _note)
        for number in (*ignored, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._reader

    def read(self) -> set[signal.Signals]:
        """Those that have come since the last call."""
        try:
            found = os.read(self._reader, 4096)
        except BlockingIOError:
            return set()
        return {signal.Signals(number) for number in found} & self._wanted

    def close(self) -> None:
        """Close the descriptors, in a child that has its own."""
        signal.set_wakeup_fd(-1)
        os.close(self._reader)
        os.close(self._writer)


def _note(number: int, frame: object) -> None:
    """Do nothing: the wakeup descriptor reports the signal, but only if it has a handler."""
