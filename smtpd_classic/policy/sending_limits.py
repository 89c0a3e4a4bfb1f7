"""The sending limits: recipients elsewhere, counted for each account, Trusted Host, and the programs of this machine.

The counters are asked at RCPT only if that may refuse a recipient. They change when the message is committed
(reception/sending.py).
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple

from smtpd_classic.config.schema import Config
from smtpd_classic.counters import Amount, CounterStore, Seen
from smtpd_classic.policy.transaction import ClientContext, ResolvedRecipient, Transaction
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.replies import ACCOUNT_SUSPENDED, OVER_LIMIT_DEFERRED, OVER_LIMIT_REFUSED
from smtpd_classic.smtp.reply import Reply

__all__ = [
    "COUNTED",
    "DAY",
    "HOUR",
    "NEW",
    "SUSPENDED",
    "SenderLimits",
    "counters_folder",
    "group_of",
    "limits_for",
    "named_group",
    "over_limit",
    "over_limit_reply",
    "sender_limits",
    "suspend",
    "suspend_after",
]

HOUR, DAY, NEW = "hour", "day", "new"
COUNTED = (HOUR, DAY, NEW)
SUSPENDED = "suspended"
_FOR_GOOD_S = 10 * 366 * 86_400.0
LOCAL_PROGRAMS = "local programs"
_HOUR_S, _DAY_S = 3600.0, 86_400.0
_KNOWN_S = 30 * _DAY_S
_HOST_ALARM = 5000
_WORDS = {HOUR: "recipients an hour", DAY: "recipients a day", NEW: "new recipients a day"}


class SenderLimits(NamedTuple):
    """The limits of one sender; 0 means no limit. `alarm` is the number an hour at which the postmaster is told though
    there is no limit.
    """

    hour: int
    day: int
    new: int = 0
    alarm: int = 0

    def most(self, name: str) -> int:
        return {HOUR: self.hour, DAY: self.day, NEW: self.new}[name]

    def without_limits(self) -> "SenderLimits":
        return SenderLimits(0, 0)

    def text(self, name: str) -> str:
        """Return a limit in words: “200 recipients an hour”."""
        return f"{self.most(name)} {_WORDS[name]}"

    def amounts(self, number: int) -> list[Amount]:
        return [Amount(HOUR, number, _HOUR_S, self.hour), Amount(DAY, number, _DAY_S, self.day)]

    def seen(self, addresses: Iterable[str]) -> Seen:
        """Return the addresses to remember. New ones only count in the first 30 days of the sender."""
        words = tuple(address.lower() for address in addresses)
        return Seen(words, _KNOWN_S, Amount(NEW, 0, _DAY_S, self.new), grace_s=_KNOWN_S)


def group_of(login: str, client: str) -> str:
    """Return the name of a sender in the counters, from its login, or from the text of its client: `name[address]`."""
    if login:
        return f"account {login.lower()}"
    address = client.rpartition("[")[2].rstrip("]")
    return LOCAL_PROGRAMS if address.startswith("uid=") else f"host {address}"


def named_group(config: Config, sender: str) -> str:
    """Return the group of a sender that a person has named: an account, an IP address, or “local programs”."""
    if sender == LOCAL_PROGRAMS:
        return sender
    with suppress(ValueError):
        return f"host {ip_address(sender)}"
    address = sender if "@" in sender else f"{sender}@{config.server.primary_domain}"
    return f"account {address.lower()}"


def counters_folder(config: Config) -> str:
    """Return the folder of the counters."""
    return os.path.join(config.server.spool_folder, "limits")


def limits_for(config: Config, group: str) -> SenderLimits:
    limits = config.limits
    if not group.startswith("account "):
        return SenderLimits(limits.hosts_per_hour, limits.hosts_per_day, alarm=_HOST_ALARM)
    own = next((each for each in config.account_limits if each.name.lower() == group[8:]), None)
    if own is None:
        return SenderLimits(limits.recipients_per_hour, limits.recipients_per_day, limits.new_recipients_per_day)

    def chosen(given: int | None, default: int) -> int:
        return default if given is None else given

    return SenderLimits(
        chosen(own.recipients_per_hour, limits.recipients_per_hour),
        chosen(own.recipients_per_day, limits.recipients_per_day),
        chosen(own.new_recipients_per_day, limits.new_recipients_per_day),
    )


def sender_limits(config: Config, peer: ClientContext) -> tuple[str, SenderLimits] | None:
    """Return the name of the sender and its limits; None for a stranger, who has none."""
    if not peer.originates_here:
        return None
    group = group_of(peer.login.address if peer.login is not None else "", str(peer.client))
    return group, limits_for(config, group)


def over_limit(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a recipient elsewhere if the message would exceed a limit with it. Local recipients always pass."""
    found = sender_limits(transaction.rules.config, transaction.peer)
    recipient, is_local = transaction.recipient, transaction.rules.accounts.is_local_domain
    if found is None or recipient is None:
        return None
    ends = [_ends(transaction, each) for each in (*transaction.recipients, recipient)]
    outside = {target.lower() for each in ends for target in each if not is_local(target.rpartition("@")[2])}
    if all(is_local(target.rpartition("@")[2]) for target in ends[-1]):
        return None
    group, limits = found
    numbers = transaction.rules.sources.counters.numbers(group, [HOUR, DAY])
    if all(not limits.most(name) or numbers[name].value + len(outside) <= limits.most(name) for name in numbers):
        return None
    return over_limit_reply(transaction.rules.config.limits.over_limit)


def _ends(transaction: Transaction, recipient: ResolvedRecipient) -> tuple[str, ...]:
    """Return the targets of a recipient with the members of its groups."""
    members_of = transaction.rules.accounts.members_of
    return (*recipient.targets, *(member for group in recipient.groups for member in members_of(group).ends))


def suspend(counters: CounterStore, group: str, reason: str) -> None:
    """Suspend an account until `user resume`. Raises OSError."""
    counters.write_text(group, SUSPENDED, reason)
    counters.put(group, SUSPENDED, 1, _FOR_GOOD_S)


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
