"""The server's side of one session, without I/O.

Rule 1: a command is carried out only if it is legal in the present phase of the session (`legality.LEGAL`), and takes
effect only if its answer is positive. The session itself answers an illegal, unknown or ill-formed command.
Rule 2: one event at a time. Until it is answered the octets behind it wait; so pipelining needs no code, and the
conversation does not depend on how TCP cuts the octets.
Rule 3: no octet that came in the clear outlives the answer to STARTTLS.
"""

from binascii import b2a_base64

from smtpd_classic.smtp import events, replies
from smtpd_classic.smtp.buffer import ReceiveBuffer
from smtpd_classic.smtp.commands import BdatChunk, read_command, read_response
from smtpd_classic.smtp.events import Content, EndContent, Event, Hello, MailFrom, Pause, RcptTo, StartContent, TlsInfo
from smtpd_classic.smtp.extensions import Extensions
from smtpd_classic.smtp.grammar import Malformed
from smtpd_classic.smtp.incoming import Chunks, Data, Incoming
from smtpd_classic.smtp.legality import COMMAND_PHASES, CONTENT_PHASES, DEAF_PHASES, LEGAL, OutOfOrder, Phase
from smtpd_classic.smtp.limits import CommandLimits, SessionLimits, SessionOver
from smtpd_classic.smtp.pipelining import GROUP_ENDS, ends_a_group, too_early
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session_state import SessionState

__all__ = ["Extensions", "ServerSession", "SessionLimits"]


