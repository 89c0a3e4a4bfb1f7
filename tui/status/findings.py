"""The findings of a look at the server, for Status and the menu: queue by state, last errors, certificate."""

from typing import NamedTuple

__all__ = ["SOON_DAYS", "StatusFindings", "WaitReason"]

SOON_DAYS = 14


class WaitReason(NamedTuple):
    """The messages that wait for one next hop for one reason. `since` is 0 if it is not known; `domain` has one of
    them."""

    next_hop: str
    reason: str
    messages: int
    since: float
    domain: str


class StatusFindings(NamedTuple):
    """The results. `days` is None if no certificate can be read; `waiting` is the number of messages in the queue."""

    queue: str = "counting …"
    troubles: tuple[str, ...] = ()
    days: int | None = None
    reasons: tuple[WaitReason, ...] = ()
    waiting: int = 0
