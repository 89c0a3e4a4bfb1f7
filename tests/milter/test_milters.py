"""Messages that pass filters: the whole protocol, their decisions and changes, and filters that break it."""

import base64
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from smtpd_classic.milter.packets import packet
from smtpd_classic.runtime.measures import MILTER_RESULTS
from smtpd_classic.smtp.content import stuff
from tests.milter.fake import CLOSE, CONTINUE, SILENT, FakeFilter, add, change_field, insert, options, reply_code
from tests.reception.test_content import queued
from tests.reception.world import PASSWORD, Talk, World
from tests.reception.world import unchecked_world as world
from tests.tools import need
from tests.waiting import until

Start = Callable[..., FakeFilter]
CONTENT = b"Received: by first\nSubject: old\nX-A: 1\nX-A: 2\n\nbody\n"
LARGE = CONTENT + b"y" * 70 * 2000 + b"\n"
SIZES = [pytest.param(CONTENT, id="small"), pytest.param(CONTENT + (b"y" * 70 + b"\n") * 2000, id="large")]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(answers: dict[str, bytes | Callable[[bytes], bytes]] | None = None, **terms: int) -> FakeFilter:
            made = FakeFilter(answers or {}, **terms).listen(tmp_path)  # type: ignore[arg-type]
            stack.callback(made.close)
            return made

        yield started


TALKS: list[Talk] = []


@pytest.fixture(autouse=True)
def end_of_sessions() -> Iterator[None]:
    yield
    while TALKS:
        TALKS.pop().end()


def mail_begun(here: World, ip: str = "203.0.113.5") -> Talk:
    talk = here.talk(ip)
    TALKS.append(talk)
    talk()
    talk.line("EHLO client.example")
    assert talk.line("MAIL FROM:<x@elsewhere.example> SIZE=50").startswith("250")
    return talk


def begun(here: World, *recipients: str, ip: str = "203.0.113.5") -> Talk:
    talk = mail_begun(here, ip)
    for recipient in recipients or ("joe@example.org",):
        assert talk.line(f"RCPT TO:<{recipient}>").startswith("250"), recipient
    return talk


def finish(talk: Talk, content: bytes = CONTENT) -> str:
    talk.line("DATA")
    return talk(b"".join(stuff([content]))).decode().rstrip()


def sent(here: World, content: bytes = CONTENT, *recipients: str, ip: str = "203.0.113.5") -> str:
    talk = begun(here, *recipients, ip=ip)
    reply = finish(talk, content)
    end(talk)
    return reply


def end(talk: Talk) -> None:
    TALKS.remove(talk)
    talk.end()


def stored(here: World) -> bytes:
    """The only message, from our Received field or what is above it."""
    [message] = here.mailbox("joe@example.org") + queued(here)
    while message.startswith((b"Return-Path:", b"Envelope-To:")):
        message = message.split(b"\n", 1)[1]
    return message


