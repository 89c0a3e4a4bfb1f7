"""Replies read from the wire, and what EHLO announces."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.smtp import replies
from smtpd_classic.smtp.client import BadReply, Offered, ReplyParser, parse_ehlo
from smtpd_classic.smtp.extensions import Extensions, extended_hello
from smtpd_classic.smtp.reply import Reply


def read(data: bytes, size: int = 100_000) -> list[Reply]:
    parser = ReplyParser()
    found = []
    for start in range(0, len(data), size):
        parser.receive_data(data[start : start + size])
        while (reply := parser.next_reply()) is not None:
            found.append(reply)
    return found


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        (b"220 foo.com ESMTP\r\n", Reply(220, "", "foo.com ESMTP")),
        (b"250\r\n", Reply(250, "", "")),
        (b"250 \r\n", Reply(250, "", "")),
        (b"250 2.0.0\r\n", Reply(250, "2.0.0", "")),
        (b"250 2.0.0 OK\r\n", Reply(250, "2.0.0", "OK")),
        (b"250 OK\n", Reply(250, "", "OK")),
        (b"550 2.0.0 OK?\r\n", Reply(550, "", "2.0.0 OK?")),
        (b"550 5.1.1\r\n", Reply(550, "5.1.1", "")),
        (b"550 5.1.10x no\r\n", Reply(550, "", "5.1.10x no")),
        (b"550-5.1.1 one\r\n550 5.1.1 two\r\n", Reply(550, "5.1.1", "one\ntwo")),
        (b"550-one\r\n550 5.1.1 two\r\n", Reply(550, "5.1.1", "one\ntwo")),
        (b"250-one\r\n550 two\r\n", Reply(550, "", "one\ntwo")),
        (b"250-\r\n250 x\r\n", Reply(250, "", "\nx")),
        ("550 nicht möglich\r\n".encode(), Reply(550, "", "nicht möglich")),
        (b"550 \xff\x1b[2J\x00\r\r\n", Reply(550, "", "\ufffd?[2J??")),
        ("550 \u202eevil\r\n".encode(), Reply(550, "", "?evil")),
        (b"250 " + b"x" * 1995 + b"\r\n", Reply(250, "", "x" * 1995)),
    ],
)
def test_replies(wire: bytes, reply: Reply) -> None:
    assert read(wire) == [reply]
    assert read(wire, 1) == [reply]
    assert read(wire * 3) == [reply] * 3
    assert read(wire[:-1]) == []


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"25\r\n",
        b"2500 x\r\n",
        b"250x\r\n",
        b"150 x\r\n",
        b"650 x\r\n",
        b"SSH-2.0-x\r\n",
        b" 250 x\r\n",
        b"250-x\r\nxxx\r\n",
        b"\xb2\xb5\xb0 x\r\n",
        b"x" * 2001,
    ],
)
def test_octets_that_are_no_reply(wire: bytes) -> None:
    with pytest.raises(BadReply):
        read(wire)
    with pytest.raises(BadReply):
        read(wire, 1)


def said(wire: bytes) -> Reply:
    (reply,) = read(wire, 1000)
    assert [reply] == read(wire)
    return reply


def test_a_line_of_any_length_is_a_reply_with_its_beginning() -> None:
    for length in (1996, 1997, 2000, 5000, 300_000):
        assert said(b"250 2.0.0 " + b"x" * length + b"\r\n").text == ("x" * length)[:1990]
        assert said(b"250-" + b"x" * length + b"\r\n550 5.1.1 no\r\n").code == 550
    long = said(b"554 5.7.1 " + "ü".encode() * 5000 + b"\r\n")
    assert (long.code, long.enhanced, long.text) == (554, "5.7.1", "ü" * 995)


def test_a_reply_of_any_number_of_lines_keeps_its_first_and_the_code_of_its_last() -> None:
    reply = said(b"550-5.1.1 one\r\n" * 1000 + b"550 5.1.1 last\r\n")
    assert (reply.code, reply.enhanced, reply.text) == (550, "5.1.1", "\n".join(["one"] * 200))


def test_the_kept_text_of_a_reply_is_bounded_in_sum() -> None:
    reply = said(b"450-" + b"x" * 1900 + b"\r\n" + (b"450-" + b"y" * 1900 + b"\r\n") * 198 + b"450 4.2.2 full\r\n")
    assert (reply.code, reply.enhanced) == (450, "4.2.2")
    assert 8000 < len(reply.text) <= 8192
    parser = ReplyParser()
    tracemalloc.start()
    for number in range(200):
        parser.receive_data(b"x" * 100_000 if number else b"250 x")
        assert parser.next_reply() is None
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@settings(deadline=None, max_examples=500)
@given(st.one_of(st.binary(), st.binary().map(lambda data: b"250 " + data + b"\r\n")))
def test_any_octets_are_replies_or_bad(data: bytes) -> None:
    try:
        found = read(data)
    except BadReply:
        return
    assert found == read(data, 1)
    assert all(line.isprintable() for reply in found for line in reply.text.split("\n"))


@pytest.mark.parametrize("reply", [reply for reply in vars(replies).values() if isinstance(reply, Reply)], ids=str)
def test_our_own_replies_come_back(reply: Reply) -> None:
    assert read(reply.wire) == [reply]


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("foo.com", Offered()),
        ("PIPELINING", Offered()),
        ("foo.com\nsize", Offered(names=frozenset({"SIZE"}), has_size=True)),
        ("foo.com\nSIZE 1000 extra", Offered(names=frozenset({"SIZE"}), has_size=True, size=1000)),
        ("foo.com\nSIZE lots", Offered(names=frozenset({"SIZE"}), has_size=True)),
        ("foo.com\nSIZE ٣", Offered(names=frozenset({"SIZE"}), has_size=True)),
        ("foo.com\n\nauth plain LOGIN\nAUTH=LOGIN", Offered(names=frozenset({"AUTH"}), auth=("PLAIN", "LOGIN"))),
        ("foo.com\nLIMITS MAILMAX=5 RCPTMAX=7", Offered(names=frozenset({"LIMITS"}), max_recipients=7)),
        ("foo.com\nLIMITS MAILMAX=5 RCPTMAX", Offered(names=frozenset({"LIMITS"}))),
        ("foo.com\nX-FOO bar", Offered(names=frozenset({"X-FOO"}))),
    ],
)
def test_ehlo(text: str, offered: Offered) -> None:
    assert parse_ehlo(Reply(250, "", text)) == offered


def test_we_understand_what_we_announce() -> None:
    ours = Extensions("foo.com", 1000, 50, starttls=True, auth=("PLAIN",), auth_without_tls=True, vrfy=True)
    (reply,) = read(extended_hello("foo.com", ours, encrypted=False, authenticated=False, dsn=True))
    offered = parse_ehlo(reply)
    assert (offered.size, offered.max_recipients, offered.auth) == (1000, 50, ("PLAIN",))
    assert offered.starttls
    assert offered.pipelining
    assert offered.eight_bit_mime
    assert offered.smtputf8
    assert offered.chunking
    assert offered.dsn
    assert offered.enhanced_status_codes
    assert {"VRFY", "EXPN", "HELP"} <= offered.names
