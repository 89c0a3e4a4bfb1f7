"""VRFY and EXPN (RFC 5321 3.5), where they are allowed."""

from smtpd_classic.accounts import ResolvedAddress
from smtpd_classic.domain_name import ascii_address
from smtpd_classic.policy.recipients import resolve
from smtpd_classic.policy.relaying import permission
from smtpd_classic.policy.rules import Rules
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.address import BadAddress, parse_address
from smtpd_classic.smtp.events import Event, Expand, Verify
from smtpd_classic.smtp.replies import (
    AMBIGUOUS_USER,
    BAD_RECIPIENT_ADDRESS,
    EXPAND_NEEDS_UTF8,
    EXPAND_OFF,
    NO_SUCH_LIST,
    NO_SUCH_USER,
    RELAY_DENIED,
    VERIFY_RELAYED,
    VERIFY_UNSURE,
    expanded,
    verified,
)
from smtpd_classic.smtp.reply import Reply

__all__ = ["allow_vrfy_expn", "expand", "verify"]


def allow_vrfy_expn(transaction: Transaction, event: Event) -> Reply | None:
    """Answer VRFY and EXPN without an address while the option is off."""
    return EXPAND_OFF if isinstance(event, Expand) else VERIFY_UNSURE


def _address(argument: str) -> str:
    """Return the user name or the address (RFC 5321 3.5.1), without brackets and the name before them. Raises
    BadAddress."""
    word = argument.strip()
    if word.endswith(">") and "<" in word:
        word = word[word.rindex("<") + 1 : -1].strip()
    return parse_address(word, utf8=True) if "@" in word else word


def _named(rules: Rules, name: str) -> list[tuple[str, ResolvedAddress]]:
    """Return the recipients of a name without a domain, one for each local domain; domain aliases are the same
    mailboxes."""
    domains = dict.fromkeys([rules.config.server.primary_domain, *(each.name for each in rules.config.domains)])
    addresses = [f"{name}@{domain}" for domain in domains]
    found = ((address, rules.accounts.find(address)) for address in addresses)
    return [(address, each) for address, each in found if each is not None and each.how != "catch-all"]


def verify(transaction: Transaction, event: Verify) -> Reply:
    rules = transaction.rules
    try:
        address = _address(event.argument)
    except BadAddress:
        return BAD_RECIPIENT_ADDRESS
    if "@" not in address:
        return _verify_name(rules, address, event)
    transaction.recipient = recipient = resolve(rules, address)
    if recipient.remote:
        return VERIFY_RELAYED if permission(transaction).granted else RELAY_DENIED
    if recipient.how == "unknown":
        return NO_SUCH_USER
    return _verified(rules, recipient.targets, recipient.address, event)


def _verify_name(rules: Rules, name: str, event: Verify) -> Reply:
    found = _named(rules, name)
    if not found:
        return NO_SUCH_USER
    if len(found) > 1 and len({each.targets for _, each in found}) > 1:
        return AMBIGUOUS_USER
    address, only = found[0]
    return _verified(rules, only.targets, address, event)


def _verified(rules: Rules, targets: tuple[str, ...], address: str, event: Verify) -> Reply:
    """Return the reply with name and address. Without SMTPUTF8 the client has named an ASCII address, and gets no other
    text (RFC 6531 3.7.4.2)."""
    name = _full_name(rules, targets)
    if event.smtputf8:
        return verified(name, address)
    return verified(name if name.isascii() else "", ascii_address(address))


def _full_name(rules: Rules, targets: tuple[str, ...]) -> str:
    return rules.accounts.full_name(targets[0]) if len(targets) == 1 else ""


def expand(transaction: Transaction, event: Expand) -> Reply:
    rules = transaction.rules
    try:
        address = _address(event.argument)
    except BadAddress:
        return BAD_RECIPIENT_ADDRESS
    names = [address] if "@" in address else [each for each, _ in _named(rules, address)]
    lists = {members for name in names if (members := rules.accounts.members(name)) is not None}
    if not lists:
        return NO_SUCH_LIST
    if len(lists) > 1:
        return AMBIGUOUS_USER
    found = lists.pop() if event.smtputf8 else tuple(map(ascii_address, lists.pop()))
    return expanded(found) if event.smtputf8 or all(map(str.isascii, found)) else EXPAND_NEEDS_UTF8
