"""Kinds of the SMTP Filter: DNS lists, and patterns of senders and of names in EHLO."""

import re
import unicodedata
from typing import NamedTuple

from smtpd_classic.config.kind import Kind, list_of, split_items
from smtpd_classic.config.names import domain_name, mail_address

__all__ = ["ALLOWLISTS", "ARCHIVES", "BLOCKLISTS", "HELLO_PATTERNS", "MEMBERS", "POSTERS", "SENDER_PATTERNS", "DnsList"]

_NUMBER = r"(\d{1,3})(?:-(\d{1,3}))?"
_CODES = re.compile(r"\.".join([_NUMBER] * 4), re.ASCII)
_LOCAL = r"[^\s<>,;:\"()\[\]\\@\x00-\x1f\x7f-\x9f]+"


class DnsList(NamedTuple):
    """The zone of a DNS list (RFC 5782), and the answers that count: a range for each octet; empty: the usual ones."""

    zone: str
    codes: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        if not self.codes:
            return self.zone
        octets = (str(low) if low == high else f"{low}-{high}" for low, high in self.codes)
        return f"{self.zone}={'.'.join(octets)}"

    def counts(self, answer: str) -> bool:
        """Return True if the answer says that the list has the address.

        127.0.0.1 and 127.0.0.255 are answers of servers that do not work, and so is all outside of 127.0.0.0/16: a
        list that refuses to answer says 127.255.255.254.
        """
        try:
            octets = [int(each) for each in answer.split(".")]
        except ValueError:
            return False
        if len(octets) != 4 or octets[:2] != [127, 0] or octets[2:] in ([0, 1], [0, 255]):
            return False
        return all(low <= octet <= high for octet, (low, high) in zip(octets, self.codes, strict=False))


def _dns_list(text: str) -> DnsList:
    zone, equals, codes = text.strip().partition("=")
    if not equals:
        return DnsList(domain_name(zone))
    found = _CODES.fullmatch(codes.strip())
    numbers = found.groups() if found else ()
    ranges = tuple((int(low), int(high or low)) for low, high in zip(numbers[::2], numbers[1::2], strict=True))
    if not ranges or any(low > high or high > 255 for low, high in ranges):
        raise ValueError(f"“{codes}” are no answers such as 127.0.0.2 or 127.0.0.2-11.")
    if not all(low <= wanted <= high for wanted, (low, high) in zip((127, 0), ranges, strict=False)):
        raise ValueError(f"“{codes}”: the answers of a list are in 127.0.0.0/16.")
    return DnsList(domain_name(zone), ranges)


def _allowlist(text: str) -> DnsList:
    found = _dns_list(text)
    if not found.codes:
        raise ValueError(f"“{text}” needs the answers that count, such as list.example.org=127.0.0-255.1-3.")
    return found


def _sender_pattern(text: str) -> str:
    """An address, a domain, or `.domain` for its sub-domains; * in a local part or a domain stands for any text."""
    word = text.strip().lower()
    local, at, domain = word.rpartition("@")
    if at and not re.fullmatch(_LOCAL, local):
        raise ValueError(f"“{text}” is not an address such as joe@example.org.")
    return f"{local}{at}{_name_pattern(domain)}"


def _name_pattern(text: str) -> str:
    """A name, `.name` for the names below it; * stands for any text."""
    word = unicodedata.normalize("NFC", text).strip().lower().rstrip(".")
    if not word.strip("*.@"):
        raise ValueError(f"“{text}” matches everything.")
    if re.fullmatch(r"[\w.*-]+|\[(?:ipv6:)?[0-9a-f:.*]+\]", word):
        return word
    raise ValueError(f"“{text}” is not a name such as example.org, .example.org or mail*.example.org.")


BLOCKLISTS = list_of("list of zones, each with the answers that count after “=”", _dns_list, str, "zen.example.org")
ALLOWLISTS = list_of(
    "list of zones with the answers that count after “=”", _allowlist, str, "list.example.org=127.0.0-255.1-3"
)
SENDER_PATTERNS = list_of("list of addresses and domains", _sender_pattern, str, "joe@example.org, .example.net")
HELLO_PATTERNS = list_of("list of names", _name_pattern, str, "friend, .dialup.example.net")


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(mail_address(word) for word in split_items(text.replace(";", ","))))


def _members(text: str) -> tuple[str, ...]:
    found = _addresses(text)
    if not found:
        raise ValueError("at least one address is needed.")
    return found


def _posters(text: str) -> tuple[str, ...]:
    """One of three words, or a list of addresses and domains."""
    words = split_items(text.replace(";", ","))
    if len(words) == 1 and words[0].lower() in {"anyone", "members", "domain"}:
        return (words[0].lower(),)
    found = tuple(dict.fromkeys(_sender_pattern(word) for word in words))
    if not found or any("@" not in each and "." not in each for each in found):
        raise ValueError(f"“{text}” is neither anyone, members, domain, nor a list of addresses and domains.")
    return found


ARCHIVES = Kind("list of addresses, or blank", _addresses, ", ".join, "archive@example.org", many=True)
MEMBERS = Kind("list of addresses", _members, ", ".join, "ann@example.org, bob@example.net", many=True)
POSTERS = Kind("anyone, members, domain, or a list of addresses", _posters, ", ".join, "members", many=True)
