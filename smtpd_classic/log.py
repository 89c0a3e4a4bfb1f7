"""The log: one line an event, in the form that syslog, pflogsumm and fail2ban read.

Writing never blocks a session and never raises: a full disk, a missing syslog or a closed pipe loses lines, not mail.
How many were lost is told as soon as lines can be written again. A line is one O_APPEND write, so that processes need
no lock.
"""

import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache

__all__ = ["DEBUG", "ERROR", "INFO", "WARNING", "Log", "delay_text", "printable"]

ERROR, WARNING, INFO, DEBUG = 3, 4, 6, 7  # syslog's severities
_MAIL = 2 << 3  # syslog's facility "mail"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LONGEST_LINE = 3900  # with its stamp within PIPE_BUF, so that a pipe that polls writable takes it whole
_LONGEST_OCTETS = 4050
_SYSLOG = "/dev/log"
_STDERR = 2


def printable(text: str | bytes, limit: int = 512) -> str:
    """Return a stranger's text fit for a log: characters that cannot be printed are escaped, and it is cut to `limit`.

    A tab becomes a blank.

    Addresses outside ASCII stand as they were typed; octets that are no UTF-8 are escaped.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if len(text) > limit:
        text = text[: max(0, limit - 3)] + "..."
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def delay_text(seconds: float) -> str:
    """Return a time in the form of `delays=a/b/c/d`: two digits that count, and no exponent for log readers."""
    return _delay(int(seconds * 10_000 + 0.5)) if seconds < 10 else f"{seconds:.0f}"


@lru_cache(1024)
def _delay(ten_thousandths: int) -> str:
    return f"{max(ten_thousandths, 0) / 10_000:.2g}"


def _octets(text: str, encoding: str = "utf-8") -> bytes:
    """Return the octets of a line, within the longest; a sink that is not UTF-8 gets the rest escaped."""
    octets = text.encode(encoding, "backslashreplace")
    if len(octets) > _LONGEST_OCTETS and len(octets) > len(text):
        octets = text.encode("ascii", "backslashreplace")[:_LONGEST_OCTETS]
    return octets


def _escaped(char: str) -> str:
    if char == "\t":
        return " "
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class Log:
    """Where the lines of one process go. `target` is "syslog", "stderr" or the absolute name of a file."""

    def __init__(self, target: str, ident: str = "smtpd-classic", *, syslog_socket: str = _SYSLOG) -> None:
        self.target = target
        self._ident = ident
        self._host = socket.gethostname().partition(".")[0] or "localhost"
        self._stamp = (-1, "")
        self._lost = 0
        self._lock = threading.Lock()
        sinks: dict[str, Callable[[], _LogFile | _Syslog | _Stderr]] = {
            "syslog": lambda: _Syslog(syslog_socket),
            "stderr": _Stderr,
        }
        self._sink = sinks.get(target, lambda: _LogFile(target))()

    def write(self, part: str, text: str, level: int = INFO) -> None:
        """Log `text` as coming from `part` ("smtpd", "delivery", …)."""
        if not text.isprintable() or len(text) > _LONGEST_LINE:
            text = printable(text, _LONGEST_LINE)
        if self._lost:
            self._tell_lost(part)
        if not self._put(part, text, level):
            with self._lock:
                self._lost += 1

    def write_lines(self, lines: Sequence[tuple[str, str]]) -> None:
        """Log several lines (part, text) of one moment; into a file they go in one write, side by side."""
        if not isinstance(self._sink, _LogFile) or self._lost or len(lines) < 2:
            for part, text in lines:
                self.write(part, text)
            return
        pid = os.getpid()
        head = f"{self._now()} {self._host} {self._ident}/"
        texts = "".join([text for _, text in lines])
        if len(texts) > _LONGEST_LINE or not texts.isprintable():
            lines = [(part, printable(text, _LONGEST_LINE)) for part, text in lines]
        if not self._sink.put_raw("".join([f"{head}{part}[{pid}]: {text}\n" for part, text in lines])):
            with self._lock:
                self._lost += len(lines)

    def warning(self, part: str, text: str) -> None:
        """Log `text` behind the word that Postfix uses for warnings."""
        self.write(part, f"warning: {text}", WARNING)

    def close(self) -> None:
        self._sink.close()

    def _put(self, part: str, text: str, level: int) -> bool:
        try:
            tag = f"{self._ident}/{part}[{os.getpid()}]: {text}"
            return self._sink.put(self._now(), self._host, tag, level)
        except (OSError, ValueError):  # a log that is broken must not stop mail
            return False

    def _tell_lost(self, part: str) -> None:
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost and not self._put(part, f"warning: {lost} log lines were lost", WARNING):
            with self._lock:
                self._lost += lost

    def _now(self) -> str:
        """The traditional stamp of syslog (RFC 3164 4.1.2), made once a second."""
        second = int(time.time())
        made, stamp = self._stamp
        if made != second:
            now = time.localtime(second)
            stamp = f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2d} {now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d}"
            self._stamp = (second, stamp)
        return stamp


class _LogFile:
    """A file, opened again when its name leads elsewhere (logrotate needs no signal)."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._torn = False
        self._looked = time.monotonic()
        self._lock = threading.Lock()
        self._open()

    def put(self, stamp: str, host: str, tag: str, level: int) -> bool:
        del level
        return self.put_raw(f"{stamp} {host} {tag}\n")

    def put_raw(self, whole_lines: str) -> bool:
        now = time.monotonic()
        if now - self._looked >= 1.0:
            self._look(now)
        if self._fd < 0:
            return False
        data = whole_lines.encode("utf-8", "backslashreplace")
        if self._torn:
            data = b"\n" + data
        try:
            written = os.write(self._fd, data)
        except OSError:
            return False
        # A full disk takes part of a line; the next one must not be glued to it.
        self._torn = 0 < written < len(data) or (self._torn and not written)
        return written == len(data)

    def close(self) -> None:
        with self._lock:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)

    def _look(self, now: float) -> None:
        with self._lock:
            if self._looked == now:
                return
            self._looked = now
            if self._fd < 0 or not self._same():
                self._open()

    def _same(self) -> bool:
        try:
            named, opened = os.stat(self._path), os.fstat(self._fd)
        except OSError:
            return False
        return (named.st_ino, named.st_dev) == (opened.st_ino, opened.st_dev)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        try:
            fd = os.open(self._path, flags, 0o640)
        except OSError:
            return
        if self._fd < 0:
            self._fd = fd
            return
        # dup2 keeps the number: another thread may be about to write to it, and once closed it could be a client's.
        os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)


