"""The Authentication-Results field, written and read (RFC 8601)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.mailauth.results import (
    AuthenticationResults,
    BadResults,
    MethodResult,
    parse_results,
    results_id,
)


def test_the_field_is_written_with_one_line_a_result() -> None:
    value = AuthenticationResults(
        "mail.example.org",
        (
            MethodResult("dkim", "pass", (("header.d", "example.net"), ("header.b", "ab/+=c"))),
            MethodResult("spf", "fail", (("smtp.mailfrom", "a b@example.net"),), comment="not (allowed)"),
            MethodResult("dmarc", "fail", (("policy.dmarc", "reject"),), reason='say "no"'),
            MethodResult("iprev", "pass", (("policy.iprev", "2001:db8::1"),)),
        ),
    )
    assert value.field() == (
        "Authentication-Results: mail.example.org;\n"
        '\tdkim=pass header.d=example.net header.b="ab/+=c";\n'
        '\tspf=fail (not \\(allowed\\)) smtp.mailfrom="a b@example.net";\n'
        '\tdmarc=fail reason="say \\"no\\"" policy.dmarc=reject;\n'
        '\tiprev=pass policy.iprev="2001:db8::1"\n'
    )


def test_no_results_are_none() -> None:
    assert AuthenticationResults("a.example").field() == "Authentication-Results: a.example; none\n"
    assert parse_results("a.example; none") == AuthenticationResults("a.example")


@pytest.mark.parametrize(
    "value",
    [  # the examples of RFC 8601, appendix B
        "example.org 1; none",
        "example.com; spf=pass smtp.mailfrom=example.net",
        "example.com; auth=pass (cram-md5) smtp.auth=sender@example.net; spf=pass smtp.mailfrom=example.net",
        "example.com; sender-id=pass header.from=example.net",
        "example.com; dkim=pass (good signature) header.d=example.com; spf=fail smtp.mailfrom=example.com",
        (
            'example.com; dkim=pass reason="good signature" header.i=@mail-router.example.net;'
            ' dkim=fail reason="bad signature" header.i=@newyork.example.com'
        ),
        (
            "foo.example.net (foobar) 1 (baz); dkim (Because I like it) / 1 (One yay) = (wait for it) fail"
            " policy (A dot can go here) . (like that) expired (this surprises me) = (I wasn't expecting it) 1362471462"
        ),
    ],
)
def test_the_examples_of_rfc_8601_are_read(value: str) -> None:
    parsed = parse_results(value)
    assert parsed.server == value.split(maxsplit=1)[0].rstrip(";")
    assert parse_results("".join(parsed.lines())) == parsed


def test_every_part_is_read() -> None:
    parsed = parse_results('"a\\"b" (c(d)) 1 ; dkim/1=Pass reason="x;y" header.d=e.example header.b="a=b" ;spf=none;')
    assert parsed == AuthenticationResults(
        'a"b',
        (
            MethodResult("dkim", "pass", (("header.d", "e.example"), ("header.b", "a=b")), "x;y"),
            MethodResult("spf", "none"),
        ),
    )


def test_a_comment_may_follow_none() -> None:
    for value in ("a.example; none (not checked)", "a.example 1; (a) NONE (b)\n\t(c)"):
        assert parse_results(value) == AuthenticationResults("a.example")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a b"@example.net', "a b@example.net"),
        ('"a\\"b"@example.net (comment)', 'a"b@example.net'),
        ("@example.net", "@example.net"),
        ('"a b"', "a b"),
    ],
)
def test_an_address_may_have_a_quoted_local_part(text: str, value: str) -> None:
    parsed = parse_results(f"a.example; spf=pass smtp.mailfrom={text}; dkim=none")
    assert parsed.results[0].properties == (("smtp.mailfrom", value),)
    assert parse_results("".join(parsed.lines())) == parsed


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "; none",
        "a.example",
        "a.example 2; none",
        "a b; none",
        "(open; none",
        'a; spf="pass',
        "a; spf",
        "a; =pass",
        "@; none",
        "a; dkim=pass header.d",
        'a; spf=pass smtp.mailfrom="b"@',
        'a; spf=pass smtp.mailfrom="b" @example.net',
        "a; none (open",
        "a; none none",
        "x" * 70_000 + "; none",
    ],
)
def test_a_field_that_cannot_be_read_raises(value: str) -> None:
    with pytest.raises(BadResults):
        parse_results(value)


@pytest.mark.parametrize(
    ("value", "server"),
    [
        ("Mail.Example.ORG; spf=pass", "mail.example.org"),
        ("(comment) (nested (deep)) mail.example.org 1; none", "mail.example.org"),
        ('"mail.example.org"; none', "mail.example.org"),
        ("\n\tmail.example.org\n ; nonsense behind it", "mail.example.org"),
        ("mail.example.org", "mail.example.org"),
    ],
)
def test_the_id_is_found_however_it_is_written(value: str, server: str) -> None:
    assert results_id(value) == server


def test_ten_thousand_nested_comments_are_read_without_recursion() -> None:
    assert results_id("(" * 10_000 + ")" * 10_000 + "a; none") == "a"


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), min_size=1, max_size=20)


@given(server=TEXT, value=TEXT, reason=TEXT)
def test_every_text_survives_writing_and_reading(server: str, value: str, reason: str) -> None:
    written = AuthenticationResults(server, (MethodResult("spf", "fail", (("smtp.mailfrom", value),), reason),))
    assert parse_results("".join(written.lines())) == written


@given(value=st.text(max_size=200))
def test_no_text_makes_the_reader_fail_in_another_way(value: str) -> None:
    with contextlib.suppress(BadResults):
        parse_results(value)
