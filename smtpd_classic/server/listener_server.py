"""The receiving side of one process: a `ThreadingTCPServer` for each address listened on, and the threads they share.

The sockets are the supervisor's, bound and listening already and never blocking; several processes accept on the same
ones, so an accept that finds nothing is no error. Whom there is no room for is told so at once, without a thread.
"""

import socket
import socketserver
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from smtpd_classic.config.schema import Listener
from smtpd_classic.log import ERROR, printable
from smtpd_classic.policy.networks import Networks
from smtpd_classic.reception.local_session import LOCAL
from smtpd_classic.server.connection import Connection
from smtpd_classic.server.context import AcceptedSocket, ListenerContext
from smtpd_classic.server.local_listener import peer_uid
from smtpd_classic.server.thread_pool import ThreadPool
from smtpd_classic.server.wire import prepare
from smtpd_classic.smtp import replies
from smtpd_classic.smtp.reply import Reply

__all__ = ["BACKLOG", "ListenerServer", "Receiver"]

BACKLOG = 1023
_IDLE_THREADS = 64
_MARGIN = 4  # connections; clients that keep theirs stay where they are once accepted
_QUIET_S = 0.25
_LMTP = "lmtp"  # the key under which all clients of LMTP are counted
# Local submission has room of its own, so that strangers who fill the ports do not keep cron from sending.
_MOST_LOCAL, _MOST_LOCAL_PER_USER, _IDLE_LOCAL_THREADS = 100, 50, 4


class Receiver:
    """The servers of one process under one configuration, and the clients that they have."""

    def __init__(
        self,
        terms: ListenerContext,
        listening: Sequence[tuple[Listener, socket.socket]],
        local: socket.socket | None = None,
    ) -> None:
        self.terms = terms
        self.patience_s: float | None = None
        self._access = terms.config.access
        self._trusted = Networks(terms.config.trusted.hosts)
        self._pool = ThreadPool(self._access.max_connections, _IDLE_THREADS, self.complain)
        self._local_pool = ThreadPool(_MOST_LOCAL, _IDLE_LOCAL_THREADS, self.complain)
        self._connections: set[Connection] = set()
        self._count_quiet_at = 0.0  # by the monotonic clock
        if local is not None:
            listening = (*listening, (LOCAL, local))
        self.servers = tuple(ListenerServer(found, listener, self) for listener, found in listening)

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def threads(self) -> int:
        return self._pool.threads + self._local_pool.threads

    def is_ahead(self) -> bool:
        """Return True if the other processes that accept on the same sockets have much less to do.

        Connections that have been quiet for a moment do not count: clients that are silent, sessions that wait for a
        milter. Several hundred of them in one process would leave all work to the others.
        """
        counters = self.terms.runtime.counters
        now = time.monotonic()
        if now >= self._count_quiet_at:
            self._count_quiet_at = now + _QUIET_S
            before = now - _QUIET_S
            counters.quiet(sum(each.active_at < before for each in tuple(self._connections)))
        return counters.ahead(_MARGIN)

    def take(self, accepted: AcceptedSocket) -> Reply | None:
        """Give the connection to a thread; return a reply if there is no thread."""
        connection = Connection(accepted, self.terms, self)
        self._connections.add(connection)
        pool = self._local_pool if accepted.listener is LOCAL else self._pool
        if pool.run(lambda: self._handle(connection)):
            return None
        self._connections.discard(connection)
        return replies.OVERLOADED

    def _handle(self, connection: Connection) -> None:
        try:
            connection.handle()
        finally:
            self._connections.discard(connection)

    def admit(self, ip: str) -> Reply | None:
        """Count the client as connected; log a refusal and return its reply."""
        runtime = self.terms.runtime
        if runtime.blocks.blocked(ip) and not self._trusts(ip):
            runtime.counters.count("blocked")
            return self._refuse(ip, replies.BLOCKED)
        too_many = runtime.counters.connected(
            ip, self._access.max_connections, self._access.max_connections_per_address
        )
        if too_many == "client" and self._trusts(ip):
            too_many = runtime.counters.connected(ip, self._access.max_connections, 0)
        if too_many:
            full = too_many == "all"
            return self._refuse(ip, replies.TOO_MANY_CONNECTIONS if full else replies.TOO_MANY_CONNECTIONS_FROM_YOU)
        runtime.counters.count("connections")
        return None

    def admit_local(self, user: str) -> Reply | None:
        """Count a user of this machine: without blocks, and with a limit for each user."""
        counters = self.terms.runtime.counters
        if counters.connected(user, 0, _MOST_LOCAL_PER_USER):
            reply = replies.TOO_MANY_CONNECTIONS_FROM_YOU
            self.terms.log.write("smtpd", f"NOQUEUE: reject: CONNECT from localhost[{user}]: {reply}; proto=SMTP")
            return reply
        counters.count("connections")
        return None

    def admit_lmtp(self) -> Reply | None:
        """Count a client of LMTP: without blocks, within the limit of all connections."""
        counters = self.terms.runtime.counters
        if counters.connected(_LMTP, self._access.max_connections, 0):
            return self._refuse("127.0.0.1", replies.TOO_MANY_CONNECTIONS)
        counters.count("connections")
        return None

    def release(self, ip: str) -> None:
        self.terms.runtime.counters.disconnected(ip)

    def _refuse(self, ip: str, reply: Reply) -> Reply:
        self.terms.log.write("smtpd", f"NOQUEUE: reject: CONNECT from unknown[{ip}]: {reply}; proto=SMTP")
        return reply

    def _trusts(self, ip: str) -> bool:
        return self._trusted.find(ip) is not None

    # The end -----------------------------------------------------------------------------------------------------

    def drain(self, patience_s: float) -> None:
        """Set the permitted silence of clients without a transaction; no more connections are accepted."""
        self.patience_s = patience_s
        self._pool.close()
        self._local_pool.close()
        self.cut_silent()

    def cut_silent(self) -> None:
        """End the connections that have been silent for too long."""
        if self.patience_s is None:
            return
        before = time.monotonic() - self.patience_s
        for connection in tuple(self._connections):
            if 0 < connection.silent_since <= before:
                connection.cut()

    def cut_all(self, *, but_content: bool) -> None:
        """End every connection, or all that are not sending a message."""
        for connection in tuple(self._connections):
            if not (but_content and connection.receiving_content):
                connection.cut()

    def close(self) -> None:
        """Close the listening sockets of this process."""
        for server in self.servers:
            server.server_close()

    def complain(self, problem: BaseException) -> None:
        """Log an unexpected exception in one line, with its place in the code."""
        frames = traceback.extract_tb(problem.__traceback__)
        place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        text = f"warning: internal error: {type(problem).__name__}: {problem}{place}"
        self.terms.log.write("smtpd", printable(text, 2000), ERROR)