class _Syslog:
    """The system's log, by datagrams that are dropped rather than waited for."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._tried = -1.0
        self._lock = threading.Lock()

    def put(self, stamp: str, host: str, tag: str, level: int) -> bool:
        del host
        datagram = _octets(f"<{_MAIL | level}>{stamp} {tag}")
        if self._socket is not None:
            try:
                self._socket.send(datagram)
                return True
            except BlockingIOError:
                return False
            except OSError:  # syslogd was restarted
                pass
        return self._connect() and self._socket is not None and self._socket.send(datagram) > 0

    def close(self) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _connect(self) -> bool:
        """At most once a second, by one thread."""
        with self._lock:
            now = time.monotonic()
            if self._tried >= 0 and now - self._tried < 1.0:
                return False
            self._tried = now
            fresh = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            fresh.setblocking(False)
            try:
                fresh.connect(self._path)
            except OSError:
                fresh.close()
                return False
            if self._socket is None:
                self._socket = fresh
            else:  # as for a file: the number stays, also while another thread uses it
                os.dup2(fresh.fileno(), self._socket.fileno(), inheritable=False)
                fresh.close()
            return True


class _Stderr:
    """Standard error: for the journal with its level and without a stamp, which the journal has itself."""

    def __init__(self) -> None:
        self._journal = _is_journal(_STDERR)
        self._encoding = "utf-8" if self._journal else getattr(sys.stderr, "encoding", None) or "ascii"

    def put(self, stamp: str, host: str, tag: str, level: int) -> bool:
        del host
        # O_NONBLOCK would be shared with every other user of the terminal or pipe; asking first is not.
        if not select.select((), (_STDERR,), (), 0)[1]:
            return False
        line = f"<{level}>{tag}\n" if self._journal else f"{stamp} {tag}\n"
        os.write(_STDERR, _octets(line, self._encoding))
        return True

    def close(self) -> None:
        """Standard error stays open."""


def _is_journal(fd: int) -> bool:
    """Whether `fd` leads to the journal; systemd.exec(5), JOURNAL_STREAM."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))
