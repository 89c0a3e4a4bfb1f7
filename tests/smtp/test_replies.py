"""Replies as they go out, and what every one of them owes to its reader."""

import re

import pytest

from smtpd_classic.smtp import replies
from smtpd_classic.smtp.reply import Reply

NAMED = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}
NAMED |= {
    "banner": replies.banner("foo.com"),
    "hello": replies.hello("foo.com"),
    "challenge": replies.challenge("Username:"),
    "accepted": replies.accepted("4c1"),
    "verified": replies.verified("Joe", "joe@foo.com"),
    "verified without a name": replies.verified("", "joe@foo.com"),
    "expanded": replies.expanded(["joe@foo.com", "eve@bar.com"]),
    "unknown_parameter": replies.unknown_parameter("FOO"),
    "bad_parameter": replies.bad_parameter("SIZE"),
    "too_big": replies.too_big(1000),
}
WITHOUT_ENHANCED = {"banner", "hello", "challenge", "START_CONTENT"}  # RFC 2034 3


@pytest.mark.parametrize("name", NAMED)
def test_each_reply_is_sound(name: str) -> None:
    reply = NAMED[name]
    assert bool(reply.enhanced) != (name in WITHOUT_ENHANCED)
    assert not reply.enhanced or reply.enhanced[0] == str(reply.code)[0]
    lines = reply.wire.decode("ascii").splitlines(keepends=True)
    assert all(len(line) <= 512 and line.endswith("\r\n") for line in lines)
    assert all(line[3] == "-" for line in lines[:-1])
    assert lines[-1][3] == " "


@pytest.mark.parametrize("name", [name for name, reply in NAMED.items() if not reply.positive])
def test_a_refusal_is_one_sentence_that_says_nothing_about_us(name: str) -> None:
    text = NAMED[name].text
    assert re.fullmatch(r"[A-Z][^\n]{10,95}\.", text), text
    assert not re.search(r"smtpd|python|exception|traceback|spool|/", text, re.IGNORECASE)


SPEC = [
    ("LINE_TOO_LONG", "500 5.5.2"),
    ("AUTH_LINE_TOO_LONG", "500 5.5.6"),
    ("UTF8_NOT_DECLARED", "553 5.6.7"),
    ("TALKED_BEFORE_BANNER", "554 5.5.0"),
    ("TOO_MANY_ERRORS", "421 4.7.0"),
    ("TOO_MANY_RESETS", "421 4.7.0"),
    ("TOO_MANY_COMMANDS", "421 4.7.0"),
    ("IDLE_TOO_LONG", "421 4.4.2"),
    ("MESSAGE_TOO_SLOW", "421 4.4.2"),
    ("ACCESS_DENIED", "554 5.7.1"),
    ("BLOCKED", "421 4.7.0"),
    ("TOO_MANY_RECIPIENTS_DEFERRED", "452 4.5.3"),
    ("TOO_MANY_RECIPIENTS_REJECTED", "550 5.5.3"),
    ("TOO_MANY_RECIPIENTS_AT_DATA", "554 5.5.3"),
    ("MESSAGE_TOO_BIG", "552 5.3.4"),
    ("HEADER_TOO_BIG", "552 5.3.4"),
    ("TOO_MANY_HOPS", "554 5.4.6"),
    ("MAIL_LOOP", "554 5.4.6"),
    ("SENDER_NOT_LOCAL", "550 5.1.0"),
    ("SENDER_NOT_YOURS", "553 5.7.1"),
    ("FROM_NOT_ONE", "550 5.7.1"),
    ("FROM_UNREADABLE", "550 5.7.1"),
    ("LOGIN_REQUIRED", "530 5.7.0"),
    ("LOGIN_REQUIRED_FOR_SENDER", "530 5.7.0"),
    ("NO_SUCH_DOMAIN", "550 5.1.2"),
    ("DOMAIN_TAKES_NO_MAIL", "556 5.1.10"),
    ("NO_SUCH_USER", "550 5.1.1"),
    ("MAILBOX_DISABLED", "550 5.2.1"),
    ("MAILBOX_FULL", "452 4.2.2"),
    ("RELAY_DENIED", "550 5.7.1"),
    ("AMBIGUOUS_USER", "553 5.1.4"),
    ("VERIFY_RELAYED", "252 2.1.5"),
    ("VERIFY_UNSURE", "252 2.5.2"),
    ("EXPAND_OFF", "502 5.5.1"),
    ("BARE_LINE_ENDS", "554 5.6.0"),
    ("DISK_FULL", "452 4.3.1"),
    ("LOGIN_FAILED", "535 5.7.8"),
    ("AUTH_NEEDS_TLS", "538 5.7.11"),
    ("TLS_NOT_AVAILABLE", "454 4.7.0"),
]


@pytest.mark.parametrize(("name", "codes"), SPEC)
def test_the_codes_are_those_of_the_specification(name: str, codes: str) -> None:
    assert f"{NAMED[name].code} {NAMED[name].enhanced}" == codes


def test_relay_denied_says_to_log_in() -> None:
    assert "log in first" in replies.RELAY_DENIED.text


def test_wire() -> None:
    assert Reply(250, "", "one\ntwo").wire == b"250-one\r\n250 two\r\n"
    assert Reply(550, "5.1.1", "one\ntwo").wire == b"550-5.1.1 one\r\n550 5.1.1 two\r\n"
    assert str(Reply(550, "5.1.1", "one\ntwo")) == "550 5.1.1 one two"
    assert str(Reply(354, "", "Go")) == "354 Go"


@pytest.mark.parametrize(
    ("code", "positive", "transient", "closing"),
    [
        (250, True, False, False),
        (354, True, False, False),
        (221, True, False, True),
        (421, False, True, True),
        (452, False, True, False),
        (550, False, False, False),
    ],
)
def test_classes_of_reply(code: int, positive: bool, transient: bool, closing: bool) -> None:
    reply = Reply(code, "", "x")
    assert (reply.positive, reply.transient, reply.closing) == (positive, transient, closing)
