"""The key files of one server, and the state of each key.

Rule 1: a file is replaced whole; a private key is never written again after it was made.
Rule 2: every change of a domain's state.json is made under the lock of its folder.
Rule 3: a change keeps state.json as it was in `versions/`. No private key is removed, so that any version may return.
"""

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from smtpd_classic import atomic_file
from smtpd_classic.config.versions import Version, keep, versions
from smtpd_classic.keys.generate import make_key, record_of

__all__ = ["IN_USE", "NEW", "RETIRED", "SEEN", "DkimKey", "KeyStore", "KeysUnreadable", "NoSuchKey", "dkim_folder"]

NEW, SEEN, IN_USE, RETIRED = "new", "seen", "in use", "retired"
_STATES = frozenset((NEW, SEEN, IN_USE, RETIRED))
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_STATE_FILE = "state.json"


class KeysUnreadable(Exception):
    """A file of the keys cannot be read; `str()` says which, and why."""


class NoSuchKey(Exception):
    """The domain has no key with this selector, or no such version of its keys."""


@dataclass(frozen=True, slots=True)
class DkimKey:
    """One key. `since` is the time of its state, `made` of the key, `first_seen` of the first good answer of DNS."""

    domain: str
    selector: str
    algorithm: str
    state: str
    since: int
    made: int
    first_seen: int = 0

    @property
    def dns_name(self) -> str:
        """The name of its record in DNS."""
        return f"{self.selector}._domainkey.{self.domain}"


def dkim_folder(config_path: str) -> str:
    """Return the folder of the keys: `dkim` beside the configuration file."""
    return os.path.join(os.path.dirname(config_path), "dkim")


