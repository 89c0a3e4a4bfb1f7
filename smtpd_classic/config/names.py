"""Kinds of mail names: domains, patterns of domains, addresses."""

import ipaddress
import re
import unicodedata

from smtpd_classic.config.kind import Kind, list_of, one_line, split_items
from smtpd_classic.domain_name import ascii_domain

__all__ = [
    "ADDRESS",
    "ADDRESSES",
    "DOMAINS",
    "DOMAIN_NAME",
    "DOMAIN_PATTERNS",
    "OPTIONAL_DOMAIN_NAME",
    "PATTERN",
    "REPLACEMENT",
    "SENDER_ADDRESS",
    "domain_name",
    "is_ip",
    "mail_address",
]

_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_domain(text: str) -> bool:
    labels = text.split(".")
    # A top-level domain is never a number (RFC 3696 2): 10.0.0.300 is a mistyped address, not a name.
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        return False
    try:
        return len(ascii_domain(text)) <= 253
    except ValueError:  # not every word of letters is an international name (RFC 5891)
        return False


def domain_name(text: str) -> str:
    """Return the name in lower case, composed (NFC) and without a dot at its end. Raises ValueError with a sentence."""
    name = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).strip().removesuffix(".").lower())
    try:
        ascii_domain(name)
    except ValueError as problem:
        raise ValueError(f"{problem}.") from None
    if not _is_domain(name):
        raise ValueError(f"“{text}” is not a domain name such as example.org.")
    return name


def _pattern(text: str) -> str:
    """A domain, `.domain` for its sub-domains; `.` and `*` mean every domain (and are an open relay)."""
    word = text.strip().lower()
    if word in {".", "*"}:
        return word
    return "." + domain_name(word[1:]) if word.startswith(".") else domain_name(word)


def _one_pattern(text: str) -> str:
    if text.strip() in {".", "*"}:
        raise ValueError(f"“{text}” would match every domain; write the domain, or .domain for its sub-domains.")
    return _pattern(text)


DOMAIN_NAME = Kind("domain name", domain_name, str, "example.org")
OPTIONAL_DOMAIN_NAME = Kind(
    "domain name, or blank",
    lambda text: domain_name(text) if text.strip() else "",
    str,
    "mail.example.org",
)
DOMAINS = list_of("list of domain names", domain_name, str, "example.net")
DOMAIN_PATTERNS = list_of("list of domains", _pattern, str, "example.org, .example.org")
PATTERN = Kind("domain, or .domain for its sub-domains", _one_pattern, str, "example.net")


def mail_address(text: str) -> str:
    """Return the address with its domain in the one spelling. Raises ValueError with a sentence."""
    word = text.strip()
    local, at, domain = word.rpartition("@")
    if not at or not re.fullmatch(r'[^\s<>,;:"()\[\]\\@\x00-\x1f\x7f]+|"[^"\\;\x00-\x1f\x7f]+"', local):
        raise ValueError(f"“{text}” is not an address such as joe@example.org.")
    return f"{local}@{domain_name(domain)}"


ADDRESS = Kind("address", mail_address, str, "postmaster@example.org")
SENDER_ADDRESS = Kind(
    "address, or blank",
    lambda text: mail_address(text) if text.strip() else "",
    str,
    "joe@example.org",
)


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(mail_address(word) for word in split_items(text, ";")))


ADDRESSES = Kind("list of addresses parted by “;”", _addresses, "; ".join, "joe@pc.lan; root@pc.lan", many=True)


def _replacement(text: str) -> str:
    """An address, or `Display Name <address>`."""
    word = one_line(text.strip())
    match = re.fullmatch(r"([^<>]*)<([^<>]+)>", word)
    if not match:
        return mail_address(word)
    display = " ".join(match[1].split())
    return f"{display} <{mail_address(match[2])}>" if display else mail_address(match[2])


REPLACEMENT = Kind("address, or Name <address>", _replacement, str, "Sales <sales@example.org>")
