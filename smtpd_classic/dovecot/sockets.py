"""The sockets auth-client and auth-userdb of Dovecot, as one process uses them.

Rule 1: no answer is never “unknown”: it raises NeighbourFailure.
Rule 2: a request that fails because a kept connection has ended is sent once more, over a new one.
"""

import base64
import contextlib
import secrets
import threading
import time
from collections.abc import Callable

from smtpd_classic.dovecot.connection import RequestConnection
from smtpd_classic.dovecot.protocol import AuthReply, escaped
from smtpd_classic.pool import Neighbour, NeighbourAddress, NeighbourFailure, NeighbourSlow

__all__ = ["AuthClient", "AuthExchange", "UserLookups", "user_of"]

_LOOKUP_S = 5.0
_LOGIN_S = 40.0  # Dovecot delays the answer to a wrong password
_GREETING_S = 5.0
_FIRST_MECHANISMS_S = 1.0
_LONGEST_REST_S = 4.0
_HELLO = "VERSION\t1\t0\n"

Report = Callable[[str, float], object]


class _RequestSocket:
    """A socket with its connection, which is made when it is needed. Thread-safe."""

    def __init__(self, path: str, report: Report, *, hello: Callable[[], str], greets: bool) -> None:
        self._neighbour = Neighbour(
            NeighbourAddress(path),
            connect_timeout_s=_GREETING_S,
            max_connections=4,  # one, and those that end
            longest_rest_s=_LONGEST_REST_S,
        )
        self._report = report
        self._hello = hello
        self._greets = greets
        self._lock = threading.Lock()
        self._connection: RequestConnection | None = None
        self._closed = threading.Event()

    def usable(self) -> RequestConnection | None:
        """Return the connection, None if there is none or it has failed."""
        found = self._connection
        return found if found is not None and found.is_usable else None

    def connection(self) -> RequestConnection:
        """Return the connection, made anew if it has failed. Raises NeighbourFailure."""
        found = self.usable()
        if found is not None:
            return found
        with self._lock:
            if self._closed.is_set():
                raise NeighbourFailure("closed")
            if self._connection is None or not self._connection.is_usable:
                began = time.monotonic()
                try:
                    self._connection = RequestConnection(
                        self._neighbour, self._hello(), began + _GREETING_S, greets=self._greets
                    )
                except NeighbourFailure as problem:
                    self.failed(problem, began)
                    raise
                if self._greets:
                    self.answered(time.monotonic() - began)
                if self._closed.is_set():  # while it was being made
                    self._connection.close("closed")
            return self._connection

    def request(self, line: Callable[[int], str], limit_s: float) -> tuple[RequestConnection, AuthReply]:
        """Ask over the connection, and over a new one if that has ended. Raises NeighbourFailure."""
        began = time.monotonic()
        for is_last in (False, True):
            connection = self.connection()
            number = connection.number()
            try:
                reply = connection.ask(number, line(number), began + limit_s)
            except NeighbourFailure as problem:
                if isinstance(problem, NeighbourSlow) or is_last or not connection.answered_at:
                    self.failed(problem, began, connection)
                    raise
            else:
                self.answered(time.monotonic() - began)
                return connection, reply
        raise AssertionError("the second failure is raised")

    def failed(self, problem: NeighbourFailure, began: float, connection: RequestConnection | None = None) -> None:
        """Report a failure. If no request had an answer in its time, the socket rests, so that not all clients wait."""
        took_s = time.monotonic() - began
        if isinstance(problem, NeighbourSlow) and (connection is None or connection.answered_at < began):
            self._neighbour.failed(str(problem), took_s)
            if connection is not None:
                connection.close(str(problem))
        self._report(str(problem), took_s)

    def answered(self, took_s: float) -> None:
        self._neighbour.succeeded()
        self._report("", took_s)

    def close(self) -> None:
        """Close it for good, without waiting for a connection that is being made."""
        self._closed.set()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close("closed")


class UserLookups:
    """Look-ups of users at auth-userdb. Thread-safe."""

    def __init__(self, path: str, report: Report) -> None:
        self._socket = _RequestSocket(path, report, hello=lambda: _HELLO, greets=False)
        self._path = path

    def exists(self, name: str) -> bool:
        """Return True if Dovecot knows the user. Raises NeighbourFailure if it cannot tell."""
        reply = self._socket.request(lambda number: f"USER\t{number}\t{escaped(name)}\tservice=smtp\n", _LOOKUP_S)[1]
        if reply.word == "FAIL":
            reason = reply.value("reason") or "see the log of Dovecot"
            raise NeighbourFailure(f"unix:{self._path} cannot look up {name}: {reason}")
        return reply.word == "USER"

    def close(self) -> None:
        self._socket.close()


