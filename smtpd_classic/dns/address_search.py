"""The addresses of a host: both families at once, and an address in hand wins."""

import threading
from collections.abc import Callable
from functools import partial

from smtpd_classic.dns.exchange import DnsQuestion
from smtpd_classic.dns.loop import Timer
from smtpd_classic.dns.names import domain_name
from smtpd_classic.dns.questions import Answer, NoAnswer, Outcome, Questions
from smtpd_classic.dns.resolver import DnsFailure, NoSuchDomain

__all__ = ["AddressSearch"]

GRACE_S = 1.0
_KINDS = {6: "AAAA", 4: "A"}


class AddressSearch:
    """The look-up of one host. `arrived` is called once, when `found` has all that can be waited for.

    With an address of one family in hand the other family has a second to answer: many name servers deny or ignore
    questions for AAAA (RFC 4074 4), and neither makes the host nonexistent or unreachable.
    """

    def __init__(self, host: str, version: int, questions: Questions, arrived: Callable[[], None]) -> None:
        """Take 4 or 6 as the version, or 0 for both. Raises NoSuchDomain for a text that can be no name."""
        self._host = host
        name = domain_name(host)
        versions = (version,) if version else (6, 4)
        self._asked = {each: DnsQuestion(name, _KINDS[each]) for each in versions}
        self._outcomes: dict[int, Outcome] = {}
        self._questions = questions
        self._arrived: Callable[[], None] | None = arrived
        self._lock = threading.Lock()
        self._timer: Timer | None = None

    @property
    def age(self) -> float:
        """The seconds since the older of the unanswered questions was asked."""
        return max(self._questions.age(question) for question in self._asked.values())

    def start(self) -> None:
        for version, question in self._asked.items():
            self._questions.ask(question, partial(self._take, version))

    def found(self, timeout_s: float = 0.0) -> tuple[str, ...]:
        """Return the addresses in hand. Raises NoSuchDomain if there can be none, else DnsFailure."""
        outcomes = [self._outcomes.get(version) for version in self._asked]
        addresses = tuple(each for outcome in outcomes if isinstance(outcome, Answer) for each in outcome.records)
        if addresses:
            return addresses
        for outcome in outcomes:
            if isinstance(outcome, NoAnswer) and outcome.exists:
                raise DnsFailure(outcome.reason)
        if None in outcomes:
            raise DnsFailure(f"no name server answered about {self._host} within {timeout_s:.1f} s")
        raise NoSuchDomain(f"{self._host} has no address")

    def _take(self, version: int, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes[version] = outcome
            complete = len(self._outcomes) == len(self._asked)
        if complete:
            self._finish()
        elif isinstance(outcome, Answer) and outcome.records:
            left_s = GRACE_S - self.age
            if left_s <= 0:
                self._finish()
            else:
                self._questions.loop.call(partial(self._wait, left_s))

    def _wait(self, seconds: float) -> None:
        self._timer = self._questions.loop.after(seconds, self._finish)

    def _finish(self) -> None:
        with self._lock:
            arrived, self._arrived = self._arrived, None
        if self._timer is not None:
            self._timer.cancel()
        if arrived is not None:
            arrived()
