"""The policy is asked at every event; a check of the content sees one transaction from MAIL to its end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy import (
    CHECKS,
    ContentCheck,
    ContentRow,
    Disposition,
    Policy,
    PolicyCheck,
    Transaction,
    require_asked,
)
from smtpd_classic.smtp.events import (
    Auth,
    AuthAbandoned,
    AuthResponse,
    Connected,
    Content,
    EndContent,
    Event,
    Expand,
    HeaderRead,
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
from tests.reception.test_content import TRUSTED, below_trace, queued
from tests.reception.world import Talk, World, world

LARGE = b"y" * 70 + b"\r\n"
OBJECTION = Reply(550, "5.7.77", "This is the objection.")
DIALOGUE = (
    *("", "EHLO client.example", "NOOP", "HELP", "VRFY joe", "EXPN team", "AUTH LOGIN", "am9l", "*", "STARTTLS"),
    *("MAIL FROM:<x@elsewhere.example>", "RCPT TO:<joe@example.org>", "DATA", "Subject: x\r\n\r\nbody\r\n."),
    *("RSET", "QUIT"),
)
EVENTS: dict[type[Event], int] = {
    Connected: 0,
    Hello: 1,
    Noop: 2,
    Help: 3,
    Verify: 4,
    Expand: 5,
    Auth: 6,
    AuthResponse: 7,
    StartTls: 9,
    MailFrom: 10,
    RcptTo: 11,
    StartContent: 12,
    HeaderRead: 13,
    EndContent: 13,
    Reset: 14,
    Quit: 15,
}
"""Each event, and the line of the dialogue that makes it."""


def with_rows(here: World, rows: tuple[PolicyCheck, ...] = CHECKS, content_rows: tuple[ContentRow, ...] = ()) -> World:
    """The world with other tables of checks for its listener."""
    policy = here.policy()
    complain = here.services.log.write
    here.services._policies["smtp"] = Policy(
        policy.rules, lambda sentence: complain("smtpd", sentence), rows, content_rows
    )
    return here


def object_to(transaction: Transaction, event: Event) -> Reply | None:
    return OBJECTION


@pytest.mark.parametrize("event", EVENTS)
def test_the_policy_is_asked_at_every_event(tmp_path: Path, event: type[Event]) -> None:
    row = PolicyCheck(event, "basic", object_to, lambda rules: True)
    here = with_rows(world(tmp_path, "[basic]\nallow_auth_without_tls = yes\nallow_vrfy_expn = yes\n"), (row,))
    talk = here.talk()
    replies = [talk()]
    for line in DIALOGUE[1 : EVENTS[event] + 1]:
        if line == DIALOGUE[10] and event is not StartTls:  # after STARTTLS the client would have to shake hands
            talk = here.talk()
            talk()
            talk.line(DIALOGUE[1])
        replies.append(talk.line(line).encode())
    assert replies[-1].startswith(b"550")
    assert b"This is the objection." in replies[-1]
    assert not any(b"objection" in each for each in replies[:-1])


def test_the_events_of_the_test_above_are_all_events() -> None:
    assert set(EVENTS) == set(Event.__args__) - {AuthAbandoned, Content}


@pytest.mark.parametrize("event", [Content, str])
def test_a_row_for_an_event_that_is_never_asked_is_an_error(event: type[Event]) -> None:
    require_asked(CHECKS, EVENTS)
    with pytest.raises(LookupError, match=f"object_to is for {event.__name__}, at which no check is asked"):
        require_asked([*CHECKS, PolicyCheck(event, "basic", object_to, lambda rules: True)], EVENTS)


@dataclass
class Recording(ContentCheck):
    """A check that notes its calls, and does at the end what a test wants."""

    at_end: Callable[[Disposition], Reply | None] = lambda disposition: None
    changes: bool = True
    wants_body: bool = True
    fails_at: str = ""
    objects_at: str = ""
    calls: list[str] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    body_at_end: bytes = b""
    queue_id: str = ""

    @property
    def changes_message(self) -> bool:  # type: ignore[override]
        return self.changes

    @property
    def needs_body(self) -> bool:
        return self.wants_body

    def _called(self, name: str) -> Reply | None:
        self.calls.append(name)
        if self.fails_at == name:
            raise RuntimeError("the check is broken")
        return OBJECTION if self.objects_at == name else None

    def recipient(self, event: RcptTo) -> Reply | None:
        return self._called("recipient")

    def header(self, header: HeaderBlock) -> Reply | None:
        return self._called("header")

    def body(self, piece: bytes) -> None:
        self.pieces.append(piece)
        if self.fails_at == "body":
            raise RuntimeError("the check is broken")

    def end(self, disposition: Disposition) -> Reply | None:
        if self.changes:
            self.body_at_end = b"".join(disposition.body())
            assert self.body_at_end == b"".join(disposition.body())
        return self._called("end") or self.at_end(disposition)

    def close(self) -> None:
        self.calls.append("close")
        if self.fails_at == "close":
            raise RuntimeError("the check is broken")


def hooked(folder: Path, *checks: Recording, extra: str = "") -> World:
    def made(check: Recording) -> Callable[[Transaction], ContentCheck]:
        def make(transaction: Transaction) -> ContentCheck:
            check.queue_id = transaction.queue_id
            return check

        return make

    rows = tuple(ContentRow("basic", "hook", made(check), lambda rules: True) for check in checks)
    return with_rows(world(folder, extra), content_rows=rows)


def begun(here: World, *recipients: str) -> Talk:
    talk = here.talk()
    for line in ("", "EHLO client.example", "MAIL FROM:<x@elsewhere.example>"):
        talk(f"{line}\r\n".encode() if line else b"")
    for recipient in recipients or ("joe@example.org",):
        assert talk.line(f"RCPT TO:<{recipient}>").startswith("250"), recipient
    return talk


def sent(here: World, *recipients: str, body: bytes = b"body\r\n", header: bytes = b"Subject: old\r\n") -> str:
    talk = begun(here, *recipients)
    assert talk.line("DATA").startswith("354")
    talk(header + b"\r\n")
    for at in range(0, len(body), 7000):
        talk(body[at : at + 7000])
    return talk(b".\r\n").decode()


BODIES = [pytest.param(b"body\r\n", id="small"), pytest.param(LARGE * 3000, id="large")]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("changes", [True, False])
def test_a_check_sees_the_whole_transaction(tmp_path: Path, body: bytes, changes: bool) -> None:
    check = Recording(changes=changes)
    here = hooked(tmp_path, check)
    reply = sent(here, "joe@example.org", "ann@example.org", body=body)
    assert reply.startswith(f"250 2.0.0 Queued as {check.queue_id}") or check.queue_id in reply
    assert check.calls == ["recipient", "recipient", "header", "end", "close"]
    lines = body.replace(b"\r\n", b"\n")
    assert b"".join(check.pieces) == lines
    assert check.body_at_end == (lines if changes else b"")
    is_queued = changes and len(body) > 65536
    found = queued(here) if is_queued else here.mailbox("joe@example.org")
    assert [below_trace(each) for each in found] == [b"Subject: old\n\n" + lines]
    assert not here.leftovers()


def test_a_check_that_cannot_be_closed_changes_no_reply_and_no_other_check(tmp_path: Path) -> None:
    """The message is stored by then: a client that gets no 250 sends it again."""
    broken, other = Recording(fails_at="close"), Recording()
    here = hooked(tmp_path, broken, other)
    assert sent(here).startswith("250")
    assert (broken.calls[-1], other.calls[-1]) == ("close", "close")
    assert len(here.mailbox("joe@example.org")) == 1
    assert any("Recording: RuntimeError('the check is broken')" in line for line in here.log())


def test_a_check_that_needs_no_body_is_not_called_for_it(tmp_path: Path) -> None:
    check = Recording(wants_body=False)
    sent(hooked(tmp_path, check), body=LARGE * 3000)
    assert (check.pieces, check.calls) == ([], ["recipient", "header", "end", "close"])


@pytest.mark.parametrize("body", BODIES)
def test_a_check_changes_the_header_and_the_next_one_sees_it(tmp_path: Path, body: bytes) -> None:
    seen: list[bytes] = []

    def change(disposition: Disposition) -> None:
        disposition.header = HeaderBlock(disposition.header.raw.replace(b"old", b"much newer") + b"X-Added: yes\n")
        disposition.on_top.append(b"X-Top: 1\n")

    def look(disposition: Disposition) -> None:
        seen.append(disposition.header.raw)
        disposition.on_top.append(b"X-Top: 2\n")

    here = hooked(tmp_path, Recording(change), Recording(look))
    assert sent(here, body=body).startswith("250")
    assert seen == [b"Subject: much newer\nX-Added: yes\n"]
    [message] = here.mailbox("joe@example.org") + queued(here)
    top = message[message.index(b"X-Top") :]
    assert top.startswith(b"X-Top: 2\nX-Top: 1\nReceived: ")
    assert message.endswith(b"\nSubject: much newer\nX-Added: yes\n\n" + body.replace(b"\r\n", b"\n"))
    assert not here.leftovers()


@pytest.mark.parametrize("body", BODIES)
def test_a_check_changes_the_recipients(tmp_path: Path, body: bytes) -> None:
    def change(disposition: Disposition) -> None:
        disposition.remove_recipient("JOE@example.org")
        disposition.add_recipient("friend@elsewhere.example")
        disposition.add_recipient("team@example.org")
        disposition.add_recipient("missing@example.org")

    here = hooked(tmp_path, Recording(change))
    assert sent(here, "joe@example.org", body=body).startswith("250")
    [queue_id] = here.queue()
    envelope = here.services.spool.read(queue_id)[0].envelope
    expected = ["friend@elsewhere.example", "joe@example.org", "ann@example.org"]
    assert [each.address for each in envelope.recipients] == expected
    assert any("a check added the recipient missing@example.org, which gets no mail" in each for each in here.log())


def test_a_message_without_recipients_is_discarded(tmp_path: Path) -> None:
    here = hooked(tmp_path, Recording(lambda disposition: disposition.remove_recipient("joe@example.org")))
    assert sent(here).startswith("250")
    assert (here.queue(), here.mailbox("joe@example.org"), here.leftovers()) == ([], [], [])
    assert any("discard: DATA from client.example[203.0.113.5]: no recipient is left" in each for each in here.log())


def set_reason(name: str) -> Callable[[Disposition], None]:
    return lambda disposition: setattr(disposition, name, "a reason")


@pytest.mark.parametrize("body", BODIES)
def test_a_check_puts_a_message_on_hold(tmp_path: Path, body: bytes) -> None:
    check = Recording(lambda disposition: setattr(disposition, "hold", "quarantine: Eicar"))
    here = hooked(tmp_path, check)
    assert sent(here, body=body).startswith("250")
    [row] = here.services.spool.list()
    assert (row.queue_id, row.held) == (check.queue_id, True)
    state = here.services.spool.read(row.queue_id)[1]
    assert (state.hold_reason, state.hold_text) == ("quarantine", "Eicar")
    assert here.log()[-1].endswith(f": {check.queue_id}: held: quarantine: Eicar")


@pytest.mark.parametrize("body", BODIES)
def test_a_check_discards_a_message(tmp_path: Path, body: bytes) -> None:
    here = hooked(tmp_path, Recording(set_reason("discard")))
    assert sent(here, body=body).startswith("250")
    assert (here.queue(), here.mailbox("joe@example.org"), here.leftovers()) == ([], [], [])


def test_a_check_sends_a_message_to_the_junk_folder(tmp_path: Path) -> None:
    here = hooked(tmp_path, Recording(set_reason("junk")))
    assert sent(here).startswith("250")
    junk = list((tmp_path / "mail/example.org/joe/.Junk/new").iterdir())
    assert (len(junk), here.mailbox("joe@example.org")) == (1, [])


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("place", ["header", "end"])
def test_a_check_objects_to_the_content(tmp_path: Path, body: bytes, place: str) -> None:
    check = Recording(objects_at=place)
    here = hooked(tmp_path, check)
    assert sent(here, body=body) == "550 5.7.77 This is the objection.\r\n"
    assert (here.queue(), here.mailbox("joe@example.org"), here.leftovers()) == ([], [], [])
    assert check.calls[-2:] == [place, "close"]


def test_a_check_objects_to_a_recipient(tmp_path: Path) -> None:
    check = Recording(objects_at="recipient")
    here = hooked(tmp_path, check)
    talk = here.talk()
    for line in ("EHLO client.example", "MAIL FROM:<x@elsewhere.example>"):
        talk.line(line)
    assert talk.line("RCPT TO:<unknown@example.org>").startswith("550 5.1.1")
    assert check.calls == []
    assert talk.line("RCPT TO:<joe@example.org>") == "550 5.7.77 This is the objection."
    assert check.calls == ["recipient"]


@pytest.mark.parametrize("place", ["recipient", "header", "body", "end"])
def test_a_check_that_fails_defers(tmp_path: Path, place: str) -> None:
    here = hooked(tmp_path, Recording(fails_at=place))
    if place == "recipient":
        talk = here.talk()
        for line in ("EHLO client.example", "MAIL FROM:<x@elsewhere.example>"):
            talk.line(line)
        reply = talk.line("RCPT TO:<joe@example.org>")
    else:
        reply = sent(here, body=LARGE * 3000)
    assert reply.startswith("451 4.3.0")
    assert any("RuntimeError: the check is broken" in each for each in here.log())
    assert (here.queue(), here.leftovers()) == ([], [])


@pytest.mark.parametrize("lines", [["RSET"], ["EHLO client.example"], [], ["DATA"], ["DATA", "Subject: x"]])
def test_a_check_is_closed_once(tmp_path: Path, lines: list[str]) -> None:
    check = Recording()
    here = hooked(tmp_path, check)
    talk = begun(here)
    for line in lines:
        talk.line(line)
    talk.end("lost connection")
    assert check.calls.count("close") == 1
    assert not here.leftovers()


def test_a_check_is_closed_when_a_chunk_has_ended_its_transaction(tmp_path: Path) -> None:
    check = Recording()
    talk = begun(hooked(tmp_path, check, extra="[basic]\nmax_recipients = 1\nover_max_recipients = reject\n"))
    assert talk.line("RCPT TO:<ann@example.org>").startswith("550 5.5.3")
    assert talk(b"BDAT 4 LAST\r\nbody").startswith(b"554 5.5.3")
    assert talk.line("MAIL FROM:<x@elsewhere.example>").startswith("250")
    assert check.calls == ["recipient", "close"]


def test_the_end_of_the_connection_is_told_once(tmp_path: Path) -> None:
    ended: list[str] = []
    here = with_rows(world(tmp_path), (PolicyCheck(Connected, "basic", _remember(ended), lambda rules: True),))
    talk = here.talk()
    talk()
    assert ended == []
    talk.end()
    assert ended == ["closed"]


def _remember(ended: list[str]) -> Callable[[Transaction, Event], Reply | None]:
    def remember(transaction: Transaction, event: Event) -> Reply | None:
        transaction.peer.on_close.append(lambda: ended.append("closed"))
        return None

    return remember


@pytest.mark.parametrize("body", BODIES)
def test_a_check_that_changes_messages_sees_the_fields_that_the_server_adds(tmp_path: Path, body: bytes) -> None:
    seen: list[HeaderBlock] = []
    here = hooked(tmp_path, Recording(lambda disposition: seen.append(disposition.header)), extra=TRUSTED)
    talk = here.talk("192.0.2.7")
    for line in ("EHLO client.example", "MAIL FROM:<joe@example.org>", "RCPT TO:<ann@example.org>", "DATA"):
        talk.line(line)
    assert talk(b"From: joe\r\nSubject: x\r\n\r\n" + body + b".\r\n").startswith(b"250")
    names = [b"date", b"from", b"message-id"]
    assert [seen[0].count(name) for name in names] == [1, 1, 1]
    assert seen[0].first(b"from") == b"joe@example.org"
    [message] = here.mailbox("ann@example.org") + queued(here)
    final = HeaderBlock(message[: message.index(b"\n\n")])
    assert [final.values(name) for name in names] == [seen[0].values(name) for name in names]
