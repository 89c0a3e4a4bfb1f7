"""A DKIM-Signature field, parsed and checked as far as the field alone can tell (RFC 6376 3.5 and 6.1.1)."""

import re
from typing import NamedTuple

from smtpd_classic.mailauth.body_hash import RELAXED, SIMPLE
from smtpd_classic.mailauth.canonical import SignedField
from smtpd_classic.mailauth.lookup import ascii_name
from smtpd_classic.mailauth.tag_list import BadTagList, decoded_base64, parse_tags, without_white_space
from smtpd_classic.mailauth.words import ResultWord

__all__ = ["ALGORITHMS", "DkimSignature", "UnusableSignature", "parse_signature", "without_signature_value"]

ALGORITHMS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}
LONGEST_FIELD = 64 * 1024
_MOST_NAMES = 1_000
_REQUIRED = ("v", "a", "b", "bh", "d", "h", "s")
_FORMS = (SIMPLE, RELAXED)
_NUMBER = re.compile(r"[0-9]{1,76}")
_TIME = re.compile(r"[0-9]{1,12}")
_SELECTOR = re.compile(r"[^\s;:@\x00-\x20\x7f]{1,190}")


class UnusableSignature(Exception):
    """The signature cannot be verified; `word` is the result, `str()` the reason."""

    def __init__(self, word: ResultWord, reason: str, domain: str = "", selector: str = "") -> None:
        super().__init__(reason)
        self.word = word
        self.domain = domain
        self.selector = selector


class DkimSignature(NamedTuple):
    """The tags of one signature. `domain` and `selector` are A-labels in lower case."""

    field: SignedField
    domain: str
    selector: str
    algorithm: str
    signature: bytes
    shown: str  # b= without white space, as far as Authentication-Results shows it
    body_hash: bytes
    header_form: str
    body_form: str
    names: tuple[bytes, ...]
    identity_domain: str
    length: int | None
    signed_at: int | None
    expires_at: int | None


def without_signature_value(value: bytes) -> bytes:
    """Return the value of the field with an empty b= tag: the form that is hashed."""
    tags = value.split(b";")
    for number, tag in enumerate(tags):
        name, equals, _ = tag.partition(b"=")
        if equals and name.strip(b" \t\r\n") == b"b":
            tags[number] = name + equals
            return b";".join(tags)
    return value


def parse_signature(field: SignedField) -> DkimSignature:
    """Return the signature in a field. Raises UnusableSignature."""
    if len(field.raw) > LONGEST_FIELD:
        raise UnusableSignature(ResultWord.NEUTRAL, "the signature field is too long")
    tags: dict[str, str] = {}
    try:
        tags = parse_tags(field.value.decode("utf-8"))
        return _from_tags(field, tags)
    except UnusableSignature as unusable:
        raise UnusableSignature(unusable.word, str(unusable), *_origin(tags)) from None
    except ValueError as problem:  # BadTagList, or no UTF-8
        reason = str(problem) if isinstance(problem, BadTagList) else "the signature field is not text"
        raise UnusableSignature(ResultWord.NEUTRAL, reason, *_origin(tags)) from None


def _origin(tags: dict[str, str]) -> tuple[str, str]:
    return ascii_name(tags.get("d", "")), tags.get("s", "")[:64]


def _from_tags(field: SignedField, tags: dict[str, str]) -> DkimSignature:
    missing = [tag for tag in _REQUIRED if not tags.get(tag)]
    if missing:
        raise BadTagList(f"the tag {missing[0]}= is missing")
    if tags["v"] != "1":
        raise BadTagList("the version is not 1")
    header_form, body_form = _forms(tags.get("c", SIMPLE))
    domain = _domain(tags["d"])
    algorithm = _algorithm(tags)
    signed_at, expires_at = _time(tags, "t"), _time(tags, "x")
    if signed_at is not None and expires_at is not None and expires_at <= signed_at:
        raise BadTagList("it expires before it was made")
    shown = without_white_space(tags["b"])
    return DkimSignature(
        field,
        domain,
        _selector(tags["s"]),
        algorithm,
        decoded_base64(tags["b"]),
        shown[:8],
        decoded_base64(tags["bh"]),
        header_form,
        body_form,
        _names(tags["h"]),
        _identity_domain(tags.get("i"), domain),
        _length(tags.get("l")),
        signed_at,
        expires_at,
    )


def _algorithm(tags: dict[str, str]) -> str:
    algorithm = tags["a"].lower()
    if algorithm == "rsa-sha1":
        raise UnusableSignature(ResultWord.PERMERROR, "rsa-sha1 is not accepted (RFC 8301)")
    if algorithm not in ALGORITHMS:
        raise UnusableSignature(ResultWord.NEUTRAL, "the algorithm is unknown")
    methods = [method.strip(" \t\r\n").lower() for method in tags.get("q", "dns/txt").split(":")]
    if "dns/txt" not in methods:
        raise UnusableSignature(ResultWord.NEUTRAL, "the query method is unknown")
    return algorithm


def _forms(value: str) -> tuple[str, str]:
    header, _, body = value.lower().partition("/")
    header, body = header.strip(" \t\r\n"), body.strip(" \t\r\n") or SIMPLE
    if header not in _FORMS or body not in _FORMS:
        raise BadTagList("the canonicalization is unknown")
    return header, body


def _domain(value: str) -> str:
    name = ascii_name(value)
    if not name:
        raise BadTagList("d= is not a domain name")
    return name


def _selector(value: str) -> str:
    name = value.lower() if value.isascii() else ascii_name(f"{value}.invalid").removesuffix(".invalid")
    if not _SELECTOR.fullmatch(name):
        raise BadTagList("s= is not a selector")
    return name


def _names(value: str) -> tuple[bytes, ...]:
    if value.count(":") >= _MOST_NAMES:
        raise BadTagList("h= has too many names")
    names = tuple([name.strip(b" \t\r\n") for name in value.lower().encode().split(b":")])
    if b"from" not in names:
        raise UnusableSignature(ResultWord.PERMERROR, "the From field is not signed")
    return names


def _identity_domain(value: str | None, domain: str) -> str:
    if value is None:
        return domain
    _, sign, host = value.rpartition("@")
    name = ascii_name(host)
    if not sign or not name:
        raise BadTagList("i= is not an address")
    if name != domain and not name.endswith("." + domain):
        raise UnusableSignature(ResultWord.PERMERROR, "i= is not within d=")
    return name


def _length(value: str | None) -> int | None:
    if value is None:
        return None
    if not _NUMBER.fullmatch(value):
        raise BadTagList("l= is not a number")
    return int(value)


def _time(tags: dict[str, str], tag: str) -> int | None:
    value = tags.get(tag)
    if value is None:
        return None
    if not _TIME.fullmatch(value):
        raise BadTagList(f"{tag}= is not a time")
    return int(value)
