"""The state of programs beside this server, as its processes saw it last: one file each in the run folder.

A file is written when the state changes, and once in a while to keep the time that the program takes. Nothing here
raises: without the run folder there is no state.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from filelock import lock_descriptor

from smtpd_classic.atomic_file import replace_text

__all__ = ["NeighbourState", "NeighbourStates"]

_REFRESH_S = 10.0
_POLL_S = 0.002
_KNOWN_S = 1.0  # after a success, the file is not read again for so long


class NeighbourState(NamedTuple):
    """`reason` is blank while the program answers; `since` is the time of the last change, `took_ms` the time for the
    last message, `notified` True if the postmaster knows that it is down."""

    name: str
    since: float
    reason: str
    took_ms: float
    notified: bool = False

    @property
    def is_down(self) -> bool:
        return bool(self.reason)


class NeighbourStates:
    """The states of the programs of one kind, such as milters."""

    def __init__(self, folder: str, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._written: dict[str, float] = {}
        self._success_at: dict[str, float] = {}

    def report(self, name: str, reason: str, took_s: float) -> bool:
        """Note a failure, or a success if `reason` is blank. Return True if the state has changed; the first
        success is no change."""
        now = self._clock()
        if reason:
            self._success_at.pop(name, None)
        elif 0 <= now - self._success_at.get(name, 0.0) < _KNOWN_S:
            return False
        else:
            self._success_at[name] = now
        with self._alone():
            found = self.read(name)
            changed = found is None or found.is_down != bool(reason)
            if changed or now - self._written.get(name, 0.0) >= _REFRESH_S:
                self._written[name] = now
                since = now if changed or found is None else found.since
                notified = not changed and found is not None and found.notified
                self._write(NeighbourState(name, since, reason, round(took_s * 1000, 2), notified))
        return changed and (found is not None or bool(reason))

    def read(self, name: str) -> NeighbourState | None:
        """Return the last state; None if the program was not used since the start."""
        try:
            with open(os.path.join(self._folder, name), encoding="utf-8") as file:
                found = json.load(file)
            return NeighbourState(
                name,
                float(found["since"]),
                str(found["reason"]),
                float(found["took_ms"]),
                bool(found["notified"]),
            )
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def set_notified(self, state: NeighbourState) -> None:
        self._write(state._replace(notified=True))

    def forget(self) -> None:
        """Remove all states: those of an earlier daemon."""
        with suppress(OSError):
            for name in os.listdir(self._folder):
                os.unlink(os.path.join(self._folder, name))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes out, so that one of them alone sees a change; without the folder, go on without."""
        folder = -1
        with suppress(OSError):
            os.makedirs(self._folder, mode=0o755, exist_ok=True)
            folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
            lock_descriptor(folder, poll_interval=_POLL_S)
        try:
            yield
        finally:
            if folder >= 0:
                os.close(folder)

    def _write(self, state: NeighbourState) -> None:
        path = os.path.join(self._folder, state.name)
        with suppress(OSError):
            replace_text(path, json.dumps(state._asdict()))
