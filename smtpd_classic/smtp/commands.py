"""The commands: the event of each, and the reading of its argument in the state of the session."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from smtpd_classic.smtp import replies
from smtpd_classic.smtp.events import (
    Auth,
    AuthResponse,
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
    TlsInfo,
    Verify,
)
from smtpd_classic.smtp.extensions import Extensions
from smtpd_classic.smtp.grammar import (
    Malformed,
    base64_octets,
    parse_auth,
    parse_bdat,
    parse_hello,
    parse_mail,
    parse_rcpt,
)
from smtpd_classic.smtp.legality import LEGAL, OutOfOrder, Phase
from smtpd_classic.smtp.limits import CommandLimits, SessionOver
from smtpd_classic.smtp.reply import Reply

__all__ = ["BdatChunk", "Circumstances", "read_command", "read_response"]

# A browser that a page has made send a form here must not get as far as the form (cross-protocol scripting).
_HTTP_METHODS = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH", b"TRACE"})
_TAB: Final = 9  # see smtp/content.py
_REFUSED: Final = Phase.REFUSED
_OBSOLETE = frozenset({b"SEND", b"SOML", b"SAML", b"TURN", b"ETRN", b"ATRN"})  # RFC 5321 F.1, F.6


class Circumstances(Protocol):
    """The state of a session that decides how an argument is read."""

    extensions: Extensions
    tls: TlsInfo | None
    authenticated: bool
    utf8: bool

    @property
    def dsn(self) -> bool: ...


class BdatChunk(NamedTuple):
    """A BDAT command. Its chunk follows even if the command is refused, so it is no event yet."""

    size: int
    last: bool


class _Command(NamedTuple):
    """A row of the table. `read` returns the event, or the reply if no event is needed; `idle`: the command does not
    advance a message; `utf8`: `read` looks for octets outside ASCII itself."""

    event: type[Event]
    read: Callable[[Circumstances, bytes], Event | Reply]
    idle: bool = False
    utf8: bool = False


def _auth(session: Circumstances, argument: bytes) -> Auth:
    extensions = session.extensions
    if session.authenticated:
        raise Malformed(replies.ALREADY_AUTHENTICATED)  # RFC 4954 4
    if not extensions.offers_auth(encrypted=session.tls is not None):
        later = extensions.auth and extensions.starttls and session.tls is None
        raise Malformed(replies.AUTH_NEEDS_TLS if later else replies.AUTH_NOT_OFFERED)
    return parse_auth(argument, extensions.auth)


def _starttls(session: Circumstances, argument: bytes) -> StartTls:
    if argument:
        raise Malformed(replies.NO_ARGUMENT_ALLOWED)
    if session.tls is not None:
        raise Malformed(replies.ALREADY_ENCRYPTED)
    if not session.extensions.starttls:
        raise Malformed(replies.TLS_NOT_OFFERED)
    return StartTls()


def _hello(session: Circumstances, argument: bytes, *, extended: bool) -> Hello:
    if session.extensions.lmtp:
        raise Malformed(replies.LHLO_ONLY)  # RFC 2033 4.1
    return parse_hello(argument, extended=extended)


def _lhlo(session: Circumstances, argument: bytes) -> Hello:
    if not session.extensions.lmtp:
        raise Malformed(replies.UNKNOWN_COMMAND, attack=True)
    return parse_hello(argument, extended=True)


def _alone(event: Event) -> Callable[[Circumstances, bytes], Event]:
    def read(session: Circumstances, argument: bytes) -> Event:
        if argument:
            raise Malformed(replies.NO_ARGUMENT_ALLOWED)
        return event

    return read


def _text(argument: bytes) -> str:
    text = argument.decode("ascii")
    if not text.isprintable():
        raise Malformed(replies.NOT_ASCII)
    return text


def _name(argument: bytes) -> tuple[str, bool]:
    """Return the argument of VRFY or EXPN, and True if the parameter SMTPUTF8 stands behind it (RFC 6531 3.7.4.2)."""
    name, _, last = argument.rpartition(b" ")
    utf8 = bool(name) and last.upper() == b"SMTPUTF8"
    try:
        text = (name if utf8 else argument).decode("utf-8" if utf8 else "ascii")
    except UnicodeDecodeError:
        raise Malformed(replies.NOT_ASCII) from None
    if not text.isprintable():
        raise Malformed(replies.NOT_ASCII)
    return text.rstrip(" "), utf8


def _verify(session: Circumstances, argument: bytes) -> Verify | Reply:
    if not argument:
        raise Malformed(replies.ARGUMENT_MISSING)
    name, utf8 = _name(argument)
    return Verify(name, utf8) if session.extensions.vrfy else replies.VERIFY_UNSURE


def _expand(session: Circumstances, argument: bytes) -> Expand | Reply:
    if not argument:
        raise Malformed(replies.ARGUMENT_MISSING)
    name, utf8 = _name(argument)
    return Expand(name, utf8) if session.extensions.vrfy else replies.EXPAND_OFF


def _mail(session: Circumstances, argument: bytes) -> MailFrom:
    return parse_mail(argument, auth=bool(session.extensions.auth), dsn=session.dsn)


def _rcpt(session: Circumstances, argument: bytes) -> RcptTo:
    return parse_rcpt(argument, utf8=session.utf8, dsn=session.dsn)


_COMMANDS: Final[dict[bytes, _Command]] = {
    b"EHLO": _Command(Hello, lambda session, argument: _hello(session, argument, extended=True), idle=True, utf8=True),
    b"HELO": _Command(Hello, lambda session, argument: _hello(session, argument, extended=False), idle=True, utf8=True),
    b"LHLO": _Command(Hello, _lhlo, idle=True, utf8=True),
    b"STARTTLS": _Command(StartTls, _starttls),
    b"AUTH": _Command(Auth, _auth),
    b"MAIL": _Command(MailFrom, _mail, utf8=True),
    b"RCPT": _Command(RcptTo, _rcpt, utf8=True),
    b"DATA": _Command(StartContent, _alone(StartContent(chunking=False))),
    b"RSET": _Command(Reset, _alone(Reset())),
    b"NOOP": _Command(Noop, lambda _, _argument: Noop(), idle=True),
    b"VRFY": _Command(Verify, _verify, idle=True, utf8=True),
    b"EXPN": _Command(Expand, _expand, idle=True, utf8=True),
    b"HELP": _Command(Help, lambda _, argument: Help(_text(argument)), idle=True),
    b"QUIT": _Command(Quit, _alone(Quit())),
}


def read_command(line: bytes, session: Circumstances, phase: Phase, limits: CommandLimits) -> Event | BdatChunk | Reply:
    """Return the event, the chunk or the reply for a command line. Raises Malformed, OutOfOrder or SessionOver."""
    if _TAB in line:
        line = line.replace(b"\t", b" ")
    verb, _, argument = line.rstrip(b" ").partition(b" ")  # RFC 5321 4.1.1: trailing white space is tolerated
    verb = verb.upper()
    argument = argument.lstrip(b" ")
    command = _COMMANDS.get(verb)
    if command is None or phase is _REFUSED:
        return _odd_command(verb, argument, phase)
    event, read, idle, utf8 = command
    if argument and not utf8 and not argument.isascii():
        raise Malformed(replies.NOT_ASCII)
    if idle:
        limits.count_command()
    elif event is Reset:
        limits.count_reset()
    if phase not in LEGAL[event][0]:
        raise OutOfOrder(event, phase, after_refusal=limits.after_refusal, lmtp=session.extensions.lmtp)
    if event is MailFrom:
        limits.transaction_asked_for()
    return read(session, argument)


def _odd_command(verb: bytes, argument: bytes, phase: Phase) -> Event | BdatChunk:
    """Read a command that the table does not hold, or any command after a negative banner."""
    if phase is _REFUSED:
        if verb == b"QUIT":
            return Quit()
        raise OutOfOrder(Hello, phase, after_refusal=True)
    if verb == b"BDAT":
        return BdatChunk(*parse_bdat(argument))
    if verb in _HTTP_METHODS:
        raise SessionOver(replies.NOT_SMTP, "not SMTP")
    if verb in _OBSOLETE:
        raise Malformed(replies.NOT_IMPLEMENTED)
    if not (verb.isascii() and argument.isascii()):
        raise Malformed(replies.NOT_ASCII, attack=True)
    raise Malformed(replies.UNKNOWN_COMMAND, attack=True)


def read_response(line: bytes) -> AuthResponse:
    """Return the client's answer to a challenge (RFC 4954 4). Raises Malformed, also for a lone `*`, which cancels."""
    if line == b"*":
        raise Malformed(replies.AUTH_CANCELLED)
    return AuthResponse(base64_octets(line))
