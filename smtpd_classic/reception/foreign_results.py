"""The removal of results that only our own server may add: fields of others must not look like ours."""

from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.mailauth.results import BadResults, parse_results
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy import Transaction
from smtpd_classic.policy.hosts import HostPatterns

__all__ = ["trusts_results", "without_foreign_results"]

_RESULTS, _SPAM = b"authentication-results", (b"x-spam-flag", b"x-spam-reason")


def _ascii(name: str) -> str:
    try:
        return ascii_domain(name)
    except ValueError:
        return name.lower()


def without_foreign_results(header: HeaderBlock, ids: frozenset[str]) -> bytes:
    """Return the header block without X-Spam fields, and without results that use our name or are unreadable."""
    if not header.has(_RESULTS) and not any(header.has(name) for name in _SPAM):
        return header.raw
    found = [field for name in _SPAM for field in header.fields(name)]
    found += [field for field in header.fields(_RESULTS) if _is_foreign(header.raw[field.value : field.end], ids)]
    raw = header.raw
    for field in sorted(found, key=lambda each: each.start, reverse=True):
        raw = raw[: field.start] + raw[field.end :]
    return raw


def _is_foreign(value: bytes, ids: frozenset[str]) -> bool:
    try:
        return _ascii(parse_results(value.decode("utf-8")).server) in ids
    except (BadResults, UnicodeDecodeError):
        return True


def trusts_results(patterns: HostPatterns, transaction: Transaction) -> bool:
    """Return True if the client is a gateway of this site: its results stay in the message."""
    client = transaction.peer.client
    return not client.local and patterns.holds(client.ip, client.name)
