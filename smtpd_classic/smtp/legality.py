"""The phases of a session, the events legal in each, and the replies to others."""

from enum import Enum
from typing import Final

from smtpd_classic.smtp import replies
from smtpd_classic.smtp.events import (
    Auth,
    AuthResponse,
    Connected,
    EndContent,
    Event,
    Expand,
    Hello,
    Help,
    MailFrom,
    Noop,
    Quit,
    RcptTo,
    Reset,
    StartContent,
    StartTls,
    Verify,
)
from smtpd_classic.smtp.reply import Reply

__all__ = ["COMMAND_PHASES", "CONTENT_PHASES", "DEAF_PHASES", "LEGAL", "OutOfOrder", "Phase"]


class Phase(Enum):
    CONNECTED = "before the banner"
    REFUSED = "after a banner that refuses (RFC 5321 3.1)"
    START = "before EHLO"
    READY = "outside a transaction"
    MAIL = "a sender and no recipient"
    RCPT = "a sender and recipients"
    DATA = "within the content"
    CHUNK = "within a chunk of the content"
    CHUNKS = "between two chunks"
    DROP = "within a chunk that is not wanted"
    END = "the content is complete"
    AUTH = "a challenge waits for its response"
    HANDSHAKE = "TLS begins"
    CLOSED = "over"


_OUTSIDE = (Phase.READY, Phase.START)
_TRANSACTION = (Phase.MAIL, Phase.RCPT, Phase.CHUNKS)
_ANY = _OUTSIDE + _TRANSACTION
COMMAND_PHASES: Final = (
    Phase.READY,
    Phase.RCPT,
    Phase.MAIL,
    Phase.START,
    Phase.CHUNKS,
    Phase.REFUSED,
)  # a line is read
CONTENT_PHASES: Final = (Phase.DATA, Phase.CHUNK)  # content is read
DEAF_PHASES: Final = (Phase.HANDSHAKE, Phase.CLOSED)  # nothing is read

# Phases in which the event is legal; the phase after a positive answer, None where it stays. READY is START as long as
# no EHLO was answered. Auth and AuthResponse answered 334 lead to AUTH, a first BDAT leads to CHUNK.
LEGAL: Final[dict[type[Event], tuple[tuple[Phase, ...], Phase | None]]] = {
    Connected: ((Phase.CONNECTED,), Phase.START),
    Hello: (_ANY, Phase.READY),
    StartTls: (_OUTSIDE, Phase.HANDSHAKE),
    Auth: ((Phase.READY,), Phase.READY),
    AuthResponse: ((Phase.AUTH,), Phase.READY),
    MailFrom: ((Phase.READY,), Phase.MAIL),
    RcptTo: ((Phase.RCPT, Phase.MAIL), Phase.RCPT),
    StartContent: ((Phase.RCPT,), Phase.DATA),
    EndContent: ((Phase.END,), Phase.READY),
    Reset: (_ANY, Phase.READY),
    Verify: (_ANY, None),
    Expand: (_ANY, None),
    Help: (_ANY, None),
    Noop: (_ANY, None),
    Quit: ((*_ANY, Phase.REFUSED), Phase.CLOSED),
}


class OutOfOrder(Exception):
    """Raised for a command in the wrong phase. A pipelining client has sent RCPT and DATA before it learns that MAIL or
    all its recipients were refused (RFC 2920 3.1); then `consequence` is True, and the command is no error of its own.
    """

    def __init__(self, event: type[Event], phase: Phase, *, after_refusal: bool, lmtp: bool = False) -> None:
        self.reply = replies.LHLO_FIRST if lmtp and phase is Phase.START else _first(event, phase)
        # A browser or a spammer's script sends no EHLO; a client that lost count within a session is no attacker.
        self.attack = phase is Phase.START and event in {MailFrom, RcptTo, StartContent, Auth}
        self.consequence = phase is Phase.REFUSED or (after_refusal and event in {RcptTo, StartContent})
        super().__init__(str(self.reply))


def _first(event: type[Event], phase: Phase) -> Reply:
    """Return the reply that names the command to send first (RFC 5321 4.1.4)."""
    if phase is Phase.REFUSED:
        return replies.REFUSED_SESSION
    if phase is Phase.START:
        return replies.HELLO_FIRST
    if event is MailFrom:
        return replies.NESTED_MAIL
    if event in {Auth, StartTls}:
        return replies.NOT_IN_TRANSACTION
    if phase is Phase.CHUNKS:
        return replies.CHUNKS_STARTED
    return replies.RCPT_FIRST if phase is Phase.MAIL else replies.MAIL_FIRST
