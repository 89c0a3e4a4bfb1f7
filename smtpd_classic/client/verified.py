"""The memory of verified recipients: for each domain, in bounds."""

import threading
from collections import deque
from enum import Enum
from typing import NamedTuple

__all__ = ["DomainMemory", "KnownFor", "Verification", "VerifiedDomains"]

_A_SECOND = 20
_MOST_ENTRIES = 10_000
_MOST_DOMAINS = 100


class Verification(Enum):
    """The result of a question. UNSURE: the recipient is accepted."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    FULL = "full"
    LATER = "later"
    UNSURE = "cannot be verified"


class KnownFor(NamedTuple):
    """How long a result is used, in seconds. A known recipient is asked for again after `fresh`."""

    known: float = 7 * 86_400.0
    fresh: float = 86_400.0
    unknown: float = 600.0


class _Entry(NamedTuple):
    result: Verification
    asked: float


class DomainMemory:
    """The results and the questions of one domain. `random_at` is the time of the next question about a random address;
    `accepts_all` says that the last one was accepted."""

    def __init__(self, lifetimes: KnownFor) -> None:
        self.random_at = -1.0
        self.accepts_all = False
        self._lifetimes = lifetimes
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._asked: deque[float] = deque()

    def find(self, address: str, now: float) -> tuple[Verification | None, bool]:
        """Return the result of an address, None if it is too old, and True if no question is due."""
        with self._lock:
            entry = self._entries.get(address)
        if entry is None:
            return None, False
        age = now - entry.asked
        if entry.result is Verification.UNKNOWN:
            return (entry.result, True) if age < self._lifetimes.unknown else (None, False)
        if age < self._lifetimes.fresh:
            return entry.result, True
        return (entry.result, False) if age < self._lifetimes.known else (None, False)

    def keep(self, address: str, result: Verification, now: float) -> None:
        """Keep a result in place of the oldest one if there are too many."""
        with self._lock:
            self._entries.pop(address, None)
            if len(self._entries) >= _MOST_ENTRIES:
                del self._entries[next(iter(self._entries))]
            self._entries[address] = _Entry(result, now)

    def may_ask(self, now: float) -> bool:
        """Count a question. Return False if there are too many in this second."""
        with self._lock:
            while self._asked and self._asked[0] <= now - 1.0:
                self._asked.popleft()
            if len(self._asked) >= _A_SECOND:
                return False
            self._asked.append(now)
            return True

    def take_random_turn(self, now: float, next_at: float) -> bool:
        """Return True for the one caller that has to ask about a random address."""
        with self._lock:
            if now < self.random_at:
                return False
            self.random_at = next_at
            return True


class VerifiedDomains:
    """The memories of the domains that were asked for last."""

    def __init__(self, lifetimes: KnownFor) -> None:
        self._lifetimes = lifetimes
        self._lock = threading.Lock()
        self._domains: dict[str, DomainMemory] = {}

    def of(self, domain: str) -> DomainMemory:
        with self._lock:
            found = self._domains.pop(domain, None)
            if found is None:
                if len(self._domains) >= _MOST_DOMAINS:
                    del self._domains[next(iter(self._domains))]
                found = DomainMemory(self._lifetimes)
            self._domains[domain] = found
            return found
