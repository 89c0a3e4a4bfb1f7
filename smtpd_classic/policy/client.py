"""Checks of the client at the start of the session."""

from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.replies import ACCESS_DENIED, BLOCKED, LOGIN_REQUIRED
from smtpd_classic.smtp.reply import Reply

__all__ = ["allow_only", "auth", "auto_block", "refuse"]


def refuse(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse networks that may not connect, by the lists of [access] and [listener]."""
    client = transaction.peer.client
    if client.local:
        return None
    refused = any(networks.find(client.ip) is not None for _, networks in transaction.rules.refuse)
    return ACCESS_DENIED if refused else None


def allow_only(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a client that is missing from a list of [access] or [listener] that is not blank."""
    client = transaction.peer.client
    if client.local:
        return None
    allowed = all(networks.find(client.ip) is not None for _, networks in transaction.rules.allow_only)
    return None if allowed else ACCESS_DENIED


def auto_block(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a blocked address. Trusted Hosts are exempt, also from a block that an administrator set."""
    client = transaction.peer.client
    if client.local or not transaction.rules.sources.blocked(client.ip):
        return None
    return None if transaction.peer.originates_here else BLOCKED


def auth(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse mail on a listener for users if the client is neither logged in nor trusted."""
    return None if transaction.peer.authorised_by() else LOGIN_REQUIRED
