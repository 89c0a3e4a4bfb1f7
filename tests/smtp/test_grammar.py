"""Parameters and xtext. What a client is told about mistakes is in tests/dialogs."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.smtp.events import MailFrom, RcptTo
from smtpd_classic.smtp.grammar import (
    Malformed,
    decode_xtext,
    encode_xtext,
    parse_auth,
    parse_bdat,
    parse_hello,
    parse_mail,
    parse_rcpt,
)


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("", ""),
        ("abc", "abc"),
        ("+2B", "+"),
        ("a+2Bb+3Dc", "a+b=c"),
        ("+0D+0A", "\r\n"),
        ("+C3+BC", "ü"),
        ("+41+", None),
        ("+4", None),
        ("+4g", None),
        ("+4a", None),
        ("a=b", None),
        ("a b", None),
        ("ü", None),
        ("+FF", None),
    ],
)
def test_xtext(text: str, decoded: str | None) -> None:
    if decoded is None:
        with pytest.raises(ValueError, match=r"xtext|utf-8"):
            decode_xtext(text)
    else:
        assert decode_xtext(text) == decoded


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_xtext_there_and_back(text: str) -> None:
    encoded = encode_xtext(text)
    assert encoded.isascii()
    assert " " not in encoded
    assert decode_xtext(encoded) == text


@pytest.mark.parametrize(
    ("argument", "event"),
    [
        (b"FROM:<>", MailFrom("")),
        (b"from:<a@B.c>", MailFrom("a@b.c")),
        (b"FROM:  <a@b.c>", MailFrom("a@b.c")),
        (b'FROM:<"a>b"@b.c>', MailFrom('"a>b"@b.c')),
        (b'FROM:<"a\\">b"@b.c> SIZE=1', MailFrom('"a\\">b"@b.c', 1)),
        (b"FROM:<a@b.c> SIZE=0", MailFrom("a@b.c", 0)),
        (b"FROM:<a@b.c>  body=7bit ", MailFrom("a@b.c")),
        (b"FROM:<a@b.c> BODY=8BITMIME", MailFrom("a@b.c", body_8bit=True)),
        (b"FROM:<a@b.c> AUTH=e+3Dmc2@b.c", MailFrom("a@b.c", submitter="e=mc2@b.c")),
        (b"FROM:<a@b.c> RET=hdrs ENVID=x", MailFrom("a@b.c", ret="HDRS", envid="x")),
        ("FROM:<ü@b.c> SMTPUTF8".encode(), MailFrom("ü@b.c", smtputf8=True)),
        (b"FROM:<> SMTPUTF8", MailFrom("", smtputf8=True)),
    ],
)
def test_mail(argument: bytes, event: MailFrom) -> None:
    assert parse_mail(argument, auth=True) == event


def test_rcpt_with_utf8_in_orcpt() -> None:
    argument = "TO:<ü@b.c> ORCPT=UTF-8;ü@b.c".encode()
    assert parse_rcpt(argument, utf8=True) == RcptTo("ü@b.c", orcpt="UTF-8;ü@b.c")
    for bad in (b"TO:<a@b.c> ORCPT=rfc822;" + "ü".encode(), b"TO:<a@b.c> ORCPT=r\xc3\xbc;x"):
        with pytest.raises(Malformed):
            parse_rcpt(bad, utf8=True)


@settings(deadline=None, max_examples=500)
@given(
    st.one_of(st.binary(max_size=80), st.text(max_size=60).map(str.encode)),
    st.sampled_from(
        [b"", b"FROM:<", b"FROM:<a@b.c> ", b"FROM:<a@b.c> ENVID=", b"TO:<", b"TO:<a@b.c> ", b"TO:<a@b.c> ORCPT="]
    ),
    st.booleans(),
)
def test_anything_is_read_or_malformed(data: bytes, before: bytes, flag: bool) -> None:
    argument = before + data
    for read in (
        lambda: parse_mail(argument, auth=flag),
        lambda: parse_rcpt(argument, utf8=flag),
        lambda: parse_bdat(argument),
        lambda: parse_hello(argument, extended=flag),
    ):
        try:
            read()
        except Malformed as problem:
            assert not problem.reply.positive  # noqa: PT017
            assert len(problem.reply.wire) <= 512  # noqa: PT017
    if argument.isascii():
        with suppress(Malformed):
            parse_auth(argument, ("PLAIN",))
