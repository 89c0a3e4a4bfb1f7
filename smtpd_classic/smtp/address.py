"""Mailbox addresses: the one parser for MAIL and RCPT, the configuration, the accounts and the queue (RFC 5321 4.1.2).

An address is a string `local@domain` in one canonical form, so that two of them are equal if their strings are: the
domain is in lower case without a final dot, an address literal has the form of the RFC, and the local part is quoted
only where it must be. `%` and `!` have no special meaning in a local part. The null sender is the empty string.
"""

import ipaddress
import re
import unicodedata
from typing import Final

__all__ = ["NULL_SENDER", "BadAddress", "is_address", "parse_address", "parse_domain", "parse_path", "split_address"]

NULL_SENDER: Final = ""

_DIGITS = b"0123456789"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ATEXT = _LETTERS + _DIGITS + b"!#$%&'*+-/=?^_`{|}~"  # RFC 5322 3.2.3
_ATOMS = _ATEXT + b"."
# The common form of an address, without a check of single characters; a label is bounded by its whole domain.
_USUAL = re.compile(r"([\w!#$%&'*+\-/=?^`{|}~.]+)@(\w+(?:-+\w+)*(?:\.\w+(?:-+\w+)*)*)", re.ASCII)
_LABEL = _LETTERS + _DIGITS + b"-_"  # host names have no underscore, but real domains have it
# Octets, RFC 5321 4.5.3.1; a path is <address>. Real local parts are longer than its 64 octets (VERP, SRS).
_MAX_DOMAIN, _MAX_LABEL, _MAX_ADDRESS = 255, 63, 254
# Normalization may shorten a text, but its time grows with the square of the length.
_MOST_CHARACTERS = 4 * _MAX_DOMAIN
_DOT_LIKE = "\u3002\uff0e\uff61"  # IDNA reads them as dots; a comparison of strings would not


class BadAddress(ValueError):
    """Raised if the text is no address; `str()` gives the reason in half a sentence."""


def split_address(address: str) -> tuple[str, str]:
    """Return the local part and domain of a canonical address; the domain of NULL_SENDER and bare `postmaster` is
    blank."""
    local, at, domain = address.rpartition("@")
    return (local, domain) if at else (domain, "")


def is_address(text: str) -> bool:
    """Return True if the text is an address in any spelling, UTF-8 included."""
    try:
        parse_address(text, utf8=True)
    except BadAddress:
        return False
    return True


def parse_path(path: str, *, utf8: bool = False) -> str:
    """Return the address in a path without its angle brackets; a source route is checked and ignored (RFC 5321, C).

    A local part alone is returned as it is: the caller knows whether a domain completes it. Raises BadAddress.
    """
    if path.startswith("@"):
        route, colon, path = path.partition(":")
        if not colon:
            raise BadAddress("the source route has no end")
        for hop in route.split(","):
            if not hop.startswith("@"):
                raise BadAddress("the source route is no list of @domain")
            parse_domain(hop[1:], utf8=utf8)
    if path and "@" not in path and (utf8 or path.isascii()):
        local = _local_part(path)
        if len(local.encode()) > _MAX_ADDRESS:
            raise BadAddress("it is longer than 254 octets")
        return local
    return parse_address(path, utf8=utf8)


def parse_address(text: str, *, utf8: bool = False) -> str:
    """Return the canonical form of `local@domain`. Raises BadAddress."""
    usual = _USUAL.fullmatch(text)
    if usual is not None and len(text) <= _MAX_ADDRESS and len(usual[2]) <= _MAX_LABEL:
        return f"{usual[1]}@{usual[2].lower()}"
    local, at, domain = text.rpartition("@")
    if not at:
        raise BadAddress("there is no @")
    if not text.isascii():
        if not utf8:
            raise BadAddress("it holds characters outside ASCII")
        # This also excludes lone surrogates, and characters that change the direction of the text.
        if not text.isprintable():
            raise BadAddress("it holds characters that cannot be printed")
    address = f"{_local_part(local)}@{parse_domain(domain, utf8=utf8)}"
    if len(address.encode()) > _MAX_ADDRESS:
        raise BadAddress("it is longer than 254 octets")
    return address


def parse_domain(text: str, *, utf8: bool = False) -> str:
    """Return the canonical form of a domain or an address literal. Raises BadAddress."""
    if text.startswith("["):
        return _address_literal(text)
    if not text.isascii():
        if not utf8 or not text.isprintable():
            raise BadAddress("the domain holds characters that it must not hold")
        if len(text) > _MOST_CHARACTERS:
            raise BadAddress("the domain is longer than 255 octets")
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    name = text.removesuffix(".").lower()
    if not 0 < len(name.encode()) <= _MAX_DOMAIN:
        raise BadAddress("the domain is missing or longer than 255 octets")
    for label in name.split("."):
        if not 0 < len(label) <= _MAX_LABEL or label[0] == "-" or label[-1] == "-" or not _is_label(label):
            raise BadAddress("the domain is no domain name")
    return name


def _is_label(label: str) -> bool:
    rest = label.encode().translate(None, _LABEL).decode() if label.isascii() else label
    return not rest or (not label.isascii() and _is_utf8_label(label))


def _is_utf8_label(label: str) -> bool:
    others = "".join(char for char in label if not char.isascii())
    plain = "".join(char for char in label if char.isascii())
    return _is_label(plain) and others.isprintable() and not any(char in _DOT_LIKE for char in others)


def _address_literal(text: str) -> str:
    """Return the canonical form of `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 4.1.3)."""
    content = text[1:-1]
    if not text.endswith("]"):
        raise BadAddress("the address literal has no end")
    try:
        if content[:5].lower() == "ipv6:" and "%" not in content:
            return f"[IPv6:{ipaddress.IPv6Address(content[5:])}]"
        return f"[{ipaddress.IPv4Address(content)}]"
    except ValueError:
        raise BadAddress("the address literal is no IP address") from None


def _local_part(text: str) -> str:
    local = _unquoted(text) if text.startswith('"') else text
    if not local and not text:
        raise BadAddress("there is nothing before the @")
    if not local.isprintable():
        raise BadAddress("it holds control characters")
    if _is_dot_string(local):
        return local
    if not text.startswith('"'):
        raise BadAddress("the part before the @ needs quotes")
    return '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_dot_string(local: str) -> bool:
    """Return True if the local part needs no quotes. Dots at odd places (`a..b`, `a.`) are in use, and kept."""
    ascii_part = "".join(char for char in local if char.isascii()).encode()
    return bool(local) and not ascii_part.translate(None, _ATOMS)


def _unquoted(text: str) -> str:
    """Return the content of a quoted string; a backslash quotes the next character (RFC 5321 4.1.2)."""
    characters = iter(text[1:])
    content: list[str] = []
    for char in characters:
        if char == '"':
            if next(characters, None) is not None:
                break
            return "".join(content)
        content.append(next(characters, "") if char == "\\" else char)
    raise BadAddress("the quoted part before the @ has no end, or something behind it")