class AuthClient:
    """Logins at auth-client. Thread-safe."""

    def __init__(self, path: str, report: Report) -> None:
        self._socket = _RequestSocket(path, report, hello=_hello, greets=True)
        self._mechanisms: tuple[str, ...] = ()
        self._asking = threading.Lock()
        self._was_asked = threading.Event()

    def mechanisms(self) -> tuple[str, ...]:
        """Return the mechanisms of Dovecot; those that it had last while it does not answer.

        Another thread asks, one at a time. Only until the first answer or failure does the caller wait, for a moment.
        """
        found = self._socket.usable()
        if found is not None:
            self._mechanisms = found.mechanisms
        elif self._asking.acquire(blocking=False):
            threading.Thread(target=self._ask_for_mechanisms, name="dovecot mechanisms", daemon=True).start()
        if found is None and not self._mechanisms:
            self._was_asked.wait(_FIRST_MECHANISMS_S)
        return self._mechanisms

    def _ask_for_mechanisms(self) -> None:
        try:
            with contextlib.suppress(NeighbourFailure):
                self._mechanisms = self.offered()
        finally:
            self._was_asked.set()
            self._asking.release()

    def offered(self) -> tuple[str, ...]:
        """Return the mechanisms of Dovecot. Raises NeighbourFailure."""
        return self._socket.connection().mechanisms

    def password_login(self, login: str, password: str, parameters: str) -> str | None:
        """Return the name of the user, None if the login fails. Raises NeighbourFailure."""
        if "\0" in login or "\0" in password:  # it ends a name in PLAIN, so that Dovecot would see another login
            return None
        response = f"\0{login}\0{password}".encode("utf-8", "surrogateescape")
        reply = AuthExchange(self._socket, "PLAIN", parameters).begin(response)
        if reply.word == "CONT":
            raise NeighbourFailure("Dovecot wants more for PLAIN than a name and a password")
        return user_of(reply)

    def exchange(self, mechanism: str, parameters: str) -> "AuthExchange":
        """Return a new exchange of a mechanism. `parameters` are those of the protocol, each behind a tab."""
        return AuthExchange(self._socket, mechanism, parameters)

    def close(self) -> None:
        self._socket.close()


def _hello() -> str:
    """Return the greeting of a new connection. Its number must be one that no other connection has."""
    return f"{_HELLO}CPID\t{secrets.randbelow(1 << 30) + 1}\n"


class AuthExchange:
    """One AUTH request. All methods raise NeighbourFailure."""

    def __init__(self, socket: _RequestSocket, mechanism: str, parameters: str) -> None:
        self._socket = socket
        self._words = mechanism + parameters
        self._connection: RequestConnection | None = None
        self._number = 0

    def begin(self, response: bytes | None) -> AuthReply:
        """Send the initial response of the client, None if it has none."""
        last = "" if response is None else f"\tresp={base64.b64encode(response).decode()}"

        def line(number: int) -> str:
            self._number = number
            return f"AUTH\t{number}\t{self._words}{last}\n"

        self._connection, reply = self._socket.request(line, _LOGIN_S)
        return reply

    def go_on(self, response: bytes) -> AuthReply:
        """Send the answer of the client to a challenge."""
        connection = self._connection
        assert connection is not None
        began = time.monotonic()
        text = base64.b64encode(response).decode()
        try:
            return connection.ask(self._number, f"CONT\t{self._number}\t{text}\n", began + _LOGIN_S)
        except NeighbourFailure as problem:
            self._socket.failed(problem, began, connection)
            raise

    def cancel(self) -> None:
        """Tell Dovecot that the client has given up; there is no answer to this. A failure does not matter."""
        if self._connection is not None:
            with contextlib.suppress(NeighbourFailure):
                self._connection.tell(f"CANCEL\t{self._number}\n")


def user_of(reply: AuthReply) -> str | None:
    """Return the user of a login that has succeeded, None if it has failed. Raises NeighbourFailure."""
    if reply.word == "OK":
        return reply.value("user") or ""
    if reply.value("temp") is not None or reply.value("code") == "temp_fail":
        raise NeighbourFailure(f"Dovecot cannot decide about a login: {reply.value('reason') or 'see its log'}")
    return None
