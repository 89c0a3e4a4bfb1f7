"""A session with another host, from the connection until it accepts MAIL.

Rule 1: where TLS is required, nothing is sent in plaintext; a login never is.
Rule 2: opportunistic TLS never costs a delivery: when the handshake fails, the same host is tried again in plaintext,
and the log records it.
"""

import ssl
import time
from collections.abc import Callable
from dataclasses import replace

from smtpd_classic.client.answers import check
from smtpd_classic.client.login import LoginProblem, log_in
from smtpd_classic.client.network import Encryption, Network, Target
from smtpd_classic.client.not_ready import NotReady, not_connected, put_off, refused
from smtpd_classic.client.silent_host import expects_tls_at_once
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.transport import GREETING
from smtpd_classic.client.wire import ClientWire, ConnectionLost, connect
from smtpd_classic.smtp.client import Offered, parse_ehlo
from smtpd_classic.smtp.reply import Reply

__all__ = ["Session", "open_session"]


class _HandshakeFailed(Exception):
    """Raised when TLS fails on a host where it is not required."""


class _EhloDropped(Exception):
    """Raised when the host closes the connection at EHLO, as some old servers and firewalls do."""


class Session:
    """An open session.

    An extension is removed from `offered` once the host rejects its use. `reused`: the session was kept from an earlier
    message, and may be closed by now.
    """

    def __init__(
        self,
        wire: ClientWire,
        target: Target,
        offered: Offered,
        most_messages: int,
        *,
        pipelining: bool,
    ) -> None:
        self.wire = wire
        self.peer = target.peer
        self.dialect = target.dialect
        self.offered = offered
        self.connected_s = 0.0
        self.reused = False
        self.needs_reset = False
        self.choked = False
        self.lost = False
        self.recipients_taken = 0  # before the host replied 421 to a RCPT
        self._pipelining = pipelining
        self._messages_left = most_messages - 1
        self._ended = False

    @property
    def usable(self) -> bool:
        return not self._ended

    @property
    def reusable(self) -> bool:
        return not self._ended and self._messages_left > 0

    @property
    def pipelining(self) -> bool:
        return self._pipelining and self.offered.pipelining

    def resume(self, transcript: Transcript) -> None:
        """Begin another message."""
        self.wire.transcript = transcript
        transcript.happened(f"using the open connection to {self.peer}")
        self.reused = True
        self.connected_s = 0.0
        self._messages_left -= 1

    def strip(self) -> bool:
        """Remove an extension that the host announced and rejects, one step a call. Return False if none is left."""
        if self.offered.has_size or self.offered.dsn:
            self.offered = replace(self.offered, has_size=False, size=0, dsn=False)
            return True
        if self.offered.eight_bit_mime:
            self.offered = replace(self.offered, eight_bit_mime=False)
            return True
        return False

    def strip_dsn(self) -> None:
        self.offered = replace(self.offered, dsn=False)

    def end(self) -> None:
        """Close a connection that is lost, or that the host has ended."""
        self._ended = True
        self.lost = True
        self.wire.close()

    def quit(self) -> None:
        """End the session with QUIT, without waiting for the reply (as Postfix does)."""
        if not self._ended:
            self._ended = True
            try:
                self.wire.limit(1.0)
                self.wire.send_lines(("QUIT",), 1.0)
            except ConnectionLost:
                pass
            self.wire.close()


def open_session(
    target: Target,
    network: Network,
    transcript: Transcript,
    note: Callable[[str], None],
    wire: ClientWire | None = None,
) -> Session:
    """Open a session, over `wire` if there is already a connection. Raises NotReady."""
    started = time.monotonic()
    try:
        session = _Opening(target, network, transcript).run(wire)
    except _EhloDropped as dropped:
        words = f"{target.peer} closed the connection at EHLO ({dropped}), trying again with HELO"
        transcript.happened(words)
        note(words)
        session = _Opening(target, network, transcript, extended=False).run()
    except _HandshakeFailed as failed:
        words = f"TLS with {target.peer} failed ({failed}), trying again in plaintext"
        transcript.happened(words)
        note(words)
        session = _Opening(target._replace(encryption=Encryption.NEVER), network, transcript).run()
    session.connected_s = time.monotonic() - started
    return session


