"""Questions of all threads, each put to the name servers once at a time; answers and failures are kept.

An answer is kept for its time to live. A failure is kept for half a minute, and twice as long after each further one:
a hundred messages to a domain with dead name servers must not wait for a hundred time-outs. A look-up runs to its end
although the caller may have given up: the late answer is there for the next caller.

A slow look-up costs a socket and no thread. It stops counting towards the limit when it has had no answer for a
moment; otherwise a few hundred domains with silent name servers would keep all others waiting.

The checks of incoming mail hold at most half of the places, for a stranger chooses their names: mail must still find
its next hop. Names that failed before hold at most half as well.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from smtpd_classic.dns.exchange import TRY_S, DnsQuestion, Exchange
from smtpd_classic.dns.loop import Loop
from smtpd_classic.dns.names import shown
from smtpd_classic.dns.records import plain_record
from smtpd_classic.dns.resolver import DnsFailure, NoSuchDomain
from smtpd_classic.dns.tcp import Server

__all__ = ["Answer", "NoAnswer", "Outcome", "Questions"]

MOST_NEW, MOST_UNDER_WAY = 32, 512
NEW_S = 0.1
MOST_ANSWERS, MOST_FAILURES = 20_000, 10_000
FAILURE_S, LONGEST_FAILURE_S, UNREACHABLE_S = 30.0, 600.0, 5.0
_LONGEST_S, _LONGEST_NEGATIVE_S = 86_400, 3_600
_SILENT_SERVER_S = 60.0


class Answer(NamedTuple):
    """The records as plain values, none if the name has no such record. `secure`: the AD bit of the answer."""

    records: tuple[Any, ...] = ()
    secure: bool = False


class NoAnswer(NamedTuple):
    """`exists`: nothing is known of the name; else it does not exist."""

    reason: str
    exists: bool = True

    def exception(self) -> NoSuchDomain | DnsFailure:
        """Return a new exception: one that is raised twice keeps the frames of both."""
        return DnsFailure(self.reason) if self.exists else NoSuchDomain(self.reason)


Outcome = Answer | NoAnswer
Done = Callable[[Outcome], None]


class _Kept(NamedTuple):
    until: float
    outcome: Outcome


class _Failure(NamedTuple):
    until: float
    kept_s: float
    reason: str


class _Share:
    """The look-ups for one purpose: those that wait for their turn, and the number of those under way."""

    __slots__ = ("most", "under_way", "waiting")

    def __init__(self, most: int) -> None:
        self.most, self.under_way = most, 0
        self.waiting: tuple[deque[_Lookup], deque[_Lookup]] = (deque(), deque())  # the second: failed before


class _Lookup:
    """A question under way or waiting for its turn, and its callers."""

    __slots__ = ("callers", "doubtful", "new", "question", "share", "started")

    def __init__(self, question: DnsQuestion, share: _Share, doubtful: bool) -> None:
        self.question, self.share, self.doubtful, self.new, self.started = question, share, doubtful, True, 0.0
        self.callers: list[Done] = []


class Questions:
    """One is shared by all threads of a process."""

    def __init__(self, servers: Sequence[Server], clock: Callable[[], float]) -> None:
        self._servers = tuple(servers)
        self._clock = clock
        self.loop = Loop(clock)
        self._lock = threading.Lock()
        self._answers: OrderedDict[DnsQuestion, _Kept] = OrderedDict()
        self._failures: OrderedDict[DnsQuestion, _Failure] = OrderedDict()
        self._lookups: dict[DnsQuestion, _Lookup] = {}
        self._exchanges: dict[DnsQuestion, Exchange] = {}  # the oldest first
        self._others, self._checks = _Share(MOST_UNDER_WAY), _Share(MOST_UNDER_WAY // 2)
        self._new = self._under_way = self._doubtful = 0
        self._crowded = False
        self._silent: dict[Server, float] = {}
        self._last_answer = 0.0

    def ask(self, question: DnsQuestion, done: Done, *, for_check: bool = False) -> None:
        """Call `done` with the outcome: at once if it is known, else in the loop's thread. `for_check`: it is for a
        check of incoming mail."""
        with self._lock:
            known = self._known(question)
            if known is None:
                lookup = self._lookups.get(question)
                if lookup is not None:
                    lookup.callers.append(done)
                    return
                share = self._checks if for_check else self._others
                lookup = self._lookups[question] = _Lookup(question, share, question in self._failures)
                lookup.callers.append(done)
                share.waiting[lookup.doubtful].append(lookup)
        if known is not None:
            done(known)
        else:
            self.loop.call(self._start_some)

    def known(self, question: DnsQuestion) -> Outcome | None:
        """Return an outcome that is kept, None if there is none."""
        with self._lock:
            return self._known(question)

    def age(self, question: DnsQuestion) -> float:
        """Return for how many seconds the question has been put to name servers without an answer."""
        lookup = self._lookups.get(question)
        return self._clock() - lookup.started if lookup is not None and lookup.started else 0.0

    def _known(self, question: DnsQuestion) -> Outcome | None:
        now = self._clock()
        kept = self._answers.get(question)
        if kept is not None:
            if now < kept.until:
                self._answers.move_to_end(question)
                return kept.outcome
            del self._answers[question]
        failure = self._failures.get(question)
        return NoAnswer(failure.reason) if failure is not None and now < failure.until else None

    def _start_some(self) -> None:
        """Start look-ups that wait, as far as the limits allow."""
        while True:
            with self._lock:
                lookup = self._next()
                oldest = self._oldest_in_the_way() if lookup is None else None
            if oldest is not None:
                self._end(oldest)
            if lookup is None:
                return
            exchange = self._exchanges[lookup.question] = Exchange(
                lookup.question, self._order(), self.loop, self._finished
            )
            self.loop.after(NEW_S, lambda lookup=lookup: self._no_longer_new(lookup))  # type: ignore[misc]
            exchange.start()

    def _oldest_in_the_way(self) -> DnsQuestion | None:
        """Return the oldest question that holds a place for which a name waits that is asked for the first time."""
        for share in (self._others, self._checks):
            if share.waiting[0] and self._under_way >= MOST_UNDER_WAY:
                return next(iter(self._exchanges))
            if share.waiting[0] and share.under_way >= share.most:
                return next((each for each in self._exchanges if self._lookups[each].share is share), None)
        return None

    def _end(self, question: DnsQuestion) -> None:
        """Give up a question as soon as it has had its time, to make room for another."""
        left_s = TRY_S - self.age(question)
        if left_s <= 0:
            self._exchanges[question].give_up()
        elif not self._crowded:
            self._crowded = True
            self.loop.after(left_s, self._look_again)

    def _look_again(self) -> None:
        self._crowded = False
        self._start_some()

    def _next(self) -> _Lookup | None:
        if self._new >= MOST_NEW or self._under_way >= MOST_UNDER_WAY:
            return None
        shares = [share for share in (self._others, self._checks) if share.under_way < share.most]
        for doubtful in (False, True) if self._doubtful < MOST_UNDER_WAY // 2 else (False,):
            if waiting := [share for share in shares if share.waiting[doubtful]]:
                share = min(waiting, key=lambda each: each.under_way)
                return self._begun(share.waiting[doubtful].popleft())
        return None

    def _begun(self, lookup: _Lookup) -> _Lookup:
        self._new += 1
        self._under_way += 1
        lookup.share.under_way += 1
        self._doubtful += lookup.doubtful
        lookup.started = self._clock()
        return lookup

    def _no_longer_new(self, lookup: _Lookup) -> None:
        if lookup.new:
            lookup.new = False
            self._new -= 1
            self._start_some()

    def _order(self) -> Sequence[Server]:
        """Return the servers, those last that were silent when another one answered."""
        now = self._clock()
        return sorted(self._servers, key=lambda server: self._silent.get(server, 0.0) > now)

    def _finished(self, exchange: Exchange, response: dns.message.QueryMessage | None) -> None:
        with self._lock:
            del self._exchanges[exchange.question]
            lookup = self._lookups.pop(exchange.question)
            self._under_way -= 1
            lookup.share.under_way -= 1
            self._doubtful -= lookup.doubtful
            if lookup.new:
                lookup.new = False
                self._new -= 1
            outcome = self._record(exchange, response, lookup)
        for done in lookup.callers:
            done(outcome)
        self._start_some()

    def _record(self, exchange: Exchange, response: dns.message.QueryMessage | None, lookup: _Lookup) -> Outcome:
        question, now = exchange.question, self._clock()
        if response is not None:
            self._last_answer = now
            self._note_silence(exchange)
            kept = _read(question, response, now)
            if kept is not None:
                self._failures.pop(question, None)
                if kept.until > now:
                    self._answers[question] = kept
                    while len(self._answers) > MOST_ANSWERS:
                        self._answers.popitem(last=False)
                return kept.outcome
        reason = _reason(exchange, response)
        # Silence about everything is no fault of the domain, and ends when the name server is back.
        reachable = response is not None or bool(exchange.codes) or self._last_answer > lookup.started
        before = self._failures.pop(question, None)
        kept_s = min(before.kept_s * 2, LONGEST_FAILURE_S) if before and reachable else FAILURE_S
        self._failures[question] = _Failure(now + (kept_s if reachable else UNREACHABLE_S), kept_s, reason)
        while len(self._failures) > MOST_FAILURES:
            self._failures.popitem(last=False)
        return NoAnswer(reason)

    def _note_silence(self, exchange: Exchange) -> None:
        for server in exchange.asked:
            if server == exchange.answered_by:
                self._silent.pop(server, None)
            elif server not in exchange.reasons:
                self._silent[server] = self._clock() + _SILENT_SERVER_S


def _read(question: DnsQuestion, response: dns.message.QueryMessage, now: float) -> _Kept | None:
    """Return the meaning of a response, or None if it makes no sense (a circle of CNAMEs)."""
    try:
        chain = response.resolve_chaining()
    except dns.exception.DNSException:
        return None
    secure = bool(response.flags & dns.flags.AD)
    if chain.answer is not None:
        records = tuple([plain_record(question.kind, each) for each in chain.answer])
        return _Kept(now + min(chain.minimum_ttl, _LONGEST_S), Answer(records, secure))
    # Without a SOA record nothing says how long the answer holds (RFC 2308 5).
    soa = any(each.rdtype == dns.rdatatype.SOA for each in response.authority)
    until = now + (min(chain.minimum_ttl, _LONGEST_NEGATIVE_S) if soa else FAILURE_S)
    if response.rcode() == dns.rcode.NXDOMAIN:
        return _Kept(until, NoAnswer(f"{shown(question.name)} does not exist", exists=False))
    return _Kept(until, Answer((), secure))


def _reason(exchange: Exchange, response: dns.message.QueryMessage | None) -> str:
    name = shown(exchange.question.name)
    if response is not None:
        return f"the answer of DNS about {name} could not be used"
    if exchange.silent:
        return f"no name server answered about {name}"
    return f"the name servers failed to answer about {name} ({', '.join(exchange.codes) or 'no reply'})"
