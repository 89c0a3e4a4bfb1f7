"""/etc/hosts, which a DNS library does not read: names that an administrator fixed for this machine."""

import ipaddress
import os
from typing import NamedTuple

__all__ = ["HostsFile"]


class _Content(NamedTuple):
    signature: tuple[int, int, int]
    addresses: dict[str, tuple[str, ...]]
    names: dict[str, str]


class HostsFile:
    """Read again when it changes; one that cannot be read has nothing in it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._content = _Content((0, 0, 0), {}, {})

    def addresses(self, name: str) -> tuple[str, ...]:
        """IPv6 before IPv4; empty when the name is not in the file."""
        return self._current().addresses.get(name.lower().removesuffix("."), ())

    def name(self, ip: str) -> str:
        """The first name that the file gives the address, or ""."""
        return self._current().names.get(ip, "")

    def _current(self) -> _Content:
        try:
            found = os.stat(self._path)
            signature = found.st_ino, found.st_mtime_ns, found.st_size
            if signature != self._content.signature:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._content = _parsed(file.read(), signature)
        except OSError:
            return _Content((0, 0, 0), {}, {})
        return self._content


def _parsed(text: str, signature: tuple[int, int, int]) -> _Content:
    addresses: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        try:
            ip = str(ipaddress.ip_address(words[0])) if words else ""
        except ValueError:
            continue
        for name in words[1:]:
            known = addresses.setdefault(name.lower(), [])
            if ip not in known:
                known.append(ip)
        if len(words) > 1:
            names.setdefault(ip, words[1].lower())
    ordered = {name: tuple(sorted(found, key=lambda ip: ":" not in ip)) for name, found in addresses.items()}
    return _Content(signature, ordered, names)
