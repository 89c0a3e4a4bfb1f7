"""The removal of results that only our own server may add: fields of others must not look like ours."""

import re

from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.mailauth.results import BadResults, parse_results
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy import Transaction
from smtpd_classic.policy.hosts import HostPatterns

__all__ = ["trusts_results", "without_foreign_results"]

_MOST_FIELDS, _MOST_OCTETS = 50, 32_768  # that are parsed; a header of 256 KiB has room for 10,000
_RESULTS, _SPAM = b"authentication-results", (b"x-spam-flag", b"x-spam-reason")
_VALUE = rb"[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)\n?"
_RESULTS_FIELD = re.compile(rb"^authentication-results" + _VALUE, re.IGNORECASE | re.MULTILINE)
_SPAM_FIELD = re.compile(rb"^x-spam-(?:flag|reason)" + _VALUE, re.IGNORECASE | re.MULTILINE)


def _ascii(name: str) -> str:
    try:
        return ascii_domain(name)
    except ValueError:
        return name.lower()


def without_foreign_results(header: HeaderBlock, ids: frozenset[str]) -> bytes:
    """Return the header block without X-Spam fields, and without results that use our name or are unreadable."""
    if not header.has(_RESULTS) and not any(header.has(name) for name in _SPAM):
        return header.raw
    raw = header.raw
    results = list(_RESULTS_FIELD.finditer(raw))
    too_much = len(results) > _MOST_FIELDS or sum(len(each[1]) for each in results) > _MOST_OCTETS
    foreign = [each.span() for each in results if too_much or _is_foreign(each[1], ids)]
    foreign += [each.span() for each in _SPAM_FIELD.finditer(raw)]
    kept: list[bytes] = []
    at = 0
    for start, end in sorted(foreign):
        kept.append(raw[at:start])
        at = end
    return b"".join((*kept, raw[at:]))


def _is_foreign(value: bytes, ids: frozenset[str]) -> bool:
    try:
        return _ascii(parse_results(value.decode("utf-8")).server) in ids
    except (BadResults, UnicodeDecodeError):
        return True


def trusts_results(patterns: HostPatterns, transaction: Transaction) -> bool:
    """Return True if the client is a gateway of this site: its results stay in the message."""
    client = transaction.peer.client
    return not client.local and patterns.holds(client.ip, client.name)
