"""The requests of a client, as `ServerSession.next_event()` returns them; `HeaderRead` comes from reception.

Each is answered before the next, unless its docstring excepts it. RSET, and a positive answer to Hello or StartTls, end
a transaction; so does any answer to EndContent.

The `__init__` of those that come with every message is written out because it can be compiled: it takes a seventh of
the time of the one that dataclass makes.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = [
    "NEED_DATA",
    "OVER",
    "Auth",
    "AuthAbandoned",
    "AuthResponse",
    "Connected",
    "Content",
    "EndContent",
    "Event",
    "Expand",
    "HeaderRead",
    "Hello",
    "Help",
    "MailFrom",
    "Noop",
    "Pause",
    "Quit",
    "RcptTo",
    "Reset",
    "StartContent",
    "StartTls",
    "TlsInfo",
    "Verify",
]


class Pause(Enum):
    """The results of `next_event()` that are no event."""

    NEED_DATA = "send what is to be sent, then receive more"
    CLOSED = "send what is to be sent, then close"


NEED_DATA: Final = Pause.NEED_DATA  # asked for at each command: a global name is found faster than a member
OVER: Final = Pause.CLOSED


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """The result of the handshake, for the trace header: `TLSv1.3`, `TLS_AES_256_GCM_SHA384`, 256 bits."""

    version: str
    cipher: str
    bits: int


@dataclass(frozen=True, slots=True)
class Connected:
    """The first event of a session; a positive answer is the banner."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A HELO or, if `extended`, EHLO. The session adds the extension lines to a positive answer to EHLO."""

    name: str
    extended: bool


@dataclass(frozen=True, slots=True)
class StartTls:
    """A STARTTLS. After a positive answer: send it, shake hands, call `session.tls_started()`."""


@dataclass(frozen=True, slots=True)
class Auth:
    """An AUTH with its initial response decoded (None if it had none). The answer is 235, 334 (text: the challenge
    without base64, which the session encodes) or negative."""

    mechanism: str
    initial_response: bytes | None


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The client's decoded line after a 334."""

    response: bytes


@dataclass(frozen=True, slots=True)
class AuthAbandoned:
    """The end of an AUTH exchange without a decision: a lone `*`, or a line that is no base64. The session has answered
    it, so it has no answer."""


@dataclass(init=False, slots=True)
class MailFrom:
    """A MAIL. `reverse_path` is a mailbox or "" for the null reverse-path; `size` is None if not declared (RFC 1870);
    `ret` is "", FULL or HDRS and `envid` the decoded xtext (RFC 3461). `submitter` is that of AUTH (RFC 4954 5)."""

    reverse_path: str
    size: int | None
    body_8bit: bool
    smtputf8: bool
    ret: str
    envid: str
    submitter: str

    def __init__(
        self,
        reverse_path: str,
        size: int | None = None,
        body_8bit: bool = False,
        smtputf8: bool = False,
        ret: str = "",
        envid: str = "",
        submitter: str = "",
    ) -> None:
        self.reverse_path = reverse_path
        self.size = size
        self.body_8bit = body_8bit
        self.smtputf8 = smtputf8
        self.ret = ret
        self.envid = envid
        self.submitter = submitter


@dataclass(init=False, slots=True)
class RcptTo:
    """An RCPT. `forward_path` is a mailbox, or "postmaster" without a domain; `notify` holds NEVER, or any of SUCCESS,
    FAILURE and DELAY, and is empty if not given; `orcpt` is `addr-type;xtext` as it came (RFC 3461)."""

    forward_path: str
    notify: frozenset[str]
    orcpt: str

    def __init__(self, forward_path: str, notify: frozenset[str] = frozenset(), orcpt: str = "") -> None:
        self.forward_path = forward_path
        self.notify = notify
        self.orcpt = orcpt


@dataclass(frozen=True, slots=True)
class StartContent:
    """A DATA, or the first BDAT of a message. After a positive answer (354) `Content` follows. With BDAT the session
    does not send the 354, and after a negative answer it reads past the chunks."""

    chunking: bool


@dataclass(init=False, slots=True)
class Content:
    """A piece of the content with LF line ends, without stuffed dots. It has no answer. `size` is that of the content
    so far, with CR LF line ends (RFC 1870).
    """

    data: bytes
    size: int

    def __init__(self, data: bytes, size: int) -> None:
        self.data = data
        self.size = size


@dataclass(frozen=True, slots=True)
class HeaderRead:
    """The header block of the content is complete. The session does not make this event, for it knows no header; the
    reader of the content does, and it has no answer of its own."""


@dataclass(init=False, slots=True)
class EndContent:
    """The end of the content; a positive answer makes the server responsible for the message. `bare` is True if the
    content held CR or LF alone, or NUL; `Content` has them normalised."""

    bare: bool

    def __init__(self, bare: bool) -> None:
        self.bare = bare


@dataclass(frozen=True, slots=True)
class Reset:
    """A RSET."""


@dataclass(frozen=True, slots=True)
class Verify:
    """A VRFY. The reply may hold UTF-8 if `smtputf8` (RFC 6531 3.7.4.2)."""

    argument: str
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Expand:
    """An EXPN; see `Verify`."""

    argument: str
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Help:
    argument: str


@dataclass(frozen=True, slots=True)
class Noop:
    """A NOOP."""


@dataclass(frozen=True, slots=True)
class Quit:
    """A QUIT; its answer is 221."""


Event = (
    Connected
    | Hello
    | StartTls
    | Auth
    | AuthResponse
    | AuthAbandoned
    | MailFrom
    | RcptTo
    | StartContent
    | Content
    | HeaderRead
    | EndContent
    | Reset
    | Verify
    | Expand
    | Help
    | Noop
    | Quit
)
