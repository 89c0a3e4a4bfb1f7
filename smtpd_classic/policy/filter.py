"""The SMTP Filter: checks at RCPT of clients that are neither logged in, trusted nor local.

Rule 1: mail for postmaster@ and abuse@ of a local domain is never refused here.
Rule 2: a look-up that fails is never a reason against a message.
Rule 3: the null sender is always accepted (RFC 5321 4.5.5).
"""

from collections.abc import Callable

from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.domain_name import spellings, tidy_domain
from smtpd_classic.filters.dns_lists import Listing
from smtpd_classic.mailauth.lookup import ascii_name
from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.policy.authentication import lookups_of, spf_of
from smtpd_classic.policy.content import ContentCheck, Disposition
from smtpd_classic.policy.networks import plain_ip
from smtpd_classic.policy.transaction import ResolvedRecipient, Transaction
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.replies import (
    HELLO_REFUSED,
    NO_REVERSE_NAME,
    OWN_HELLO_REFUSED,
    SENDER_DOMAIN_DEFERRED,
    SENDER_DOMAIN_REFUSED,
    SENDER_REFUSED,
    SENDER_TAKES_NO_MAIL,
    listed_in,
)
from smtpd_classic.smtp.reply import Reply

__all__ = [
    "blocklist_action",
    "blocklists",
    "has_name",
    "is_allowed",
    "is_always_reached",
    "is_filtered",
    "own_hello",
    "refuse_hellos",
    "refuse_senders",
    "reverse_name",
    "sender_domain",
]

_ALWAYS_REACHED = ("postmaster", "abuse")
_THIS_MACHINE = frozenset({"127.0.0.1", "::1"})


def is_filtered(transaction: Transaction) -> bool:
    """Return True if the filter may object to this client and recipient."""
    recipient = transaction.recipient
    return recipient is not None and not transaction.peer.originates_here and not is_always_reached(recipient)


def is_always_reached(recipient: ResolvedRecipient) -> bool:
    """Return True for postmaster@ and abuse@ of a local domain."""
    return not recipient.remote and recipient.address.rpartition("@")[0].lower() in _ALWAYS_REACHED


def sender_domain(transaction: Transaction, event: Event) -> Reply | None:
    """Object to a sender whose domain cannot get mail."""
    domain = transaction.sender.rpartition("@")[2]
    if not domain or domain.startswith("[") or not is_filtered(transaction):
        return None
    if transaction.peer.client.ip in _THIS_MACHINE:  # a program here may write any sender, as a test message does
        return None
    if transaction.rules.accounts.is_local_domain(domain):
        return None
    reply = (
        SENDER_DOMAIN_REFUSED if transaction.rules.config.filter.sender_domain == "refuse" else SENDER_DOMAIN_DEFERRED
    )
    lookups, name = lookups_of(transaction), ascii_name(domain)
    if not name:
        return reply
    try:
        exchangers = _found(lookups.exchangers, name)
        if exchangers:
            return SENDER_TAKES_NO_MAIL if not any(exchangers) else None
        return None if _found(lookups.ipv4, name) or _found(lookups.ipv6, name) else reply
    except DnsFailure:
        return None


def _found(look_up: Callable[[str], tuple[str, ...]], name: str) -> tuple[str, ...]:
    """Return the records, none for a name that is denied: name servers that know A alone deny the rest (RFC 4074)."""
    try:
        return look_up(name)
    except NoSuchDomain:
        return ()


