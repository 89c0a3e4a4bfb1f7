"""Times of log lines, and periods: the lines of the last hours or days, or of one day."""

import re
import time
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

__all__ = ["ALWAYS", "PERIODS", "Period", "day_period", "last", "time_of"]

_DAY_S = 86400.0
_SYSLOG = re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*")


class Period(NamedTuple):
    """The lines from `since` up to `until`; 0 stands for no bound."""

    label: str
    since: float = 0.0
    until: float = 0.0

    def holds(self, at: float | None) -> bool:
        """Return True if a line of this time belongs to the period; a line without a time always does."""
        return at is None or (at >= self.since and not 0 < self.until <= at)


ALWAYS = Period("")
PERIODS = (("hour", 3600.0), ("6 hours", 6 * 3600.0), ("24 hours", _DAY_S), ("7 days", 7 * _DAY_S))


def last(label: str, seconds: float, now: float) -> Period:
    """Return the period of so many seconds until now."""
    return Period(f"the last {label}", now - seconds)


def day_period(text: str) -> Period:
    """Return the period of one day, written as 2026-03-07. Raises ValueError with a sentence."""
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"“{text.strip()}” is not a day; write it as in 2026-03-07.") from None
    start = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - in the time of this machine, as the log is
    return Period(day.isoformat(), start.timestamp(), (start + timedelta(days=1)).timestamp())


def time_of(line: str, now: float) -> float | None:
    """Return the time of a line of a log, None if it has none.

    The syslog form has no year: the latest past one counts.
    """
    if _SYSLOG.match(line):
        latest = (now // _DAY_S + 2) * _DAY_S  # a day ahead, and the same for many calls
        minute = _minute(line[:12], time.localtime(latest).tm_year, latest)
        return None if minute is None else minute + int(line[13:15])
    if found := _ISO.match(line):
        try:
            return datetime.fromisoformat(found[0]).timestamp()
        except ValueError:
            return None
    return None


@lru_cache(maxsize=4096)
def _minute(text: str, year: int, latest: float) -> float | None:
    """Return the time of a text such as `Nov 29 04:52`. Only one minute in many lines has to be computed."""
    for each in (year, year - 1):
        try:
            at = time.mktime(time.strptime(f"{each} {text}", "%Y %b %d %H:%M"))
        except (ValueError, OverflowError):
            continue
        if at <= latest:
            return at
    return None
