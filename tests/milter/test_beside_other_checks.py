"""Milters beside the other parts of reception: the macros of a session, rules that accept, and our own fields."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from smtpd_classic import __version__
from smtpd_classic.dns import FixedResolver
from smtpd_classic.milter.packets import packet
from smtpd_classic.reception import Reception
from tests.milter.fake import CONTINUE, FakeFilter, add, options
from tests.reception.test_content import queued
from tests.reception.world import Talk, World, unchecked_world, world

IP = "203.0.113.5"
RULE = "[filter-rule good]\nfield = subject\ntext = wanted\naction = accept\n"
SPAM = add("X-Spam", "Yes") + CONTINUE


@pytest.fixture(name="made")
def filter_in_a_folder(tmp_path: Path) -> Iterator[FakeFilter]:
    made = FakeFilter().listen(tmp_path)
    yield made
    made.close()


def sent(here: World, talk: Talk, content: bytes, sender: str = "x@elsewhere.example") -> str:
    talk()
    for line in ("EHLO client.example", f"MAIL FROM:<{sender}>", "RCPT TO:<joe@example.org>", "DATA"):
        answer = talk.line(line)
        assert answer[0] in "23", answer
    reply = talk(content.replace(b"\n", b"\r\n") + b".\r\n").decode()
    talk.end()
    return reply


def folder(here: World) -> str:
    """The folder with the only message."""
    place = here.folder / "mail/example.org/joe"
    [found] = [
        name for name in ("", ".Junk") if (place / name / "new").is_dir() and any((place / name / "new").iterdir())
    ]
    return found


def test_every_macro_of_a_session_with_tls_and_a_name(tmp_path: Path, made: FakeFilter) -> None:
    here = unchecked_world(tmp_path, options(made))
    talk = here.talk(tls=True)
    client = here.client()._replace(server_ip="198.51.100.1")
    talk.reception = Reception(talk.session, client, here.services)
    assert sent(here, talk, b"Subject: x\n\ntext\n").startswith("250")
    connect, hello, mail = (made.macros(command) for command in "CHM")
    assert connect == {
        "j": "example.org",
        "_": f"client.example [{IP}]",
        "v": f"smtpd-classic {__version__}",
        "{daemon_name}": "example.org",
        "{daemon_addr}": "198.51.100.1",
        "{daemon_port}": "25",
        "{if_name}": "example.org",
        "{if_addr}": "198.51.100.1",
        "{client_addr}": IP,
        "{client_name}": "client.example",
        "{client_ptr}": "client.example",
        "{client_port}": "4711",
        "{client_resolve}": "OK",
    }
    tls = {"{tls_version}": "TLSv1.3", "{cipher}": "TLS_AES_256_GCM_SHA384", "{cipher_bits}": "256"}
    assert hello == tls
    assert mail.pop("b").startswith("Sat, 22 Nov 2025 ")
    assert mail.pop("i") in made.macros("R")["i"]
    assert mail == {
        "r": "ESMTPS",
        "{mail_addr}": "x@elsewhere.example",
        "{mail_host}": "elsewhere.example",
        "{mail_mailer}": "esmtp",
        "{client_addr}": IP,
        "{client_name}": "client.example",
        **tls,
    }
    for command in "TNE":
        assert set(made.macros(command)) == {"i"}


def test_the_macros_of_the_null_sender_and_a_client_without_a_name(tmp_path: Path, made: FakeFilter) -> None:
    here = unchecked_world(tmp_path, options(made))
    talk = here.talk()
    client = here.client("2001:db8::5")._replace(name="unknown")
    talk.reception = Reception(talk.session, client, here.services)
    assert sent(here, talk, b"Subject: x\n\ntext\n", sender="").startswith("250")
    connect, mail = made.macros("C"), made.macros("M")
    assert (connect["_"], connect["{client_resolve}"]) == ("[2001:db8::5]", "FAIL")
    assert made.data("C")[0].startswith(b"[2001:db8::5]\x006")
    assert (mail["{mail_addr}"], mail["{mail_mailer}"]) == ("<>", "local")
    assert "{mail_host}" not in mail


def test_a_filter_hears_of_a_session_with_its_first_accepted_recipient(tmp_path: Path, made: FakeFilter) -> None:
    here = unchecked_world(tmp_path, options(made))
    talk = here.talk()
    talk()
    talk.line("EHLO client.example")
    talk.line("MAIL FROM:<x@elsewhere.example>")
    for recipient in ("missing@example.org", "someone@partner.example"):
        assert talk.line(f"RCPT TO:<{recipient}>").startswith("55")
    assert made.connections == []
    assert talk.line("RCPT TO:<joe@example.org>").startswith("250")
    assert made.commands() == "OCHMR"
    assert talk.line("RCPT TO:<missing@example.org>").startswith("55")
    assert len(made.data("R")) == 1
    talk.end()


@pytest.mark.parametrize(("subject", "expected"), [(b"wanted", ""), (b"other", ".Junk")])
def test_a_rule_that_accepts_cancels_the_junk_of_a_milter(
    tmp_path: Path, made: FakeFilter, subject: bytes, expected: str
) -> None:
    made.answers["E"] = SPAM
    here = unchecked_world(tmp_path, options(made) + RULE)
    assert sent(here, here.talk(), b"Subject: %b\n\ntext\n" % subject).startswith("250")
    assert folder(here) == expected


@pytest.mark.parametrize("length", [10, 70_000])
@pytest.mark.parametrize(("answer", "said"), [(SPAM, "YES\nX-Spam-Reason: milter m0: X-Spam"), (CONTINUE, "NO\n")])
def test_our_own_fields_tell_of_the_junk_of_a_milter(
    tmp_path: Path, made: FakeFilter, answer: bytes, said: str, length: int
) -> None:
    made.answers["E"] = answer
    here = world(tmp_path, options(made), resolver=FixedResolver())
    content = b"From: x@elsewhere.example\nSubject: x\n\n" + b"y" * length + b"\n"
    assert sent(here, here.talk(), content).startswith("250")
    if here.queue():
        fields = here.services.spool.read(here.queue()[0])[0].envelope.fields
    else:
        place = here.folder / "mail/example.org/joe" / (".Junk" if answer is SPAM else "") / "new"
        [path] = place.iterdir()
        fields = path.read_text()
    assert f"X-Spam-Flag: {said}" in fields
    assert fields.count("X-Spam-Flag") == 1


def test_a_rule_that_accepts_cancels_no_refusal_and_no_quarantine_of_a_milter(tmp_path: Path, made: FakeFilter) -> None:
    made.answers["E"] = packet(b"r")
    here = unchecked_world(tmp_path, options(made) + RULE)
    assert sent(here, here.talk(), b"Subject: wanted\n\ntext\n").startswith("550 5.7.1")
    made.answers["E"] = packet(b"q", b"virus\0") + CONTINUE
    assert sent(here, here.talk(), b"Subject: wanted\n\ntext\n").startswith("250")
    assert [row.held for row in here.services.spool.list()] == [True]


def test_a_rule_that_accepts_cancels_no_junk_of_dmarc(tmp_path: Path) -> None:
    records = {"elsewhere.example": [b"v=spf1 -all"], "_dmarc.elsewhere.example": [b"v=DMARC1; p=quarantine"]}
    here = world(tmp_path, RULE, resolver=FixedResolver(txt=records))
    content = b"From: x@elsewhere.example\nSubject: wanted\n\ntext\n"
    assert sent(here, here.talk(), content).startswith("250")
    assert folder(here) == ".Junk"


@pytest.mark.parametrize("length", [10, 70_000])
def test_our_own_fields_are_not_shown_and_not_counted(tmp_path: Path, made: FakeFilter, length: int) -> None:
    """A filter that changes the first Authentication-Results changes that of an earlier server."""
    made.answers["E"] = packet(b"m", b"\0\0\0\1Authentication-Results\0other; none\0") + CONTINUE
    here = world(tmp_path, options(made), resolver=FixedResolver())
    content = (
        b"Authentication-Results: first.example; none\nReceived: by first\nFrom: x@elsewhere.example\nSubject: x\n\n"
    )
    assert sent(here, here.talk(), content + (b"a" * 69 + b"\n") * (length // 70)).startswith("250")
    names = [each.split(b"\0")[0] for each in made.data("L")]
    assert names == [b"Authentication-Results", b"Received", b"From", b"Subject"]
    waiting = [here.services.spool.read(each)[0].envelope.fields.encode() for each in here.queue()]
    message = b"".join(waiting + queued(here) + here.mailbox("joe@example.org"))
    assert message.count(b"Authentication-Results: example.org;") == 1
    assert b"Authentication-Results: other; none\n" in message
    assert b"first.example" not in message


def test_no_filter_sees_a_message_that_is_for_the_other_direction(tmp_path: Path) -> None:
    with ExitStack() as stack:
        made = [FakeFilter().listen(tmp_path) for _ in range(2)]
        for each in made:
            stack.callback(each.close)
        text = "".join(
            f"[milter {name}]\naddress = {each.address}\nfor = {name}\n"
            for name, each in zip(("incoming", "outgoing"), made, strict=True)
        )
        here = world(tmp_path, text + "[basic]\nallow_auth_without_tls = yes\n")
        assert sent(here, here.talk(local=True), b"Subject: x\n\ntext\n").startswith("250")
        assert [len(each.connections) for each in made] == [0, 1]
        assert made[1].data("C")[0].endswith(socket.inet_ntoa(bytes([127, 0, 0, 1])).encode() + b"\0")
