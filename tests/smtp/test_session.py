"""The session as a whole: the same however it is cut, and nothing behind STARTTLS. Single answers: tests/dialogs."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.smtp import replies
from smtpd_classic.smtp.events import (
    Auth,
    AuthAbandoned,
    AuthResponse,
    Connected,
    Content,
    EndContent,
    Event,
    HeaderRead,
    Hello,
    MailFrom,
    Pause,
    Quit,
    RcptTo,
    Reset,
    StartContent,
    StartTls,
    TlsInfo,
)
from smtpd_classic.smtp.legality import LEGAL, Phase
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import Extensions, ServerSession, SessionLimits
from tests.dialogs.scene import accept
from tests.drawing import joined, numbers
from tests.smtp.test_content import split

OFFERED = Extensions(
    "foo.com",
    1000,
    10,
    starttls=True,
    auth=("PLAIN", "LOGIN"),
    auth_without_tls=True,
    vrfy=True,
    dsn_for_everyone=True,
)
UNLIMITED = SessionLimits(0, 0, 0)
TLS = TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)


def answer(event: Event) -> Reply:
    """By what is asked, so that it is the same in every cut: some of everything."""
    if isinstance(event, RcptTo) and event.forward_path.startswith("no"):
        return replies.NO_SUCH_USER
    if isinstance(event, MailFrom) and event.reverse_path.startswith("no"):
        return replies.SENDER_NOT_LOCAL
    if isinstance(event, Auth):
        return replies.challenge("Username:") if event.mechanism == "LOGIN" else replies.AUTHENTICATED
    if isinstance(event, AuthResponse):
        return replies.LOGIN_FAILED if event.response == b"no" else replies.AUTHENTICATED
    return accept(event)


class Client:
    """Feeds a session and writes down what it asks; pieces of content are put together."""

    def __init__(self, session: ServerSession) -> None:
        self.session = session
        self.asked: list[Event] = []
        self.said = b""
        self.closed = False
        self.hear(b"")

    def hear(self, data: bytes) -> None:
        self.session.receive_data(data)
        while not isinstance(event := self.session.next_event(), Pause):
            if isinstance(event, AuthAbandoned):
                self.asked.append(event)
            elif isinstance(event, Content):
                if isinstance(self.asked[-1], Content):
                    event = Content(self.asked.pop().data + event.data, event.size)  # type: ignore[union-attr]
                self.asked.append(event)
            else:
                self.asked.append(event)
                self.session.answer(answer(event))
                if isinstance(event, StartTls):
                    self.session.tls_started(TLS)
        self.said += self.session.data_to_send()
        self.closed = event is Pause.CLOSED


def client(pieces: Iterable[bytes] = (), limits: SessionLimits = UNLIMITED, offered: Extensions = OFFERED) -> Client:
    made = Client(ServerSession(offered, limits))
    for piece in pieces:
        made.hear(piece)
    return made


COMMANDS = [
    b"EHLO me\r\n",
    b"HELO me\r\n",
    b"MAIL FROM:<a@b.c>\r\n",
    b"MAIL FROM:<a@b.c> SIZE=5 SMTPUTF8\r\n",
    b"MAIL FROM:<no@b.c>\r\n",
    b"RCPT TO:<x@foo.com>\r\n",
    b"RCPT TO:<no@foo.com>\r\n",
    b"DATA\r\n",
    b"text\r\n..\r\n.\r\n",
    b".\r\n",
    b"\r\n.\r\n",
    b"\n.\n",
    b"BDAT 7\r\nNOOP\r\n\r",
    b"BDAT 4 LAST\r\n\nx\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT x\r\n",
    b"AUTH PLAIN AGEAYg==\r\n",
    b"AUTH LOGIN\r\n",
    b"bm8=\r\n",
    b"YWJj\r\n",
    b"*\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"VRFY x\r\n",
    b"EXPN x\r\n",
    b"HELP\r\n",
    b"FOO\r\n",
    b"NO\rOP\r\n",
    b"NOOP\n",
    b"NOOP\0\r\n",
    b"x" * 5000 + b"\r\n",
    b"AUTH " + b"x" * 13000 + b"\r\n",
    b"y" * 13000 + b"\n",
    b"\r\n",
    b"QUIT\r\n",
]
conversations = joined(COMMANDS, 25)
marks = numbers(30)


@settings(deadline=None, max_examples=600)
@given(conversations, marks, st.sampled_from([UNLIMITED, SessionLimits(3, 5, 2)]))
def test_any_cut_gives_the_same_conversation(data: bytes, places: list[int], limits: SessionLimits) -> None:
    whole, cut = client([data], limits), client(split(data, places), limits)
    assert cut.asked == whole.asked
    assert cut.said == whole.said
    assert cut.closed == whole.closed
    assert cut.session.attacks == whole.session.attacks
    assert cut.session.close_reason == whole.session.close_reason


GREETED = b"EHLO me\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<x@foo.com>\r\n"


@pytest.mark.parametrize(
    "start", [GREETED + b"DATA\r\n", GREETED, GREETED + b"BDAT 3\r\nabc", b"EHLO me\r\nAUTH LOGIN\r\n"]
)
@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=300))
def test_any_octets_are_answered(start: bytes, data: bytes) -> None:
    whole, cut = client([start + data]), client([bytes([octet]) for octet in start + data])
    assert (cut.asked, cut.said, cut.closed) == (whole.asked, whole.said, whole.closed)


@settings(deadline=None, max_examples=300)
@given(conversations)
def test_nothing_behind_starttls_is_carried_out(data: bytes) -> None:
    alone, injected = client([b"EHLO me\r\nSTARTTLS\r\n"]), client([b"EHLO me\r\nSTARTTLS\r\n" + data])
    assert injected.asked == alone.asked
    assert injected.said == alone.said
    assert injected.session.attacks == 0
    injected.hear(b"MAIL FROM:<a@b.c>\r\n")
    assert injected.said.endswith(replies.HELLO_FIRST.wire)


def test_nothing_is_taken_while_the_handshake_is_due() -> None:
    session = ServerSession(OFFERED)
    session.next_event()
    session.answer(replies.banner("foo.com"))
    session.receive_data(b"STARTTLS\r\n")
    assert session.next_event() == StartTls()
    session.answer(replies.READY_FOR_TLS)
    session.receive_data(b"NOOP\r\n")
    assert session.next_event() is Pause.NEED_DATA
    session.tls_started(TLS)
    assert session.next_event() is Pause.NEED_DATA
    assert session.tls == TLS


def test_starttls_forgets_the_login_and_the_name() -> None:
    session = client([b"EHLO me\r\nAUTH PLAIN AGEAYg==\r\n"]).session
    assert session.authenticated
    assert session.protocol_name == "ESMTPA"
    encrypted = client([b"EHLO me\r\nAUTH PLAIN AGEAYg==\r\nSTARTTLS\r\n"]).session
    assert (encrypted.authenticated, encrypted.hello, encrypted.extended) == (False, "", False)


@pytest.mark.parametrize(
    ("conversation", "name"),
    [
        (b"", "SMTP"),
        (b"HELO me\r\n", "SMTP"),
        (b"EHLO me\r\n", "ESMTP"),
        (b"EHLO me\r\nHELO me\r\n", "SMTP"),
        (b"EHLO me\r\nAUTH PLAIN AGEAYg==\r\n", "ESMTPA"),
        (b"EHLO me\r\nMAIL FROM:<a@b.c> SMTPUTF8\r\n", "UTF8SMTP"),
        (b"EHLO me\r\nMAIL FROM:<a@b.c> SMTPUTF8\r\nRSET\r\n", "ESMTP"),
        (b"EHLO me\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b.c> SMTPUTF8\r\n", "UTF8SMTPA"),
    ],
)
def test_protocol_name(conversation: bytes, name: str) -> None:
    assert client([conversation]).session.protocol_name == name


def test_protocol_name_under_tls() -> None:
    made = client([b"STARTTLS\r\n"])
    made.hear(b"EHLO me\r\n")
    assert made.session.protocol_name == "ESMTPS"
    made.hear(b"AUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b.c> SMTPUTF8\r\n")
    assert made.session.protocol_name == "UTF8SMTPSA"


def test_what_an_event_holds() -> None:
    made = client(
        [
            b'EHLO [192.0.2.1]\r\nMAIL FROM:<@x.y:"Jo"@B.C> SIZE=5 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2Bb\r\n',
            b"RCPT TO:<POSTMASTER>\r\nRCPT TO:<x@FOO.com> NOTIFY=DELAY,FAILURE ORCPT=rfc822;x+2By@foo.com\r\n",
            b"DATA\r\nx\r\n.\r\nRSET\r\n",
        ]
    )
    assert made.asked == [
        Connected(),
        Hello("[192.0.2.1]", extended=True),
        MailFrom("Jo@b.c", 5, body_8bit=True, smtputf8=True, ret="FULL", envid="a+b"),
        RcptTo("postmaster"),
        RcptTo("x@foo.com", frozenset({"DELAY", "FAILURE"}), "rfc822;x+2By@foo.com"),
        StartContent(chunking=False),
        Content(b"x\n", 3),
        EndContent(bare=False),
        Reset(),
    ]


def test_content_octets_are_those_of_the_wire() -> None:
    made = client([GREETED + b"DATA\r\n..x\r\n", b".\r", b"\nNOOP\r\n"])
    assert made.session.content_octets == len(b"..x\r\n.\r\n")
    made.hear(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<x@foo.com>\r\nBDAT 4\r\nx\r\n.BDAT 1 LAST\r\n\r")
    assert made.session.content_octets == 5
    assert made.asked[-2:] == [Content(b"x\n.\n", 6), EndContent(bare=True)]


@pytest.mark.parametrize(
    ("wire", "bare"),
    [(b"x\r\n.\r\n", False), (b"x\ny\r\n.\r\n", True), (b"\0\r\n.\r\n", True), (b"\r.\r\n.\r\n", True)],
)
def test_bare_line_ends_are_told(wire: bytes, bare: bool) -> None:
    assert client([GREETED + b"DATA\r\n" + wire]).asked[-1] == EndContent(bare)


@pytest.mark.parametrize(
    "argument",
    [b"", b" ", b" x", b" -1", b" 5 FIRST", b" 5 LAST LAST", b" " + b"9" * 21, b" \xb2", b" LAST", b" 5,LAST"],
)
def test_a_chunk_of_unknown_size_ends_the_session(argument: bytes) -> None:
    made = client([GREETED + b"BDAT" + argument + b"\r\nRSET\r\n"])
    assert made.said.endswith(replies.BAD_BDAT.wire + replies.CANNOT_RESYNCHRONISE.wire)
    assert made.closed
    assert made.session.close_reason == "unreadable BDAT"


@pytest.mark.parametrize(("content", "chunking"), [(b"DATA\r\n.\r\n", False), (b"BDAT 0 LAST\r\n", True)])
def test_how_the_content_came(content: bytes, chunking: bool) -> None:
    assert client([GREETED + content]).session.chunking == chunking


def test_the_session_says_only_once_that_it_ends() -> None:
    made = client([b"BDAT\r\n"], SessionLimits(max_errors=1))
    made.session.close(replies.IDLE_TOO_LONG)
    assert made.said.count(b"421") == 1
    assert made.session.data_to_send() == b""


def test_close_ends_it_from_outside() -> None:
    session = client([GREETED + b"DATA\r\nx"]).session
    session.close(replies.MESSAGE_TOO_SLOW)
    session.receive_data(b"more\r\n.\r\n")
    assert session.next_event() is Pause.CLOSED
    assert session.data_to_send() == replies.MESSAGE_TOO_SLOW.wire
    assert session.close_reason is None


def test_only_an_unknown_command_is_a_sign_of_an_attack() -> None:
    made = client([b"EHLO me\r\nMAIL FROM:<a@b.c>\r\n" + b"RCPT TO:<no@foo.com>\r\n" * 5 + b"DATA\r\n"])
    assert made.said.endswith(replies.RCPT_FIRST.wire)
    assert made.session.attacks == 0
    made.hear(b"FOO\r\nMAIL FROM:<a@b.c>\r\nRSET now\r\n")
    assert made.session.attacks == 1


def test_what_follows_from_a_refusal_is_forgiven_up_to_a_point() -> None:
    limits = SessionLimits(max_errors=2)
    made = client([b"EHLO me\r\nMAIL FROM:<no@b.c>\r\n" + b"RCPT TO:<x@foo.com>\r\n" * 1000], limits)
    assert (made.closed, made.session.attacks) == (False, 0)
    made.hear(b"RCPT TO:<x@foo.com>\r\n" * 2)
    assert made.session.attacks == 0
    assert made.session.close_reason == "too many errors"


def test_each_transaction_is_forgiven_anew() -> None:
    refused = b"MAIL FROM:<no@b.c>\r\n" + b"RCPT TO:<x@foo.com>\r\n" * 900
    assert not client([b"EHLO me\r\n" + refused * 2], SessionLimits(max_errors=2)).closed


def test_a_malformed_mail_is_no_sign_of_an_attack() -> None:
    made = client([b"EHLO me\r\nMAIL FROM:\r\nRCPT TO:<x@foo.com>\r\nDATA\r\n"])
    assert made.session.attacks == 0


def test_endless_lines_take_no_memory() -> None:
    session = client().session
    for _ in range(200):
        session.receive_data(b"x" * 10_000)
        assert session.next_event() is Pause.NEED_DATA
        assert len(session._buffer) <= 10_000 + 12_288


def test_the_end_of_an_endless_line_may_be_cut_in_two() -> None:
    line = b"x" * 12_288 + b"\r\n"
    assert client([line[:-1], line[-1:]]).said == client([line]).said


def test_only_235_logs_in() -> None:
    session = client([b"EHLO me\r\n"]).session
    session.receive_data(b"AUTH PLAIN AGEAYg==\r\n")
    assert isinstance(session.next_event(), Auth)
    session.answer(replies.NOOP_OK)
    assert not session.authenticated


@pytest.mark.parametrize("verb", [b"GET", b"post", b"CONNECT"])
def test_a_browser_is_shown_the_door(verb: bytes) -> None:
    made = client([verb + b" / HTTP/1.1\r\nEHLO me\r\n"])
    assert made.closed
    assert made.asked == [Connected()]
    assert made.session.close_reason == "not SMTP"


def test_an_event_must_be_answered_once() -> None:
    session = ServerSession(OFFERED)
    with pytest.raises(RuntimeError, match="no event"):
        session.answer(replies.NOOP_OK)
    session.next_event()
    with pytest.raises(RuntimeError, match="answer the last event"):
        session.next_event()
    with pytest.raises(RuntimeError, match="STARTTLS"):
        session.tls_started(TLS)


def test_quit_ends_it_and_what_follows_is_not_read() -> None:
    made = client([b"QUIT\r\nEHLO me\r\n"])
    assert made.asked == [Connected(), Quit()]
    assert made.closed
    assert made.session.close_reason is None


def test_every_event_has_its_row() -> None:
    assert set(LEGAL) == {event for event in Event.__args__ if event not in {AuthAbandoned, Content, HeaderRead}}
    waiting = {Phase.CONNECTED, Phase.AUTH, Phase.END}
    for event, (legal, after) in LEGAL.items():
        assert legal, event
        assert after not in waiting, event


def test_more_messages_in_one_session() -> None:
    one = b"MAIL FROM:<a@b.c>\r\nRCPT TO:<x@foo.com>\r\nDATA\r\nx\r\n.\r\n"
    made = client([b"EHLO me\r\n" + one * 100], SessionLimits(1, 1, 1))
    assert sum(isinstance(event, EndContent) for event in made.asked) == 100
    assert not made.closed
