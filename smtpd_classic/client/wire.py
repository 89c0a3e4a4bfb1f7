"""The socket to another host: it sends lines and reads replies, each with a deadline, and records all in the
transcript.

Rule 1: every wait has a limit, and all waits of one message together have one.
Rule 2: the caller marks a secret; it never reaches the transcript.
"""

import contextlib
import errno
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable

from smtpd_classic.client.endpoint import Endpoint
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.transport import Peer
from smtpd_classic.domain_name import comparable_domain
from smtpd_classic.smtp.client import BadReply, ReplyParser
from smtpd_classic.smtp.events import TlsInfo
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.socket_timeouts import limit_receiving, limit_sending

__all__ = ["ClientWire", "ConnectionLost", "connect", "connect_problem"]

_RECEIVE = 2048  # for each thread that waits for a reply; few are longer
_LAST_WORDS_S = 2.0


class ConnectionLost(Exception):
    """Raised when the connection fails; `str()` gives the reason, in half a sentence."""

    def __init__(self, words: str, *, timed_out: bool = False) -> None:
        super().__init__(words)
        self.timed_out = timed_out


def connect(peer: Peer, endpoint: Endpoint, timeout_s: float, transcript: Transcript) -> "ClientWire":
    """Connect to the endpoint of a peer. Raises ConnectionLost."""
    transcript.happened(f"connecting to {peer}")
    try:
        connection = endpoint.connect(timeout_s)
    except OSError as problem:
        words = connect_problem(problem, endpoint.source)
        transcript.happened(words)
        raise ConnectionLost(words) from None
    return ClientWire(connection, transcript)


def connect_problem(problem: OSError, source: str) -> str:
    """Return the words for a connection from the address `source` that failed."""
    if source and problem.errno == errno.EADDRNOTAVAIL:
        return f"cannot connect from source_address {source}, which is no address of this machine"
    return reason(problem)


def reason(problem: OSError) -> str:
    """Return the system's words for an error, in the form that administrators know from other mail servers."""
    if isinstance(problem, (TimeoutError, BlockingIOError)):
        return "connection timed out"
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"certificate not verified: {problem.verify_message}"
    if isinstance(problem, ssl.SSLError):
        words: str | None = getattr(problem, "reason", None)  # None is possible, although the stub excludes it
        return (words or "TLS failed").replace("_", " ").lower()
    return (problem.strerror or type(problem).__name__).lower()


