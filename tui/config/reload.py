"""Signal the daemon to read its configuration again, and read the result from its status."""

import os
import signal
import time
from enum import Enum, auto
from typing import NamedTuple

from smtpd_classic.runtime import DaemonStatus, Runtime

__all__ = ["ReloadAnswer", "ReloadOutcome", "reload"]

_PATIENCE_S = 20.0
_LOOK_S = 0.1


class ReloadOutcome(Enum):
    YES = auto()
    REFUSED = auto()
    DOWN = auto()
    UNKNOWN = auto()


class ReloadAnswer(NamedTuple):
    """The result of a reload. `text` is a sentence for the administrator; `waiting` are options that need a restart."""

    took: ReloadOutcome
    text: str
    waiting: tuple[str, ...] = ()


def reload(runtime: Runtime, path: str, digest: str, patience_s: float = _PATIENCE_S) -> ReloadAnswer:
    """Signal the daemon and wait until its status shows the configuration with this digest, or an error."""
    before = runtime.status.running()
    if before is None:
        return ReloadAnswer(ReloadOutcome.DOWN, "The daemon is down; it will use this when it is started.")
    if os.path.realpath(before.config_path) != os.path.realpath(path):
        return ReloadAnswer(ReloadOutcome.UNKNOWN, f"The daemon that runs uses {before.config_path}, another file.")
    try:
        os.kill(before.pid, signal.SIGHUP)
    except PermissionError:
        return ReloadAnswer(
            ReloadOutcome.UNKNOWN, "You may not signal the daemon; root or the service user must reload it."
        )
    except ProcessLookupError:
        return ReloadAnswer(ReloadOutcome.DOWN, "The daemon has just ended; it will use this when it is started.")
    return _read_back(runtime, before, digest, time.monotonic() + patience_s)


def _read_back(runtime: Runtime, before: DaemonStatus, digest: str, deadline: float) -> ReloadAnswer:
    while time.monotonic() < deadline:
        status = runtime.status.read()
        if status is None or not status.alive:
            return ReloadAnswer(ReloadOutcome.DOWN, "The daemon ended while it reloaded; its log says why.")
        if status.generation > before.generation and status.state == "running":
            if status.error:
                return ReloadAnswer(ReloadOutcome.REFUSED, status.error)
            if status.digest == digest:
                return ReloadAnswer(ReloadOutcome.YES, "The daemon runs with it.", status.waiting_for_restart)
        time.sleep(_LOOK_S)
    return ReloadAnswer(
        ReloadOutcome.UNKNOWN, "The daemon did not say within 20 seconds whether it took this; look at the log."
    )
