"""The turns of clients at an inner server, in bounds and in fair shares.

Rule 1: one client has at most one turn at a time, and half of the turns of a second.
Rule 2: of the questions that wait, that of the client with the fewest turns goes first.
Rule 3: when too many wait, one of the client with the most turns gives up.
"""

import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

__all__ = ["FairTurns"]

_MOST_WAITING = 100
_MOST_OF_A_CLIENT = 20
_MOST_CLIENTS = 10_000


class _WaitingQuestion:
    """A question that waits for its turn. The one with the lowest `rank` goes first."""

    __slots__ = ("client", "gives_up", "rank")

    def __init__(self, client: str, rank: tuple[float, int]) -> None:
        self.client = client
        self.rank = rank
        self.gives_up = False


class FairTurns:
    """At most `at_a_time` turns, and `a_second`. Thread-safe."""

    def __init__(self, at_a_time: int, a_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_a_time = at_a_time
        self._a_second = a_second
        self._clock = clock
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: list[_WaitingQuestion] = []
        self._busy: set[str] = set()
        self._given: deque[tuple[float, str]] = deque()  # the turns of the last second
        self._given_to: Counter[str] = Counter()
        self._shares: dict[str, float] = {}  # the rank that a client has come to (start-time fair queuing)
        self._share = 0.0  # the rank of the turn that was given last

    def take(self, client: str, wait_s: float, *, is_paced: bool = True) -> bool:
        """Wait for a turn, and return True; the caller must then call `give_back`. Return False if there is none.

        Unless it `is_paced`, a question does not wait for the next second.
        """
        end = self._clock() + wait_s
        given = False
        with self._changed:
            self._forget_turns(self._clock())
            if not (is_paced or self._has_share(client)):
                return False
            question = self._enqueued(client)
            if question is None:
                return False
            try:
                while True:
                    now = self._clock()
                    pause_s = self._pause_s(question, now)
                    if pause_s == 0.0:
                        self._give(question, now)
                        given = True
                        return True
                    if question.gives_up or now >= end or not (is_paced or self._has_share(client)):
                        return False
                    self._changed.wait(min(pause_s, end - now))
            finally:
                self._waiting.remove(question)
                if not given:
                    self._shares[client] -= 1.0
                self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """Return the number of questions that wait."""
        return len(self._waiting)

    def give_back(self, client: str) -> None:
        with self._changed:
            self._busy.discard(client)
            self._changed.notify_all()

    def _enqueued(self, client: str) -> _WaitingQuestion | None:
        """Return a question in the queue, None if it has no chance."""
        if sum(each.client == client for each in self._waiting) >= _MOST_OF_A_CLIENT:
            return None
        share = max(self._share, self._shares.get(client, 0.0))
        question = _WaitingQuestion(client, (share, next(self._numbers)))
        if sum(not each.gives_up for each in self._waiting) >= _MOST_WAITING:
            last = max((each for each in self._waiting if not each.gives_up), key=lambda each: each.rank)
            if last.rank < question.rank:
                return None
            last.gives_up = True
        if len(self._shares) >= _MOST_CLIENTS:  # a client that has had no more than the others is as if it were new
            waiting = {each.client for each in self._waiting}
            self._shares = {name: each for name, each in self._shares.items() if each > self._share or name in waiting}
        self._shares[client] = share + 1.0
        self._waiting.append(question)
        return question

    def _pause_s(self, question: _WaitingQuestion, now: float) -> float:
        """Return 0 if the turn of the question has come, else the time after which to look again."""
        self._forget_turns(now)
        next_s = self._given[0][0] + 1.0 - now if self._given else 1.0
        if len(self._busy) >= self._at_a_time:
            return next_s
        able = [each for each in self._waiting if self._may_ask(each)]
        return 0.0 if able and min(able, key=lambda each: each.rank) is question else next_s

    def _forget_turns(self, now: float) -> None:
        """Forget those that are older than a second."""
        while self._given and self._given[0][0] <= now - 1.0:
            client = self._given.popleft()[1]
            self._given_to[client] -= 1
            if not self._given_to[client]:
                del self._given_to[client]

    def _may_ask(self, question: _WaitingQuestion) -> bool:
        return question.client not in self._busy and self._has_share(question.client) and not question.gives_up

    def _has_share(self, client: str) -> bool:
        """Return True if the client may have one more turn in this second."""
        return len(self._given) < self._a_second and self._given_to[client] * 2 < self._a_second

    def _give(self, question: _WaitingQuestion, now: float) -> None:
        self._busy.add(question.client)
        self._given.append((now, question.client))
        self._given_to[question.client] += 1
        self._share = max(self._share, question.rank[0])