def test_the_packets_are_those_of_miltertest(tmp_path: Path, start: Start) -> None:
    """The program with which authors of filters test them plays the mail server; it and this server say the same."""
    made = start()
    script = tmp_path / "script.lua"
    script.write_text(_SCRIPT.replace("SOCKET", made.address))
    done = subprocess.run([need("miltertest"), "-s", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    other = start()
    assert sent(world(tmp_path, options(other)), b"Subject: old\nX-A: one\n two\n\nbody\n").startswith("250")
    assert other.ended.wait(10)
    for command in "HMRLNBE":
        assert other.data(command) == made.data(command), command
    assert other.data("C")[0].split(b"\0")[0] == made.data("C")[0].split(b"\0")[0]
    assert other.macros("M")["i"]
    assert made.macros("M")["i"] == "ABC"


_SCRIPT = """
conn = mt.connect("SOCKET")
mt.macro(conn, SMFIC_MAIL, "i", "ABC")
mt.conninfo(conn, "client.example", "203.0.113.5")
mt.helo(conn, "client.example")
mt.mailfrom(conn, "<x@elsewhere.example>", "SIZE=50")
mt.rcptto(conn, "<joe@example.org>")
mt.header(conn, "Subject", "old")
mt.header(conn, "X-A", "one\\n two")
mt.eoh(conn)
mt.bodystring(conn, "body\\r\\n")
mt.eom(conn)
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("no continue") end
mt.disconnect(conn)
"""


def test_a_filter_sees_the_whole_message(tmp_path: Path, start: Start) -> None:
    made = start()
    here = world(tmp_path, options(made))
    assert sent(here).startswith("250")
    assert made.ended.wait(10)
    assert made.commands() == "OCHMRTLLLLNBEQ"
    assert made.data("O") == [struct.pack("!III", 6, 0x13F, 0x1FF7FF)]
    assert made.data("C") == [b"client.example\x004" + struct.pack("!H", 4711) + b"203.0.113.5\0"]
    assert made.data("H") == [b"client.example\0"]
    assert made.data("M") == [b"<x@elsewhere.example>\0SIZE=50\0"]
    assert made.data("R") == [b"<joe@example.org>\0"]
    assert made.data("L") == [b"Received\0by first\0", b"Subject\0old\0", b"X-A\x001\0", b"X-A\x002\0"]
    assert made.data("B") == [b"body\r\n"]
    mail, connect = made.macros("M"), made.macros("C")
    assert connect["j"] == connect["{daemon_name}"] == "example.org"
    assert connect["{client_addr}"] == "203.0.113.5"
    assert connect["_"] == "client.example [203.0.113.5]"
    assert mail["{mail_addr}"] == "x@elsewhere.example"
    assert stored(here).split(b" id ")[1].split(b"\n")[0].split(b" ")[0].decode().startswith(mail["i"])
    assert made.macros("R") == {
        "i": mail["i"],
        "{rcpt_addr}": "joe@example.org",
        "{rcpt_host}": "example.org",
        "{rcpt_mailer}": "local",
    }
    assert any("milter: m0=accept (" in line and line.endswith("-> inbox") for line in here.log())


def test_a_filter_is_told_the_connections_of_the_client(tmp_path: Path, start: Start) -> None:
    made = start()
    here = world(tmp_path, options(made))
    sent(here)
    assert "{client_connections}" not in made.macros("C")  # none is counted
    counters = here.services.runtime.counters
    for ip in ("203.0.113.5", "203.0.113.5", "203.0.113.6"):
        counters.connected(ip, 0, 0)
    sent(here)
    assert made.macros("C", 1)["{client_connections}"] == "2"


def test_a_stranger_names_no_submitter(tmp_path: Path, start: Start) -> None:
    made = start()
    here = world(tmp_path, options(made))
    talk = here.talk()
    TALKS.append(talk)
    talk()
    talk.line("EHLO client.example")
    assert talk.line("MAIL FROM:<x@elsewhere.example> AUTH=y@elsewhere.example").startswith("250")
    talk.line("RCPT TO:<joe@example.org>")
    assert finish(talk).startswith("250")
    assert "{auth_author}" not in made.macros("M")


def test_a_filter_gets_the_macros_that_it_names(tmp_path: Path, start: Start) -> None:
    made = start(symbols=struct.pack("!I", 2) + b"{mail_addr} {unknown}\0" + struct.pack("!I", 0) + b"\0")
    sent(world(tmp_path, options(made)))
    assert made.macros("M") == {"{mail_addr}": "x@elsewhere.example"}
    assert made.macros("C") == {}
    assert made.macros("R")


def test_steps_that_a_filter_leaves_out_are_not_sent(tmp_path: Path, start: Start) -> None:
    made = start(steps=0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x200)
    assert sent(world(tmp_path, options(made))).startswith("250")
    assert made.ended.wait(10)
    assert made.commands() == "OEQ"


def test_steps_that_a_filter_does_not_answer_are_not_awaited(tmp_path: Path, start: Start) -> None:
    made = start(dict.fromkeys("CHMRTLNB", SILENT), steps=0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0xC0080)
    assert sent(world(tmp_path, options(made)), LARGE).startswith("250")
    assert made.ended.wait(10)
    assert b"".join(made.data("B")) == LARGE.partition(b"\n\n")[2].replace(b"\n", b"\r\n")


def test_leading_space_is_kept_if_the_filter_wants_it(tmp_path: Path, start: Start) -> None:
    made = start({"E": add("X-B", "  two") + CONTINUE}, steps=0x100000)
    here = world(tmp_path, options(made))
    sent(here)
    assert made.data("L")[1] == b"Subject\0 old\0"
    assert b"X-B:  two\n" in stored(here)


def test_one_connection_serves_the_messages_of_a_session(tmp_path: Path, start: Start) -> None:
    made = start()
    here = world(tmp_path, options(made))
    talk = begun(here)
    finish(talk)
    talk.line("MAIL FROM:<y@elsewhere.example>")
    talk.line("RCPT TO:<joe@example.org>")
    talk.line("RSET")
    talk.line("MAIL FROM:<z@elsewhere.example>")
    talk.line("RCPT TO:<joe@example.org>")
    assert finish(talk).startswith("250")
    end(talk)
    assert made.ended.wait(10)
    assert [made.commands()] == ["OCHMRTLLLLNBEMRAMRTLLLLNBEQ"]
    assert len(made.connections) == 1


def test_a_kept_connection_that_has_died_is_replaced(tmp_path: Path, start: Start) -> None:
    mails: list[bytes] = []

    def mail(data: bytes) -> bytes:
        mails.append(data)
        return CLOSE if len(mails) == 2 else CONTINUE

    made = start({"M": mail})
    here = world(tmp_path, options(made))
    talk = begun(here)
    finish(talk)
    talk.line("MAIL FROM:<y@elsewhere.example>")
    talk.line("RCPT TO:<joe@example.org>")
    assert finish(talk).startswith("250")
    assert len(made.connections) == 2


@pytest.mark.parametrize("content", SIZES)
def test_changes_of_the_header_are_applied_and_shown_to_the_next(tmp_path: Path, start: Start, content: bytes) -> None:
    changes = (
        insert(1, "X-Below", "b"),
        insert(0, "X-Top", "t"),
        insert(99, "X-Last", "l"),
        add("X-Added", "one\r\n two"),
        change_field(2, "x-a", "3"),
        change_field(1, "X-A", ""),
        change_field(1, "Received", "by changed"),
        change_field(7, "X-New", "n"),
        packet(b"p"),
    )
    first, second = start({"E": b"".join(changes) + CONTINUE}), start()
    here = world(tmp_path, options(first, second))
    assert sent(here, content).startswith("250")
    top, _, rest = stored(here).partition(b"Received: from client.example")
    assert top == b"X-Top: t\n"
    header = rest.partition(b"\n\n")[0].partition(b"\nX-Below")[2]
    expected = ": b\nReceived: by changed\nSubject: old\nX-A: 3\nX-Last: l\nX-Added: one\n two\nX-New: n"
    assert header.decode() == expected
    assert stored(here).endswith(content.partition(b"\n\n")[2])
    names = [each.split(b"\0")[0].decode() for each in second.data("L")]
    assert names == ["X-Top", "X-Below", "Received", "Subject", "X-A", "X-Last", "X-Added", "X-New"]
    assert not here.leftovers()


def test_each_of_three_filters_sees_the_changes_of_those_before_it(tmp_path: Path, start: Start) -> None:
    first = start({"E": add("X-One", "1") + packet(b"+", b"<ann@example.org>\0") + CONTINUE})
    second = start({"E": change_field(1, "X-One", "changed") + add("X-Two", "2") + CONTINUE})
    third = start({"E": change_field(1, "X-Two", "") + insert(0, "X-Three", "3") + CONTINUE})
    here = world(tmp_path, options(first, second, third))
    assert sent(here).startswith("250")
    shown = [[each.split(b"\0")[:2] for each in made.data("L")[4:]] for made in (second, third)]
    assert shown == [[[b"X-One", b"1"]], [[b"X-One", b"changed"], [b"X-Two", b"2"]]]
    found = stored(here)
    assert found.startswith(b"X-Three: 3\nReceived: ")
    assert b"\nX-One: changed\n\n" in found
    assert len(here.mailbox("ann@example.org")) == 1


@pytest.mark.parametrize("verdict", ["r", "d"])
def test_a_filter_behind_one_that_decides_is_asked_no_more(tmp_path: Path, start: Start, verdict: str) -> None:
    first, second, third = start(), start({"E": packet(verdict.encode())}), start()
    here = world(tmp_path, options(first, second, third))
    assert sent(here).startswith("550" if verdict == "r" else "250")
    assert all(made.ended.wait(10) for made in (first, third))
    assert [made.commands()[5:] for made in (first, third)] == ["TLLLLNBEQ", "AQ"]
    assert (here.mailbox("joe@example.org"), here.leftovers()) == ([], [])


CANCELS: dict[str, Callable[[Talk], object]] = {
    "RSET": lambda talk: talk.line("RSET"),
    "EHLO": lambda talk: talk.line("EHLO client.example"),
    "QUIT": lambda talk: talk.line("QUIT"),
    "lost connection": lambda talk: None,
    "lost connection in the content": lambda talk: (talk.line("DATA"), talk(b"Subject: x\r\n\r\nhalf")),
}


@pytest.mark.parametrize("how", CANCELS)
@pytest.mark.parametrize("accepted_at", "CMR")
def test_a_message_that_a_filter_accepts_and_the_client_cancels(
    tmp_path: Path, start: Start, accepted_at: str, how: str
) -> None:
    first, second = start({accepted_at: packet(b"a")}), start()
    here = world(tmp_path, options(first, second))
    talk = begun(here)
    CANCELS[how](talk)
    end(talk)
    assert all(made.ended.wait(10) for made in (first, second))
    assert second.commands() == "OCHMRAQ"
    assert "E" not in first.commands()
    assert (here.mailbox("joe@example.org"), here.queue(), here.leftovers()) == ([], [], [])
    assert sent(here).startswith("250")
    assert len(here.mailbox("joe@example.org")) == 1


def test_the_result_of_each_filter_is_counted(tmp_path: Path, start: Start) -> None:
    made = start()
    here = world(tmp_path, options(made, max_size="1K"))
    for answer in (
        CONTINUE,
        packet(b"r"),
        reply_code("450 Later"),
        packet(b"d"),
        packet(b"q", b"Eicar\0") + CONTINUE,
        CLOSE,
    ):
        made.answers["E"] = answer
        sent(here)
    sent(here, LARGE)
    begun(here)
    measured = here.services.runtime.counters.measured()
    assert {name: measured[f"milter_{name}"] for name in MILTER_RESULTS} == {
        **dict.fromkeys(("accepted", "quarantined", "refused", "deferred", "discarded", "down", "not_scanned"), 1),
        "busy": 0,
    }
    assert measured["milter_us"] > 0
    by_name = here.services.runtime.counters.milter("m0")
    assert by_name == {name: measured[f"milter_{name}"] for name in (*MILTER_RESULTS, "us")}
    assert not any(here.services.runtime.counters.milter("m1").values())


def test_recipients_are_added_and_removed(tmp_path: Path, start: Start) -> None:
    made = start({"E": packet(b"-", b"<joe@example.org>\0") + packet(b"+", b"<ann@example.org>\0") + CONTINUE})
    here = world(tmp_path, options(made))
    assert sent(here).startswith("250")
    assert (len(here.mailbox("ann@example.org")), len(here.mailbox("joe@example.org"))) == (1, 0)


@pytest.mark.parametrize("content", SIZES)
def test_a_field_of_the_filter_sends_the_message_to_junk(tmp_path: Path, start: Start, content: bytes) -> None:
    made = start({"E": add("X-Spam", "Yes, score=9") + CONTINUE})
    here = world(tmp_path, options(made))
    assert sent(here, content).startswith("250")
    if len(content) < 65536:
        assert len(list((tmp_path / "mail/example.org/joe/.Junk/new").iterdir())) == 1
    else:
        [queue_id] = here.queue()
        assert here.services.spool.read(queue_id)[0].envelope.junk


def test_the_same_field_of_the_sender_means_nothing(tmp_path: Path, start: Start) -> None:
    here = world(tmp_path, options(start()))
    sent(here, b"X-Spam: Yes\n" + CONTENT)
    assert len(here.mailbox("joe@example.org")) == 1


@pytest.mark.parametrize("content", SIZES)
def test_quarantine_holds_the_message_with_its_reason(tmp_path: Path, start: Start, content: bytes) -> None:
    made = start({"E": packet(b"q", b"looks bad\0") + CONTINUE})
    here = world(tmp_path, options(made))
    assert sent(here, content).startswith("250")
    [row] = here.services.spool.list()
    assert row.held
    hold = here.services.spool.read(row.queue_id)[1].hold
    assert hold is not None
    assert (hold.reason, hold.text) == ("quarantine", "milter m0: looks bad")
    assert any("held: quarantine: milter m0: looks bad" in line for line in here.log())


@pytest.mark.parametrize("command", "MRBE")
def test_a_discarded_message_is_accepted_and_gone(tmp_path: Path, start: Start, command: str) -> None:
    here = world(tmp_path, options(start({command: packet(b"d")})))
    assert sent(here).startswith("250")
    assert (here.queue(), here.mailbox("joe@example.org"), here.leftovers()) == ([], [], [])
    assert any("discard: DATA from" in line and "by milter m0" in line for line in here.log())


REPLIES = {
    "reject": (packet(b"r"), "550 5.7.1 "),
    "tempfail": (packet(b"t"), "451 4.7.1 "),
    "own": (reply_code("554 5.7.9 Not\rwanted\x01 100%% %here"), "554 5.7.9 Not wanted? 100% here"),
    "a line without a code": (reply_code("554-5.7.9 one\r\ntwo\n"), "554-5.7.9 one\r\n554 5.7.9 two"),
    "without enhanced code": (reply_code("450 Later"), "450 4.7.1 Later"),
    "wrong class": (reply_code("550 4.1.1 No"), "550 5.7.1 No"),
    "421 would end the session": (reply_code("421 4.3.2 Closing"), "451 4.3.2 Closing"),
    "lines": (reply_code("550-5.7.1 one\r\n550 5.7.1 two"), "550-5.7.1 one\r\n550 5.7.1 two"),
    "fails the connection": (packet(b"f"), "451 4.7.1 "),
}


@pytest.mark.parametrize(
    ("name", "command"), [*((name, "E") for name in REPLIES), *(("own", command) for command in "TLNB")]
)
def test_a_filter_refuses_the_content(tmp_path: Path, start: Start, command: str, name: str) -> None:
    octets, expected = REPLIES[name]
    here = world(tmp_path, options(start({command: octets})))
    reply = sent(here)
    assert reply.startswith(expected)
    assert all(line.isprintable() for line in reply.split("\r\n"))
    assert (here.queue(), here.mailbox("joe@example.org"), here.leftovers()) == ([], [], [])


@pytest.mark.parametrize("command", "CHMR")
def test_a_filter_refuses_the_envelope(tmp_path: Path, start: Start, command: str) -> None:
    here = world(tmp_path, options(start({command: reply_code("550 5.7.1 Not here")})))
    talk = mail_begun(here)
    assert talk.line("RCPT TO:<joe@example.org>") == "550 5.7.1 Not here"
    assert talk.line("DATA").startswith("503")


def test_a_filter_refuses_one_recipient(tmp_path: Path, start: Start) -> None:
    made = start({"R": lambda data: packet(b"r") if data.startswith(b"<ann") else CONTINUE})
    here = world(tmp_path, options(made))
    talk = begun(here)
    assert talk.line("RCPT TO:<ann@example.org>").startswith("550")
    assert finish(talk).startswith("250")
    assert (len(here.mailbox("ann@example.org")), len(here.mailbox("joe@example.org"))) == (0, 1)


@pytest.mark.parametrize("command", "CMRN")
def test_a_filter_that_accepts_early_is_asked_no_more(tmp_path: Path, start: Start, command: str) -> None:
    made = start({command: packet(b"a")})
    assert sent(world(tmp_path, options(made))).startswith("250")
    assert made.ended.wait(10)
    assert "E" not in made.commands()


def test_a_filter_skips_the_rest_of_the_body(tmp_path: Path, start: Start) -> None:
    made = start({"B": packet(b"s")})
    assert sent(world(tmp_path, options(made)), LARGE).startswith("250")
    assert len(made.data("B")) == 1
    assert "E" in made.commands()


@pytest.mark.parametrize("command", "CHMRTLN")
def test_skip_has_a_meaning_for_fields_and_the_body_alone(tmp_path: Path, start: Start, command: str) -> None:
    """At any other step the message goes on to the filter, which still decides, and it is stored once."""
    made = start({command: packet(b"s"), "E": reply_code("550 5.7.1 seen")})
    here = world(tmp_path, options(made))
    assert sent(here) == "550 5.7.1 seen"
    made.answers["E"] = CONTINUE
    assert sent(here).startswith("250")
    assert len(here.mailbox("joe@example.org")) == 1
    assert here.services.runtime.counters.milter("m0")["accepted"] == 1


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_filter_of_an_older_version_gets_the_commands_that_it_knows(
    tmp_path: Path, start: Start, version: int
) -> None:
    """DATA came with version 4: an older filter ignores it, so that its answer would be awaited in vain."""
    made = start({} if version == 4 else {"T": SILENT}, version=version, actions=0x1F)
    assert sent(world(tmp_path, options(made, command_timeout="1s"))).startswith("250")
    assert ("T" in made.commands()) == (version == 4)
    assert "E" in made.commands()


HOSTILE: dict[str, bytes] = {
    "dies": CLOSE,
    "huge length": b"\xff\xff\xff\xffc",
    "empty packet": b"\0\0\0\0",
    "nonsense": packet(b"Z", b"nonsense"),
    "a change too early or broken": packet(b"i", b"\0"),
    "two answers": CONTINUE + CONTINUE,
    "reply code that is none": reply_code("250 fine"),
    "huge packet": struct.pack("!I", 900_000) + b"h" + b"X" * 900_000,
    "body replacement": packet(b"b", b"new body") + CONTINUE,
    "field with line ends": packet(b"h", b"X: y\r\nZ\0v\0") + CONTINUE,
}


def test_a_filter_that_changes_the_body_fails_and_the_log_says_why(tmp_path: Path, start: Start) -> None:
    """A virus that it would cut out must not pass."""
    here = world(tmp_path, options(start({"E": packet(b"b", b"new body") + CONTINUE})))
    assert sent(here).startswith("451 4.7.1")
    assert any("a new body, which this server does not take; set it up to leave" in line for line in here.log())


VIOLATIONS: dict[str, tuple[str, bytes, str]] = {
    "unknown letter": ("R", packet(b"Z", b"data"), "sent the reply “Z”, which the protocol does not have (at RCPT)"),
    "letter that is no letter": (
        "E",
        packet(b"\x07"),
        "sent the reply 0x07, which the protocol does not have (at the end",
    ),
    "no octets": ("M", b"\0\0\0\0", "sent a packet of 0 octets, where 1 to 1048576 are allowed (at MAIL)"),
    "10 MB of text": ("E", struct.pack("!I", 10_485_760) + b"yX", "sent a packet of 10485760 octets, where 1 to"),
    "not its negotiation": (
        "O",
        packet(b"c"),
        "sent the reply “c” with 0 octets in place of its negotiation (at the nego",
    ),
    "version": ("O", packet(b"O", struct.pack("!III", 99, 0, 0)), "sent protocol version 99, where 2 to 6 are known"),
    "2xx": ("H", reply_code("250 fine\x07"), "sent a reply without a code of 4xx or 5xx: “250 fine?” (at HELO)"),
    "no code": ("L", reply_code("grün"), "sent a reply without a code of 4xx or 5xx: “gr?n” (at the header)"),
    "blank": ("B", packet(b"y"), "sent a reply without a code of 4xx or 5xx: “” (at the body)"),
    "six digits": ("E", reply_code("550551 no"), "sent a reply without a code of 4xx or 5xx: “550551 no” (at the end"),
    "two codes": (
        "E",
        reply_code("550-5.7.1 one\r\n450 4.7.1 two"),
        "sent one reply with the codes 550 and 450 (at the",
    ),
    "early change": (
        "N",
        add("X-A", "1"),
        "sent a new field of the header before the end of the message (at the end of",
    ),
    "no name": ("E", packet(b"h", b"X Y\0v\0"), "sent a field of the header without a proper name: “X Y” (at the end"),
    "huge field": (
        "E",
        add("X-A", "x" * 65_537),
        "sent a field of the header with 65537 octets, where 65536 are allowed",
    ),
    "no place": ("E", packet(b"m", b"\0"), "sent a change of the header without its place (at the end of the message)"),
    "no end": ("E", packet(b"+", b"<a@b.example>"), "sent a text without its end (at the end of the message)"),
    "recipient": ("E", packet(b"+", b"<joe@@x>\0"), "sent a recipient that is no address: “<joe@@x>”, "),
    "recipient with a blank": (
        "E",
        packet(b"+", b"<joe x@a.example>\0"),
        "sent a recipient that is no address: “<joe x@a.example>”, ",
    ),
    "no recipient": ("E", packet(b"-", b"<>\0"), "sent a recipient that is no address: “<>”, there is no @ (at the"),
    "two answers": ("T", CONTINUE + CONTINUE, "sent one answer more than it was asked for (at DATA)"),
    "a decision after the decision": ("E", packet(b"a") + packet(b"r"), "sent one answer more than it was asked for"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_the_log_and_the_state_name_the_filter_its_fault_and_the_outcome(
    tmp_path: Path, start: Start, name: str
) -> None:
    command, octets, fault = VIOLATIONS[name]
    made = start({command: octets})
    here = world(tmp_path, options(made))
    talk = mail_begun(here)
    answer = talk.line("RCPT TO:<joe@example.org>")
    assert (finish(talk) if answer.startswith("250") else answer).startswith("451 4.7.1 ")
    [line] = [each for each in here.log() if "warning: milter" in each]
    assert f"warning: milter m0 is down, messages are deferred: {made.address} {fault}" in line
    state = here.services.runtime.milters.read("m0")
    assert state is not None
    assert f"{made.address} {fault}" in state.reason
    assert (here.queue(), here.mailbox("joe@example.org"), here.leftovers()) == ([], [], [])


def test_a_change_that_the_filter_did_not_negotiate_is_a_fault(tmp_path: Path, start: Start) -> None:
    here = world(tmp_path, options(start({"E": add("X-A", "1") + CONTINUE}, actions=0)))
    assert sent(here).startswith("451 4.7.1 ")
    assert any("a new field of the header, which it did not ask for in the negotiation" in each for each in here.log())


def test_an_answer_to_a_step_that_has_none_is_a_fault(tmp_path: Path, start: Start) -> None:
    """It would be taken for the answer to the next step."""
    here = world(tmp_path, options(start({"R": SILENT, "T": CONTINUE + CONTINUE}, steps=0x8000)))
    assert sent(here).startswith("451 4.7.1 ")
    assert any("sent one answer more than it was asked for (at DATA)" in each for each in here.log())


def test_an_answer_between_two_messages_is_a_fault(tmp_path: Path, start: Start) -> None:
    made = start()
    here = world(tmp_path, options(made))
    talk = begun(here)
    assert finish(talk).startswith("250")
    made.sockets[0].sendall(packet(b"r"))
    talk.line("MAIL FROM:<y@elsewhere.example>")
    assert talk.line("RCPT TO:<joe@example.org>").startswith("451 4.7.1 ")
    assert any("sent one answer more than it was asked for (at MAIL)" in each for each in here.log())


def test_text_of_a_filter_is_cleaned(tmp_path: Path, start: Start) -> None:
    """Control characters and those outside ASCII: a reply has none of them, a line of the log no line end."""
    made = start({"E": reply_code("550-5.7.1 grün\x1b[2J\r\nand more\x07")})
    here = world(tmp_path, options(made))
    assert sent(here) == "550-5.7.1 gr?n?[2J\r\n550 5.7.1 and more?"
    made.answers["E"] = packet(b"q", "böse\r\nwarning: x\x1b\0".encode()) + add("X-A", "grün\x07") + CONTINUE
    assert sent(here).startswith("250")
    assert any(each.endswith("held: quarantine: milter m0: b?se ?warning: x?") for each in here.log())


@pytest.mark.parametrize(("occurrence", "field"), [(0, b"\nX-A: new\nX-A: 2\n"), (2**32 - 1, b"\nX-A: 2\nX-A: new\n")])
def test_an_occurrence_that_does_not_exist(tmp_path: Path, start: Start, occurrence: int, field: bytes) -> None:
    """0 is the first, as with Sendmail; one that is not there becomes a new field."""
    changes = change_field(occurrence, "X-A", "new") + insert(2**32 - 1, "X-Last", "l")
    here = world(tmp_path, options(start({"E": changes + CONTINUE})))
    assert sent(here).startswith("250")
    assert field in stored(here)
    assert b"\nX-Last: l\n\n" in stored(here)


def test_the_primary_domain_completes_a_recipient_of_a_filter(tmp_path: Path, start: Start) -> None:
    made = start({"E": packet(b"-", b"<JOE@Example.ORG>\0") + packet(b"+", b"Ann\0") + CONTINUE})
    here = world(tmp_path, options(made))
    assert sent(here).startswith("250")
    assert (len(here.mailbox("ann@example.org")), len(here.mailbox("joe@example.org"))) == (1, 0)


OUTCOMES = {"defer": "451 4.7.1", "accept": "250", "refuse": "550 5.7.1"}


LATE: dict[str, bytes] = {
    "is silent": SILENT,
    "half a packet": b"\0\0\0\x05c",
    "half a length": b"\0\0",
    "endless progress": packet(b"p") * 1000,
}
EVENTS = "OCHMRTLNBE"


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("command", EVENTS)
def test_a_filter_that_breaks_the_protocol_counts_as_down(
    tmp_path: Path, start: Start, command: str, hostile: str
) -> None:
    _counts_as_down(tmp_path, start({command: HOSTILE[hostile]}))


@pytest.mark.parametrize("hostile", LATE)
def test_a_filter_that_is_late_at_any_event_counts_as_down(tmp_path: Path, start: Start, hostile: str) -> None:
    """One message for each event, all at once, because each waits for a second."""
    threads = threading.active_count()
    made = {command: start({command: LATE[hostile]}) for command in EVENTS}
    with ThreadPoolExecutor(len(made)) as pool:
        for done in [pool.submit(_counts_as_down, tmp_path / each, found) for each, found in made.items()]:
            done.result()
    for each in made.values():
        each.close()
    until(lambda: threading.active_count() <= threads, 20)


def _counts_as_down(folder: Path, made: FakeFilter) -> None:
    """Send a message that the filter must see: it is delivered without it, and nothing stays behind."""
    limits = {"command_timeout": "1s", "content_timeout": "1s", "when_down": "accept"}
    folder.mkdir(exist_ok=True)
    here = world(folder, options(made, **limits) + "[milter]\nfilter_deadline = 1s\n")
    assert sent(here).startswith("250")
    assert b"\n\nbody\n" in stored(here)
    assert here.leftovers() == []
    state = here.services.runtime.milters.read("m0")
    assert state is not None
    assert state.is_down
    assert any("warning: milter m0 is down, messages are accepted without it: unix:" in line for line in here.log())
    assert made.ended.wait(10)


@pytest.mark.parametrize("when_down", OUTCOMES)
def test_a_filter_that_is_down_has_the_configured_outcome(tmp_path: Path, when_down: str) -> None:
    here = world(tmp_path, f"[milter m]\naddress = unix:{tmp_path}/none\nwhen_down = {when_down}\n")
    talk = mail_begun(here)
    assert talk.line("RCPT TO:<joe@example.org>").startswith(OUTCOMES[when_down])
    if when_down == "accept":
        assert finish(talk).startswith("250")
        assert any("milter: m=down" in line for line in here.log())


def test_a_filter_that_answers_again_is_logged_once(tmp_path: Path, start: Start) -> None:
    made = start({"E": CLOSE})
    here = world(tmp_path, options(made))
    assert sent(here).startswith("451")
    assert sent(here).startswith("451")
    made.answers.clear()
    assert sent(here).startswith("250")
    lines = [line.partition("milter m0 ")[2].partition(",")[0] for line in here.log() if "warning: milter" in line]
    assert lines == ["is down", "answers again"]


def test_a_filter_that_was_late_once_is_asked_about_the_next_message(tmp_path: Path, start: Start) -> None:
    made = start({"E": SILENT})
    here = world(tmp_path, options(made, content_timeout="1s"))
    assert sent(here).startswith("451 4.7.1")
    made.answers.clear()
    assert sent(here).startswith("250")


def test_too_many_connections_have_the_outcome_at_once(tmp_path: Path, start: Start) -> None:
    here = world(tmp_path, options(start()) + "[milter]\nmax_connections = 1\n")
    first = begun(here)
    second = mail_begun(here)
    assert second.line("RCPT TO:<joe@example.org>").startswith("451")
    assert finish(first).startswith("250")
    end(first)
    second.line("RSET")
    second.line("MAIL FROM:<x@elsewhere.example>")
    assert second.line("RCPT TO:<joe@example.org>").startswith("250")
    measured = here.services.runtime.counters.measured()
    assert (measured["milter_busy"], measured["milter_down"]) == (1, 0)


def test_a_large_message_is_not_shown(tmp_path: Path, start: Start) -> None:
    made = start()
    here = world(tmp_path, options(made, max_size="1K"))
    assert sent(here, CONTENT + b"y" * 70 * 20 + b"\n").startswith("250")
    assert "E" not in made.commands()
    assert stored(here).startswith(b"X-Spam-Reason: not scanned (size)\nReceived: ")
    assert any("m0=not scanned (size)" in line for line in here.log())


@pytest.mark.parametrize(("for_", "seen"), [("incoming", "i"), ("outgoing", "o"), ("both", "io")])
def test_a_filter_is_for_one_direction(tmp_path: Path, start: Start, for_: str, seen: str) -> None:
    made = start()
    here = world(tmp_path, options(made, for_=for_) + "[trusted]\nhosts = 192.0.2.7\n")
    sent(here)
    sent(here, ip="192.0.2.7")
    ips = {
        data.split(b"\0")[1][3:].decode() for number in range(len(made.connections)) for data in made.data("C", number)
    }
    assert ips == {{"i": "203.0.113.5", "o": "192.0.2.7"}[each] for each in seen}


def test_a_login_is_told_to_the_filter(tmp_path: Path, start: Start) -> None:
    made = start()
    here = world(tmp_path, options(made, for_="outgoing") + "[basic]\nallow_auth_without_tls = yes\n")
    talk = here.talk(listener="submission")
    TALKS.append(talk)
    talk()
    talk.line("EHLO pc.example")
    talk.line("AUTH PLAIN " + base64.b64encode(b"\0joe@example.org\0" + PASSWORD.encode()).decode())
    talk.line("MAIL FROM:<joe@example.org> RET=HDRS ENVID=a+2Bb AUTH=the+2Bfirst@example.org")
    talk.line("RCPT TO:<friend@elsewhere.example>")
    assert finish(talk).startswith("250")
    mail = made.macros("M")
    assert (mail["{auth_authen}"], mail["{auth_type}"]) == ("joe@example.org", "PLAIN")
    assert mail["{auth_author}"] == "the+first@example.org"
    assert made.data("M") == [b"<joe@example.org>\0RET=HDRS\0ENVID=a+2Bb\0AUTH=the+2Bfirst@example.org\0"]
    assert made.macros("R")["{rcpt_mailer}"] == "esmtp"


def test_a_filter_at_a_tcp_port(tmp_path: Path) -> None:
    made = FakeFilter().listen()
    assert sent(world(tmp_path, options(made))).startswith("250")
    made.close()


def test_an_outgoing_filter_sees_the_fields_that_the_server_adds(tmp_path: Path, start: Start) -> None:
    """A filter that signs must see the final fields."""
    made = start()
    here = world(tmp_path, options(made, for_="outgoing") + "[trusted]\nhosts = 192.0.2.7\n")
    assert sent(here, b"Subject: old\n\nbody\n", ip="192.0.2.7").startswith("250")
    shown = [data.split(b"\0")[0] for data in made.data("L")]
    assert sorted(shown) == [b"Date", b"From", b"Message-ID", b"Subject"]
    header = stored(here).partition(b"\n\n")[0]
    assert all(header.count(name + b":") == 1 for name in shown)


def test_no_session_waits_for_the_filter_of_another(tmp_path: Path, start: Start) -> None:
    go, asked = threading.Event(), threading.Event()

    def end_of_message(data: bytes) -> bytes:
        if not asked.is_set():
            asked.set()
            go.wait(20)
        return CONTINUE

    here = world(tmp_path, options(start({"E": end_of_message})))
    slow = begun(here)
    replies: list[str] = []
    waiting = threading.Thread(target=lambda: replies.append(finish(slow)))
    waiting.start()
    assert asked.wait(20)
    assert all(sent(here).startswith("250") for _ in range(5))
    assert replies == []
    go.set()
    waiting.join(20)
    assert replies[0].startswith("250")
