"""Failed logins and protocol errors by address, counted across the processes, and the blocks they lead to.

`failures` is a log of fixed records that every process appends to under a lock and reads on from where it had read to.
No password is in it: a tried password is kept as a keyed hash, with a key in the memory of the daemon alone, only to
tell whether the next try is the same one (an old phone must not lock out an office).
"""

import hashlib
import hmac
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from filelock import lock_descriptor, unlock_descriptor

from smtpd_classic.runtime.blocks import Blocks
from smtpd_classic.runtime.clients import client_key

if TYPE_CHECKING:  # loaded when several servers share their state
    from smtpd_classic.runtime.shared_failures import SharedFailure
    from smtpd_classic.shared_state import SharedState

__all__ = ["BlockRule", "Failures"]

_HEADER = struct.Struct("<8sQ")  # a mark, and how often the file has been started anew
_RECORD = struct.Struct("<d8s8s")  # when, who, what
_MARK = b"failure1"
_CLEARED = b"blocked!"
_WELCOME = b"welcome!"
_WELCOME_S = 86_400.0
_WELCOME_AGAIN_S = 60.0  # a login in each session of an office needs no record of its own
_MOST_RECORDS = 40_000
_KEPT_RECORDS = 20_000
_PATIENCE_S = 0.05  # a process that was stopped while it held the lock must not stop the others


@dataclass(frozen=True, slots=True)
class BlockRule:
    """How many different failures within `window` block a client, and for how long; 0 failures: never."""

    max_failures: int = 10
    window: timedelta = timedelta(minutes=10)
    block_time: timedelta = timedelta(hours=1)


