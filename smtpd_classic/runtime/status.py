"""The state of the daemon in `status.json`. The CLI and the screens read it, also while the daemon is down."""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from smtpd_classic.atomic_file import replace_text

__all__ = ["DaemonStatus", "Listening", "StatusFile", "own_status", "places"]


@dataclass(frozen=True, slots=True)
class Listening:
    """One address that the daemon listens on; `tls` is none, starttls or implicit. A Unix socket has port 0, and
    its path is the address."""

    name: str
    address: str
    port: int
    tls: str

    @property
    def place(self) -> str:
        """Return the address and port as one word: `127.0.0.1:25`, `[::1]:25`, or the path of a Unix socket."""
        if not self.port:
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """The state of the daemon and of the last reload.

    `generation` counts the configurations that were tried since the start, taken or not; `digest` is the hash of the
    one in force. `error` says why the last one tried was not taken and is blank when it was. `waiting_for_restart`
    names the options that have changed in the file and need a restart. Times are wall-clock.
    """

    state: str  # starting, running, reloading, stopping, stopped
    pid: int
    born: int  # the kernel's start time of that process: a number that has been used again is not the daemon
    since: float
    generation: int
    digest: str
    config_path: str
    loaded: float = 0.0
    error: str = ""
    error_at: float = 0.0
    waiting_for_restart: tuple[str, ...] = ()
    listening: tuple[Listening, ...] = ()
    not_listening: tuple[str, ...] = ()  # sentences: which address could not be bound, and why
    receivers: int = 0
    version: str = ""
    children: dict[str, int] = field(default_factory=dict)  # task of each process → its pid

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return self.born != 0 and birth_of(self.pid) == self.born


class StatusFile:
    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, status: DaemonStatus) -> None:
        """Replace the file. Raises OSError. No sync: after a power cut there is no daemon to tell about."""
        replace_text(self.path, f"{json.dumps(asdict(status), indent=1)}\n")

    def read(self) -> DaemonStatus | None:
        """The last status written; None when there is none that can be read."""
        try:
            with open(self.path, encoding="utf-8") as file:
                return _status(json.load(file))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def is_hidden(self) -> bool:
        """Return True if this user may not read the file: then it is not known whether the daemon is up."""
        try:
            with open(self.path, "rb"):
                return False
        except OSError as problem:
            return isinstance(problem, PermissionError)

    def running(self) -> DaemonStatus | None:
        """The status of the daemon if it is up."""
        status = self.read()
        return status if status is not None and status.alive else None


def _status(found: Any) -> DaemonStatus:
    if not isinstance(found, dict):
        raise TypeError("a status is an object")
    known = {each.name for each in fields(DaemonStatus)}
    values = {name: value for name, value in found.items() if name in known}
    values["listening"] = tuple(Listening(**each) for each in found["listening"])
    for name in ("waiting_for_restart", "not_listening"):
        values[name] = tuple(found[name])
    return DaemonStatus(**values)


def birth_of(pid: int) -> int:
    """When the process started, in the kernel's ticks since boot; 0 when there is none. proc(5), field 22 of stat."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            found = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    # A dead child that its parent has not looked at yet ("Z") does not run.
    return int(found[19]) if len(found) > 19 and found[0] not in {b"Z", b"X"} else 0


def own_status(config_path: str, digest: str, version: str) -> DaemonStatus:
    """The status of this process as a daemon that is starting."""
    now = time.time()
    pid = os.getpid()
    return DaemonStatus("starting", pid, birth_of(pid), now, 0, digest, config_path, now, version=version)


def places(found: Iterable[Listening]) -> str:
    """Return a text for the log: `smtp on 127.0.0.1:2525, [::1]:2525; submission on …`."""
    named: dict[str, list[str]] = {}
    for each in found:
        named.setdefault(each.name, []).append(each.place)
    return "; ".join(f"{name} on {', '.join(places)}" for name, places in named.items())
