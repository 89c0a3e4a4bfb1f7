"""The client of the shared state: one object a process, for all of its threads."""

import hmac
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, NamedTuple

from smtpd_classic.config.shared_url import parse_shared_url
from smtpd_classic.shared_state import scripts
from smtpd_classic.shared_state.connections import DEADLINE_S, redis_client
from smtpd_classic.shared_state.host_names import HostNames
from smtpd_classic.shared_state.link import Links, RefusedByServer

__all__ = ["PREFIX", "KeptText", "QuestionRefused", "SharedState", "SharedStateDown"]

PREFIX = "smtpd-classic"
_REST_S = 2.0  # so that the site shares again within 5 seconds of the return
_MOST_OWED = 10_000
_KEPT_DIGESTS = 4096
_MOST_REFUSALS = 20
_MISSING = "the Python package redis is missing (pip install smtpd-classic[cluster], Debian: python3-redis)"


class SharedStateDown(Exception):
    """Raised when the shared state gives no answer; `str()` gives the reason."""


class QuestionRefused(SharedStateDown):
    """Raised when the server refuses one question, because of what it has under its key; others have their answers."""


class KeptText(NamedTuple):
    """A text of the shared state: since when it is there, and for how long it stays."""

    text: str
    age_s: float
    left_s: float


