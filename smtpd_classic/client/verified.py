"""The memory of verified recipients, in bounds and in fair shares."""

import threading
from enum import Enum
from typing import Generic, NamedTuple, Protocol, TypeVar

__all__ = ["MOST_RECIPIENTS", "FairCache", "KnownFor", "SharedAnswers", "Verification", "VerifiedRecipients"]

MOST_RECIPIENTS = 10_000
_MOST_DOMAINS = 1000

V = TypeVar("V")


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


class SharedAnswers(Protocol):
    """Answers that several servers share. A failure is as if there were none."""

    def find(self, name: str) -> tuple[str, float] | None:
        """Return an answer and its age in seconds."""

    def keep(self, name: str, answer: str, lifetime_s: float) -> None: ...


class FairCache(Generic[V]):
    """Values by name. The client with the most of them loses its oldest one to a new one. Not thread-safe."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[str, V]] = {}
        self._names: dict[str, dict[str, None]] = {}  # of each client, the oldest first

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str) -> V | None:
        found = self._entries.get(name)
        return None if found is None else found[1]

    def put(self, name: str, value: V, client: str) -> None:
        self.drop(name)
        self._entries[name] = client, value
        self._names.setdefault(client, {})[name] = None

    def drop(self, name: str) -> None:
        found = self._entries.pop(name, None)
        if found is not None:
            names = self._names[found[0]]
            del names[name]
            if not names:
                del self._names[found[0]]

    def drop_one(self) -> None:
        """Drop the oldest value of the client with the most values."""
        names = max(self._names.values(), key=len)
        self.drop(next(iter(names)))


class _Result(NamedTuple):
    result: Verification
    asked: float


class _DomainState(NamedTuple):
    """The result of the last question about a random address, which holds until `until`."""

    accepts_all: bool
    until: float


class VerifiedRecipients:
    """The results of one section. Thread-safe.

    A stranger can invent unknown recipients, so that these never take the place of a known one.
    """

    def __init__(self, lifetimes: KnownFor, most: int = MOST_RECIPIENTS) -> None:
        self._lifetimes = lifetimes
        self._most = most
        self._lock = threading.Lock()
        self._known: FairCache[_Result] = FairCache()
        self._unknown: FairCache[_Result] = FairCache()
        self._domains: FairCache[_DomainState] = FairCache()

    def find(self, address: str, now: float) -> tuple[Verification | None, bool]:
        """Return the result of an address, None if it is too old, and True if no question is due."""
        with self._lock:
            entry = self._known.get(address) or self._unknown.get(address)
        if entry is None:
            return None, False
        age = now - entry.asked
        if entry.result is Verification.UNKNOWN:
            return (entry.result, True) if age < self._lifetimes.unknown else (None, False)
        if age < self._lifetimes.fresh:
            return entry.result, True
        return (entry.result, False) if age < self._lifetimes.known else (None, False)

    def keep(self, address: str, result: Verification, client: str, now: float) -> None:
        """Keep the result of a question of a client, in place of another one if there are too many."""
        with self._lock:
            self._known.drop(address)
            self._unknown.drop(address)
            if len(self._known) + len(self._unknown) >= self._most:
                if self._unknown:
                    self._unknown.drop_one()
                elif result is Verification.UNKNOWN:
                    return
                else:
                    self._known.drop_one()
            cache = self._unknown if result is Verification.UNKNOWN else self._known
            cache.put(address, _Result(result, now), client)

    def accepts_all(self, domain: str, now: float) -> bool | None:
        """Return True if the server accepts a random address at the domain, None if it has to be asked."""
        with self._lock:
            state = self._domains.get(domain)
        return None if state is None or state.until <= now else state.accepts_all

    def keep_domain(self, domain: str, client: str, until: float, *, accepts_all: bool) -> None:
        """Keep the result of a question about a random address."""
        with self._lock:
            self._domains.drop(domain)
            if len(self._domains) >= _MOST_DOMAINS:
                self._domains.drop_one()
            self._domains.put(domain, _DomainState(accepts_all, until), client)