class KeyStore:
    """The folder of the keys. `owner` is the user and group who shall own new files, None to keep the process's own."""

    def __init__(self, folder: str, owner: tuple[int, int] | None = None) -> None:
        self.folder = folder
        self._owner = owner

    def domains(self) -> list[str]:
        """Return the domains that have keys."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise KeysUnreadable(f"{self.folder}: {problem.strerror}") from None
        return sorted(name for name in names if os.path.exists(self._path(name, _STATE_FILE)))

    def keys(self, domain: str) -> tuple[DkimKey, ...]:
        """Return the keys of a domain, the oldest first. Raises KeysUnreadable."""
        return _keys_in(domain, self._path(domain, _STATE_FILE))

    def versions(self, domain: str) -> tuple[Version, ...]:
        """Return the kept versions of the states of a domain's keys, the latest first. Raises OSError."""
        return versions(self._path(domain, _STATE_FILE))

    def changes_of_restore(self, domain: str, name: str) -> tuple[str, ...]:
        """Return one sentence for each key that a restore of this version would change. Raises NoSuchKey."""
        present = self.keys(domain)
        now = {key.selector: key.state for key in present}
        then = {key.selector: key.state for key in _put_back(self._keys_then(domain, name), present, 0)}
        found = [f"{selector} comes back, {state}" for selector, state in then.items() if selector not in now]
        found += [f"{selector} goes; its private key stays on the disk" for selector in now if selector not in then]
        both = [selector for selector in now if then.get(selector, now[selector]) != now[selector]]
        return (*found, *(f"{selector}: {then[selector]} instead of {now[selector]}" for selector in both))

    def restore(self, domain: str, name: str, now: float) -> None:
        """Give the keys of a domain the states of a kept version; the present ones become the latest version.

        A key that is not in use now waits for DNS first, as a new one does. Raises NoSuchKey if there is no such
        version, KeysUnreadable or OSError.
        """
        with self._locked(domain):
            self._save(domain, _put_back(self._keys_then(domain, name), self.keys(domain), now))

    def stop_signing(self, domain: str, now: float) -> tuple[DkimKey, ...]:
        """Let the keys in use wait for DNS as new ones do; return them. Raises KeysUnreadable or OSError."""
        used = tuple(key for key in self.keys(domain) if key.state in {IN_USE, SEEN})
        if used:
            with self._locked(domain):
                self._change(domain, lambda key: _waiting(key, now) if key.state in {IN_USE, SEEN} else key)
        return used

    def _keys_then(self, domain: str, name: str) -> tuple[DkimKey, ...]:
        found = next((version for version in self.versions(domain) if version.name == name), None)
        if found is None:
            raise NoSuchKey(f"{domain} has no version {name} of its keys")
        return _keys_in(domain, found.path)

    def stamp(self, domain: str) -> tuple[int, int] | None:
        """Return a value that changes with every change of the domain's state, None when it has no keys."""
        try:
            found = os.stat(self._path(domain, _STATE_FILE))
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    def private(self, key: DkimKey) -> bytes:
        """Return the private key in PEM form. Raises KeysUnreadable."""
        path = self._path(key.domain, f"{key.selector}.pem")
        try:
            with open(path, "rb") as file:
                return file.read(65_536)
        except OSError as problem:
            raise KeysUnreadable(f"{path}: {problem.strerror}") from None

    def record(self, key: DkimKey) -> str:
        """Return the DNS record of a key, made from the private key. Raises KeysUnreadable."""
        try:
            return record_of(self.private(key))
        except (ValueError, TypeError) as problem:
            path = self._path(key.domain, f"{key.selector}.pem")
            raise KeysUnreadable(f"{path} holds no usable private key: {problem}") from None

    def key(self, domain: str, selector: str) -> DkimKey:
        """Return one key. Raises NoSuchKey or KeysUnreadable."""
        for each in self.keys(domain):
            if each.selector == selector:
                return each
        raise NoSuchKey(f"{domain} has no key with the selector {selector}")

    def add(self, domain: str, algorithms: str, now: float) -> tuple[DkimKey, ...]:
        """Make new keys, one for each algorithm in a list parted by “+”."""
        with self._locked(domain):
            known = self.keys(domain)
            made: list[DkimKey] = []
            for algorithm in algorithms.split("+"):
                selector = _free_selector(self._taken(domain), algorithm, now)
                pem = make_key(algorithm)
                self._write(domain, f"{selector}.pem", pem)
                self._write(domain, f"{selector}.txt", record_of(pem).encode("ascii") + b"\n")
                made.append(DkimKey(domain, selector, algorithm, NEW, int(now), int(now)))
            self._save(domain, (*known, *made))
        return tuple(made)

    def _taken(self, domain: str) -> set[str]:
        """Return the selectors of all private keys, of which a version may not name the latest."""
        names = os.listdir(os.path.join(self.folder, domain))
        return {name.removesuffix(".pem") for name in names if name.endswith(".pem")}

    def set_state(self, key: DkimKey, state: str, now: float, *, first_seen: int | None = None) -> None:
        """Give a key another state. One that is used from now on retires those of its kind. Raises NoSuchKey."""

        def changed(each: DkimKey) -> DkimKey:
            if each.selector == key.selector:
                seen = each.first_seen if first_seen is None else first_seen
                since = each.since if each.state == state else int(now)
                return replace(each, state=state, since=since, first_seen=seen)
            if state == IN_USE and each.state == IN_USE and _kind(each) == _kind(key):
                return replace(each, state=RETIRED, since=int(now))
            return each

        with self._locked(key.domain):
            self.key(key.domain, key.selector)
            self._change(key.domain, changed)

    def _change(self, domain: str, changed: Callable[[DkimKey], DkimKey]) -> None:
        self._save(domain, [changed(each) for each in self.keys(domain)])

    def _save(self, domain: str, keys: Sequence[DkimKey]) -> None:
        rows = [{name: value for name, value in asdict(key).items() if name != "domain"} for key in keys]
        new = json.dumps({"keys": rows}, indent=1).encode("utf-8") + b"\n"
        with suppress(FileNotFoundError):
            path = self._path(domain, _STATE_FILE)
            with open(path, "rb") as file:
                old = file.read()
            if old != new:
                keep(path, old)
        self._write(domain, _STATE_FILE, new)

    def _write(self, domain: str, name: str, data: bytes) -> None:
        path = self._path(domain, name)
        atomic_file.replace(path, data)
        self._give(path)

    def _give(self, path: str) -> None:
        if self._owner is not None:
            os.chown(path, *self._owner)

    @contextmanager
    def _locked(self, domain: str) -> Iterator[None]:
        for folder in (self.folder, os.path.join(self.folder, domain)):
            if not os.path.isdir(folder):
                os.mkdir(folder, 0o700)
                self._give(folder)
        descriptor = os.open(os.path.join(self.folder, domain), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _path(self, domain: str, name: str) -> str:
        return os.path.join(self.folder, domain, name)


def _kind(key: DkimKey) -> str:
    return "ed25519" if key.algorithm == "ed25519" else "rsa"


def _free_selector(taken: set[str], algorithm: str, now: float) -> str:
    """Return the year and month, with an “e” for Ed25519, and a number where that is taken."""
    base = datetime.fromtimestamp(now, UTC).strftime("%Y%m") + ("e" if algorithm == "ed25519" else "")
    number = 1
    while (selector := base if number == 1 else f"{base}-{number}") in taken:
        number += 1
    return selector


def _put_back(then: Sequence[DkimKey], present: Sequence[DkimKey], now: float) -> tuple[DkimKey, ...]:
    """Return the keys of a version as a restore leaves them: DNS has to show a key before it is used.

    The key that is in use now stays so until one of its kind that was in use then has taken its place.
    """
    by_selector = {key.selector: key for key in present}
    used = {key.selector: key for key in present if key.state == IN_USE}
    awaited = {_kind(key) for key in then if key.state == IN_USE and key.selector not in used}
    staying = {selector: key for selector, key in used.items() if _kind(key) in awaited}
    found = [staying.get(key.selector) or _state_back(key, by_selector.get(key.selector), now) for key in then]
    named = {key.selector for key in then}
    return (*found, *(key for selector, key in staying.items() if selector not in named))


def _state_back(then: DkimKey, present: DkimKey | None, now: float) -> DkimKey:
    if present is not None and present.state == then.state:
        return present
    return then if then.state == RETIRED else _waiting(then, now)


def _waiting(key: DkimKey, now: float) -> DkimKey:
    return replace(key, state=NEW, since=int(now), first_seen=0)


def _keys_in(domain: str, path: str) -> tuple[DkimKey, ...]:
    """Return the keys in a file of states, none if it does not exist. Raises KeysUnreadable."""
    try:
        with open(path, encoding="utf-8") as file:
            rows = json.load(file)["keys"]
        return tuple(_key(domain, row) for row in rows)
    except FileNotFoundError:
        return ()
    except OSError as problem:
        raise KeysUnreadable(f"{path}: {problem.strerror}") from None
    except (ValueError, KeyError, TypeError) as problem:
        raise KeysUnreadable(f"{path} is damaged: {problem}") from None


def _key(domain: str, row: dict[str, object]) -> DkimKey:
    selector, algorithm, state = (str(row[name]) for name in ("selector", "algorithm", "state"))
    if not _SELECTOR.fullmatch(selector) or state not in _STATES:
        raise ValueError(f"the key “{selector[:40]}” is not described correctly")
    times = [row.get(name, 0) for name in ("since", "made", "first_seen")]
    since, made, first_seen = (each if isinstance(each, int) else 0 for each in times)
    return DkimKey(domain, selector, algorithm, state, since, made, first_seen)
