"""The removal of results that only our own server may add: fields of others must not look like ours."""

import re

from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.mailauth.results import BadResults, parse_results
from smtpd_classic.message.headers import HeaderBlock, whole_field
from smtpd_classic.policy import Transaction
from smtpd_classic.policy.hosts import HostPatterns

__all__ = ["trusts_results", "without_foreign_results"]

# Limits of all fields together; a header of 256 KiB has room for 10,000 of them. The time grows with the number of
# signs, and a field of a real server has about forty.
_MOST_FIELDS, _MOST_OCTETS, _MOST_SIGNS = 50, 32_768, 1_000
_SIGN = re.compile(rb"[=;(\\]")
_RESULTS, _SPAM = b"authentication-results", frozenset({b"x-spam-flag", b"x-spam-reason"})
_OURS = _SPAM | {_RESULTS}
_RESULTS_FIELD, _SPAM_FIELD = whole_field(_RESULTS), whole_field(b"|".join(sorted(_SPAM)))


def _ascii(name: str) -> str:
    try:
        return ascii_domain(name)
    except ValueError:
        return name.lower()


def without_foreign_results(header: HeaderBlock, ids: frozenset[str]) -> bytes:
    """Return the header block without X-Spam fields, and without results that use our name or are unreadable."""
    raw, names = header.raw, header.names
    if names.isdisjoint(_OURS):
        return raw
    if not names.isdisjoint(_SPAM):
        raw = _SPAM_FIELD.sub(b"", raw)
    number = header.count(_RESULTS)
    if not number:
        return raw
    if number > _MOST_FIELDS or _is_too_much(b"".join(_RESULTS_FIELD.findall(raw))):
        return _RESULTS_FIELD.sub(b"", raw)
    return _RESULTS_FIELD.sub(lambda field: b"" if _is_foreign(field[1], ids) else field[0], raw)


def _is_too_much(values: bytes) -> bool:
    return len(values) > _MOST_OCTETS or len(_SIGN.findall(values)) > _MOST_SIGNS


def _is_foreign(value: bytes, ids: frozenset[str]) -> bool:
    try:
        return _ascii(parse_results(value.decode("utf-8")).server) in ids
    except (BadResults, UnicodeDecodeError):
        return True


def trusts_results(patterns: HostPatterns, transaction: Transaction) -> bool:
    """Return True if the client is a gateway of this site: its results stay in the message."""
    client = transaction.peer.client
    return not client.local and patterns.holds(client.ip, client.name)
