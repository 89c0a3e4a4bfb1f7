"""The resolver that asks name servers."""

import contextlib
import ipaddress
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue

from smtpd_classic.dns.address_search import AddressSearch
from smtpd_classic.dns.exchange import DnsQuestion
from smtpd_classic.dns.names import domain_name, literal, plain_address, record_name, reverse_name, shown
from smtpd_classic.dns.questions import Answer, Outcome, Questions
from smtpd_classic.dns.resolver import DnsFailure, MxRecord, NoSuchDomain, NullMx, TlsaAnswer
from smtpd_classic.dns.tcp import Server, configured
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.hosts_file import HostsFile

__all__ = ["DnsResolver"]

_NAME_KEPT_S, _NO_NAME_KEPT_S = 600.0, 60.0
_HOST_NAME_S = 2.0
_MAX_NAMES = 10_000
_MAX_PTR = 3


class DnsResolver:
    """A resolver that asks the given name servers, or those of /etc/resolv.conf. One is shared by all threads."""

    def __init__(
        self,
        name_servers: Sequence[Server] = (),
        *,
        hosts_file: str = "/etc/hosts",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._questions = Questions(name_servers or configured(), clock)
        self._hosts = HostsFile(hosts_file)
        self._clock = clock
        self._names: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def mx(self, domain: str, *, timeout_s: float = 10.0) -> tuple[MxRecord, ...]:
        if (address := literal(domain)) is not None:
            return (MxRecord(0, address),)
        deadline = self._clock() + timeout_s
        try:
            hosts = _exchangers(domain, self._ask(domain_name(domain), "MX", timeout_s))
        except NoSuchDomain:
            if not self._has_address(domain, deadline):
                raise
            return _itself(domain)
        if not hosts:
            self.addresses(domain, timeout_s=max(deadline - self._clock(), 0.1))
        return hosts or _itself(domain)

    def _has_address(self, domain: str, deadline: float) -> bool:
        """Return True for an address in hand: name servers that know A alone deny everything else (RFC 4074 4.2)."""
        try:
            return bool(self.addresses(domain, timeout_s=max(deadline - self._clock(), 0.1)))
        except (NoSuchDomain, DnsFailure):
            return False

    def begin_mx(self, domain: str, done: Callable[[tuple[MxRecord, ...] | Exception], None]) -> None:
        def addresses_known(denial: str, found: tuple[str, ...] | Exception) -> None:
            if not isinstance(found, Exception):
                done(_itself(domain))
            else:
                done(NoSuchDomain(denial) if denial else found)

        def exchangers_known(outcome: Outcome) -> None:
            hosts: tuple[MxRecord, ...] = ()
            denial = ""
            try:
                hosts = _exchangers(domain, _answer(outcome))
            except NoSuchDomain as problem:
                denial = str(problem)
            except (NullMx, DnsFailure) as problem:
                done(problem)
                return
            if hosts:
                done(hosts)
            else:
                self.begin_addresses(domain, partial(addresses_known, denial))

        if (address := literal(domain)) is not None:
            done((MxRecord(0, address),))
            return
        try:
            name = domain_name(domain)
        except NoSuchDomain as problem:
            done(problem)
        else:
            self._questions.ask(DnsQuestion(name, "MX"), exchangers_known)

    def addresses(self, host: str, *, timeout_s: float = 10.0, version: int = 0) -> tuple[str, ...]:
        if (found := self._fixed(host, version)) is not None:
            return found
        arrived: SimpleQueue[None] = SimpleQueue()
        search = AddressSearch(host, version, self._questions, lambda: arrived.put(None))
        search.start()
        with contextlib.suppress(Empty):
            arrived.get(timeout=max(timeout_s - search.age, 0.0))
        return search.found(timeout_s)

    def begin_addresses(self, host: str, done: Callable[[tuple[str, ...] | Exception], None]) -> None:
        def arrived() -> None:
            try:
                addresses = search.found()
            except (NoSuchDomain, DnsFailure) as problem:
                done(problem)
            else:
                done(addresses)

        try:
            if (found := self._fixed(host, 0)) is not None:
                done(found)
                return
            search = AddressSearch(host, 0, self._questions, arrived)
        except NoSuchDomain as problem:
            done(problem)
        else:
            search.start()

    def _fixed(self, host: str, version: int) -> tuple[str, ...] | None:
        """Return the addresses that need no question, or None. Raises NoSuchDomain for those of another version."""
        address = literal(host)
        found = (address,) if address is not None else self._hosts.addresses(host)
        if not found:
            return None
        found = tuple(each for each in found if not version or (":" in each) == (version == 6))
        if not found:
            raise NoSuchDomain(f"{host} has no IPv{version} address")
        return found

    def host_name(self, ip: str) -> str:
        kept = self._names.get(ip)
        if kept is not None and self._clock() < kept[0]:
            return kept[1]
        name = self._look_up_name(ip)
        while len(self._names) >= _MAX_NAMES:
            self._names.popitem(last=False)
        self._names[ip] = (self._clock() + (_NAME_KEPT_S if name else _NO_NAME_KEPT_S), name)
        return name

    def txt(self, name: str, *, timeout_s: float = 10.0) -> tuple[bytes, ...]:
        return self._ask(record_name(name), "TXT", timeout_s, for_check=True).records

    def ptr(self, ip: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        return self._ask(reverse_name(ip), "PTR", timeout_s, for_check=True).records

    def address_records(self, host: str, version: int, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        return self._ask(record_name(host), "A" if version == 4 else "AAAA", timeout_s, for_check=True).records

    def mx_records(self, domain: str, *, timeout_s: float = 10.0) -> tuple[MxRecord, ...]:
        return tuple(sorted(self._ask(record_name(domain), "MX", timeout_s, for_check=True).records))

    def ns_records(self, domain: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        return self._ask(record_name(domain), "NS", timeout_s).records

    def tlsa(self, host: str, port: int, *, timeout_s: float = 10.0) -> TlsaAnswer:
        answer = self._ask(record_name(f"_{port}._tcp.{host}"), "TLSA", timeout_s)
        return TlsaAnswer(answer.records, answer.secure)

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
        for each in answer.records[:_MAX_PTR]:
            if self._leads_to(each, address, deadline - self._clock()):
                return str(each)
        return ""

    def _leads_to(self, name: str, ip: str, timeout_s: float) -> bool:
        try:
            return timeout_s > 0 and ip in self.addresses(name, timeout_s=timeout_s, version=6 if ":" in ip else 4)
        except (NoSuchDomain, DnsFailure):
            return False

    def _ask(self, name: str, kind: str, timeout_s: float, *, for_check: bool = False) -> Answer:
        """Return the answer, without records when the name exists and has none of this kind."""
        question = DnsQuestion(name, kind)
        known = self._questions.known(question)
        if known is not None:
            return _answer(known)
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._questions.ask(question, outcomes.put, for_check=for_check)
        try:
            # A question that has been silent for longer than this caller can wait is no better than a failed one.
            return _answer(outcomes.get(timeout=max(timeout_s - self._questions.age(question), 0.0)))
        except Empty:
            raise DnsFailure(f"no name server answered about {shown(name)} within {timeout_s:.1f} s") from None


def _answer(outcome: Outcome) -> Answer:
    """Return the answer. Raises NoSuchDomain or DnsFailure."""
    if isinstance(outcome, Answer):
        return outcome
    raise outcome.exception()


def _itself(domain: str) -> tuple[MxRecord, ...]:
    return (MxRecord(0, ascii_domain(domain)),)


def _exchangers(domain: str, answer: Answer) -> tuple[MxRecord, ...]:
    """Return the hosts in the order in which they are tried, none if the domain has no MX. Raises NullMx."""
    records: tuple[MxRecord, ...] = answer.records
    if len(records) > 1:
        records = tuple(sorted(random.sample(records, len(records)), key=lambda record: record.preference))
    hosts: dict[str, MxRecord] = {}
    for each in records:
        # Only a single record can mean “no mail”; beside others it means nothing (RFC 7505 3).
        if each.host:
            hosts.setdefault(each.host, each)
    if answer.records and not hosts:
        raise NullMx(f"{domain} accepts no mail")
    return tuple(hosts.values())