class ClientWire:
    """One connection to another host.

    `transcript` may be changed between messages. `tls` holds the result of the handshake, or None. `progressed` is the
    monotonic time of the last reply or accepted write; `committing` is True between the final dot and its reply
    (`slots.Progress`).
    """

    def __init__(self, connection: socket.socket, transcript: Transcript) -> None:
        """Take a connection without TLS."""
        connection.setblocking(True)
        self._socket = connection
        self._parser = ReplyParser()
        self._deadline = time.monotonic() + 3600.0
        self._encrypted = False
        self._timeouts: dict[Callable[[socket.socket, float], None], float] = {}  # that are set, by what sets them
        self._aborted = ""
        self.timed_out = False
        self.progressed = time.monotonic()
        self.committing = False
        self.transcript = transcript
        self.tls: TlsInfo | None = None

    def limit(self, timeout_s: float) -> None:
        """Set the deadline of all later commands and replies together."""
        self._deadline = time.monotonic() + timeout_s

    def command(self, line: str, timeout_s: float, shown: str = "") -> Reply:
        """Send one line, and return the reply. The transcript has `shown` in place of a secret line. Raises
        ConnectionLost.
        """
        self.send_lines((line,), timeout_s, shown)
        return self.reply(timeout_s)

    def send_lines(self, lines: Iterable[str], timeout_s: float, shown: str = "") -> None:
        data = bytearray()
        for line in lines:
            self.transcript.said(shown or line)
            data += line.encode("utf-8", "surrogateescape") + b"\r\n"
        self.send(bytes(data), timeout_s)

    def send(self, data: bytes, timeout_s: float) -> None:
        """Send all data within the time. Raises ConnectionLost."""
        end = time.monotonic() + timeout_s
        try:
            left = memoryview(data)
            while left:
                self._limit(limit_sending, end - time.monotonic())
                sent = self._socket.send(left)
                left = left[sent:]
            self.progressed = time.monotonic()
        except OSError as problem:
            raise self._lost(reason(problem)) from None

    def reply(self, timeout_s: float) -> Reply:
        """Return the next reply. Raises ConnectionLost."""
        end = time.monotonic() + timeout_s
        try:
            while (found := self._parser.next_reply()) is None:
                self._limit(limit_receiving, end - time.monotonic())
                data = self._socket.recv(_RECEIVE)
                if not data:
                    raise self._lost("connection closed by the other side")
                self._parser.receive_data(data)
        except OSError as problem:
            raise self._lost(reason(problem), timed_out=isinstance(problem, (TimeoutError, BlockingIOError))) from None
        except BadReply as bad:
            raise self._lost(f"no SMTP reply: {bad}") from None
        self.progressed = time.monotonic()
        before, _, last = found.text.rpartition("\n")
        status = f"{found.enhanced} " if found.enhanced else ""
        for line in before.split("\n") if before else ():
            self.transcript.heard(f"{found.code}-{status}{line}")
        self.transcript.heard(f"{found.code} {status}{last}")
        return found

    def has_data(self, timeout_s: float) -> bool:
        """Wait until the host has sent octets or closed the connection. Return False after the time."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def last_words(self) -> Reply | None:
        """Return the reply that the host sent before it closed the connection, or None."""
        try:
            return self.reply(_LAST_WORDS_S)
        except ConnectionLost:
            return None

    def start_tls(self, context: ssl.SSLContext, host: str, timeout_s: float) -> TlsInfo:
        """Start TLS. Raises ConnectionLost and closes the connection if the handshake fails."""
        try:
            self._socket.settimeout(self._left(timeout_s))
            # The name as our resolver asks for it: ssl would read it by IDNA 2003, which makes another one of faß.de.
            encrypted = context.wrap_socket(self._socket, server_hostname=comparable_domain(host))
        except (OSError, ValueError) as problem:  # ValueError: an invalid host name
            words = reason(problem) if isinstance(problem, OSError) else str(problem)
            raise self._lost(f"TLS handshake failed: {words}") from None
        self._socket = encrypted
        self._encrypted = True
        self._timeouts.clear()
        # Plaintext after the reply to STARTTLS does not come from the host that TLS authenticates: discard it.
        self._parser = ReplyParser()
        cipher, _, bits = encrypted.cipher() or ("", "", 0)
        self.tls = TlsInfo(encrypted.version() or "", cipher, bits)
        self.transcript.happened(f"{self.tls.version} with {cipher} ({bits} bits)")
        return self.tls

    def close(self) -> None:
        self._socket.close()

    def abort(self, words: str) -> None:
        """End the connection from another thread; the thread that uses it gets ConnectionLost with these words."""
        self._aborted = words
        with contextlib.suppress(OSError):
            # The shutdown of the base class: that of ssl would drop the TLS state that the reading thread uses.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _left(self, timeout_s: float) -> float:
        left = min(timeout_s, self._deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError
        return left

    def _limit(self, set_timeout: Callable[[socket.socket, float], None], timeout_s: float) -> None:
        """Bound the next call, within a tenth: each change is a system call."""
        left = self._left(timeout_s)
        if self._encrypted:
            set_timeout = socket.socket.settimeout  # the calls of `ssl` need that of Python
        if not 0.9 * left <= self._timeouts.get(set_timeout, -1.0) <= 1.1 * left:
            set_timeout(self._socket, left)
            self._timeouts[set_timeout] = left

    def _lost(self, words: str, *, timed_out: bool = False) -> ConnectionLost:
        words = self._aborted or words
        self.timed_out = timed_out
        self.transcript.happened(words)
        self._socket.close()
        return ConnectionLost(words, timed_out=timed_out)
