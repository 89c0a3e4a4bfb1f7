"""The few questions that a mail server asks DNS, and what the answers mean for mail.

`Resolver` is what the rest of the program knows; `DnsResolver` asks, `FixedResolver` has the answers with it (tests).
"""

import functools
import ipaddress
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import dns.exception
import dns.name
import dns.nameserver
import dns.rcode
import dns.resolver
import dns.reversename
from dns.rdtypes.ANY.MX import MX

from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.hosts_file import HostsFile

__all__ = ["DnsFailure", "DnsResolver", "FixedResolver", "Mx", "NoSuchDomain", "NullMx", "Resolver"]

_UDP_PAYLOAD = 1232  # fits every path unfragmented (DNS flag day 2020)
_CACHED_ANSWERS = 50_000
_TRY_S = 2.0
_FAILURE_KEPT_S = 30.0
_NAME_KEPT_S, _NO_NAME_KEPT_S = 600.0, 60.0
_HOST_NAME_S = 2.0
_MAX_NAMES = 10_000
_MAX_PTR = 3
_DOMAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


class Mx(NamedTuple):
    """A mail exchanger; the lowest preference comes first."""

    preference: int
    host: str


class NoSuchDomain(Exception):
    """The name does not exist, or exists without any address: final (5.1.2)."""


class NullMx(Exception):
    """The domain says that it takes no mail (RFC 7505): final (5.1.10)."""


class DnsFailure(Exception):
    """No answer, or none that could be used: it may be different later (4.4.3)."""


