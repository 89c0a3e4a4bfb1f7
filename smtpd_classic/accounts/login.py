"""Tells whether a password fits: bounded, in the same time for all failures, and quickly when it just did."""

import hmac
import os
import threading

from smtpd_classic.accounts.account import NORMAL, Account
from smtpd_classic.accounts.passwords import DUMMY_HASH, verify

__all__ = ["CORES", "Logins"]

CORES = len(os.sched_getaffinity(0))
_KEPT_S = 120.0
_MAX_KEPT = 10_000


class Logins:
    """Remembers for a short while which passwords fitted, as HMACs under a secret that nobody else has.

    One verification a core at a time: each takes 19 MiB and all of a core, and more at once would only take turns.
    """

    def __init__(self) -> None:
        self._verifying = threading.BoundedSemaphore(CORES)
        self._secret = os.urandom(32)
        self._kept: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()

    def succeeds(self, account: Account | None, password: str, now: float) -> bool:
        """Whether the account exists, may log in, and this is its password."""
        stored = account.password if account is not None and account.password else DUMMY_HASH
        address = account.address if account is not None else ""
        # The hash is part of the key, so that an old password cannot be remembered beyond its end.
        text = "\0".join((address, stored, password))
        key = hmac.digest(self._secret, text.encode("utf-8", "surrogatepass"), "sha256")
        if not self._remembers(key, now):
            with self._verifying:
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
