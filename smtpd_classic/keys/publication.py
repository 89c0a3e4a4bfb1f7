"""Whether DNS shows a key, and the change of its state that follows from it.

A key is used after every name server of its zone has shown exactly its record. Where these cannot be asked, two good
answers of our own resolver, an hour apart, stand for them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from smtpd_classic.dns import DnsFailure, DnsResolver, NoSuchDomain
from smtpd_classic.keys.store import IN_USE, NEW, RETIRED, SEEN, DkimKey, KeyStore
from smtpd_classic.mailauth.dkim_key import parse_key_record
from smtpd_classic.mailauth.tag_list import BadTagList

__all__ = ["Publication", "RecordState", "ZoneRecords", "publication_by", "same_record"]

BETWEEN_ANSWERS_S = 3600


class RecordState(Enum):
    """The answer of DNS about one key."""

    YES = "DNS shows this key"
    NO = "DNS shows no key with this selector"
    OTHER = "DNS shows another key with this selector, or a record that receivers cannot use"
    PART = "not every name server of the zone shows this key"
    UNKNOWN = "DNS could not be asked"


class ZoneRecords(Protocol):
    """The questions to one resolver or name server."""

    def txt(self, name: str, *, timeout_s: float = 10.0) -> tuple[bytes, ...]: ...

    def ns_records(self, domain: str, *, timeout_s: float = 10.0) -> tuple[str, ...]: ...

    def addresses(self, host: str, *, timeout_s: float = 10.0) -> tuple[str, ...]: ...


def same_record(shown: bytes, wanted: str) -> bool:
    """Return whether a TXT record is the one of a key, and one by which receivers can verify our signatures.

    Blanks and the order of other tags do not matter.
    """
    try:
        found, key = parse_key_record(shown), parse_key_record(wanted.encode("utf-8"))
    except BadTagList:
        return False
    is_usable = found.hashes is None or "sha256" in found.hashes
    is_usable = is_usable and not {"*", "email"}.isdisjoint(found.services)
    return is_usable and (found.key_type, found.public) == (key.key_type, key.public)


@dataclass(frozen=True)
class Publication:
    """The answers of DNS about the keys of a store. `name_server` makes the resolver that asks one address."""

    store: KeyStore
    resolver: ZoneRecords
    name_server: Callable[[str], ZoneRecords]

    def shown(self, key: DkimKey, by: ZoneRecords | None = None) -> RecordState:
        """Return the answer of our resolver, or of another one, about a key. Raises KeysUnreadable."""
        wanted = self.store.record(key)
        try:
            records = (by or self.resolver).txt(key.dns_name)
        except NoSuchDomain:
            return RecordState.NO
        except DnsFailure:
            return RecordState.UNKNOWN
        if not records:
            return RecordState.NO
        return RecordState.YES if len(records) == 1 and same_record(records[0], wanted) else RecordState.OTHER

    def shown_everywhere(self, key: DkimKey) -> RecordState:
        """Return the answer of all name servers of the zone: YES only when each shows the key.

        A zone for which DNS names no servers has no other than our resolver.
        """
        try:
            servers = self._name_servers(key.dns_name.partition(".")[2])
        except (NoSuchDomain, DnsFailure):
            return RecordState.UNKNOWN
        answers = {self.shown(key, self.name_server(address)) for address in servers}
        return next(
            (each for each in (RecordState.OTHER, RecordState.NO, RecordState.UNKNOWN) if each in answers),
            RecordState.YES,
        )

    def use(self, key: DkimKey, now: float) -> RecordState:
        """Sign with a key from now on if every name server shows it; return YES, or the reason against it.

        Raises KeysUnreadable.
        """
        shown = self.shown(key)
        if shown is RecordState.YES:
            shown = self.shown_everywhere(key)
            if shown is RecordState.UNKNOWN and key.state != RETIRED and _has_waited(key, now):
                shown = RecordState.YES
            elif shown in {RecordState.NO, RecordState.OTHER}:
                shown = RecordState.PART
        if shown is RecordState.YES:
            self.store.set_state(key, IN_USE, now)
        return shown

    def _name_servers(self, domain: str) -> list[str]:
        """Return the addresses of the servers of the zone that a name is in: `_domainkey` may be a zone of its own.

        Raises NoSuchDomain or DnsFailure.
        """
        while "." in domain:
            try:
                hosts = self.resolver.ns_records(domain)
            except NoSuchDomain:
                hosts = ()
            if hosts:
                return [address for host in hosts for address in self.resolver.addresses(host)]
            domain = domain.partition(".")[2]
        return []

    def advance(self, key: DkimKey, now: float) -> DkimKey:
        """Ask DNS about a key that is not used yet, and give it the state that follows. Raises KeysUnreadable."""
        if key.state not in {NEW, SEEN}:
            return key
        shown = self.shown(key)
        if shown is not RecordState.YES:
            if shown is not RecordState.UNKNOWN and (key.first_seen or key.state != NEW):
                self.store.set_state(key, NEW, now, first_seen=0)
        elif self._confirmed(key, now):
            self.store.set_state(key, IN_USE, now)
        elif not key.first_seen:
            self.store.set_state(key, SEEN, now, first_seen=int(now))
        return self.store.key(key.domain, key.selector)

    def _confirmed(self, key: DkimKey, now: float) -> bool:
        everywhere = self.shown_everywhere(key)
        if everywhere is not RecordState.UNKNOWN:
            return everywhere is RecordState.YES
        return _has_waited(key, now)


def _has_waited(key: DkimKey, now: float) -> bool:
    return 0 < key.first_seen <= now - BETWEEN_ANSWERS_S


def publication_by(store: KeyStore, name_servers: Sequence[tuple[str, int]]) -> Publication:
    """Return the answers of DNS about the keys, by resolvers without a memory. A name server of a zone is asked at the
    port that the settings give for its address, if they do."""
    ports = dict(name_servers)
    return Publication(
        store, DnsResolver(tuple(name_servers)), lambda address: DnsResolver(((address, ports.get(address, 53)),))
    )