class ListenerServer(socketserver.ThreadingTCPServer):
    """One address of one listener. Its threads are the receiver's."""

    daemon_threads = True
    block_on_close = False  # else a list of all threads that have ever been

    def __init__(self, listening: socket.socket, listener: Listener, receiver: Receiver) -> None:
        # Not TCPServer's, which would make and bind a socket: this one is there already.
        socketserver.BaseServer.__init__(self, listening.getsockname(), socketserver.BaseRequestHandler)
        self.socket = listening
        self.address_family = listening.family
        self._listener = listener
        self._receiver = receiver
        self._balancers = Networks(listener.proxy_protocol)
        prepare(listening, receiver.terms.idle_s)

    def accept_one(self) -> bool:
        """Accept one connection, if there still is one. Raises OSError when the system has no room for it."""
        try:
            request, address = self.socket.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return False
        try:
            self.process_request(request, address)
        except Exception:
            self.handle_error(request, address)
            self.shutdown_request(request)
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._listener is LOCAL:
            refusal = self._local_refusal(request)
        elif self._listener.is_lmtp:
            refusal = self._lmtp_refusal(request)
        else:
            refusal = self._refusal(_plain(client_address[0]), request, client_address[1])
        if refusal is None:
            return
        if self._listener.tls != "implicit":
            with suppress(OSError):
                request.send(refusal.wire, socket.MSG_DONTWAIT)
        self.shutdown_request(request)

    def _refusal(self, ip: str, request: socket.socket, port: int) -> Reply | None:
        proxied = bool(self._balancers)
        if proxied and self._balancers.find(ip) is None:
            said = f"unknown[{ip}] is refused: proxy_protocol of [listener {self._listener.name}] does not hold it"
            self._receiver.terms.log.warning("smtpd", said)
            return replies.ACCESS_DENIED
        refusal = None if proxied else self._receiver.admit(ip)
        if refusal is not None:
            return refusal
        refusal = self._receiver.take(AcceptedSocket(request, ip, port, self._listener, admitted=not proxied))
        if refusal is not None and not proxied:
            self._receiver.release(ip)
        return refusal

    def _local_refusal(self, request: socket.socket) -> Reply | None:
        uid = peer_uid(request)
        user = f"uid={uid}"
        refusal = self._receiver.admit_local(user)
        if refusal is not None:
            return refusal
        refusal = self._receiver.take(AcceptedSocket(request, user, 0, self._listener, admitted=True, uid=uid))
        if refusal is not None:
            self._receiver.release(user)
        return refusal

    def _lmtp_refusal(self, request: socket.socket) -> Reply | None:
        refusal = self._receiver.admit_lmtp()
        if refusal is None:
            refusal = self._receiver.take(AcceptedSocket(request, _LMTP, 0, self._listener, admitted=True))
            if refusal is not None:
                self._receiver.release(_LMTP)
        return refusal

    def shutdown_request(self, request: Any) -> None:
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log one line instead of the traceback of socketserver."""
        problem = sys.exception()
        if problem is not None:
            self._receiver.complain(problem)


def _plain(ip: str) -> str:
    """Return the address without a scope, and an IPv4-mapped address as IPv4."""
    ip = ip.partition("%")[0]
    return ip[7:] if ip.startswith("::ffff:") and "." in ip else ip
