"""A DMARC policy record in DNS (RFC 9989 4.7)."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote

from smtpd_classic.domain_name import ascii_domain

__all__ = ["DmarcRecord", "dmarc_records", "mailto_uri", "parse_dmarc_record", "report_address"]

_LONGEST_KEPT = 512
NONE, QUARANTINE, REJECT = "none", "quarantine", "reject"
_POLICIES = frozenset((NONE, QUARANTINE, REJECT))
_VERSION = re.compile(rb"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)")
_TAG = re.compile(r"[ \t]*([A-Za-z]+)[ \t]*=[ \t]*(.*?)[ \t]*", re.DOTALL)
_SIZE = re.compile(r"![0-9]+[kmgt]?$", re.IGNORECASE)  # the largest report, of earlier records (RFC 9989 4.8)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s,;]+")


class DmarcRecord(NamedTuple):
    """One policy record. `subdomains` and `missing` are blank when sp= and np= are absent."""

    policy: str
    subdomains: str = ""
    missing: str = ""
    strict_dkim: bool = False
    strict_spf: bool = False
    psd: str = "u"
    testing: bool = False
    reports_to: tuple[str, ...] = ()
    usable: bool = True  # false: the receiver applies no DMARC because of this record


def dmarc_records(texts: Sequence[bytes]) -> list[bytes]:
    """Return the TXT records that are DMARC policy records: the version comes first, its value in upper case.

    The name of the tag may be in either case, as those of all tags (RFC 9989 4.8).
    """
    return [text for text in texts if _VERSION.match(text)]


def parse_dmarc_record(text: bytes) -> DmarcRecord:
    """Return the record. Unknown tags, and values that cannot be read, are ignored (RFC 9989 4.8)."""
    return _kept(text) if len(text) <= _LONGEST_KEPT else _parsed(text)


def _parsed(text: bytes) -> DmarcRecord:
    tags: dict[str, str] = {}
    for part in text.decode("utf-8", "replace").split(";")[1:]:
        if match := _TAG.fullmatch(part):
            tags.setdefault(match[1].lower(), match[2])
    reports_to = tuple(uri.strip() for uri in tags.get("rua", "").split(",") if _URI.fullmatch(uri.strip()))
    policies = {tag: tags[tag].lower() for tag in ("p", "sp", "np") if tag in tags}
    # RFC 9989 4.10.1: without a valid p=, or with a bad sp= or np=, the record asks for reports only, or for nothing.
    valid = "p" in policies and _POLICIES.issuperset(policies.values())
    psd = tags.get("psd", "").lower()
    return DmarcRecord(
        policies["p"] if valid else NONE,
        policies.get("sp", "") if valid else "",
        policies.get("np", "") if valid else "",
        strict_dkim=tags.get("adkim", "").lower() == "s",
        strict_spf=tags.get("aspf", "").lower() == "s",
        psd=psd if psd in {"y", "n"} else "u",
        testing=tags.get("t", "").lower() == "y",
        reports_to=reports_to,
        usable=valid or bool(reports_to),
    )


def mailto_uri(address: str) -> str:
    """Return the URI of an address for rua=: signs with a meaning there are encoded, and the domain has A-labels."""
    local, _, domain = address.rpartition("@")
    return f"mailto:{quote(local, safe='-._~+')}@{ascii_domain(domain)}"


def report_address(uri: str) -> str:
    """Return the address in a URI of rua=, in lower case; blank if it is no mailto URI."""
    scheme, _, rest = _SIZE.sub("", uri).partition(":")
    return unquote(rest.partition("?")[0]).lower() if scheme.lower() == "mailto" else ""


_kept = lru_cache(512)(_parsed)
