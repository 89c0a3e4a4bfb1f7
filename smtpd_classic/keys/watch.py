"""The thread that sees in DNS that a new key is published, and makes the next key when one has become old."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from smtpd_classic.keys.publication import Publication
from smtpd_classic.keys.store import IN_USE, NEW, SEEN, DkimKey, KeyStore, KeysUnreadable

__all__ = ["DomainKeys", "KeyWatch"]

_FIRST_S, _SOON_S, _LATER_S = 10.0, 60.0, 600.0
_MINUTES, _DAY = 600.0, 86_400.0


class DomainKeys(NamedTuple):
    """The settings of one domain: `rotate_s` is the age at which the next key is made, 0 for never."""

    domain: str
    algorithm: str
    rotate_s: float


class KeyWatch:
    """`start()`, and once `stop()`. `step()` does the work of one moment, also in tests.

    The domains are those that sign. A key of any other domain waits for DNS, should the domain sign again.
    """

    def __init__(
        self,
        store: KeyStore,
        publication: Callable[[], Publication],
        domains: Sequence[DomainKeys],
        clock: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self._store = store
        self._publication = publication
        self._domains = domains
        self._clock = clock
        self._say = say
        self._complaints: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        wait_s = 1.0
        while not self._stopping.wait(wait_s):
            wait_s = self.step()

    def step(self) -> float:
        """Look at all keys once; return the seconds until the next look."""
        wait_s = _LATER_S
        for each in self._domains:
            try:
                wait_s = min(wait_s, self._look_at(each))
            except (KeysUnreadable, OSError) as problem:
                self._complain(str(problem))
        try:
            self._stop_others()
        except (KeysUnreadable, OSError) as problem:
            self._complain(str(problem))
        return wait_s

    def _stop_others(self) -> None:
        for domain in sorted(set(self._store.domains()) - {each.domain for each in self._domains}):
            for key in self._store.stop_signing(domain, self._clock()):
                self._say(f"{domain} does not sign here: DNS must show {key.dns_name} before it is used again")

    def _look_at(self, settings: DomainKeys) -> float:
        keys = self._store.keys(settings.domain)
        now = self._clock()
        waiting = [key for key in keys if key.state in {NEW, SEEN}]
        if waiting:
            publication = self._publication()
            for key in waiting:
                self._tell(key, publication.advance(key, now), now)
        elif settings.rotate_s and self._is_old(keys, settings.rotate_s, now):
            made = self._store.add(settings.domain, settings.algorithm, now)
            names = ", ".join(key.dns_name for key in made)
            self._say(f"the next DKIM key of {settings.domain} is made; publish {names}")
        if not waiting:
            return _SOON_S
        youngest = max(max(key.made, key.since) for key in waiting)
        return _FIRST_S if now - youngest < _MINUTES else _SOON_S if now - youngest < _DAY else _LATER_S

    @staticmethod
    def _is_old(keys: Sequence[DkimKey], rotate_s: float, now: float) -> bool:
        used = [key.since for key in keys if key.state == IN_USE]
        return bool(used) and max(used) + rotate_s <= now

    def _tell(self, before: DkimKey, after: DkimKey, now: float) -> None:
        if before.state == after.state:
            return
        if after.state == IN_USE:
            self._say(f"DNS shows {after.dns_name}: mail of {after.domain} is signed with it from now on")
        elif after.state == SEEN:
            self._say(f"DNS shows {after.dns_name}, but not yet at every name server")
        else:
            self._say(f"DNS does not show {after.dns_name} any more")

    def _complain(self, sentence: str) -> None:
        if sentence not in self._complaints:
            self._complaints.add(sentence)
            self._say(f"warning: {sentence}")
