"""The permission to relay: the one decision that makes a server an open relay or not."""

from typing import NamedTuple

from smtpd_classic.accounts import DISABLED
from smtpd_classic.dns import DnsFailure, NoSuchDomain, NullMx
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.replies import (
    DOMAIN_TAKES_NO_MAIL,
    MAILBOX_DISABLED,
    NO_SUCH_DOMAIN,
    NO_SUCH_USER,
    NOT_LOCAL,
    RELAY_DENIED,
)
from smtpd_classic.smtp.reply import Reply

__all__ = ["Permission", "close_open_relay", "look_up_mx", "permission", "status"]

_LOOK_UP_S = 2.0


class Permission(NamedTuple):
    """The decision for one recipient, with the section and the option that made it."""

    granted: bool
    section: str
    option: str
    why: str


def permission(transaction: Transaction) -> Permission:
    """Return the first permission or refusal that applies, in this order."""
    recipient, rules = transaction.recipient, transaction.rules
    assert recipient is not None
    if not recipient.remote:
        return _here(transaction)
    if rules.lmtp:
        return Permission(False, f"listener {rules.listener.name}", "", "LMTP is for local recipients alone")
    if not rules.config.basic.close_open_relay:
        return Permission(True, "basic", "close_open_relay", "it is off: every client may send to every address")
    login = transaction.peer.login
    if login is not None:
        return Permission(True, "server", "users_file", f"the client has logged in as {login.address}")
    trust = transaction.peer.trust()
    if trust:
        return Permission(True, "trusted", "hosts", f"the client is trusted: {trust}")
    pattern = rules.open_relay.find(recipient.domain)
    if pattern:
        return Permission(True, "open-relay", "domains", f"{pattern} is an Open Relay Domain")
    direct = rules.direct_domain(recipient.domain)
    if direct is not None and direct.open:
        return Permission(True, f"direct {direct.name}", "open", "anyone may send to this domain")
    return Permission(False, "basic", "close_open_relay", "the client is a stranger and the recipient is not ours")


def _here(transaction: Transaction) -> Permission:
    recipient = transaction.recipient
    assert recipient is not None
    if recipient.how == "unknown":
        return Permission(False, "server", "users_file", f"{recipient.address} is no account, alias or catch-all")
    if recipient.how == "SRS":
        return Permission(True, "remote", "srs", f"it stands for {recipient.targets[0]}")
    return Permission(True, "server", "users_file", f"{recipient.address} is ours: {recipient.how}")


def close_open_relay(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a recipient without permission. An unknown user of a local domain is refused with the option off too."""
    recipient = transaction.recipient
    if recipient is not None and not recipient.remote:  # the usual case: build no text
        return NO_SUCH_USER if recipient.how == "unknown" else None
    if permission(transaction).granted:
        return None
    return NOT_LOCAL if transaction.rules.lmtp else RELAY_DENIED


def status(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a recipient if a mailbox among its targets is disabled."""
    recipient = transaction.recipient
    if recipient is None or recipient.postmaster:
        return None
    accounts = transaction.rules.accounts
    for target in recipient.targets:
        account = accounts.account(target)
        if account is not None and account.status == DISABLED:
            return MAILBOX_DISABLED
    return None


def look_up_mx(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a remote domain that does not exist or takes no mail, while the user is still connected. Strangers are
    exempt, for they could make the server send DNS queries. Domains with a route that does not come from DNS are exempt
    too."""
    recipient, rules = transaction.recipient, transaction.rules
    if recipient is None or not recipient.remote or recipient.domain.startswith("["):
        return None
    if rules.direct_domain(recipient.domain) is not None or not transaction.peer.authorised_by():
        return None
    try:
        rules.dns.mx(recipient.domain, timeout_s=_LOOK_UP_S)
    except NoSuchDomain:
        return NO_SUCH_DOMAIN
    except NullMx:
        return DOMAIN_TAKES_NO_MAIL
    except DnsFailure:
        return None
    return None
