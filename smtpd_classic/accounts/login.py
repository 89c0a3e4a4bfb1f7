"""Tells whether a password fits: bounded, in the same time for all failures, and quickly when it just did."""

import hmac
import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from smtpd_classic.accounts.account import NORMAL, Account
from smtpd_classic.accounts.passwords import DUMMY_HASH, cost_class, verify

__all__ = ["CORES", "Logins", "cost_samples"]

_PROCESSORS = os.sched_getaffinity(0)
CORES = len(_PROCESSORS)
_KEPT_S = 120.0
_MAX_KEPT = 10_000
_MOST_COST_CLASSES = 8


def _spread() -> None:
    """Let this thread run on any core, although its process keeps to one: it needs no turn of the interpreter's."""
    with suppress(OSError):
        os.sched_setaffinity(0, _PROCESSORS)


def _fits(stored: str, password: str, samples: Sequence[str], *, usable: bool) -> bool:
    if verify(stored, password) and usable:
        return True
    own = cost_class(stored)
    for sample in samples:
        if cost_class(sample) != own:
            verify(sample, password)
    return False


def cost_samples(accounts: Iterable[Account]) -> tuple[str, ...]:
    """Return one hash of each cost class, the one of unknown accounts first."""
    found = {cost_class(DUMMY_HASH): DUMMY_HASH}
    for each in accounts:
        if each.password and len(found) < _MOST_COST_CLASSES:
            kind = cost_class(each.password)
            if kind:
                found.setdefault(kind, each.password)
    return tuple(found.values())


class Logins:
    """The logins of a process. It remembers accepted passwords for a short while, as HMACs under a secret.

    One verification a core at a time, since each takes 19 MiB and all of a core, and in threads of their own: the C
    library keeps such a block for every thread that once had one, which for 200 clients would be gigabytes.
    """

    def __init__(self) -> None:
        self._verifiers = ThreadPoolExecutor(CORES, thread_name_prefix="login", initializer=_spread)
        self._secret = os.urandom(32)
        self._kept: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the threads."""
        self._verifiers.shutdown(wait=False)

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()

    def succeeds(
        self, account: Account | None, password: str, now: float, samples: Sequence[str] = (DUMMY_HASH,)
    ) -> bool:
        """Return True if the account exists, may log in, and this is its password.

        `samples` has one hash of each cost class in the users file. Every failure verifies one of each, so that its
        time tells neither the scheme of an account nor whether the account exists.
        """
        stored = account.password if account is not None and account.password else DUMMY_HASH
        address = account.address if account is not None else ""
        # The hash is part of the key, so that an old password cannot be remembered beyond its end.
        text = "\0".join((address, stored, password))
        key = hmac.digest(self._secret, text.encode("utf-8", "surrogatepass"), "sha256")
        if self._remembers(key, now):
            return True
        usable = account is not None and account.status == NORMAL and stored is not DUMMY_HASH
        if not self._verifiers.submit(_fits, stored, password, samples, usable=usable).result():
            return False
        self._remember(key, now)
        return True

    def _remembers(self, key: bytes, now: float) -> bool:
        with self._lock:
            return self._kept.get(key, 0.0) > now

    def _remember(self, key: bytes, now: float) -> None:
        with self._lock:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[key] = now + _KEPT_S
