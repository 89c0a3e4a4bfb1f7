"""DNS lists of addresses (RFC 5782): the question, the answers that count, and the test of a list.

Rule 1: a failed look-up and an answer that does not count mean “not listed”.
Rule 2: a list that fails its test (RFC 5782 5) is not used until it passes: a list that has ended answers every
question with “listed”, or none. Sessions wait for the end of its first test.
Rule 3: a list that does not answer takes only a part of the time that a message has for DNS. After several failures in
a row it is not used until its next test.
"""

import ipaddress
import threading
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple, Protocol

from smtpd_classic.config.kinds import DnsList
from smtpd_classic.dns import DnsFailure, NoSuchDomain, Resolver

__all__ = ["DnsLists", "ListQuestions", "Listing", "list_problem"]

_TEST_S, _RETEST_S, _TIMEOUT_S = 3600.0, 300.0, 3.0
_SESSION_TIMEOUT_S, _MOST_FAILURES = 2.0, 3
_LONGEST_TEST_S = 10.0
_LONGEST_REASON = 200


class ListQuestions(Protocol):
    """The DNS questions of one message: `questions` is their number so far. Both raise NoSuchDomain or DnsFailure."""

    questions: int

    def ipv4(self, name: str, longest_s: float) -> tuple[str, ...]: ...

    def txt(self, name: str, longest_s: float) -> tuple[bytes, ...]: ...


class Listing(NamedTuple):
    """An address in a list, with the reason that the list gives."""

    zone: str
    answer: str
    reason: str


@lru_cache(4096)
def _question(ip: str, zone: str) -> str:
    """Return the name that a list is asked for an address."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    plain = (address.version == 6 and address.ipv4_mapped) or address
    return f"{plain.reverse_pointer.rsplit('.', 2)[0]}.{zone}"


def list_problem(records: Resolver, each: DnsList, within_s: float = 2 * _TIMEOUT_S) -> str:
    """Return the fault of a list that its test shows, or blank. The test takes no longer than `within_s`."""
    deadline = time.monotonic() + within_s

    def answers(last: str) -> tuple[str, ...]:
        timeout_s = max(min(_TIMEOUT_S, deadline - time.monotonic()), 0.0)
        try:
            return records.address_records(_question(f"127.0.0.{last}", each.zone), 4, timeout_s=timeout_s)
        except NoSuchDomain:
            return ()

    try:
        found = answers("2")
        if any(answer.startswith("127.255.") for answer in found):
            return "the list refuses to answer this resolver; use a resolver of your own"
        if not any(DnsList(each.zone).counts(answer) for answer in found):
            return "the list does not have its test address 127.0.0.2"
        if answers("1"):
            return "the list has 127.0.0.1, and so probably every address"
    except DnsFailure as problem:
        return f"the list does not answer: {problem}"
    return ""


class _ListState:
    """The last test of a list: its problem or blank, and the time of the next. `tested` is set by the first one.
    `failures` counts the questions in a row that failed.
    """

    __slots__ = ("due", "failures", "problem", "tested")

    def __init__(self) -> None:
        self.due = float("-inf")
        self.problem = "its first test has not ended"
        self.tested = threading.Event()
        self.failures = 0


class DnsLists:
    """The lists of one kind, with the state of their tests. Used by all sessions of a process."""

    def __init__(
        self,
        lists: Iterable[DnsList],
        records: Resolver,
        complain: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
        report: Callable[[str, str], None] = lambda zone, problem: None,
    ) -> None:
        """`report` gets the result of each test: the zone, and its problem or blank."""
        self._lists = tuple(lists)
        self._records = records
        self._complain = complain
        self._monotonic = monotonic
        self._report = report
        self._lock = threading.Lock()
        self._states = {each.zone: _ListState() for each in self._lists}

    def __bool__(self) -> bool:
        return bool(self._lists)

    @property
    def problems(self) -> dict[str, str]:
        """Return the lists that are not used now, with the reason."""
        return {zone: state.problem for zone, state in self._states.items() if state.problem}

    def find(self, lookups: ListQuestions, ip: str) -> Listing | None:
        """Return the first list that has the address."""
        for each in self._lists:
            if not self._is_usable(each):
                continue
            asked = lookups.questions
            try:
                found = _listing(lookups, each, ip)
            except DnsFailure as problem:
                if lookups.questions > asked:  # else it is known from this message, or there was no time to ask
                    self._doubt(each, problem)
                continue
            if lookups.questions > asked:
                self._states[each.zone].failures = 0
            if found is not None:
                return found
        return None

    def _doubt(self, each: DnsList, problem: DnsFailure) -> None:
        """Let the list be tested soon, or after several failures do not use it before: no more sessions are to wait."""
        state, now = self._states[each.zone], self._monotonic()
        with self._lock:
            state.failures += 1
            is_off = state.failures >= _MOST_FAILURES
            if is_off:
                state.failures = 0
            state.due = now + _RETEST_S if is_off else min(state.due, now)
        if is_off:
            self._put(each.zone, f"the list does not answer: {problem}")

    def _put(self, zone: str, problem: str) -> None:
        """Write the state of a list, and log a change."""
        state = self._states[zone]
        self._log_change(zone, problem, state.problem if state.tested.is_set() else "")
        state.problem = problem
        state.tested.set()
        self._report(zone, problem)

    def test(self) -> None:
        """Test the lists whose time has come."""
        for each in self._lists:
            self._test_if_due(each)

    def _is_usable(self, each: DnsList) -> bool:
        state = self._states[each.zone]
        if not state.tested.is_set() and not self._test_if_due(each):
            state.tested.wait(_LONGEST_TEST_S)  # another thread asks
        return not state.problem

    def _test_if_due(self, each: DnsList) -> bool:
        """Return True if this thread has tested the list now."""
        state, now = self._states[each.zone], self._monotonic()
        with self._lock:
            if now < state.due:
                return False
            state.due = now + _TEST_S
        problem = list_problem(self._records, each)
        if problem:
            state.due = now + _RETEST_S
        self._put(each.zone, problem)
        return True

    def _log_change(self, zone: str, problem: str, before: str) -> None:
        if problem and problem != before:
            self._complain(f"{zone} is not used: {problem}")
        elif before and not problem:
            self._complain(f"{zone} is used again")


def _listing(lookups: ListQuestions, each: DnsList, ip: str) -> Listing | None:
    """Return the entry of the address, or None. Raises DnsFailure."""
    name = _question(ip, each.zone)
    try:
        answer = next((answer for answer in lookups.ipv4(name, _SESSION_TIMEOUT_S) if each.counts(answer)), "")
    except NoSuchDomain:
        return None
    return Listing(each.zone, answer, _reason(lookups, name)) if answer else None


def _reason(lookups: ListQuestions, name: str) -> str:
    try:
        text = b" ".join(lookups.txt(name, _SESSION_TIMEOUT_S)).decode("ascii", "replace")
    except (NoSuchDomain, DnsFailure):
        return ""
    return "".join(each if " " <= each <= "~" else "?" for each in text)[:_LONGEST_REASON]
