"""The resolver that asks name servers."""

import ipaddress
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.name
import dns.nameserver
import dns.rcode
import dns.resolver
from dns.rdtypes.ANY.MX import MX

from smtpd_classic.dns.names import domain_name, literal, plain_address, record_name, reverse_name, text
from smtpd_classic.dns.resolver import DnsFailure, MxRecord, NoSuchDomain, NullMx, TlsaAnswer, TlsaRecord
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.hosts_file import HostsFile

__all__ = ["DnsResolver"]

_UDP_PAYLOAD = 1232  # fits every path unfragmented (DNS flag day 2020)
_CACHED_ANSWERS = 50_000
_TRY_S = 2.0
_FAILURE_KEPT_S = 30.0
_NAME_KEPT_S, _NO_NAME_KEPT_S = 600.0, 60.0
_HOST_NAME_S = 2.0
_MAX_NAMES = 10_000
_MAX_PTR = 3


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

    def mx(self, domain: str, *, timeout_s: float = 10.0) -> tuple[MxRecord, ...]:
        if (address := literal(domain)) is not None:
            return (MxRecord(0, address),)
        deadline = self._clock() + timeout_s
        answer = self._ask(domain_name(domain), "MX", timeout_s)
        if answer.rrset is None:
            self.addresses(domain, timeout_s=max(deadline - self._clock(), 0.1))
            return (MxRecord(0, ascii_domain(domain)),)
        # Only one record can mean “no mail”; beside others it means nothing (RFC 7505 3).
        hosts: dict[str, MxRecord] = {}
        for each in answer.rrset.processing_order():
            if isinstance(each, MX) and each.exchange != dns.name.root:
                hosts.setdefault(text(each.exchange), MxRecord(each.preference, text(each.exchange)))
        if not hosts:
            raise NullMx(f"{domain} accepts no mail")
        return tuple(hosts.values())

    def addresses(self, host: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        if (address := literal(host)) is not None:
            return (address,)
        if found := self._hosts.addresses(host):
            return found
        name = domain_name(host)
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

    def txt(self, name: str, *, timeout_s: float = 10.0) -> tuple[bytes, ...]:
        answer = self._ask(record_name(name), "TXT", timeout_s)
        return tuple(b"".join(each.strings) for each in answer.rrset or ())

    def ptr(self, ip: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        answer = self._ask(reverse_name(ip), "PTR", timeout_s)
        return tuple(text(each.target) for each in answer.rrset or ())

    def address_records(self, host: str, version: int, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        answer = self._ask(record_name(host), "A" if version == 4 else "AAAA", timeout_s)
        return tuple(each.address for each in answer.rrset or ())

    def mx_records(self, domain: str, *, timeout_s: float = 10.0) -> tuple[MxRecord, ...]:
        answer = self._ask(record_name(domain), "MX", timeout_s)
        found = (MxRecord(each.preference, text(each.exchange).rstrip(".")) for each in answer.rrset or ())
        return tuple(sorted(found))

    def tlsa(self, host: str, port: int, *, timeout_s: float = 10.0) -> TlsaAnswer:
        answer = self._ask(record_name(f"_{port}._tcp.{host}"), "TLSA", timeout_s)
        records = (TlsaRecord(each.usage, each.selector, each.mtype, each.cert) for each in answer.rrset or ())
        return TlsaAnswer(tuple(records), bool(answer.response.flags & dns.flags.AD))

    def _look_up_name(self, ip: str) -> str:
        address = plain_address(ip)
        if name := self._hosts.name(address):
            return name
        if ipaddress.ip_address(address).is_loopback:
            return "localhost"
        deadline = self._clock() + _HOST_NAME_S
        try:
            answer = self._ask(reverse_name(ip), "PTR", _HOST_NAME_S)
        except (NoSuchDomain, DnsFailure):
            return ""
        for each in list(answer.rrset or ())[:_MAX_PTR]:
            if self._leads_to(text(each.target), address, deadline - self._clock()):
                return text(each.target)
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
            raise NoSuchDomain(f"{text(name)} does not exist") from None
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
    resolver.flags = dns.flags.RD | dns.flags.AD  # AD in a question asks for AD in the answer (RFC 6840 5.7)
    return resolver


def _reason(problem: Exception, name: dns.name.Name, timeout_s: float) -> str:
    if isinstance(problem, dns.resolver.LifetimeTimeout):
        return f"no name server answered about {text(name)} within {timeout_s:.1f} s"
    if isinstance(problem, dns.resolver.NoNameservers):
        codes = [dns.rcode.to_text(each[4].rcode()) for each in problem.kwargs.get("errors", ()) if each[4] is not None]
        return f"the name servers failed to answer about {text(name)} ({', '.join(dict.fromkeys(codes)) or 'no reply'})"
    return f"the answer of DNS about {text(name)} could not be used ({type(problem).__name__})"
