"""The settings and services that all delivery attempts of a process share."""

from collections.abc import Callable
from dataclasses import dataclass

from smtpd_classic.retry.journal import DeliveryLog
from smtpd_classic.retry.notices import Notices
from smtpd_classic.schedule import Schedule

__all__ = ["DeliveryContext"]


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """The settings and services that all attempts share. `chance` returns numbers from 0 to 1."""

    schedule: Schedule
    notices: Notices
    journal: DeliveryLog
    clock: Callable[[], float]
    chance: Callable[[], float]
