"""How much of its limits each sender has used, for the command and for the screen."""

from typing import NamedTuple

from smtpd_classic.config.schema import Config
from smtpd_classic.counters import CounterStore, Number
from smtpd_classic.policy.sending_limits import COUNTED, SUSPENDED, SenderLimits, limits_for

__all__ = ["SendingUse", "sending_use"]


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
