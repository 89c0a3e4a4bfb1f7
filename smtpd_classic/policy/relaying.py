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
    addressee, rules = transaction.addressee, transaction.rules
    assert addressee is not None
    if not addressee.remote:
        return _here(transaction)
    if not rules.config.basic.close_open_relay:
        return Permission(True, "basic", "close_open_relay", "it is off: anybody may send to anybody")
    login = transaction.visitor.login
    if login is not None:
        return Permission(True, "server", "users_file", f"the client has logged in as {login.address}")
    trust = transaction.visitor.trust()
    if trust:
        return Permission(True, "trusted", "hosts", f"the client is trusted: {trust}")
    pattern = rules.open_relay.find(addressee.domain)
    if pattern:
        return Permission(True, "open-relay", "domains", f"{pattern} is an Open Relay Domain")
    direct = rules.direct_domain(addressee.domain)
    if direct is not None and direct.open:
        return Permission(True, f"direct {direct.name}", "open", "anyone may send to this domain")
    return Permission(False, "basic", "close_open_relay", "the client is a stranger and the recipient is not ours")


def _here(transaction: Transaction) -> Permission:
    addressee = transaction.addressee
    assert addressee is not None
    if addressee.how == "unknown":
        return Permission(False, "server", "users_file", f"{addressee.address} is no account, alias or catch-all")
    if addressee.how == "SRS":
        return Permission(True, "remote", "srs", f"it stands for {addressee.targets[0]}")
    return Permission(True, "server", "users_file", f"{addressee.address} is ours: {addressee.how}")


def close_open_relay(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a recipient without permission. An unknown user of a local domain is refused with the option off too."""
    addressee = transaction.addressee
    if addressee is not None and not addressee.remote:  # the usual case: build no text
        return NO_SUCH_USER if addressee.how == "unknown" else None
    return None if permission(transaction).granted else RELAY_DENIED


def status(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a recipient if a mailbox among its targets is disabled."""
    addressee = transaction.addressee
    if addressee is None or addressee.postmaster:
        return None
    accounts = transaction.rules.accounts
    for target in addressee.targets:
        account = accounts.account(target)
        if account is not None and account.status == DISABLED:
            return MAILBOX_DISABLED
    return None


def look_up_mx(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a remote domain that does not exist or takes no mail, while the user is still connected. Strangers are
    exempt, for they could make the server send DNS queries. Domains with a route that does not come from DNS are exempt
    too."""
    addressee, rules = transaction.addressee, transaction.rules
    if addressee is None or not addressee.remote or addressee.domain.startswith("["):
        return None
    if rules.direct_domain(addressee.domain) is not None or not transaction.visitor.authorised_by():
        return None
    try:
        rules.dns.mx(addressee.domain, timeout_s=_LOOK_UP_S)
    except NoSuchDomain:
        return NO_SUCH_DOMAIN
    except NullMx:
        return DOMAIN_TAKES_NO_MAIL
    except DnsFailure:
        return None
    return None
