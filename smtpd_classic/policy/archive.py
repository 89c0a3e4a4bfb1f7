"""The archives of a message: the addresses that get a copy of it.

A copy that comes back is known by a mark that only this server can write. No field that a stranger can write, such as
Delivered-To, keeps a message out of the archive.
"""

import hmac
from collections.abc import Iterator

from smtpd_classic.domain_name import comparable_address
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy.transaction import ResolvedRecipient, Transaction

__all__ = ["archive_mark", "archives", "came_from_archive"]

_DAY_S = 86_400.0
_VALID_DAYS = 10  # longer than a copy waits in a queue
_DIGEST = 32


def archives(transaction: Transaction) -> tuple[str, ...]:
    """Return the archive addresses, each once. Mail for an archive alone gets no copy there."""
    if not transaction.rules.archives:
        return ()
    found = dict.fromkeys(_named(transaction))
    canonical = transaction.rules.accounts.canonical
    recipients = {comparable_address(each.address) for each in _received(transaction)}
    return tuple(each for each in found if recipients != {comparable_address(canonical(each))})


def _received(transaction: Transaction) -> list[ResolvedRecipient]:
    """Return the recipients, with those that a check has taken away: the message came for them."""
    return [*transaction.recipients, *(resolved for _, resolved in transaction.removed)]


def _named(transaction: Transaction) -> Iterator[str]:
    config, accounts = transaction.rules.config, transaction.rules.accounts
    here = [each for each in _received(transaction) if not each.remote]
    outgoing = transaction.peer.originates_here
    if here:
        yield from config.archive.incoming
    if outgoing:
        yield from config.archive.outgoing
    for domain in config.domains:
        if not domain.archive_incoming and not domain.archive_outgoing:
            continue
        name = accounts.canonical(f"x@{domain.name}").rpartition("@")[2]
        if any(accounts.canonical(each.address).rpartition("@")[2] == name for each in here):
            yield from domain.archive_incoming
        if outgoing and accounts.canonical(transaction.sender).rpartition("@")[2] == name and transaction.sender:
            yield from domain.archive_outgoing


def archive_mark(transaction: Transaction, address: str) -> str:
    """Return the field that marks a copy for this archive. Raises OSError."""
    return f"X-Archive-Copy: {_mark(transaction.rules.sources.secret(), _day(transaction), address).decode()}\n"


def came_from_archive(transaction: Transaction, header: HeaderBlock, address: str) -> bool:
    """Return True if the message is a copy that this archive has had. Raises OSError."""
    values = header.values(b"x-archive-copy")
    if not values:
        return False
    secret, today = transaction.rules.sources.secret(), _day(transaction)
    return any(_mark(secret, today - age, address) in values for age in range(_VALID_DAYS + 1))


def _day(transaction: Transaction) -> int:
    return int(transaction.arrival // _DAY_S)


def _mark(secret: bytes, day: int, address: str) -> bytes:
    """Return the day and an HMAC of it with the archive. Who has read an old copy cannot use its mark for ever."""
    words = f"archive {day} {address.lower()}".encode("utf-8", "surrogatepass")
    return f"{day}-{hmac.digest(secret, words, 'sha256').hex()[:_DIGEST]}".encode()
