"""A resolver for tests, and for programs that know all answers."""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from smtpd_classic.dns.names import literal, plain_address
from smtpd_classic.dns.resolver import DnsFailure, MxRecord, NoSuchDomain, NullMx, TlsaAnswer

__all__ = ["FixedResolver"]

_T = TypeVar("_T")


class FixedResolver:
    """A resolver that answers from dictionaries: MX, TXT and TLSA by domain, addresses by host, names by IP address.

    A value may be an exception, which is raised. A name in none of them does not exist. `names` are verified names;
    they are the PTR records as well, unless `pointers` has others.
    """

    def __init__(
        self,
        mx: Mapping[str, Sequence[tuple[int, str]] | Exception] | None = None,
        addresses: Mapping[str, Sequence[str] | Exception] | None = None,
        names: Mapping[str, str] | None = None,
        *,
        txt: Mapping[str, Sequence[bytes] | Exception] | None = None,
        pointers: Mapping[str, Sequence[str] | Exception] | None = None,
        tlsa: Mapping[str, TlsaAnswer | Exception] | None = None,
        ns: Mapping[str, Sequence[str] | Exception] | None = None,
    ) -> None:
        self._mx = mx or {}
        self._addresses = addresses or {}
        self._names = names or {}
        self._txt = txt or {}
        self._pointers = pointers or {}
        self._tlsa = tlsa or {}
        self._ns = ns or {}

    def mx(self, domain: str, *, timeout_s: float = 10.0) -> tuple[MxRecord, ...]:
        found = _value(self._mx.get(domain))
        if found is None:
            self.addresses(domain, timeout_s=timeout_s)
            return (MxRecord(0, domain),)
        return tuple(sorted((MxRecord(*each) for each in found), key=lambda mx: mx.preference))

    def addresses(self, host: str, *, timeout_s: float = 10.0, version: int = 0) -> tuple[str, ...]:
        if (address := literal(host)) is not None:
            return (address,)
        found = _value(self._addresses.get(host)) or ()
        found = tuple(each for each in found if version in {0, ipaddress.ip_address(each).version})
        if not found:
            raise NoSuchDomain(f"{host} does not exist")
        return found

    def begin_mx(self, domain: str, done: Callable[[tuple[MxRecord, ...] | Exception], None]) -> None:
        try:
            found = self.mx(domain)
        except (NoSuchDomain, NullMx, DnsFailure) as problem:
            done(problem)
        else:
            done(found)

    def begin_addresses(self, host: str, done: Callable[[tuple[str, ...] | Exception], None]) -> None:
        try:
            found = self.addresses(host)
        except (NoSuchDomain, DnsFailure) as problem:
            done(problem)
        else:
            done(found)

    def host_name(self, ip: str) -> str:
        return self._names.get(ip, "")

    def txt(self, name: str, *, timeout_s: float = 10.0) -> tuple[bytes, ...]:
        return tuple(self._known(name, _value(self._txt.get(name))) or ())

    def ptr(self, ip: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        ip = plain_address(ip)
        found = _value(self._pointers.get(ip))
        if found is not None:
            return tuple(found)
        if not self._names.get(ip):
            raise NoSuchDomain(f"{ip} has no name")
        return (self._names[ip],)

    def address_records(self, host: str, version: int, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        found = self._known(host, _value(self._addresses.get(host))) or ()
        return tuple(each for each in found if ipaddress.ip_address(each).version == version)

    def mx_records(self, domain: str, *, timeout_s: float = 10.0) -> tuple[MxRecord, ...]:
        if isinstance(self._mx.get(domain), NullMx):
            return (MxRecord(0, ""),)
        found = self._known(domain, _value(self._mx.get(domain))) or ()
        return tuple(sorted(MxRecord(*each) for each in found))

    def ns_records(self, domain: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        return tuple(self._known(domain, _value(self._ns.get(domain))) or ())

    def tlsa(self, host: str, port: int, *, timeout_s: float = 10.0) -> TlsaAnswer:
        name = f"_{port}._tcp.{host}"
        return self._known(name, _value(self._tlsa.get(name))) or TlsaAnswer((), secure=False)

    def _known(self, name: str, found: _T | None) -> _T | None:
        """Return `found`, or None for a name that exists with other records. Raises NoSuchDomain for any other."""
        if found is None and not any(name in each for each in (self._mx, self._addresses, self._txt, self._ns)):
            raise NoSuchDomain(f"{name} does not exist")
        return found


def _value(found: _T | Exception | None) -> _T | None:
    if isinstance(found, Exception):
        raise found
    return found
