"""The questions, the answers and the three ways to have no answer."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

__all__ = ["DnsFailure", "MxRecord", "NoSuchDomain", "NullMx", "Resolver", "TlsaAnswer", "TlsaRecord"]


class MxRecord(NamedTuple):
    """A mail exchanger; the lowest preference comes first. A blank host is the root of a null MX (RFC 7505)."""

    preference: int
    host: str


class TlsaRecord(NamedTuple):
    """A certificate association (RFC 6698 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


class TlsaAnswer(NamedTuple):
    """`secure`: the name server has validated the answer by DNSSEC (the AD bit, RFC 4035 3.2.3)."""

    records: tuple[TlsaRecord, ...]
    secure: bool


class NoSuchDomain(Exception):
    """The name does not exist, or a host has no address: final (5.1.2)."""


class NullMx(Exception):
    """The domain accepts no mail (RFC 7505): final (5.1.10)."""


class DnsFailure(Exception):
    """No usable answer: a later attempt may succeed (4.4.3)."""


class Resolver(Protocol):
    """Names may be given in Unicode. `timeout_s` bounds every question.

    The methods of the second group return the records as published: an empty tuple when the name exists without such a
    record. They raise NoSuchDomain when the name does not exist (NXDOMAIN), and DnsFailure. The checks of incoming mail
    use `txt` to `mx_records`: these hold at most half of the places of the resolver.
    """

    def mx(self, domain: str, *, timeout_s: float = 10.0) -> tuple[MxRecord, ...]:
        """Return the hosts to try, in that order: by preference, equal ones shuffled (RFC 5321 5.1). A domain without
        MX that has an address is its own exchanger. Raises NoSuchDomain, NullMx or DnsFailure."""

    def addresses(self, host: str, *, timeout_s: float = 10.0, version: int = 0) -> tuple[str, ...]:
        """Return the IP addresses of a host, IPv6 before IPv4, or only those of one version (4 or 6). /etc/hosts takes
        precedence; an IP address is its own answer. An address of one family is enough: the other family may be denied
        or fail (RFC 4074 4.2). Raises NoSuchDomain when the host has no address, or DnsFailure."""

    def begin_mx(self, domain: str, done: Callable[[tuple[MxRecord, ...] | Exception], None]) -> None:
        """Call `done` once with the result of `mx` or its exception: at once if it is known, else in the resolver's
        thread, which must not be kept. Takes at most 15 seconds for each question."""

    def begin_addresses(self, host: str, done: Callable[[tuple[str, ...] | Exception], None]) -> None:
        """Call `done` with the result of `addresses` or its exception, as `begin_mx` does."""

    def host_name(self, ip: str) -> str:
        """Return the verified name of a client: the name in its PTR record if that name leads back to the address,
        or "" (never an exception)."""

    def txt(self, name: str, *, timeout_s: float = 10.0) -> tuple[bytes, ...]:
        """Return the TXT records, the strings of each one joined (RFC 7208 3.3, RFC 6376 3.6.2.2)."""

    def ptr(self, ip: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        """Return the names in the PTR records of an IP address. They are claims: `addresses` verifies them."""

    def address_records(self, host: str, version: int, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        """Return the A (`version` 4) or AAAA (6) records, without /etc/hosts."""

    def mx_records(self, domain: str, *, timeout_s: float = 10.0) -> tuple[MxRecord, ...]:
        """Return the MX records by preference, without the implicit exchanger of `mx`."""

    def tlsa(self, host: str, port: int, *, timeout_s: float = 10.0) -> TlsaAnswer:
        """Return the TLSA records of `_PORT._tcp.HOST`."""

    def ns_records(self, domain: str, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        """Return the host names in the NS records of a zone."""
