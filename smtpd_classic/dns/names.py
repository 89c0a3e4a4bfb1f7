"""Names and addresses as DNS knows them.

A question has its name as text: in lower case, without the dot at its end. A name object of the library would be
compared letter by letter each time that an answer is looked for.
"""

import functools
import ipaddress
import re

import dns.exception
import dns.name
import dns.reversename

from smtpd_classic.dns.resolver import NoSuchDomain
from smtpd_classic.domain_name import ascii_domain

__all__ = ["domain_name", "literal", "plain_address", "record_name", "reverse_name", "shown", "text", "wire_name"]

_DOMAIN = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


@functools.lru_cache(1024)
def literal(host: str) -> str | None:
    """Return the IP address in `192.0.2.1`, `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 4.1.3), or None."""
    if not host or (host[0] != "[" and host[-1] not in "0123456789abcdefABCDEF"):
        return None
    try:
        return str(ipaddress.ip_address(host.strip("[]").removeprefix("IPv6:")))
    except ValueError:
        return None


@functools.lru_cache(8192)
def domain_name(domain: str) -> str:
    """Return the name of a mail domain or host. Raises NoSuchDomain for a text that can never be one."""
    try:
        name = ascii_domain(domain)
    except ValueError:
        name = ""
    if not _DOMAIN.fullmatch(name) or len(name) > 253:
        raise NoSuchDomain(f"{domain} is not a domain name")
    return name


@functools.lru_cache(8192)
def record_name(name: str) -> str:
    """Return the name of any record: the labels may hold any octet (a macro of SPF makes such names, RFC 7208 7).
    Raises NoSuchDomain for an empty or too long label or name."""
    try:
        found = ascii_domain(name)
        wire_name(found)
    except (ValueError, dns.exception.DNSException):
        raise NoSuchDomain(f"{name} is not a domain name") from None
    return found


def plain_address(ip: str) -> str:
    """Return the address without its interface (fe80::1%eth0), an IPv4-mapped one as IPv4."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)


def reverse_name(ip: str) -> str:
    """Return the name in in-addr.arpa or ip6.arpa."""
    return text(dns.reversename.from_address(plain_address(ip)))


def wire_name(name: str) -> dns.name.Name:
    """Return the name of a question. Raises ValueError or DNSException for an empty or too long label or name."""
    return dns.name.Name([*name.encode("ascii").split(b"."), b""])


def shown(name: str) -> str:
    """Return the name of a question for a message: octets that are not printable are escaped."""
    return text(wire_name(name))


def text(name: dns.name.Name) -> str:
    """Return the name in lower case, without the dot at its end."""
    return name.to_text(omit_final_dot=True).lower()
