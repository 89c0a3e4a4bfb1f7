"""One client's connection, in a thread of its own: octets to the session, events to the reception, replies back.

Replies are sent when the session wants more octets, so that a client that pipelines gets one packet for its batch. Each
wait has an end: for the whole of a command, not only for its next octet, and for the whole of a message.
"""

import sys
import time

from smtpd_classic.log import printable
from smtpd_classic.reception import Client
from smtpd_classic.reception.local_session import LOCAL
from smtpd_classic.server.context import AcceptedSocket, IdlePolicy, ListenerContext, SessionHandler
from smtpd_classic.server.proxy_protocol import BadHeader, ProxyHeader, begins_header, not_expected, parse
from smtpd_classic.server.suites import suites_of
from smtpd_classic.server.wire import ServerWire
from smtpd_classic.smtp import events, replies
from smtpd_classic.smtp.events import EndContent, Event, Hello, MailFrom, RcptTo, Reset, StartContent, TlsInfo
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import ServerSession

__all__ = ["Connection"]

# A buffer is taken before the wait begins: with its head this is the largest of Python's own small blocks (512 octets),
# which cost little to get, and little to hold for thousands of idle clients.
_COMMAND_OCTETS = 512 - sys.getsizeof(b"")
_CONTENT_OCTETS = 65536
_HANDSHAKE_S = 30.0
_REFUSED_S = 30.0
_PROXY_S = 5.0
_PROXY_OCTETS = 2200
_HEAD_OCTETS = 16  # enough to know a PROXY header
_QUIET_ENDS = {"quit", "lost connection"}


