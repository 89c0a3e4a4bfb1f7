"""The options of sending limits, for all accounts and for one."""

from datetime import timedelta

from smtpd_classic.config.frozen import frozen_dataclass
from smtpd_classic.config.kinds import POSITIVE_DURATION, choice, number, optional_number
from smtpd_classic.config.option import option

__all__ = ["AccountLimits", "Limits"]

_MOST = 10_000_000


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The options of [limits]."""

    recipients_per_hour: int = option(
        number(0, _MOST),
        200,
        "Recipients an hour",
        "How many recipients outside of this server each account may write to within an hour. Recipients are counted "
        "after aliases, not messages, when a message is accepted; the hour begins with the first of them. Recipients "
        "here are neither counted nor held. 0: no limit.",
    )
    recipients_per_day: int = option(
        number(0, _MOST), 1000, "Recipients a day", "The same within 24 hours. 0: no limit."
    )
    new_recipients_per_day: int = option(
        number(0, _MOST),
        200,
        "New recipients a day",
        "How many addresses an account may write to within 24 hours to which it has not written in the last 30 days: "
        "the best sign of a stolen password. In the first 30 days of an account, and after an upgrade, the log only "
        "warns. 0: no limit.",
    )
    hosts_per_hour: int = option(
        number(0, _MOST),
        0,
        "Recipients an hour of a host",
        "The same for each Trusted Host, and for all programs of this machine together. 0: no limit, as for a list "
        "server or a shop; the postmaster gets a mail at 5,000 an hour.",
    )
    hosts_per_day: int = option(
        number(0, _MOST), 0, "Recipients a day of a host", "The same within 24 hours. 0: no limit."
    )
    over_limit: str = option(
        choice("hold", "defer", "refuse"),
        "hold",
        "Over the limit",
        "hold: keep the message on hold in the queue, until it is released; its recipients here get it at once, and "
        "its sender gets a notice. defer: refuse the recipient for now (450). refuse: refuse it for good (550). A "
        "message that would exceed a limit is held as a whole and not counted; it is counted when it is released.",
    )
    hold_time: timedelta = option(
        POSITIVE_DURATION,
        timedelta(days=5),
        "Longest hold",
        "How long a message may be on hold by hand or over a limit. Its life time in the queue stands still meanwhile. "
        "After this it is returned to its sender.",
    )
    alarm_at: int = option(
        number(0, 100),
        80,
        "Alarm at percent",
        "Tell the postmaster when an account or host has used this part of a limit, and when it has reached the limit: "
        "one mail of each kind a day, with the counts and the last client addresses. 0: never.",
    )
    suspend_after: int = option(
        number(0, 1000),
        0,
        "Suspend after",
        "How many messages in a row over its limit suspend an account: it cannot log in or send, and gets mail, until "
        "“smtpd-classic user resume”. A message within the limit begins the count anew. 0: never.",
    )


@frozen_dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """The options of [account-limits ADDRESS]."""

    name: str
    recipients_per_hour: int | None = option(
        optional_number(0, _MOST),
        None,
        "Recipients an hour",
        "The limit of this account instead of that in [limits]. Blank: as in that section. 0: no limit.",
    )
    recipients_per_day: int | None = option(
        optional_number(0, _MOST), None, "Recipients a day", "The same within 24 hours."
    )
    new_recipients_per_day: int | None = option(
        optional_number(0, _MOST), None, "New recipients a day", "The same for addresses that are new to it."
    )
