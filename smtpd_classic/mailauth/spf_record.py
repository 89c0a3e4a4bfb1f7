"""An SPF record, parsed whole before any of it is evaluated (RFC 7208 4.5, 4.6 and 12)."""

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from smtpd_classic.mailauth.spf_macro import check_domain_spec, check_macros

__all__ = ["BadSpfRecord", "SpfRecord", "SpfTerm", "parse_spf_record", "spf_records"]

_LONGEST, _LONGEST_KEPT = 8192, 512
_VERSION = re.compile(rb"v=spf1(?: |$)", re.IGNORECASE)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_MECHANISM = re.compile(r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?:([:/])(.*))?", re.IGNORECASE | re.DOTALL)
_PREFIXES = re.compile(r"(?:/(0|[1-9][0-9]{0,2}))?(?://(0|[1-9][0-9]{0,2}))?$")
_NEEDS_DOMAIN = frozenset(("include", "exists"))
_TAKES_PREFIX = frozenset(("a", "mx"))

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadSpfRecord(ValueError):
    """The record has a syntax error; `str()` says where."""


class SpfTerm(NamedTuple):
    """One mechanism. `domain` is a macro string, blank for the domain itself."""

    text: str
    qualifier: str
    name: str
    domain: str = ""
    prefix4: int = 32
    prefix6: int = 128
    network: Network | None = None


class SpfRecord(NamedTuple):
    """The terms of one record; `redirect` and `explanation` are macro strings, blank when absent."""

    terms: tuple[SpfTerm, ...]
    redirect: str = ""
    explanation: str = ""


def spf_records(texts: Sequence[bytes]) -> list[bytes]:
    """Return the TXT records that are SPF records."""
    return [text for text in texts if _VERSION.match(text)]


def parse_spf_record(text: bytes) -> SpfRecord:
    """Return the record. Raises BadSpfRecord for any syntax error, wherever it stands."""
    if len(text) > _LONGEST:
        raise BadSpfRecord(f"the record is longer than {_LONGEST} octets")
    return _kept(text) if len(text) <= _LONGEST_KEPT else _parsed(text)


def _parsed(text: bytes) -> SpfRecord:
    try:
        words = text.decode("ascii").split(" ")[1:]
    except UnicodeDecodeError:
        raise BadSpfRecord("the record is not ASCII") from None
    terms: list[SpfTerm] = []
    modifiers: dict[str, str] = {}
    for word in filter(None, words):
        try:
            if match := _MODIFIER.fullmatch(word):
                _take_modifier(modifiers, match[1].lower(), match[2])
            else:
                terms.append(_term(word))
        except ValueError as problem:  # BadMacro, BadSpfRecord, or no address
            raise BadSpfRecord(str(problem) or f"“{word[:40]}” cannot be read") from None
    return SpfRecord(tuple(terms), modifiers.get("redirect", ""), modifiers.get("exp", ""))


_kept = lru_cache(512)(_parsed)


def _take_modifier(modifiers: dict[str, str], name: str, value: str) -> None:
    if name in {"redirect", "exp"}:
        if name in modifiers:
            raise BadSpfRecord(f"{name}= occurs twice")
        check_domain_spec(value)
    else:
        check_macros(value)
    modifiers[name] = value


def _term(word: str) -> SpfTerm:
    match = _MECHANISM.fullmatch(word)
    if match is None:
        raise BadSpfRecord(f"“{word[:40]}” is not a mechanism")
    qualifier, name, sign, value = match[1] or "+", match[2].lower(), match[3], match[4] or ""
    if name == "all":
        if sign:
            raise BadSpfRecord("“all” takes no value")
        return SpfTerm(word, qualifier, name)
    if name in {"ip4", "ip6"}:
        return SpfTerm(word, qualifier, name, network=_network(name, sign, value))
    rest = f"/{value}" if sign == "/" else value
    prefix4, prefix6 = 32, 128
    if name in _TAKES_PREFIX:
        rest, prefix4, prefix6 = _split_prefixes(rest)
    if rest:
        check_domain_spec(rest)
    elif sign == ":" or name in _NEEDS_DOMAIN:
        raise BadSpfRecord(f"“{word[:40]}” has no domain")
    if sign == "/" and rest:
        raise BadSpfRecord(f"“{word[:40]}” has a wrong prefix length")
    return SpfTerm(word, qualifier, name, rest, prefix4, prefix6)


def _split_prefixes(value: str) -> tuple[str, int, int]:
    match = _PREFIXES.search(value)
    assert match is not None
    prefix4, prefix6 = int(match[1] or 32), int(match[2] or 128)
    if prefix4 > 32 or prefix6 > 128:
        raise BadSpfRecord("a prefix is too long")
    return value[: match.start()], prefix4, prefix6


def _network(name: str, sign: str | None, value: str) -> Network:
    if sign != ":":
        raise BadSpfRecord(f"“{name}” has no address")
    address, slash, prefix = value.partition("/")
    if slash and not re.fullmatch(r"0|[1-9][0-9]{0,2}", prefix):
        raise BadSpfRecord("a prefix length is not a number")
    kind = ipaddress.IPv4Address if name == "ip4" else ipaddress.IPv6Address
    if "%" in address:
        raise BadSpfRecord("an address names an interface")
    return ipaddress.ip_network(f"{kind(address)}{slash}{prefix}", strict=False)
