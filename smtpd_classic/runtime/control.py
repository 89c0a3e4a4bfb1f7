"""Telling a running daemon what to do, and learning what came of it."""

import os
import signal
import time

from smtpd_classic.runtime.status import DaemonStatus, StatusFile

__all__ = ["NotRunning", "reload", "stop"]

_PAUSE_S = 0.05


class NotRunning(Exception):
    """There is no daemon to tell."""


def reload(file: StatusFile, timeout_s: float = 30.0) -> DaemonStatus:
    """Have the daemon read its configuration; the status afterwards, whose `error` is blank when it was taken.

    Raises NotRunning, PermissionError when we may not tell it, or TimeoutError when it does not answer.
    """
    before = _tell(file, signal.SIGHUP)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        status = file.running()
        if status is None:
            raise NotRunning
        if status.generation > before.generation and status.state == "running":
            return status
        time.sleep(_PAUSE_S)
    raise TimeoutError


def stop(file: StatusFile, timeout_s: float = 30.0) -> None:
    """End the daemon and wait for that. Raises as `reload` does."""
    status = _tell(file, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while status.alive:
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_PAUSE_S)


def _tell(file: StatusFile, number: signal.Signals) -> DaemonStatus:
    status = file.running()
    if status is None:
        raise NotRunning
    try:
        # Whoever owns the file could write any number into it, and root would then send the signal for him.
        if os.stat(f"/proc/{status.pid}").st_uid != os.stat(file.path).st_uid:
            raise NotRunning
        os.kill(status.pid, number)
    except (ProcessLookupError, FileNotFoundError):
        raise NotRunning from None
    return status