class Resolver(Protocol):
    """Names are given as people write them, in Unicode too. Every question is bounded by `timeout_s`."""

    def mx(self, domain: str, *, timeout_s: float = 10.0) -> tuple[Mx, ...]:
        """The hosts to try, in that order: by preference, equal ones shuffled anew each time (RFC 5321 5.1). A domain
        without MX that has an address is its own exchanger. Raises NoSuchDomain, NullMx or DnsFailure."""

    def addresses(self, host: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        """The IP addresses of a host, IPv6 before IPv4; /etc/hosts comes first, an IP address stands for itself.
        Raises NoSuchDomain when it has none, or DnsFailure."""

    def host_name(self, ip: str) -> str:
        """The verified name of a client: what its PTR says, if that name leads back to it. Blank when unknown."""


class _Failure(NamedTuple):
    until: float
    bound_s: float
    reason: str


class DnsResolver:
    """Asks the given name servers, or those of /etc/resolv.conf. One is shared by all threads.

    Answers are cached for their time to live, failures for half a minute: dnspython does not keep those, and a hundred
    messages to a domain with dead name servers must not wait for a hundred time-outs.
    """

    def __init__(
        self,
        name_servers: Sequence[tuple[str, int]] = (),
        *,
        hosts_file: str = "/etc/hosts",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolver = _configured(name_servers)
        self._hosts = HostsFile(hosts_file)
        self._clock = clock
        self._failures: dict[tuple[dns.name.Name, str], _Failure] = {}
        self._names: dict[str, tuple[float, str]] = {}

    def mx(self, domain: str, *, timeout_s: float = 10.0) -> tuple[Mx, ...]:
        if (literal := _literal(domain)) is not None:
            return (Mx(0, literal),)
        deadline = self._clock() + timeout_s
        answer = self._ask(_name(domain), "MX", timeout_s)
        if answer.rrset is None:
            self.addresses(domain, timeout_s=max(deadline - self._clock(), 0.1))
            return (Mx(0, ascii_domain(domain)),)
        # Only one record can mean “no mail”; beside others it means nothing (RFC 7505 3).
        hosts: dict[str, Mx] = {}
        for each in answer.rrset.processing_order():
            if isinstance(each, MX) and each.exchange != dns.name.root:
                hosts.setdefault(_text(each.exchange), Mx(each.preference, _text(each.exchange)))
        if not hosts:
            raise NullMx(f"{domain} accepts no mail")
        return tuple(hosts.values())

    def addresses(self, host: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        if (literal := _literal(host)) is not None:
            return (literal,)
        if found := self._hosts.addresses(host):
            return found
        name = _name(host)
        deadline = self._clock() + timeout_s
        ipv4, failure = self._addresses_of(name, "A", timeout_s)
        rest = max(deadline - self._clock(), 0.1)
        ipv6, other_failure = self._addresses_of(name, "AAAA", min(rest, _TRY_S) if ipv4 else rest)
        if ipv4 or ipv6:
            return (*ipv6, *ipv4)
        if failure or other_failure:
            raise DnsFailure(failure or other_failure)
        raise NoSuchDomain(f"{host} has no address")

    def host_name(self, ip: str) -> str:
        kept = self._names.get(ip)
        if kept is not None and self._clock() < kept[0]:
            return kept[1]
        name = self._look_up_name(ip)
        if len(self._names) >= _MAX_NAMES:
            self._names.clear()
        self._names[ip] = (self._clock() + (_NAME_KEPT_S if name else _NO_NAME_KEPT_S), name)
        return name

    def _look_up_name(self, ip: str) -> str:
        address = ipaddress.ip_address(ip.partition("%")[0])  # a link-local one comes with its interface
        address = getattr(address, "ipv4_mapped", None) or address
        if name := self._hosts.name(str(address)):
            return name
        if address.is_loopback:
            return "localhost"
        deadline = self._clock() + _HOST_NAME_S
        try:
            answer = self._ask(dns.reversename.from_address(str(address)), "PTR", _HOST_NAME_S)
        except (NoSuchDomain, DnsFailure):
            return ""
        for each in list(answer.rrset or ())[:_MAX_PTR]:
            if self._leads_to(_text(each.target), str(address), deadline - self._clock()):
                return _text(each.target)
        return ""

    def _leads_to(self, name: str, ip: str, timeout_s: float) -> bool:
        try:
            return timeout_s > 0 and ip in self.addresses(name, timeout_s=timeout_s)
        except (NoSuchDomain, DnsFailure):
            return False

    def _addresses_of(self, name: dns.name.Name, kind: str, timeout_s: float) -> tuple[tuple[str, ...], str]:
        """The addresses of one family, and why there are none if that may change."""
        try:
            answer = self._ask(name, kind, timeout_s)
        except DnsFailure as failure:
            return (), str(failure)
        return tuple(each.address for each in answer.rrset or ()), ""

    def _ask(self, name: dns.name.Name, kind: str, timeout_s: float) -> dns.resolver.Answer:
        """The answer, with an rrset of None when the name exists and has no such record."""
        kept = self._failures.get((name, kind))
        if kept is not None and self._clock() < kept.until and timeout_s <= kept.bound_s:
            raise DnsFailure(kept.reason)
        try:
            answer = self._resolver.resolve(name, kind, raise_on_no_answer=False, lifetime=timeout_s, search=False)
        except dns.resolver.NXDOMAIN:
            raise NoSuchDomain(f"{_text(name)} does not exist") from None
        except (dns.exception.DNSException, OSError, EOFError) as problem:
            reason = _reason(problem, name, timeout_s)
            if len(self._failures) >= _MAX_NAMES:
                self._failures.clear()
            self._failures[name, kind] = _Failure(self._clock() + _FAILURE_KEPT_S, timeout_s, reason)
            raise DnsFailure(reason) from None
        self._failures.pop((name, kind), None)
        return answer


def _configured(name_servers: Sequence[tuple[str, int]]) -> dns.resolver.Resolver:
    try:
        resolver = dns.resolver.Resolver(configure=not name_servers)
    except dns.resolver.NoResolverConfiguration:
        resolver = dns.resolver.Resolver(configure=False)
        name_servers = (("127.0.0.1", 53),)
    if name_servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in name_servers]
    resolver.timeout = _TRY_S
    resolver.cache = dns.resolver.LRUCache(_CACHED_ANSWERS)
    resolver.use_edns(0, 0, _UDP_PAYLOAD)
    return resolver


@functools.lru_cache(1024)
def _literal(host: str) -> str | None:
    """The IP address that `192.0.2.1`, `[192.0.2.1]` and `[IPv6:2001:db8::1]` are (RFC 5321 4.1.3)."""
    if not host or (host[0] != "[" and host[-1] not in "0123456789abcdefABCDEF"):
        return None
    try:
        return str(ipaddress.ip_address(host.strip("[]").removeprefix("IPv6:")))
    except ValueError:
        return None


@functools.lru_cache(8192)
def _name(domain: str) -> dns.name.Name:
    """Raises NoSuchDomain for what cannot be a name: no time will make it one."""
    try:
        text = ascii_domain(domain)
    except ValueError:
        text = ""
    if not _DOMAIN.fullmatch(text) or len(text) > 253:
        raise NoSuchDomain(f"{domain} is not a domain name")
    return dns.name.from_text(text)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _reason(problem: Exception, name: dns.name.Name, timeout_s: float) -> str:
    if isinstance(problem, dns.resolver.LifetimeTimeout):
        return f"no name server answered about {_text(name)} within {timeout_s:.1f} s"
    if isinstance(problem, dns.resolver.NoNameservers):
        codes = [dns.rcode.to_text(each[4].rcode()) for each in problem.kwargs.get("errors", ()) if each[4] is not None]
        return (
            f"the name servers failed to answer about {_text(name)} ({', '.join(dict.fromkeys(codes)) or 'no reply'})"
        )
    return f"the answer of DNS about {_text(name)} could not be used ({type(problem).__name__})"


class FixedResolver:
    """A resolver out of dictionaries: MX by domain, addresses by host, names by IP address.

    A value may be an exception, which is raised. What is in no dictionary does not exist.
    """

    def __init__(
        self,
        mx: Mapping[str, Sequence[tuple[int, str]] | Exception] | None = None,
        addresses: Mapping[str, Sequence[str] | Exception] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._mx = mx or {}
        self._addresses = addresses or {}
        self._names = names or {}

    def mx(self, domain: str, *, timeout_s: float = 10.0) -> tuple[Mx, ...]:
        found = self._mx.get(domain)
        if isinstance(found, Exception):
            raise found
        if found is None:
            self.addresses(domain, timeout_s=timeout_s)
            return (Mx(0, domain),)
        return tuple(sorted((Mx(*each) for each in found), key=lambda mx: mx.preference))

    def addresses(self, host: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        if (literal := _literal(host)) is not None:
            return (literal,)
        found = self._addresses.get(host)
        if isinstance(found, Exception):
            raise found
        if not found:
            raise NoSuchDomain(f"{host} does not exist")
        return tuple(found)

    def host_name(self, ip: str) -> str:
        return self._names.get(ip, "")
