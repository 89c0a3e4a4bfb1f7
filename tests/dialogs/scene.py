"""The session alone as the other side of a dialogue: it accepts everything, unless the dialogue says otherwise.

Settings: `listener port25` (the default), `submission` or `submissions` (login, TLS from the first octet);
`max_errors`, `max_commands`, `max_rset`, `max_message_size`, `max_recipients`; `auth_without_tls` and `vrfy`: yes;
`starttls`: no; `offer_dsn`: everyone (the default) or users; `pipelining`: strict; `trusted`: yes.
"""

from smtpd_classic.smtp import replies
from smtpd_classic.smtp.events import (
    Auth,
    AuthAbandoned,
    AuthResponse,
    Connected,
    Content,
    EndContent,
    Event,
    Expand,
    Hello,
    Help,
    MailFrom,
    Noop,
    Pause,
    Quit,
    RcptTo,
    Reset,
    StartContent,
    StartTls,
    TlsInfo,
    Verify,
)
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import Extensions, ServerSession, SessionLimits
from tests.dialogs.runner import Dialogue

__all__ = ["NAME", "TLS", "Scene", "accept", "extensions", "reply_of"]

NAME = "foo.com"
TLS = TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)

_ACCEPTED: dict[type[Event], Reply] = {
    Connected: replies.banner(NAME),
    Hello: replies.hello(NAME),
    StartTls: replies.READY_FOR_TLS,
    Auth: replies.AUTHENTICATED,
    AuthResponse: replies.AUTHENTICATED,
    MailFrom: replies.SENDER_OK,
    RcptTo: replies.RECIPIENT_OK,
    StartContent: replies.START_CONTENT,
    EndContent: replies.accepted("4c1"),
    Reset: replies.RESET_OK,
    Verify: replies.verified("Joe", "joe@foo.com"),
    Expand: replies.expanded(["joe@foo.com", "eve@bar.com"]),
    Help: replies.HELP,
    Noop: replies.NOOP_OK,
    Quit: replies.GOODBYE,
}


def accept(event: Event) -> Reply:
    """The positive answer to anything."""
    return _ACCEPTED[type(event)]


def extensions(dialogue: Dialogue) -> Extensions:
    submission = dialogue.setting("listener").startswith("submission")
    return Extensions(
        helo_name=NAME,
        max_message_size=int(dialogue.setting("max_message_size", "26214400")),
        max_recipients=int(dialogue.setting("max_recipients", "100")),
        starttls=dialogue.setting("starttls") != "no",
        auth=("PLAIN", "LOGIN", "SCRAM-SHA-256") if submission else (),
        auth_without_tls=dialogue.setting("auth_without_tls") == "yes",
        vrfy=dialogue.setting("vrfy") == "yes",
        dsn_for_everyone=dialogue.setting("offer_dsn", "everyone") == "everyone",
        strict_pipelining=dialogue.setting("pipelining") == "strict",
    )


def reply_of(text: str) -> Reply:
    """`NO_SUCH_USER`, or `550 5.1.1 No such user`; an enhanced code may be left out."""
    if not text[0].isdigit():
        named: Reply = getattr(replies, text)
        return named
    code, _, rest = text.partition(" ")
    enhanced, _, words = rest.partition(" ")
    return Reply(int(code), enhanced, words) if enhanced[1:2] == "." else Reply(int(code), "", rest)


class Scene:
    """An `Exchange`, and what happened: `events` without the content, and the content of each message."""

    def __init__(self, dialogue: Dialogue) -> None:
        limits = {name: int(value) for name in SessionLimits._fields if (value := dialogue.setting(name))}
        tls = TLS if dialogue.setting("listener") == "submissions" else None
        self.session = ServerSession(extensions(dialogue), SessionLimits(**limits), tls=tls)
        self.session.trusted = dialogue.setting("trusted") == "yes"
        self.events: list[Event] = []
        self.contents: list[bytes] = []
        self._out = b""
        self._answers: list[Reply] = []
        self._closed = False
        self._started = False

    def send(self, data: bytes) -> None:
        self.session.receive_data(data)
        if self._started:
            self._run()

    def receive_line(self) -> bytes:
        self._start()
        line, end, self._out = self._out.partition(b"\n")
        if not end and not self._closed:
            raise AssertionError("the server says nothing")
        return line + end

    def start_tls(self) -> None:
        assert not self._out, f"before the handshake the server says {self._out!r}"
        self.session.tls_started(TLS)
        self._run()

    def answer(self, reply: str) -> None:
        self._answers.append(reply_of(reply))

    def finish(self) -> None:
        """The dialogue is over, and the server has nothing more to say."""
        assert not self._out, f"at the end the server says {self._out!r}"
        assert not self._answers, f"nothing was asked that {self._answers} could answer"

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._run()

    def _run(self) -> None:
        event = self.session.next_event()
        while not isinstance(event, Pause):
            self._ask(event)
            event = self.session.next_event()
        self._out += self.session.data_to_send()
        self._closed = event is Pause.CLOSED

    def _ask(self, event: Event) -> None:
        if isinstance(event, AuthAbandoned):
            return
        if isinstance(event, Content):
            self.contents[-1] += event.data
            return
        if isinstance(event, StartContent):
            self.contents.append(b"")
        self.events.append(event)
        self.session.answer(self._answers.pop(0) if self._answers else accept(event))