class _Opening:
    """The steps that open one session."""

    def __init__(self, target: Target, network: Network, transcript: Transcript, *, extended: bool = True) -> None:
        self._target = target
        self._extended = extended
        self._peer = target.peer
        self._dialect = target.dialect
        self._network = network
        self._timeouts = network.timeouts
        self._transcript = transcript

    def run(self, wire: ClientWire | None = None) -> Session:
        peer = self._peer
        try:
            if wire is None:
                endpoint = self._target.endpoint(self._network.local)
                wire = connect(peer, endpoint, self._timeouts.connect, self._transcript)
        except ConnectionLost as lost:
            raise not_connected(peer, str(lost)) from None
        try:
            self._greet(wire)
            offered = self._first_hello(wire)
            offered = self._encrypt(wire, offered)
            self._log_in(wire, offered)
        except ConnectionLost as lost:
            wire.close()
            raise put_off("4.4.2", f"lost connection with {peer} before MAIL: {lost}") from None
        except (NotReady, _HandshakeFailed, _EhloDropped):
            wire.close()
            raise
        pipelining = not self._network.health.one_at_a_time(peer)
        return Session(wire, self._target, offered, self._network.max_messages, pipelining=pipelining)

    def _greet(self, wire: ClientWire) -> None:
        if self._target.implicit_tls:
            self._handshake(wire)
        if expects_tls_at_once(wire, self._target, self._network, self._transcript):
            words = (
                f"{self._peer} expects TLS from the first octet, but port {self._peer.port} is used with STARTTLS; "
                "name port 465, or the host's port for STARTTLS, often 587"
            )
            raise put_off("4.7.4", words, dead=True)
        try:
            reply = wire.reply(self._timeouts.greeting)
        except ConnectionLost as lost:
            words = f"lost connection with {self._peer} before its greeting: {lost}"
            raise put_off("4.4.2", words, dead=True) from None
        check(reply, GREETING)
        if not reply.positive:
            raise refused(reply, GREETING, self._peer)

    def _first_hello(self, wire: ClientWire) -> Offered:
        if not self._extended:
            return self._helo(wire, self._dialect.plain_hello)
        try:
            reply = wire.command(f"{self._dialect.hello} {self._network.helo_name}", self._timeouts.hello)
        except ConnectionLost as lost:
            if lost.timed_out or not self._dialect.plain_hello:
                raise
            raise _EhloDropped(str(lost)) from None
        return self._offered(wire, reply)

    def _hello(self, wire: ClientWire, timeout_s: float) -> Offered:
        return self._offered(wire, wire.command(f"{self._dialect.hello} {self._network.helo_name}", timeout_s))

    def _offered(self, wire: ClientWire, reply: Reply) -> Offered:
        """Return the extensions in the reply to EHLO or LHLO; send HELO if EHLO was refused."""
        hello, plain = self._dialect.hello, self._dialect.plain_hello
        check(reply, hello)
        if reply.positive:
            self._not_ourselves(reply)
            return parse_ehlo(reply)
        if reply.code == 421 or reply.transient or not plain:
            raise refused(reply, hello, self._peer)
        return self._helo(wire, plain)

    def _helo(self, wire: ClientWire, verb: str) -> Offered:
        reply = wire.command(f"{verb} {self._network.helo_name}", self._timeouts.hello)
        check(reply, verb)
        if not reply.positive:
            raise refused(reply, verb, self._peer)
        self._not_ourselves(reply)
        return Offered()

    def _not_ourselves(self, reply: Reply) -> None:
        """Raise NotReady if a host that DNS named is this server, at an address that we did not know as ours."""
        name = reply.text.split(maxsplit=1)[:1]
        if self._target.from_mx and name and self._network.own.named(name[0]):
            words = f"{self._peer} calls itself {self._network.helo_name}, as we do: mail would come back to us"
            raise put_off("4.4.6", words, soft=False)

    def _encrypt(self, wire: ClientWire, offered: Offered) -> Offered:
        encryption = self._target.encryption
        if wire.tls is not None or encryption is Encryption.NEVER:
            return offered
        if not offered.starttls:
            if encryption.required:
                raise put_off("4.7.4", f"TLS is required, but was not offered by {self._peer}")
            return offered
        try:
            reply = wire.command("STARTTLS", self._timeouts.hello)
        except ConnectionLost as lost:
            if encryption.required:
                raise
            raise _HandshakeFailed(str(lost)) from None
        check(reply, "STARTTLS")
        if not reply.positive:
            if encryption.required or reply.code == 421:
                raise refused(reply, "STARTTLS", self._peer)
            return offered
        self._handshake(wire)
        try:
            return self._hello(wire, self._timeouts.handshake)
        except ConnectionLost as lost:
            if encryption.required:
                raise
            raise _HandshakeFailed(str(lost)) from None

    def _handshake(self, wire: ClientWire) -> None:
        verified = self._target.encryption is Encryption.VERIFIED
        context: ssl.SSLContext = self._network.tls.verified if verified else self._network.tls.any_certificate
        try:
            wire.start_tls(context, self._peer.name, self._timeouts.handshake)
        except ConnectionLost as lost:
            if self._target.encryption.required:
                raise put_off("4.7.5", f"{lost} with {self._peer}") from None
            raise _HandshakeFailed(str(lost)) from None

    def _log_in(self, wire: ClientWire, offered: Offered) -> None:
        login = self._target.login
        if login is None:
            return
        if wire.tls is None:  # whichever way it is configured: never in plaintext
            raise put_off("4.7.4", f"{self._peer} wants a login, and there is no TLS")
        try:
            log_in(wire, offered.auth, login, self._timeouts.mail)
        except LoginProblem as problem:
            raise self._login_failed(problem) from None
        self._network.login_accepted(self._target)

    def _login_failed(self, problem: LoginProblem) -> NotReady:
        reply = problem.reply
        if reply is None:
            return put_off("4.7.0", f"login at {self._peer}: {problem}", login_failed=True)
        not_ready = refused(reply, "AUTH", self._peer)
        if not reply.transient:
            # An expired password must not cause bounces: the message waits, and the postmaster is notified.
            not_ready.outcome = not_ready.outcome._replace(login_failed=True)
            self._network.login_refused(self._target, str(reply))
        return not_ready
