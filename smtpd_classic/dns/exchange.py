"""One question, put to the name servers until one of them answers it.

As in the resolver of the C library a server has five seconds a try, and a late answer to an earlier try counts. With
several servers the next one is asked earlier, while the first may still answer.
"""

import functools
import itertools
import selectors
import socket
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.rcode

from smtpd_classic.dns.loop import Loop, Timer
from smtpd_classic.dns.names import wire_name
from smtpd_classic.dns.tcp import Server, TcpQuestion, connecting

__all__ = ["LOOKUP_S", "TRY_S", "DnsQuestion", "Exchange"]

TRY_S = 5.0
LOOKUP_S = 15.0
_UDP_PAYLOAD = 1232  # fits every path unfragmented (DNS flag day 2020)
NO_REPLY = ("no reply", "no reply over TCP")
_ANSWERS = {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}


class DnsQuestion(NamedTuple):
    """A name, as `names` makes it, and a type of record (`A`, `MX`, …)."""

    name: str
    kind: str


class Exchange:
    """`done` is called once, with the response and its server, or with None and a reason. Used in the loop's thread."""

    def __init__(
        self,
        question: DnsQuestion,
        servers: Sequence[Server],
        loop: Loop,
        done: Callable[["Exchange", dns.message.QueryMessage | None], None],
    ) -> None:
        self.question = question
        self.asked: list[Server] = []
        self.answered_by: Server | None = None
        self.reasons: dict[Server, str] = {}
        self._query = dns.message.make_query(
            wire_name(question.name),
            question.kind,
            use_edns=0,
            payload=_UDP_PAYLOAD,
            flags=dns.flags.RD | dns.flags.AD,  # AD in a question asks for AD in the answer (RFC 6840 5.7)
        )
        self._servers = servers
        self._loop = loop
        self._done: Callable[[Exchange, dns.message.QueryMessage | None], None] | None = done
        self._sockets: dict[Server, socket.socket] = {}
        self._streams: list[TcpQuestion] = []
        self._turn = itertools.cycle(servers)
        self._end: Timer | None = None
        self._next_try: Timer | None = None

    @property
    def over(self) -> bool:
        return self._done is None

    @property
    def silent(self) -> bool:
        """True if a server was asked and has neither answered nor failed."""
        return any(server not in self.reasons for server in self.asked)

    @property
    def codes(self) -> list[str]:
        """The reply codes of the servers that could not answer."""
        return list(dict.fromkeys(reason for reason in self.reasons.values() if reason not in NO_REPLY))

    def start(self) -> None:
        self._end = self._loop.after(LOOKUP_S, self.give_up)
        self._ask_next()

    def give_up(self) -> None:
        self._finish(None)

    def _ask_next(self) -> None:
        """Ask the next server that has not failed, and prepare for its silence."""
        if self.over:
            return
        left = [server for server in self._servers if server not in self.reasons]
        if not left:
            self._finish(None)
            return
        server = next(each for each in self._turn if each in left)
        self._wait(TRY_S / len(left))
        self._send(server)

    def _wait(self, seconds: float) -> None:
        """Ask the next server after that time, instead of at the time that was set before."""
        if self._next_try is not None:
            self._next_try.cancel()
        self._next_try = self._loop.after(seconds, self._ask_next)

    def _send(self, server: Server) -> None:
        self.asked.append(server)
        try:
            if server not in self._sockets:
                sock = self._sockets[server] = connecting(server, socket.SOCK_DGRAM)
                self._loop.watch(sock, selectors.EVENT_READ, functools.partial(self._datagram, server))
            self._sockets[server].send(self._query.to_wire())
        except OSError:
            self._failed(server, NO_REPLY[0])

    def _close(self, server: Server) -> None:
        sock = self._sockets.pop(server, None)
        if sock is not None:
            self._loop.close(sock)

    def _datagram(self, server: Server) -> None:
        try:
            data = self._sockets[server].recv(65_535)
        except BlockingIOError:
            return
        except OSError:  # ICMP: nothing listens there
            self._failed(server, NO_REPLY[0])
            return
        response = self._parsed(data)
        if response is None:
            return
        if response.flags & dns.flags.TC:
            self._repeat_over_tcp(server)
        else:
            self._take(server, response)

    def _repeat_over_tcp(self, server: Server) -> None:
        self._close(server)
        self._wait(TRY_S)
        stream = TcpQuestion(server, self._query.to_wire(), self._loop, TRY_S, functools.partial(self._octets, server))
        self._streams.append(stream)
        stream.start()

    def _octets(self, server: Server, data: bytes) -> None:
        response = self._parsed(data) if data else None
        if response is None:
            self._failed(server, NO_REPLY[1])
        else:
            self._take(server, response)

    def _parsed(self, data: bytes) -> dns.message.QueryMessage | None:
        """Return the response, or None for octets that do not answer our question."""
        try:
            response = dns.message.from_wire(data, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError, struct.error):
            return None
        if not isinstance(response, dns.message.QueryMessage) or not self._query.is_response(response):
            return None
        return response

    def _take(self, server: Server, response: dns.message.QueryMessage) -> None:
        if response.rcode() in _ANSWERS:
            self.answered_by = server
            self._finish(response)
        else:
            self._failed(server, dns.rcode.to_text(response.rcode()))

    def _failed(self, server: Server, reason: str) -> None:
        if self.over:
            return
        self.reasons[server] = reason
        self._close(server)
        # Not from here: with every server refusing, each failure would be one more frame on the stack.
        self._loop.call(self._ask_next)

    def _finish(self, response: dns.message.QueryMessage | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            for timer in (self._end, self._next_try):
                if timer is not None:
                    timer.cancel()
            for server in list(self._sockets):
                self._close(server)
            for stream in self._streams:
                stream.close()
            done(self, response)
