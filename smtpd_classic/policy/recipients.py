"""The resolution of a forward-path to its recipients. Aliases are expanded here, once."""

from smtpd_classic.accounts import DISABLED
from smtpd_classic.approval import decision_of
from smtpd_classic.policy.rules import Rules
from smtpd_classic.policy.transaction import ResolvedRecipient

__all__ = ["DECIDES", "resolve", "takes_mail"]

DECIDES = "decision"


def resolve(rules: Rules, path: str) -> ResolvedRecipient:
    """Return the recipient for the path. Raises AccountsUnreadable if the accounts cannot show whether it exists."""
    accounts = rules.accounts
    local, at, domain = path.rpartition("@")
    if not at:  # RFC 5321 4.5.1: <postmaster>, the only one without a domain
        path = accounts.canonical(path)
        local, _, domain = path.rpartition("@")
    if domain.startswith("[") and rules.own_literal(domain):  # user@[192.0.2.1]: this server, by its address
        path = accounts.canonical(local)
        domain = path.rpartition("@")[2]
    if not accounts.is_local_domain(domain):
        return ResolvedRecipient(path, domain, "remote", (path,))
    if local[:3].upper() == "SRS":
        real = rules.sources.reverse_srs(path)
        if real is not None:
            found = accounts.find(real) if accounts.is_local_domain(real.rpartition("@")[2]) else None
            if found is None:
                return ResolvedRecipient(path, domain, "SRS", (real,))
            return ResolvedRecipient(path, domain, "SRS", found.targets, found.groups)
    if rules.config.approvals and decision_of(rules.config, local) is not None:
        return ResolvedRecipient(path, domain, DECIDES)
    found = accounts.find(path)
    return (
        ResolvedRecipient(path, domain, "unknown")
        if found is None
        else ResolvedRecipient(path, domain, found.how, found.targets, found.groups)
    )


def takes_mail(rules: Rules, recipient: ResolvedRecipient, *, automatic: bool) -> bool:
    """Return True if mail for the recipient reaches an address, and none of its accounts is disabled. Raises as
    `resolve` does.

    `automatic`: a program has sent the message, so that no group distributes it, but for the postmaster.
    """
    owners = [rules.accounts.account(target) for target in recipient.targets]
    disabled = [owner for owner in owners if owner is not None and owner.status == DISABLED]
    groups = recipient.groups if recipient.postmaster or not automatic else ()
    return not disabled and bool(owners or any(rules.accounts.members_of(group).ends for group in groups))