class ServerSession(SessionState):
    """One session: `receive_data()`, then `next_event()` until it pauses, with an `answer()` to each event; then
    `data_to_send()`.

    221 and 421 as answers close the session. `close_reason` is the reason if the session closed itself.
    """

    def __init__(
        self,
        extensions: Extensions,
        limits: SessionLimits = SessionLimits(),  # noqa: B008 - it is immutable
        *,
        tls: TlsInfo | None = None,
    ) -> None:
        super().__init__(extensions, tls)
        self.close_reason: str | None = None
        self._limits = CommandLimits(limits)
        self._phase = Phase.CONNECTED
        self._pending: Event | None = None
        self._buffer = ReceiveBuffer()
        self._out: list[bytes] = []
        self._content: Incoming = Data()
        self._refusal: Reply | None = None  # the refusal of the whole message at its first chunk
        self._announced = Chunks()  # the chunk that BDAT announces, until the answer accepts or refuses it
        self._after_drop = Phase.READY

    @property
    def attacks(self) -> int:
        """Return the number of commands that only attackers send."""
        return self._limits.attacks

    @property
    def content_octets(self) -> int:
        """Return the number of octets of the present or the last content, counted on the wire."""
        return self._content.octets

    @property
    def chunking(self) -> bool:
        """Return True if that content came by BDAT."""
        return self._content.chunking

    def receive_data(self, data: bytes) -> None:
        if self._phase not in DEAF_PHASES:
            self._buffer.append(data)

    def data_to_send(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out

    def next_event(self) -> Event | Pause:
        """Return an event to answer, a piece of content or AuthAbandoned (which have no answer), or a pause.

        NEED_DATA: send, then read more; after a positive answer to StartTls, send, then shake hands. CLOSED: send, then
        close.
        """
        if self._pending is not None:
            raise RuntimeError("answer the last event first")
        while True:
            event = self._read_command() if self._phase in COMMAND_PHASES else self._read()
            if event is not None:
                return event

    def answer(self, reply: Reply) -> None:
        event, self._pending = self._pending, None
        if event is None:
            raise RuntimeError("no event waits for an answer")
        if reply.code == 421:
            self.close(reply)
        elif reply.positive:
            self._accepted(event, reply)
        else:
            self._rejected(event, reply)

    def send_first(self, *sent: Reply) -> None:
        """Send these replies before the answer to the present event: LMTP has one for each recipient (RFC 2033 4.2)."""
        self._out.extend(reply.wire for reply in sent)

    def talked_early(self) -> None:
        """End the session of a client that did not wait for the greeting."""
        self._limits.attacks += 1
        self._give_up(*too_early(events.Connected()))

    def tls_started(self, tls: TlsInfo) -> None:
        """Start again after the handshake, without a banner (RFC 3207 4.2)."""
        if self._phase is not Phase.HANDSHAKE:
            raise RuntimeError("STARTTLS was not answered with 220")
        self.tls, self.hello = tls, ""
        self.extended = self.authenticated = False
        self._end_transaction()

    def close(self, reply: Reply) -> None:
        """End the session with this reply: after a deadline, when the service stops, or when the client is blocked."""
        if self._phase is not Phase.CLOSED:
            self._out.append(reply.wire)
        self._phase, self._pending = Phase.CLOSED, None
        self._buffer.clear()

    # The client's input. None: the session has answered it, and there may be more to read.

    def _read(self) -> Event | Pause | None:
        if self._phase in CONTENT_PHASES:
            return self._read_content()
        match self._phase:
            case Phase.END:
                self._pending = EndContent(self._content.bare)
            case Phase.DROP:
                return self._read_dropped()
            case Phase.CLOSED:
                return events.OVER
            case Phase.HANDSHAKE:
                return events.NEED_DATA
            case Phase.CONNECTED:
                self._pending = events.Connected()
            case _:
                return self._read_response()
        return self._pending

    def _read_command(self) -> Event | Pause | None:
        try:
            line = self._buffer.next_line(lenient=self.trusted)
            if line is None:
                return events.NEED_DATA
            found = read_command(line, self, self._phase, self._limits)
        except Malformed as malformed:
            self._refuse(malformed.reply, attack=malformed.attack)
            if malformed.hopeless:
                self._give_up(replies.CANNOT_RESYNCHRONISE, "unreadable BDAT")
        except OutOfOrder as disorder:
            self._refuse(disorder.reply, attack=disorder.attack, consequence=disorder.consequence)
        except SessionOver as over:
            self._limits.attacks += over.reply is replies.NOT_SMTP
            self._give_up(over.reply, over.reason)
        else:
            if isinstance(found, Reply):
                self._say(found)
            elif isinstance(found, BdatChunk):
                self._announce_chunk(found)
            else:
                self._pending = found
        return self._pending

    def _announce_chunk(self, chunk: BdatChunk) -> None:
        limit = self.extensions.max_message_size
        received = self._content.octets if self._phase is Phase.CHUNKS else 0
        if 0 < limit < received + chunk.size and self._phase in {Phase.RCPT, Phase.CHUNKS} and self._refusal is None:
            # Reading gigabytes only to refuse them would waste time and traffic of both sides.
            self._refuse(replies.MESSAGE_TOO_BIG)
            self._give_up(replies.CHUNK_TOO_BIG, "chunk too big")
            return
        if self._phase is Phase.CHUNKS and self._refusal is None and isinstance(self._content, Chunks):
            self._content.expect(chunk.size, last=chunk.last)
            self._phase = Phase.CHUNK
            return
        self._announced.expect(chunk.size, last=chunk.last)
        if self._phase is Phase.RCPT:
            self._pending = StartContent(chunking=True)
        else:
            self._after_drop, self._phase = self._phase, Phase.DROP

    def _read_content(self) -> Content | Pause | None:
        text = self._content.read(self._buffer)
        if text is None:
            return events.NEED_DATA
        if self._content.complete:
            self._phase = Phase.END if self._content.last else Phase.CHUNKS
            if self._phase is Phase.CHUNKS:
                self._say(replies.CHUNK_OK)
        return Content(text, self._content.size) if text else None

    def _read_dropped(self) -> Pause | None:
        """Read an unwanted chunk to its end, and only then refuse it (RFC 3030 2)."""
        if not self._announced.skip(self._buffer):
            return events.NEED_DATA
        self._phase, refusal = self._after_drop, self._refusal
        if refusal is None:
            disorder = OutOfOrder(StartContent, self._phase, after_refusal=self._limits.after_refusal)
            self._refuse(disorder.reply, attack=disorder.attack, consequence=disorder.consequence)
        else:
            if self._announced.last:
                self._end_transaction()
            self._refuse(refusal)
        return None

    def _read_response(self) -> Event | Pause | None:
        try:
            line = self._buffer.next_line(auth=True, lenient=self.trusted)
            if line is None:
                return events.NEED_DATA
            self._phase = Phase.READY
            self._pending = read_response(line)
        except Malformed as malformed:
            self._phase = Phase.READY
            self._refuse(malformed.reply, attack=malformed.attack)
            return events.AuthAbandoned()
        return self._pending

    # The answers to the client.

    def _accepted(self, event: Event, reply: Reply) -> None:
        kind = type(event)
        if kind in GROUP_ENDS and self._buffer and self.strict and ends_a_group(event):
            self._limits.attacks += isinstance(event, events.Connected)
            return self._give_up(*too_early(event))
        if isinstance(event, Hello):
            self.hello, self.extended = event.name, event.extended
        phase = LEGAL[kind][1]
        if phase is Phase.READY:
            self._end_transaction()
        elif phase is not None:
            self._phase = phase
        return self._say(reply) if kind is RcptTo else self._take_effect(event, reply)

    def _take_effect(self, event: Event, reply: Reply) -> None:
        if isinstance(event, MailFrom):
            self.utf8 = event.smtputf8
            self._limits.after_refusal = False
        elif isinstance(event, EndContent):
            self._limits.message_accepted()
        elif isinstance(event, StartContent):
            if event.chunking:
                self._content, self._announced = self._announced, Chunks()
                self._phase = Phase.CHUNK
                return None
            self._content = Data(lenient=self.trusted)
        elif isinstance(event, Hello):
            if event.extended:
                return self._out.append(self.ehlo_reply(reply.text))
        elif isinstance(event, events.Auth | events.AuthResponse):
            return self._go_on_with_login(reply)
        elif isinstance(event, events.StartTls | events.Quit):
            self._buffer.clear()  # RFC 3207 5: an attacker may have sent the octets behind STARTTLS
        return self._say(reply)

    def _rejected(self, event: Event, reply: Reply) -> None:
        match event:
            case MailFrom() | RcptTo():
                self._limits.after_refusal = True
            case StartContent() if event.chunking:
                self._refusal = reply
                self._after_drop, self._phase = Phase.CHUNKS, Phase.DROP
                return None
            case EndContent():
                self._end_transaction()
            case events.Connected():
                self._phase = Phase.REFUSED
                return self._say(reply)
            case events.Quit():
                return self.close(reply)
        return self._refuse(reply)

    def _end_transaction(self) -> None:
        self._phase = Phase.READY if self.hello else Phase.START
        self._refusal, self.utf8 = None, False

    def _go_on_with_login(self, reply: Reply) -> None:
        if reply.code == 334:
            self._phase = Phase.AUTH
            self._out.append(b"334 " + b2a_base64(reply.text.encode(), newline=False) + b"\r\n")
        else:
            self.authenticated = reply.code == 235
            self._say(reply)

    def _say(self, reply: Reply) -> None:
        self._out.append(reply.wire)

    def _refuse(self, reply: Reply, *, attack: bool = False, consequence: bool = False) -> None:
        self._say(reply)
        if self._limits.too_many_errors(reply, attack=attack, consequence=consequence):
            self._give_up(replies.TOO_MANY_ERRORS, "too many errors")

    def _give_up(self, reply: Reply, reason: str) -> None:
        self.close(reply)
        self.close_reason = reason
