"""Finds the log of the server, for a command and for a screen: its own file, a file of syslog, or the journal.

Debian 12 and newer install no rsyslog. There, messages to syslog and to standard error are in the journal alone.
"""

import fcntl
import os
import re
import select
import shutil
import subprocess
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from smtpd_classic.log_reader import LogFollower, last_lines, lines

__all__ = ["FileLog", "Following", "JournalLog", "LogSource", "NoLog", "log_source"]

_SYSTEM_LOGS = ("/var/log/mail.log", "/var/log/maillog", "/var/log/syslog", "/var/log/messages")
_TO_SYSLOG = "/run/systemd/journal/syslog"  # exists while a syslog daemon takes messages from the journal
_JOURNAL = "/run/systemd/journal"
_UNIT = "smtpd-classic"
_PARTS = ("smtpd", "smtp", "qmgr", "local", "pickup", "master", "bounce", "keys", "cleanup", "lmtp", "adopt")


class NoLog(Exception):
    """There is no log to read; `str()` says where to look, in one sentence."""


class Following(Protocol):
    """Lines that come from now on."""

    def read(self) -> list[str]:
        """Return the lines since the last call, at once."""
        ...

    def wait(self) -> list[str]:
        """Return the next lines, and wait for them."""
        ...

    def close(self) -> None: ...


class LogSource(Protocol):
    """A log. `place` names it for people. The methods raise OSError or NoLog."""

    @property
    def place(self) -> str: ...
    def follow(self) -> Following:
        """Begin to follow, before `last` is called: no line falls between the two."""
        ...

    def last(self, number: int, wanted: Callable[[str], bool]) -> list[str]:
        """Return the last `number` lines that are wanted, up to the begin of `follow`."""
        ...

    def every(self, wanted: Callable[[str], bool]) -> Iterator[str]:
        """Yield all lines that are wanted, the oldest first, up to the begin of `follow`."""
        ...


def log_source(
    target: str, *, system_logs: Sequence[str] = _SYSTEM_LOGS, to_syslog: str = _TO_SYSLOG, journal: str = _JOURNAL
) -> LogSource:
    """Return the log for a value of `[server] log`. Raises NoLog.

    A file of syslog that nothing is written to any more, because rsyslog was removed, gives way to the journal.
    """
    if target.startswith("/"):
        return FileLog(target)
    if target == "syslog":
        found = next((path for path in system_logs if os.access(path, os.R_OK)), None)
        left_behind = os.path.isdir(journal) and not os.path.exists(to_syslog)
        if found is not None and not (left_behind and shutil.which("journalctl")):
            return FileLog(found)
    program = shutil.which("journalctl")
    if program is not None:
        return JournalLog(program)
    if target == "syslog":
        raise NoLog(
            f"no log of the system can be read here: there is no journal and none of {', '.join(system_logs)}; "
            f"root may see more, or set log in [server] to a file."
        )
    raise NoLog("the server logs to standard error, and this system has no journal; set log in [server] to a file.")


class FileLog:
    """A log file, with the one before its last rotation."""

    def __init__(self, path: str) -> None:
        self.place = path
        self._follower: LogFollower | None = None

    def follow(self) -> LogFollower:
        self._follower = LogFollower(self.place)
        return self._follower

    def last(self, number: int, wanted: Callable[[str], bool]) -> list[str]:
        return last_lines(self.place, number, wanted, self._end())

    def every(self, wanted: Callable[[str], bool]) -> Iterator[str]:
        for path, end in ((f"{self.place}.1", None), (self.place, self._end())):
            yield from filter(wanted, lines(path, end))

    def _end(self) -> int | None:
        return self._follower.offset if self._follower is not None else None


class JournalLog:
    """The journal of systemd, read with journalctl(1)."""

    def __init__(self, program: str = "journalctl") -> None:
        self.place = "the journal"
        self._program = program
        self._until: tuple[str, ...] = ()

    def follow(self) -> "_JournalFollower":
        # Not --lines=0: that begins when journalctl has started, and misses what comes before.
        now = f"@{time.time():.6f}"
        self._until = (f"--until={now}",)
        return _JournalFollower(self._command("--follow", "--no-tail", f"--since={now}"))

    def last(self, number: int, wanted: Callable[[str], bool]) -> list[str]:
        found: list[str] = []
        if number <= 0:
            return found
        for line in self._lines("--reverse", *self._until):
            if wanted(line):
                found.append(line)
            if len(found) == number:
                break
        return found[::-1]

    def every(self, wanted: Callable[[str], bool]) -> Iterator[str]:
        return filter(wanted, self._lines(*self._until))

    def _command(self, *options: str) -> list[str]:
        """All lines of the unit, and those of a server that runs outside of it and logs to syslog."""
        matches = [f"_SYSTEMD_UNIT={_UNIT}.service"]
        for part in _PARTS:
            matches += ["+", f"SYSLOG_IDENTIFIER=smtpd-classic/{part}"]
        return [self._program, "--quiet", "--no-pager", "--output=short", "--all", *options, *matches]

    def _lines(self, *options: str) -> Iterator[str]:
        process = subprocess.Popen(
            self._command(*options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        ended = False
        try:
            for line in process.stdout:
                yield _line(line)
            ended = True
        finally:
            process.stdout.close()
            if not ended:
                process.kill()
            said = process.stderr.read().decode("utf-8", "replace").strip()
            process.stderr.close()
            process.wait()
        if process.returncode:
            raise NoLog(f"the journal cannot be read: {said or f'{self._program} ended with {process.returncode}'}")


class _JournalFollower:
    """Reads `journalctl --follow`, which runs until `close`, or until nothing refers to this object any more."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        self._fd = self._process.stdout.fileno()
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        self._rest = b""
        self._end = weakref.finalize(self, _end, self._process)

    def read(self) -> list[str]:
        """Raises NoLog when journalctl has ended."""
        try:
            data = os.read(self._fd, 1 << 20)
        except BlockingIOError:
            return []
        if not data:
            raise NoLog("journalctl has ended; start again to go on.")
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [_line(line) for line in whole]

    def wait(self) -> list[str]:
        while not (found := self.read()):
            select.select([self._fd], [], [])
        return found

    def close(self) -> None:
        self._end()


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(OSError):
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


# Of a line on standard error the journal knows the program, and puts it before our own tag.
_TWICE = re.compile(r" \S+\[\d+\]: (?=smtpd-classic/[\w-]+\[\d+\]: )")


def _line(octets: bytes) -> str:
    return _TWICE.sub(" ", octets.rstrip(b"\n").decode("utf-8", "surrogateescape"), count=1)