class Failures:
    def __init__(
        self, path: str, blocks: Blocks, rule: BlockRule, key: bytes, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._path = path
        self._blocks = blocks
        self._rule = rule
        self._key = key
        self._lock = threading.Lock()
        self._fd = -1
        self._owner = 0
        self._start = 0
        self._read_to = 0
        self._known: dict[bytes, dict[bytes, float]] = {}
        self._welcome: dict[bytes, float] = {}
        self._shared: SharedState | None = None

    def share(self, shared: "SharedState") -> None:
        """Count failures for all servers together from now on."""
        self._shared = shared
        self._key = shared.secret  # the same password has the same hash on all of them

    def login(self, ip: str, login: str, password: str | bytes) -> bool:
        """Count a failed login. True when that has blocked the client. Not for Trusted Hosts; never raises."""
        if isinstance(password, str):
            password = password.encode("utf-8", "surrogatepass")
        tried = login.encode("utf-8", "surrogatepass") + b"\0" + password
        return self._count(ip, b"L" + hmac.digest(self._key, tried, "sha256")[:7], "failed logins")

    def attack(self, ip: str) -> bool:
        """Count a sign of an attack. Return True if that blocked the client. Not for Trusted Hosts; never raises."""
        return self._count(ip, b"P" + secrets.token_bytes(7), "signs of an attack")

    def succeeded(self, ip: str) -> None:
        """Note a successful login: people are behind this address, with typing errors and old devices. Never raises.

        For a day their protocol errors do not count, and for the window of the rule not their failed logins either.
        """
        if not self._rule.max_failures:
            return
        now = self._clock()
        with suppress(OSError, ValueError), self._lock:
            who = self._who(ip)
            if now - self._welcome.get(who, 0.0) <= _WELCOME_AGAIN_S:
                return
            self._append(_RECORD.pack(now, who, _WELCOME), now)
        if self._shared is not None:
            from smtpd_classic.runtime.shared_failures import welcome_everywhere  # noqa: PLC0415

            with suppress(ValueError):
                welcome_everywhere(self._shared, client_key(ip))

    def forget(self) -> None:
        """Start with an empty file; the records of an earlier daemon are of no use without its key."""
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def _count(self, ip: str, what: bytes, name: str) -> bool:
        if not self._rule.max_failures:
            return False
        now = self._clock()
        try:
            who = self._who(ip)
            with self._lock:
                self._append(_RECORD.pack(now, who, what), now)
                if self._is_welcome(who, what, now):
                    return False
                count = self._recent(who, what[:1], now)
            if self._shared is not None:
                count = self._counted_by_all(ip, what, name, count)
            if count < self._rule.max_failures:
                return False
            with self._lock:  # a client that is let in again, in time or by hand, starts with none in all processes
                self._append(_RECORD.pack(now, who, _CLEARED), now)
            self._block(ip, count, name)
        except (OSError, ValueError):  # no run folder, no room: mail goes on
            return False
        return True

    def _block(self, ip: str, count: int, name: str) -> None:
        self._blocks.block(ip, self._rule.block_time.total_seconds(), f"{count} {name}")

    def _counted_by_all(self, ip: str, what: bytes, name: str, own: int) -> int:
        """Return the failures of a client at all servers; the own ones while the shared state is down, which then gets
        to know this failure later.
        """
        from smtpd_classic.runtime.shared_failures import SharedFailure  # noqa: PLC0415
        from smtpd_classic.shared_state import SharedStateDown  # noqa: PLC0415

        assert self._shared is not None
        failure = SharedFailure(self._shared, client_key(ip), what, self._rule.window, self._rule.max_failures)
        try:
            return failure.add()
        except SharedStateDown:
            self._shared.owe(partial(self._add_later, failure, ip, name))
            return own

    def _add_later(self, failure: "SharedFailure", ip: str, name: str) -> None:
        count = failure.add()
        if count >= self._rule.max_failures:
            with suppress(OSError):
                self._block(ip, count, name)

    def _who(self, ip: str) -> bytes:
        return hashlib.blake2b(client_key(ip).encode(), key=self._key, digest_size=8).digest()

    def _is_welcome(self, who: bytes, what: bytes, now: float) -> bool:
        """Return True if a login from there succeeded so lately that this failure does not count."""
        lately_s = self._rule.window.total_seconds() if what[:1] == b"L" else _WELCOME_S
        return 0 <= now - self._welcome.get(who, -_WELCOME_S - 1) <= lately_s

    def _recent(self, who: bytes, kind: bytes, now: float) -> int:
        earliest = now - self._rule.window.total_seconds()
        whats = {what: at for what, at in self._known.get(who, {}).items() if earliest < at <= now + 1}
        self._known[who] = whats
        return sum(what[:1] == kind for what in whats)

    def _append(self, record: bytes, now: float) -> None:
        fd = self._open()
        locked = _lock_within(fd, _PATIENCE_S)
        try:
            self._read_on(fd, now)
            self._note(record)
            if locked:
                os.pwrite(fd, record, self._read_to)
                self._read_to += _RECORD.size
        finally:
            if locked:
                unlock_descriptor(fd)

    def _open(self) -> int:
        # A lock belongs to the open file, which a fork shares with its parent: each process opens its own.
        if self._fd < 0 or self._owner != os.getpid():
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd, self._owner = os.open(self._path, flags, 0o600), os.getpid()
            self._read_to = 0
        return self._fd

    def _read_on(self, fd: int, now: float) -> None:
        """Read the records of other processes, and start the file anew when it is too long."""
        mark, start = _HEADER.unpack(os.pread(fd, _HEADER.size, 0).ljust(_HEADER.size, b"\0"))
        size = os.fstat(fd).st_size
        if mark != _MARK:
            self._renew(fd, 1, now)
        elif start != self._start or size < self._read_to:
            self._start, self._read_to = start, _HEADER.size
        found = os.pread(fd, max(0, size - self._read_to), self._read_to)
        whole = len(found) - len(found) % _RECORD.size
        for at in range(0, whole, _RECORD.size):
            self._note(found[at : at + _RECORD.size])
        self._read_to += whole
        if self._read_to > _HEADER.size + _MOST_RECORDS * _RECORD.size:
            self._renew(fd, self._start + 1, now)

    def _note(self, record: bytes) -> None:
        at, who, what = _RECORD.unpack(record)
        if what == _WELCOME:
            self._welcome[who] = at
        elif what == _CLEARED:
            self._known.pop(who, None)
        else:
            self._known.setdefault(who, {})[what] = at

    def _renew(self, fd: int, start: int, now: float) -> None:
        """Keep the records that still count, up to a limit."""
        earliest = now - self._rule.window.total_seconds()
        kept = sorted(
            (at, who, what)
            for who, whats in self._known.items()
            for what, at in whats.items()
            if earliest < at <= now + 1
        )[-_KEPT_RECORDS:]
        self._known = {}
        for at, who, what in kept:
            self._known.setdefault(who, {})[what] = at
        self._welcome = {who: at for who, at in self._welcome.items() if now - at <= _WELCOME_S}
        welcome = [(at, who, _WELCOME) for who, at in self._welcome.items()][-_KEPT_RECORDS // 2 :]
        content = _HEADER.pack(_MARK, start) + b"".join(_RECORD.pack(*each) for each in (*welcome, *kept))
        os.ftruncate(fd, 0)
        os.pwrite(fd, content, 0)
        self._start, self._read_to = start, len(content)


def _lock_within(fd: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not lock_descriptor(fd, blocking=False):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True
