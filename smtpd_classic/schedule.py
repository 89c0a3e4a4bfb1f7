"""The time of the next attempt: a pure function of arrival, attempts, the options and a source of chance.

Rule 1: no message is given up without an attempt at or after its expiry, so a clock that jumps forward costs no mail.
Rule 2: no wait is longer than the longest retry interval, so a clock that jumps back stalls nothing.
Rule 3: the number of attempts is finite, however the clock jumps.

Times are seconds since the epoch, by the caller's clock.
"""

from collections.abc import Callable
from dataclasses import dataclass

from smtpd_classic.config.schema import Basic, Remote

__all__ = ["JITTER", "Schedule"]

JITTER = 0.1  # of each wait, up and down, so that messages that failed together are not retried together
_LEAST_WAIT_S = 1.0  # an interval of 0 must not spin


@dataclass(frozen=True, slots=True)
class Schedule:
    """The options that set the times of attempts. `relay_retries` is None when only the life time ends the tries."""

    interval_s: float = 900.0
    backoff: float = 2.0
    max_interval_s: float = 14400.0
    lifetime_s: float = 432000.0
    delay_notice_s: float = 14400.0
    relay_retries: int | None = None

    @classmethod
    def of(cls, basic: Basic, remote: Remote) -> "Schedule":
        return cls(
            basic.retry_interval.total_seconds(),
            basic.retry_backoff,
            basic.max_retry_interval.total_seconds(),
            basic.queue_lifetime.total_seconds(),
            basic.delay_notice.total_seconds(),
            remote.relay_retries,
        )

    @property
    def longest_s(self) -> float:
        return max(self.max_interval_s, _LEAST_WAIT_S)

    def nominal_wait_s(self, attempts: int) -> float:
        """Return the wait after so many attempts, without jitter."""
        wait = max(self.interval_s, _LEAST_WAIT_S)
        for _ in range(attempts - 1):  # not a power: 10 ** 400 has no float
            if wait >= self.longest_s:
                break
            wait *= self.backoff
            if self.backoff <= 1:
                break
        return min(wait, self.longest_s)

    def next_attempt(self, arrival: float, attempts: int, now: float, chance: Callable[[], float]) -> float:
        """Return the time of the next attempt after `attempts` attempts, the last of them at `now`.

        `chance` returns numbers from 0 to 1. The attempt at the end of the life time is made at that very moment, not
        an interval later.
        """
        wait = self.nominal_wait_s(attempts) * (1 - JITTER + 2 * JITTER * chance())
        due = now + max(min(wait, self.longest_s), _LEAST_WAIT_S)
        expiry = self.expiry(arrival)
        return expiry if now < expiry < due else due

    def expiry(self, arrival: float) -> float:
        return arrival + self.lifetime_s

    def age_s(self, arrival: float, attempts: int, now: float) -> float:
        """Return how long the message has waited, in seconds.

        An arrival in the future means that the clock was set back: then the age follows from the number of attempts.
        """
        if arrival <= now:
            return now - arrival
        age, longest = 0.0, self.longest_s
        for attempt in range(1, attempts):
            wait = self.nominal_wait_s(attempt)
            if wait >= longest or self.backoff <= 1:
                return age + wait * (attempts - attempt)
            age += wait
        return age

    def expired(self, arrival: float, attempts: int, now: float) -> bool:
        """Return True if the attempt that failed at `now`, the `attempts`-th, was the last."""
        return self.age_s(arrival, attempts, now) >= self.lifetime_s

    def notice_due(self, arrival: float, attempts: int, now: float) -> bool:
        """Return True if the sender must be notified now that the message is late."""
        return 0 < self.delay_notice_s <= self.age_s(arrival, attempts, now)

    def relay_exhausted(self, relay_attempts: int) -> bool:
        """Return True if the tries through the relay, 1 + n, are used up."""
        return self.relay_retries is not None and relay_attempts > self.relay_retries

    def mended(self, next_attempt: float, now: float) -> float:
        """Return `next_attempt`, or `now` if it is further away than any wait: then the clock was set back."""
        return now if next_attempt > now + self.longest_s else next_attempt
