"""Senders that are too long for an SRS address, stored under a short key until bounces to them have expired.

Each process opens the file for one operation, so that a fork or a reload finds nothing open. A sender is on disk before
the message leaves under its key.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from smtpd_classic.shared_state import SharedState, SharedStateDown

__all__ = ["SenderStore", "SharedSenderStore"]

_WAIT_S = 20.0
_KIND = "sender"
_TABLE = """
CREATE TABLE IF NOT EXISTS senders (key TEXT PRIMARY KEY, sender BLOB NOT NULL, day INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS days ON senders (day);
"""
_KEEP = "INSERT INTO senders VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET day = excluded.day"


class SenderStore:
    """A file of senders, shared by all processes."""

    def __init__(self, path: str) -> None:
        self._path = path

    def keep(self, key: str, sender: str, day: int, expired: int) -> None:
        """Store the sender as used on `day`, and drop those last used before `expired`. Raises OSError."""
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        with self._opened() as senders:
            senders.executescript(_TABLE)
            known = senders.execute("SELECT day FROM senders WHERE key = ?", (key,)).fetchone()
            if known is not None and known[0] >= day:
                return
            with senders:
                senders.execute("DELETE FROM senders WHERE day < ?", (expired,))
                senders.execute(_KEEP, (key, sender.encode("utf-8", "surrogatepass"), day))

    def sender(self, key: str) -> str | None:
        """Return the stored sender, or None. Raises OSError."""
        if not os.path.exists(self._path):
            return None
        with self._opened() as senders:
            senders.executescript(_TABLE)
            found = senders.execute("SELECT sender FROM senders WHERE key = ?", (key,)).fetchone()
        return None if found is None else bytes(found[0]).decode("utf-8", "surrogatepass")

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as senders:
                senders.execute("PRAGMA synchronous = EXTRA")  # the commit survives a power cut
                yield senders
        except sqlite3.Error as problem:
            raise OSError(f"{self._path}: {problem}") from None


class SharedSenderStore:
    """The senders of several servers: in the shared state, and in the file of the one that has sent the message."""

    def __init__(self, own: SenderStore, shared: SharedState) -> None:
        self._own = own
        self._shared = shared

    def keep(self, key: str, sender: str, day: int, expired: int) -> None:
        """Store the sender here and for the others. Raises OSError."""
        self._own.keep(key, sender, day, expired)
        lifetime_s = (day - expired) * 86_400.0
        try:
            self._shared.keep(_KIND, key, sender, lifetime_s)
        except SharedStateDown:
            self._shared.owe(lambda: self._shared.keep(_KIND, key, sender, lifetime_s))

    def sender(self, key: str) -> str | None:
        """Return the stored sender, or None. Raises OSError."""
        own = self._own.sender(key)
        if own is not None:
            return own
        try:
            kept = self._shared.text(_KIND, key)
        except SharedStateDown as down:
            raise OSError(str(down)) from None  # not known: the bounce must wait
        return kept.text if kept is not None else None