class Connection:
    def __init__(self, accepted: AcceptedSocket, terms: ListenerContext, patience: IdlePolicy) -> None:
        self.ip, self.port = accepted.ip, accepted.port
        self.name = "unknown"
        self.active_at = time.monotonic()  # when it last began to wait for its client
        self.silent_since = 0.0  # by the monotonic clock, outside a transaction; 0: it is not
        self._listener = accepted.listener
        self._uid = accepted.uid
        self._server_ip = accepted.server_ip() if terms.config.milters else ""
        self._admitted = accepted.admitted
        self._terms = terms
        self._patience = patience
        self._idle_s = terms.idle_s
        self._handshake_s = min(_HANDSHAKE_S, self._idle_s)
        self._wire = ServerWire(accepted.socket, self._idle_s)
        self._reason = ""  # why it ended
        self._transaction = False
        self._content_ends = 0.0  # when the content that is coming must be here; 0: none is coming
        self._partial_since = 0.0  # since when a command is incomplete
        self._is_refused = False
        self._progress = True
        self._heard = False  # something has come in the session

    def handle(self) -> None:
        """Serve the connection, from the PROXY header to the end. Faults of clients and networks are not raised."""
        try:
            if self._identify():
                self._serve()
        except OSError as problem:
            self._reason = _end(problem)
        finally:
            self._wire.close(linger=self._reason not in _QUIET_ENDS)
            if self._admitted:
                self._patience.release(self.ip)

    @property
    def receiving_content(self) -> bool:
        return self._content_ends > 0

    def cut(self) -> None:
        """End the connection with 421 when it next waits for the client. Called from another thread."""
        self._wire.cut()

    def __str__(self) -> str:
        return f"{self.name}[{self.ip}]"

    # Before the session ------------------------------------------------------------------------------------------

    def _identify(self) -> bool:
        """Read the client's address, from its load balancer if there is one, and check the limits of connections."""
        if self._admitted:
            return True
        try:
            header = self._proxy_header()
        except (BadHeader, TimeoutError) as problem:
            said = str(problem) if isinstance(problem, BadHeader) else "no PROXY header in time"
            self._terms.log.warning("smtpd", f"{self}: {said}")
            return False
        if header is None:
            return False
        if header.ip:
            self.ip, self.port = header.ip, header.port
        refusal = self._patience.admit(self.ip)
        self._admitted = refusal is None
        if refusal is not None and self._listener.tls != "implicit":
            self._wire.send(refusal.wire)
        return self._admitted

    def _proxy_header(self) -> ProxyHeader | None:
        """Take exactly the header from the socket, because a TLS handshake may follow; None if nothing has come."""
        deadline = time.monotonic() + _PROXY_S
        received = b""
        while True:
            head = self._wire.receive_head(_PROXY_OCTETS, deadline - time.monotonic())
            if not head and not received:
                return None
            if not head:
                raise BadHeader("the connection ended before a PROXY header")
            header = parse(received + head)
            if header is not None:
                self._wire.drop(header.length - len(received))
                return header
            self._wire.drop(len(head))
            received += head

    # The session -------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        if self._listener.tls == "implicit" and not self._has_begun():
            return
        client = self._client()
        tls = self._start_tls() if self._listener.tls == "implicit" else None
        session = ServerSession(self._terms.extensions(self._listener), self._terms.limits(self._listener), tls=tls)
        answerer = self._terms.reception(session, client)
        try:
            is_early = session.strict and self._wire.has_spoken()
            if is_early and (tls is not None or not self._is_surprise(self._wire.head(_HEAD_OCTETS))):
                session.talked_early()
            self._converse(session, answerer)
        except OSError as problem:
            self._reason = self._reason or _end(problem)
        except Exception:
            self._reason = "internal error"
            self._apologise()
            raise
        finally:
            answerer.closed(self._reason)

    def _has_begun(self) -> bool:
        """Wait for a handshake. Return False if the client ends before it, as the checks of load balancers do."""
        try:
            return bool(self._wire.receive_head(_HEAD_OCTETS, self._handshake_s))
        except TimeoutError as problem:
            self._client()
            self._log_no_tls(problem)
            raise

    def _client(self) -> Client:
        if self._listener is LOCAL:
            return Client("", 0, "localhost", LOCAL, local=True, uid=self._uid)
        if self._listener.is_lmtp:
            self._terms.log.write("smtpd", "connect from localhost[127.0.0.1]")
            return Client("127.0.0.1", self.port, "localhost", self._listener)
        self.name = self._terms.host_name(self.ip) or "unknown"
        self._terms.log.write("smtpd", f"connect from {self}")
        return Client(self.ip, self.port, self.name, self._listener, server_ip=self._server_ip)

    def _converse(self, session: ServerSession, answerer: SessionHandler) -> None:
        while True:
            event = session.next_event()
            if event is events.NEED_DATA:
                if not self._receive(session):
                    return
            elif event is events.OVER:
                self._wire.send_last(session.data_to_send())
                self._reason = self._reason or session.close_reason or "quit"
                return
            else:
                self._progress = True
                reply = answerer.answer(event)
                if reply is not None:
                    session.answer(reply)
                    self._follow(event, reply, session)

    def _follow(self, event: Event, reply: Reply, session: ServerSession) -> None:
        """Follow the phase of the session, because it decides the timeout."""
        kind = type(event)
        if kind is RcptTo:  # the most frequent one
            return
        if kind is MailFrom:
            self._transaction = self._transaction or reply.positive
        elif kind is StartContent:
            if reply.positive:
                self._content_ends = time.monotonic() + self._terms.config.access.message_timeout.total_seconds()
        elif kind is EndContent or kind is Reset or kind is Hello:
            self._transaction, self._content_ends = False, 0.0
        elif kind is events.Connected and not reply.positive:  # it may send QUIT (RFC 5321 3.1), within a short time
            self._idle_s, self._partial_since = min(self._idle_s, _REFUSED_S), time.monotonic()
            self._is_refused = True
        elif kind is events.StartTls and reply.positive and session.close_reason is None:  # else more stood behind it
            self._wire.send(session.data_to_send())
            session.tls_started(self._start_tls())

    def _is_surprise(self, head: bytes) -> bool:
        """Return True if these first octets are a PROXY header, and the listener expects none."""
        listener = self._listener
        return begins_header(head) and not (listener.proxy_protocol or listener is LOCAL or listener.is_lmtp)

    def _name_the_option(self) -> None:
        """Log the option that a load balancer in front of this listener needs."""
        self._terms.log.warning("smtpd", not_expected(str(self), self.ip, self._listener.name))

    def _start_tls(self) -> TlsInfo:
        certificate = self._terms.certificate
        if certificate is None:
            raise ConnectionAbortedError
        try:
            context = certificate.context(suites_of(self._listener))
            if not self._heard and self._is_surprise(self._wire.head(_HEAD_OCTETS)):
                self._name_the_option()  # a library of TLS would only call it garbage
                raise ConnectionAbortedError
            return self._wire.start_tls(context, self._handshake_s)
        except OSError as problem:
            self._log_no_tls(problem)
            raise

    def _log_no_tls(self, problem: OSError) -> None:
        said: str = getattr(problem, "reason", None) or _end(problem)  # an SSLError's, which may be None
        self._terms.log.write("smtpd", f"SSL_accept error from {self}: {printable(said)}")

    def _apologise(self) -> None:
        try:
            self._wire.send(replies.INTERNAL_ERROR.wire)
        except OSError:
            return

    # Waiting -----------------------------------------------------------------------------------------------------

    def _receive(self, session: ServerSession) -> bool:
        """Send the waiting replies and receive more. Return False when the client has gone."""
        out = session.data_to_send()
        if out:
            self._wire.send(out)
        timeout_s = self._wait_s(advanced=self._progress or bool(out))
        self._progress = False
        try:
            data = self._wire.receive(_CONTENT_OCTETS if self._content_ends else _COMMAND_OCTETS, timeout_s)
        except TimeoutError:
            self._give_up(session)
            return True
        self.silent_since = 0.0
        if not self._heard:
            self._heard = True
            if session.tls is None and self._is_surprise(data):
                self._name_the_option()
                self._close(session, replies.PROXY_NOT_EXPECTED, "PROXY header")
                return True
        if data:
            session.receive_data(data)
            return True
        if self._wire.cut_off:
            self._close(session, replies.SHUTTING_DOWN, "shutting down")
            return True
        self._reason = "lost connection"
        return False

    def _wait_s(self, *, advanced: bool) -> float:
        self.active_at = now = time.monotonic()
        if self._content_ends:
            self.silent_since, self._partial_since = 0.0, 0.0
            return min(self._idle_s, self._content_ends - now)
        self.silent_since = 0.0 if self._transaction else now
        patience_s = None if self._transaction else self._patience.patience_s
        if advanced and not self._is_refused:
            self._partial_since = 0.0
            return self._idle_s if patience_s is None else min(self._idle_s, patience_s)
        # The rest of a command that has begun: an octet now and then must not hold a connection for ever.
        self._partial_since = self._partial_since or now
        timeout_s = self._partial_since + self._idle_s - now
        return timeout_s if patience_s is None else min(timeout_s, patience_s)

    def _give_up(self, session: ServerSession) -> None:
        if self._patience.patience_s is not None:
            self._close(session, replies.SHUTTING_DOWN, "shutting down")
        elif self._content_ends and time.monotonic() >= self._content_ends:
            self._close(session, replies.MESSAGE_TOO_SLOW, "timeout")
        else:
            self._close(session, replies.IDLE_TOO_LONG, "timeout")

    def _close(self, session: ServerSession, reply: Reply, reason: str) -> None:
        session.close(reply)
        self._reason = reason


def _end(problem: OSError) -> str:
    return "timeout" if isinstance(problem, TimeoutError) else "lost connection"
