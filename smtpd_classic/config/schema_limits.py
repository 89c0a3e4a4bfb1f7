"""The options of sending limits."""

from dataclasses import dataclass
from datetime import timedelta

from smtpd_classic.config.kinds import POSITIVE_DURATION
from smtpd_classic.config.option import option

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    hold_time: timedelta = option(
        POSITIVE_DURATION,
        timedelta(days=5),
        "Longest hold",
        "How long a message may be on hold by hand. Its life time in the queue stands still meanwhile. After this it "
        "is returned to its sender.",
    )
