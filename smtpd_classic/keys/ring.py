"""The private keys that sign, kept in memory and read again when their state changes."""

import threading
from collections.abc import Callable

from smtpd_classic.keys.store import IN_USE, KeyStore, KeysUnreadable
from smtpd_classic.mailauth.dkim_sign import BadKey, SigningKey, load_signing_key

__all__ = ["KeyRing"]

_KEPT_S = 1.0

Stamp = tuple[int, int] | None


class KeyRing:
    """The keys in use, by domain. Loading one takes tens of milliseconds, so each is loaded once for every change of
    the domain's state; the file of the state is looked at once a second at most."""

    def __init__(self, store: KeyStore, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._loaded: dict[str, tuple[float, Stamp, tuple[SigningKey, ...]]] = {}
        self._listed_at: float | None = None
        self._domains: list[str] = []

    def is_idle(self) -> bool:
        """Return True if no domain has a key in use, so that no message needs to be looked at."""
        now = self._monotonic()
        try:
            if self._listed_at is None or now - self._listed_at >= _KEPT_S:
                self._listed_at, self._domains = now, self._store.domains()
            return not any(map(self.keys, self._domains))
        except KeysUnreadable:
            return False

    def keys(self, domain: str) -> tuple[SigningKey, ...]:
        """Return the keys that sign for a domain in A-labels. Raises KeysUnreadable."""
        now = self._monotonic()
        kept = self._loaded.get(domain)
        if kept is not None and now - kept[0] < _KEPT_S:
            return kept[2]
        with self._lock:
            stamp = self._store.stamp(domain)
            keys = kept[2] if kept is not None and kept[1] == stamp else self._load(domain)
            self._loaded[domain] = (now, stamp, keys)
        return keys

    def _load(self, domain: str) -> tuple[SigningKey, ...]:
        used = [key for key in self._store.keys(domain) if key.state == IN_USE]
        try:
            return tuple(load_signing_key(self._store.private(key), domain, key.selector) for key in used)
        except BadKey as problem:
            raise KeysUnreadable(f"a DKIM key of {domain} cannot be used: {problem}") from None
