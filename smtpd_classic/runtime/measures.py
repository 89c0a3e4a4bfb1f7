"""The numbers that the processes count: totals that are kept by minute too, and measures without minutes.

The measures are refusals by reason, times of deliveries and of the disk, and results of milters.
"""

from bisect import bisect_left

__all__ = [
    "COUNTED",
    "DELIVERY_BOUNDS_S",
    "MEASURED",
    "MILTER_RESULTS",
    "REASONS",
    "delivery_measure",
    "milter_measure",
    "reason_measure",
]

COUNTED = (
    "connections",
    "received",
    "delivered",
    "deferred",
    "rejected",
    "bounced",
    "submitted",
    "blocked",
    "logins_failed",
    "auth_passed",
    "auth_refused",
    "junk",
)
"""The counters, as totals and by minute."""

# The enhanced status codes of our own refusals (RFC 3463); others, such as those of a milter, count as “other”.
REASONS = (
    *("4.1.1", "4.1.8", "4.2.2", "4.3.0", "4.3.1", "4.3.2", "4.3.5"),
    *("4.4.2", "4.4.3", "4.5.3", "4.6.0", "4.7.0", "4.7.1"),
    *("5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.7", "5.1.8", "5.1.10", "5.2.1", "5.3.4", "5.4.6"),
    *("5.5.0", "5.5.1", "5.5.2", "5.5.3", "5.5.4", "5.5.6", "5.6.0", "5.6.1", "5.6.7", "5.6.8", "5.7.0", "5.7.1"),
    *("5.7.8", "5.7.9", "5.7.11", "5.7.13", "5.7.23", "5.7.25", "5.7.26", "5.7.27", "other"),
)
# The upper bounds of the times from arrival to delivery; longer ones come last.
DELIVERY_BOUNDS_S = (0.1, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 14400.0, 86400.0)
# The results of milters, one a message and milter.
MILTER_RESULTS = (
    *("accepted", "quarantined", "refused", "deferred", "discarded"),
    *("down", "busy", "not_scanned"),
)

_DELIVERIES = tuple(f"delivery_{bound:g}" for bound in (*DELIVERY_BOUNDS_S, float("inf")))
MEASURED = (
    *(f"rejected_{reason}" for reason in REASONS),
    *_DELIVERIES,
    *("delivery_ms", "syncs", "sync_us"),
    *(f"milter_{result}" for result in MILTER_RESULTS),
    "milter_us",
)
"""The totals that have no minutes; `delivery_ms`, `sync_us` and `milter_us` are sums of times."""

_KNOWN = frozenset(REASONS)


def reason_measure(enhanced: str) -> str:
    """Return the measure of a refusal with this enhanced status code."""
    return f"rejected_{enhanced if enhanced in _KNOWN else 'other'}"


def delivery_measure(seconds: float) -> str:
    """Return the measure of a delivery that took so long."""
    return _DELIVERIES[bisect_left(DELIVERY_BOUNDS_S, seconds)]


def milter_measure(result: str) -> str:
    """Return the measure of a result of a milter."""
    return f"milter_{result}"
