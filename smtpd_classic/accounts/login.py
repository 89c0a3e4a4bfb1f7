"""Tells whether a password fits: bounded, in the same time for all failures, and quickly when it just did."""

import hmac
import os
import threading

from smtpd_classic.accounts.account import NORMAL, Account
from smtpd_classic.accounts.passwords import DUMMY_HASH, verify

__all__ = ["CORES", "Logins"]

_KEPT_S = 120.0
_MAX_KEPT = 10_000
# One verification a core at a time: each takes 19 MiB and all of a core, and more at once would only take turns.
CORES = len(os.sched_getaffinity(0))
_VERIFYING = threading.BoundedSemaphore(CORES)
_SECRET = os.urandom(32)  # of this process; what is kept under it is worth nothing elsewhere


class Logins:
    """Remembers for a short while which passwords fitted, as HMACs. A changed users file makes a new, empty one."""

    def __init__(self) -> None:
        self._kept: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def succeeds(self, account: Account | None, password: str, now: float) -> bool:
        """Whether the account exists, may log in, and this is its password."""
        stored = account.password if account is not None and account.password else DUMMY_HASH
        address = account.address if account is not None else ""
        key = hmac.digest(_SECRET, "\0".join((address, stored, password)).encode("utf-8", "replace"), "sha256")
        if not self._remembers(key, now):
            with _VERIFYING:
                fits = verify(stored, password)
            if not fits or stored is DUMMY_HASH:
                return False
            self._remember(key, now)
        return account is not None and account.status == NORMAL

    def _remembers(self, key: bytes, now: float) -> bool:
        with self._lock:
            return self._kept.get(key, 0.0) > now

    def _remember(self, key: bytes, now: float) -> None:
        with self._lock:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[key] = now + _KEPT_S
