"""Replies read from the wire, and what EHLO announces."""

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
        b"250 " + b"x" * 1997 + b"\r\n",
        b"x" * 2001,
        b"250-x\r\n" * 201,
    ],
)
def test_what_is_no_reply(wire: bytes) -> None:
    with pytest.raises(BadReply):
        read(wire)
    with pytest.raises(BadReply):
        read(wire, 1)


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
    (reply,) = read(extended_hello("foo.com", ours, encrypted=False, authenticated=False))
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
