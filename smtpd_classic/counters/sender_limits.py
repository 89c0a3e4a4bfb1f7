"""The sending limits of one sender: its name in the counters, its limits by the configuration, and their use."""

import os
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple

from smtpd_classic.config.schema import AccountLimits, Config
from smtpd_classic.counters.store import Amount, CounterStore, Number, Seen
from smtpd_classic.domain_name import comparable_address, comparable_domain, tidy_domain

__all__ = [
    "COUNTED",
    "DAY",
    "HOUR",
    "NEW",
    "SUSPENDED",
    "SenderLimits",
    "SendingUse",
    "counters_folder",
    "group_of",
    "limits_for",
    "named_group",
    "sending_use",
    "suspend",
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

    @property
    def is_limited(self) -> bool:
        return self.hour > 0 or self.day > 0 or self.new > 0

    def most(self, name: str) -> int:
        return self.hour if name == HOUR else self.day if name == DAY else self.new

    def without_limits(self) -> "SenderLimits":
        return SenderLimits(0, 0)

    def text(self, name: str) -> str:
        """Return a limit in words: “200 recipients an hour”."""
        return f"{self.most(name)} {_WORDS[name]}"

    def amounts(self, number: int) -> list[Amount]:
        return [Amount(HOUR, number, _HOUR_S, self.hour), Amount(DAY, number, _DAY_S, self.day)]

    def seen(self, addresses: Iterable[str]) -> Seen:
        """Return the addresses to remember. New ones only count in the first 30 days of the sender."""
        words = tuple(map(comparable_address, addresses))
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
    return f"account {_canonical(config, address)}"


def _canonical(config: Config, address: str) -> str:
    """Return the address as the accounts write it: a local domain may be named by an alias or in its other spelling."""
    local, _, domain = address.lower().rpartition("@")
    wanted, primary = comparable_domain(domain), config.server.primary_domain
    if wanted == comparable_domain(primary):
        return f"{local}@{tidy_domain(primary)}"
    for each in config.domains:
        if wanted in map(comparable_domain, (each.name, *each.aliases)):
            return f"{local}@{tidy_domain(each.name)}"
    return f"{local}@{tidy_domain(domain)}"


def counters_folder(config: Config) -> str:
    """Return the folder of the counters."""
    return os.path.join(config.server.spool_folder, "limits")


def limits_for(config: Config, group: str) -> SenderLimits:
    limits = config.limits
    if not group.startswith("account "):
        return SenderLimits(limits.hosts_per_hour, limits.hosts_per_day, alarm=_HOST_ALARM)
    own = _own_limits(config, group.removeprefix("account "))
    if own is None:
        return SenderLimits(limits.recipients_per_hour, limits.recipients_per_day, limits.new_recipients_per_day)

    def chosen(given: int | None, default: int) -> int:
        return default if given is None else given

    return SenderLimits(
        chosen(own.recipients_per_hour, limits.recipients_per_hour),
        chosen(own.recipients_per_day, limits.recipients_per_day),
        chosen(own.new_recipients_per_day, limits.new_recipients_per_day),
    )


def suspend(counters: CounterStore, group: str, reason: str) -> None:
    """Suspend an account until `user resume`. Raises OSError."""
    counters.write_text(group, SUSPENDED, reason)
    counters.put(group, SUSPENDED, 1, _FOR_GOOD_S)


def _own_limits(config: Config, account: str) -> AccountLimits | None:
    """Return the section of an account. Its exact name is looked for first, for this is done with every message."""
    start = account.rpartition("@")[0] + "@"
    found = [each for each in config.account_limits if each.name.lower().startswith(start)]
    exact = next((each for each in found if each.name.lower() == account), None)
    return exact or next((each for each in found if _canonical(config, each.name) == account), None)


class SendingUse(NamedTuple):
    """The numbers of one account or host by hour, day and new, and the reason if it is suspended."""

    sender: str
    numbers: dict[str, Number]
    limits: SenderLimits
    suspended: str


def sending_use(config: Config, counters: CounterStore) -> list[SendingUse]:
    """Return the senders that have numbers or are suspended. Raises OSError."""
    found = []
    for group in counters.groups():
        numbers, reason = counters.numbers(group, COUNTED), counters.text(group, SUSPENDED)
        if reason or any(number.value for number in numbers.values()):
            sender = group.removeprefix("account ").removeprefix("host ")
            found.append(SendingUse(sender, numbers, limits_for(config, group), reason))
    return found
