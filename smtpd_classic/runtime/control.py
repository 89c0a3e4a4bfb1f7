"""Commands to a running daemon by signal, and their result."""

import os
import signal
import time

from smtpd_classic.runtime.status import DaemonStatus, StatusFile

__all__ = ["NotRunning", "reload", "stop"]

_PAUSE_S = 0.05


class NotRunning(Exception):
    """Raised when no daemon is running."""


def reload(file: StatusFile, timeout_s: float = 30.0) -> DaemonStatus:
    """Make the daemon read its configuration; return the status afterwards, with a blank `error` if it was accepted.

    Raises NotRunning, PermissionError without the right to send the signal, or TimeoutError when it does not answer.
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
    """Stop the daemon and wait for its end. Raises as `reload` does."""
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
        # The owner of the file can write any number into it, and root would then send the signal to that process.
        if os.stat(f"/proc/{status.pid}").st_uid != os.stat(file.path).st_uid:
            raise NotRunning
        os.kill(status.pid, number)
    except (ProcessLookupError, FileNotFoundError):
        raise NotRunning from None
    return status