def reverse_name(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a client whose address has no host name that leads back to it."""
    if not is_filtered(transaction) or has_name(transaction) or is_allowed(transaction):
        return None
    return NO_REVERSE_NAME


def has_name(transaction: Transaction) -> bool:
    """Return False only if DNS shows that no name of the client leads back to it."""
    client = transaction.peer.client
    if client.name not in {"", "unknown"}:
        return True
    lookups, ip = lookups_of(transaction), plain_ip(client.ip)
    try:
        names = lookups.ptr(client.ip)
    except NoSuchDomain:
        return False
    except DnsFailure:
        return True
    for name in names:
        try:
            found = lookups.ipv6(name) if ip is not None and ip.version == 6 else lookups.ipv4(name)
        except NoSuchDomain:
            continue
        except DnsFailure:
            return True
        if ip in {plain_ip(each) for each in found}:
            return True
    return False


def own_hello(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a stranger that greets with the name or an address of this server."""
    rules, hello = transaction.rules, tidy_domain(transaction.peer.hello)
    if not is_filtered(transaction):
        return None
    if hello.startswith("["):
        is_own = rules.own_literal(hello)
    else:
        is_own = rules.config.helo_name.lower() in spellings(hello) and not rules.accounts.is_local_domain(hello)
    if not is_own or _is_this_machine(transaction):
        return None
    return None if spf_of(transaction).word is ResultWord.PASS else OWN_HELLO_REFUSED


def _is_this_machine(transaction: Transaction) -> bool:
    """Return True if the client's address is one of this server's: then the name is right."""
    ip = plain_ip(transaction.peer.client.ip)
    if ip is None or str(ip) in {"127.0.0.1", "::1"}:
        return True
    return not ip.is_loopback and transaction.rules.own_literal(f"[{ip}]")


def refuse_senders(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse the senders of the list."""
    sender = transaction.sender
    found = bool(sender) and is_filtered(transaction) and transaction.rules.filter.refused_senders.find(sender)
    return SENDER_REFUSED if found else None


def refuse_hellos(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse clients by their names in EHLO."""
    found = is_filtered(transaction) and transaction.rules.filter.refused_hellos.find(transaction.peer.hello)
    return HELLO_REFUSED if found else None


def blocklists(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a client that is in a blocklist, with the reason that the list gives."""
    if transaction.rules.config.filter.blocklist_action != "refuse" or not is_filtered(transaction):
        return None
    found = _listing(transaction)
    return listed_in(found.zone, transaction.peer.client.ip, found.reason) if found is not None else None


def _listing(transaction: Transaction) -> Listing | None:
    """Return the blocklist that has the client, unless an allowlist has it too."""
    if is_allowed(transaction):
        return None
    return transaction.rules.filter.blocklists.find(lookups_of(transaction), transaction.peer.client.ip)


def is_allowed(transaction: Transaction) -> bool:
    """Return True if an allowlist has the client."""
    lists = transaction.rules.filter.allowlists
    return bool(lists) and lists.find(lookups_of(transaction), transaction.peer.client.ip) is not None


def blocklist_action(transaction: Transaction) -> "BlocklistMark | None":
    """Return the check that marks mail of listed clients; None for clients that are not filtered."""
    return None if transaction.peer.originates_here else BlocklistMark(transaction)


class BlocklistMark(ContentCheck):
    """Puts mail of a listed client into the junk folder, or marks it."""

    __slots__ = ("_found", "_transaction")

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._found: Listing | None = None

    def end(self, disposition: Disposition) -> Reply | None:
        found = self._found = _listing(self._transaction)
        if found is not None and self._transaction.rules.config.filter.blocklist_action == "junk":
            disposition.junk = disposition.junk or f"listed in {found.zone}"
        return None

    def fields(self, disposition: Disposition) -> bytes:
        found = self._found
        return b"" if found is None else _blocklist_field(found.zone, found.answer)

    def longest_fields(self) -> int:
        lists = self._transaction.rules.config.filter.blocklists
        return max(len(_blocklist_field(each.zone, "127.000.000.000")) for each in lists)

    def summary(self) -> str:
        found = self._found
        return "" if found is None else f"filter: listed in {found.zone} ({found.answer})"


def _blocklist_field(zone: str, answer: str) -> bytes:
    return f"X-Blocklist: {ascii_name(zone) or zone} ({answer})\n".encode("ascii", "replace")
