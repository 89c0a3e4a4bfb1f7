"""The archives of a message: the addresses that get a copy of it."""

from collections.abc import Iterator

from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy.transaction import Transaction

__all__ = ["archives", "came_from_archive"]


def archives(transaction: Transaction) -> tuple[str, ...]:
    """Return the archive addresses, each once. Mail for an archive alone gets no copy there."""
    found = dict.fromkeys(_named(transaction))
    if not found:
        return ()
    canonical = transaction.rules.accounts.canonical
    recipients = {each.address.lower() for each in transaction.recipients}
    return tuple(each for each in found if recipients != {canonical(each).lower()})


def _named(transaction: Transaction) -> Iterator[str]:
    config, accounts = transaction.rules.config, transaction.rules.accounts
    here = [each for each in transaction.recipients if not each.remote]
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


def came_from_archive(transaction: Transaction, header: HeaderBlock, address: str) -> bool:
    """Return True if a stranger brings a copy back that the archive had."""
    if transaction.peer.originates_here:
        return False
    seen = {value.decode("utf-8", "replace").strip("<> ").lower() for value in header.values(b"delivered-to")}
    return address.lower() in seen
