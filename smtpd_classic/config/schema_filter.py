"""The options of the SMTP filter."""

from dataclasses import dataclass
from datetime import timedelta

from smtpd_classic.config.kinds import POSITIVE_DURATION, SIZE
from smtpd_classic.config.option import option

__all__ = ["Filter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    quarantine_time: timedelta = option(
        POSITIVE_DURATION,
        timedelta(days=30),
        "Longest time in quarantine",
        "How long a message stays in the quarantine: on hold in the queue, until it is released or deleted. After this "
        "it is deleted. Quarantined mail of strangers is never answered by a notice; if delivery fails after a "
        "release, the postmaster gets the bounce.",
    )
    quarantine_size: int = option(
        SIZE,
        1024**3,
        "Size of the quarantine",
        "The most room that all quarantined messages together may take. Beyond it the oldest are deleted, and a "
        "warning is logged, which the Status screen shows. 0: no limit.",
    )
