"""Our side of a connection to another host: the source address and the IP versions."""

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable

from smtpd_classic.dns import DnsFailure, NoSuchDomain, Resolver

__all__ = ["LocalAddresses"]

_GOOD_S, _BAD_S = 600.0, 60.0


class LocalAddresses:
    """The options `source_address` and `ip_versions`.

    Every connection to another host binds to `source(ip)` and goes to one of `usable(addresses)`. Neither method waits.
    """

    def __init__(
        self,
        sources: Iterable[str] = (),
        versions: str = "both",
        resolver: Resolver | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = {ipaddress.ip_address(each).version: each for each in sources}
        self._versions = versions
        self._resolver = resolver
        self._monotonic = monotonic
        self._verdicts: dict[str, tuple[float, bool]] = {}
        self._lock = threading.Lock()
        self._asking: set[str] = set()

    def source(self, ip: str) -> str:
        """Return the address to bind to before connecting to `ip`, or "" if the system chooses it."""
        return self._sources.get(6 if ":" in ip else 4, "")

    def usable(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Return the addresses of the IP versions in use, in the same order.

        With `auto` IPv6 addresses are left out while the PTR record of our own IPv6 address is missing or does not lead
        back: large receivers refuse such clients. They stay when the host has no other address.
        """
        ipv4 = tuple(each for each in addresses if ":" not in each)
        ipv6 = tuple(each for each in addresses if ":" in each)
        if self._versions == "both" or not (ipv6 and (ipv4 or self._versions == "ipv4")):
            return () if self._versions == "ipv6" and not ipv6 else addresses
        if self._versions == "ipv6":
            return ipv6
        return addresses if self._versions == "auto" and self._has_name(ipv6[0]) else ipv4

    def _has_name(self, destination: str) -> bool:
        """Return True if our source address on the way to `destination` is known to have a verified name."""
        own = self.source(destination) or _address_towards(destination)
        if not own or ipaddress.ip_address(own.partition("%")[0]).is_loopback:
            return bool(own)
        with self._lock:
            until, good = self._verdicts.get(own, (0.0, False))
            if self._monotonic() >= until and own not in self._asking:
                self._asking.add(own)
                threading.Thread(target=self._ask, args=(own,), name="own-name", daemon=True).start()
        return good

    def _ask(self, own: str) -> None:
        good = self._resolver is not None and _leads_back(own, self._resolver)
        with self._lock:
            self._verdicts[own] = (self._monotonic() + (_GOOD_S if good else _BAD_S), good)
            self._asking.discard(own)


def _address_towards(destination: str) -> str:
    """Return the address that the system would connect from, or "" without a route. Nothing is sent."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((destination, 25))
        return str(probe.getsockname()[0])
    return ""


def _leads_back(ip: str, resolver: Resolver) -> bool:
    """Return True if a name in the PTR records of the address has the address (RFC 8601 3, iprev).

    /etc/hosts does not count: other hosts query DNS.
    """
    with contextlib.suppress(NoSuchDomain, DnsFailure):
        for name in resolver.ptr(ip)[:3]:
            with contextlib.suppress(NoSuchDomain, DnsFailure):
                if ip in resolver.address_records(name, 6):
                    return True
    return False