class SharedState:
    """The shared state at `url`. `report` notes a failure (a reason) or a success (blank) with the time taken, and
    returns True if that is a change that no process of this server has noted; then `say` is called with a sentence.
    """

    def __init__(
        self,
        url: str,
        secret: bytes,
        *,
        password: str = "",
        report: Callable[[str, float], bool] = lambda reason, took_s: bool(reason),
        say: Callable[[str], None] = lambda sentence: None,
        rest_s: float = _REST_S,
        deadline_s: float = DEADLINE_S,
        names: HostNames | None = None,
    ) -> None:
        # A sender asks many times, and a digest takes as long as its way through the socket.
        self.digest = lru_cache(_KEPT_DIGESTS)(partial(_digest, secret))
        self._url = url
        self.address = parse_shared_url(url).plain
        self.secret = secret
        self._password = password
        self._report = report
        self._say = say
        self._rest_s = rest_s
        self._deadline_s = deadline_s
        self._links = Links()
        self._names = HostNames() if names is None else names
        self._lock = threading.Lock()
        self._client: Any = None
        self._failure = ""
        self._refusals: set[str] = set()
        self._owed: deque[Callable[[], object]] = deque(maxlen=_MOST_OWED)
        self._closed = threading.Event()
        with suppress(ImportError):  # it takes a third of a second, for which no session may wait
            import redis  # noqa: F401, PLC0415

    # Texts -------------------------------------------------------------------------------------------------------

    def text(self, kind: str, name: str) -> KeptText | None:
        """Return a text, or None. Raises SharedStateDown."""
        return _kept(self.run(scripts.TEXT, [self.key(kind, name)]))

    def keep(self, kind: str, name: str, text: str, lifetime_s: float) -> None:
        """Keep a text, in place of one that is there. Raises SharedStateDown."""
        self.run(scripts.KEEP, [self.key(kind, name)], [text, _ms(lifetime_s), 0])

    def keep_first(self, kind: str, name: str, text: str, lifetime_s: float) -> KeptText:
        """Keep a text if there is none. Return the one that is there now. Raises SharedStateDown."""
        kept = _kept(self.run(scripts.KEEP, [self.key(kind, name)], [text, _ms(lifetime_s), 1]))
        return kept or KeptText(text, 0.0, lifetime_s)

    def forget(self, kind: str, name: str) -> None:
        """Remove a text. Raises SharedStateDown."""
        self.run("return redis.call('DEL', KEYS[1])", [self.key(kind, name)])

    # Questions ---------------------------------------------------------------------------------------------------

    def key(self, kind: str, name: str) -> str:
        """Return the key of a name: PREFIX:kind:HMAC."""
        return f"{PREFIX}:{kind}:{self.digest(name)}"

    def run(self, script: str, keys: Sequence[str], values: Sequence[object] = ()) -> Any:
        """Run a Lua script. Raises SharedStateDown, at once from a failure until there is an answer again; of its kinds
        QuestionRefused is about this question alone."""
        if self._failure:
            raise SharedStateDown(self._failure)
        began = time.monotonic()
        try:
            result = self._run(script, keys, values)
        except QuestionRefused as refused:
            self._say_refused(str(refused))
            raise
        except SharedStateDown as down:
            self._failed(str(down), time.monotonic() - began)
            raise
        self._note("", time.monotonic() - began)
        return result

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """Return the answer to a question to the client of redis-py, without the memory of failures. Raises
        SharedStateDown.
        """
        try:
            answer = question(self._opened())
            if self._closed.is_set():  # by another thread while this one asked: its connection is idle again
                self._links.close()
            return answer
        except ImportError:
            problem = _MISSING
        except TimeoutError:
            problem = f"{self.address}: no answer within {self._deadline_s * 1000:.0f} ms"
        except RefusedByServer as refused:
            problem = f"{self.address}: {refused}"
            if refused.of_question:
                raise QuestionRefused(problem) from None
        except (OSError, ValueError) as failed:
            problem = f"{self.address}: {failed}"
        except Exception as failed:  # of redis-py; its faults, and answers of another program, may fail no session
            known = type(failed).__module__.startswith("redis.")
            problem = f"{self.address}: {failed}" if known else f"{self.address}: {type(failed).__name__}: {failed}"
        self._links.close()
        raise SharedStateDown(problem)

    def owe(self, action: Callable[[], object]) -> None:
        """Call `action` as soon as the shared state answers again, in another thread. It may raise SharedStateDown."""
        self._owed.append(action)
        if not self._failure:
            self._pay()

    def goes_on(
        self,
        url: str,
        secret: bytes,
        password: str,
        report: Callable[[str, float], bool],
        say: Callable[[str], None],
    ) -> bool:
        """Serve a new configuration, and return True, if it has the same shared state. So what is owed is not lost, and
        one thread waits for an answer."""
        if (url, secret, password) != (self._url, self.secret, self._password):
            return False
        self._report, self._say = report, say
        return True

    def close(self) -> None:
        """Close the connections, and end the thread that waits for an answer. Questions raise SharedStateDown now."""
        with self._lock:
            self._closed.set()
            client, self._client = self._client, None
        self._links.close()
        if client is not None:
            client.close()

    def _opened(self) -> Any:
        """Return the client of redis-py. Raises OSError after `close`."""
        with self._lock:
            if self._closed.is_set():
                raise OSError("closed")
            if self._client is None:
                self._client = redis_client(self._url, self._password, self._names, self._deadline_s)
            return self._client

    def _failed(self, reason: str, took_s: float) -> None:
        with self._lock:
            if self._failure or self._closed.is_set():
                return
            self._failure = reason
        self._note(reason, took_s)
        threading.Thread(target=self._until_back, name="shared state", daemon=True).start()

    def _until_back(self) -> None:
        """Ask every 2 seconds until there is an answer, then hand in the own counts."""
        while not self._closed.wait(self._rest_s):
            began = time.monotonic()
            try:
                # A script that writes: a server that is full, read-only or still loading is not back.
                self._run(scripts.KEEP, [self.key("probe", "")], ["", 1000, 0])
            except SharedStateDown as down:
                # Another process may have had an answer since, and said so.
                self._note(str(down), time.monotonic() - began)
                continue
            self._failure = ""
            self._note("", time.monotonic() - began)
            self._pay()
            return

    def _note(self, reason: str, took_s: float) -> None:
        """Report a failure, or a success if `reason` is blank, and say so if it is a change."""
        if not self._report(reason, took_s):
            return
        if reason:
            self._say(f"the shared state does not answer, and this server counts by itself until it does: {reason}")
        else:
            self._say("the shared state answers again; the own counts are added to it")

    def _say_refused(self, reason: str) -> None:
        """Say why a question was refused, once for each reason."""
        with self._lock:
            is_new = reason not in self._refusals and len(self._refusals) < _MOST_REFUSALS
            if is_new:
                self._refusals.add(reason)
        if is_new:
            self._say(f"the shared state refuses a question, which this server answers by itself: {reason}")

    def _run(self, script: str, keys: Sequence[str], values: Sequence[object]) -> Any:
        """Run a Lua script, without the memory of failures. Raises SharedStateDown."""
        return self.ask(lambda client: self._links.run(client.connection_pool, script, keys, values))

    def _pay(self) -> None:
        while self._owed and not self._failure:
            with suppress(IndexError):
                action = self._owed.popleft()
                try:
                    action()
                except QuestionRefused:
                    continue  # it would be refused for ever, and is said
                except SharedStateDown:
                    self._owed.appendleft(action)
                except Exception as problem:  # one bad count must not keep back all others
                    self._say(f"a count for the shared state is lost: {type(problem).__name__}: {problem}")


def _digest(secret: bytes, name: str) -> str:
    return hmac.digest(secret, name.encode("utf-8", "surrogatepass"), "sha256")[:16].hex()


def _ms(seconds: float) -> int:
    return max(int(seconds * 1000), 1)


def _kept(found: Sequence[Any]) -> KeptText | None:
    return KeptText(str(found[0]), int(found[1]) / 1000, int(found[2]) / 1000) if found else None
