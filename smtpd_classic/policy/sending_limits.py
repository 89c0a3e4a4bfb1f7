"""The sending limits: recipients elsewhere, counted for each account, Trusted Host, and the programs of this machine.

The counters are asked at RCPT only if that may refuse a recipient. They change when the message is committed
(reception/sending.py).
"""

from collections.abc import Mapping

from smtpd_classic.config.schema import Config
from smtpd_classic.counters.sender_limits import DAY, HOUR, SUSPENDED, SenderLimits, group_of, limits_for
from smtpd_classic.domain_name import comparable_address
from smtpd_classic.policy.transaction import ClientContext, ResolvedRecipient, Transaction
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.replies import ACCOUNT_SUSPENDED, OVER_LIMIT_DEFERRED, OVER_LIMIT_REFUSED
from smtpd_classic.smtp.reply import Reply

__all__ = ["exceeded_limit", "over_limit", "over_limit_reply", "sender_limits", "suspend_after"]


def sender_limits(config: Config, peer: ClientContext) -> tuple[str, SenderLimits] | None:
    """Return the name of the sender and its limits; None for a stranger, who has none."""
    if not peer.originates_here:
        return None
    group = group_of(peer.login.address if peer.login is not None else "", str(peer.client))
    return group, limits_for(config, group)


def over_limit(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a recipient elsewhere if the message would exceed a limit with it. Local recipients always pass."""
    return over_limit_reply(transaction.rules.config.limits.over_limit) if exceeded_limit(transaction) else None


def exceeded_limit(transaction: Transaction) -> str:
    """Return the limit by hour or day that the message would exceed with this recipient, in words; blank for none."""
    found = sender_limits(transaction.rules.config, transaction.peer)
    recipient, is_local = transaction.recipient, transaction.rules.accounts.is_local_domain
    if found is None or recipient is None:
        return ""
    ends = [_ends(transaction, each) for each in (*transaction.recipients, recipient)]
    outside = {
        comparable_address(target) for each in ends for target in each if not is_local(target.rpartition("@")[2])
    }
    if all(is_local(target.rpartition("@")[2]) for target in ends[-1]):
        return ""
    group, limits = found
    counters = transaction.rules.sources.counters
    if not _exceeded(counters.recent_values(group, [HOUR, DAY]), limits, len(outside)):
        return ""
    # Nothing is refused for a number of the last second: an administrator may have reset it.
    numbers = counters.numbers(group, [HOUR, DAY])
    return _exceeded({name: number.value for name, number in numbers.items()}, limits, len(outside))


def _exceeded(values: Mapping[str, int], limits: SenderLimits, more: int) -> str:
    found = [name for name, value in values.items() if 0 < limits.most(name) < value + more]
    return limits.text(found[0]) if found else ""


def _ends(transaction: Transaction, recipient: ResolvedRecipient) -> tuple[str, ...]:
    """Return the targets of a recipient with the members of its groups."""
    members_of = transaction.rules.accounts.members_of
    return (*recipient.targets, *(member for group in recipient.groups for member in members_of(group).ends))


def suspend_after(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse mail of a suspended account: a session may have logged in before."""
    login = transaction.peer.login
    if login is None:
        return None
    group = group_of(login.address, "")
    found = transaction.rules.sources.counters.numbers(group, [SUSPENDED])
    return ACCOUNT_SUSPENDED if found[SUSPENDED].value else None


def over_limit_reply(mode: str) -> Reply:
    """Return the refusal for the value of over_limit."""
    return OVER_LIMIT_DEFERRED if mode == "defer" else OVER_LIMIT_REFUSED
