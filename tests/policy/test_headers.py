"""The header block as bytes: fields, addresses and their places, trace headers, rewriting that changes nothing else."""

import contextlib
import re
import time
from email.headerregistry import Address
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpd_classic.config.schema import Replacement
from smtpd_classic.message.authors import complete, read_authors
from smtpd_classic.message.headers import HeaderBlock, end_of_header_block
from smtpd_classic.message.mailboxes import Mailbox, Unreadable, mailboxes
from smtpd_classic.message.rewriting import rewriting_for
from smtpd_classic.message.trace import Hop, date_text, received
from smtpd_classic.smtp.events import TlsInfo

BLOCK = (
    b"Received: from a\n\tby b; date\n"
    b"received : from c\n"
    b"X-Received: from nobody\n"
    b"From: Joe\n <joe@example.org>\n"
    b"FROM\t: second@example.org\n"
    b"Subject: from: nobody@example.org\n"
    b" Received: in a folded line\n"
)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (b"received", [b"from a\tby b; date", b"from c"]),
        (b"from", [b"Joe <joe@example.org>", b"second@example.org"]),
        (b"subject", [b"from: nobody@example.org Received: in a folded line"]),
        (b"date", []),
    ],
)
def test_fields_are_found_by_name_folded_or_with_space_before_the_colon(name: bytes, values: list[bytes]) -> None:
    block = HeaderBlock(BLOCK)
    assert block.values(name) == values
    assert block.count(name) == len(values)
    assert block.has(name) == bool(values)
    assert block.first(name) == (values or [b""])[0]


@pytest.mark.parametrize(
    ("content", "end"),
    [(b"A: b\n\nbody", 5), (b"\nbody", 0), (b"A: b\n", -1), (b"", -1), (b"A: b\n \n\nx", 7)],
)
def test_the_header_ends_at_the_first_empty_line(content: bytes, end: int) -> None:
    assert end_of_header_block(content) == end


@given(st.binary(max_size=60), st.integers(0, 60))
def test_searching_on_finds_the_same_end(content: bytes, cut: int) -> None:
    first, whole = content[:cut], end_of_header_block(content)
    early = end_of_header_block(first)
    assert (early if early >= 0 else end_of_header_block(content, len(first))) == whole


LINES = st.sampled_from(
    [b"From:", b"FROM \t:x", b" From:", b"a b:", b"a:b:", b":", b"X-\xff:", b"\n", b"\r\n", b"to", b"To: y", b"\t"]
)


@given(st.lists(LINES, max_size=12).map(b"".join))
def test_the_names_are_those_that_have_fields(raw: bytes) -> None:
    block = HeaderBlock(raw)
    asked = block.names | {b"from", b"to", b"a", b"b", b"x-"}
    assert block.names == {name for name in asked if block.fields(name)}
    assert all(block.has(name) == (block.count(name) > 0) for name in asked)


@pytest.mark.parametrize(
    ("block", "strict"),
    [
        (b"A: b\nC: d\n", 10),
        (b"From joe Sat Nov 22\nA: b\n", 25),
        (b"A: b\nhello world\nC: d\n", 5),
        (b"A: b\n: no name\n", 5),
        (b" folded into nothing\n", 0),
        (b"\xc3\xa4: b\n", 0),
    ],
)
def test_a_strict_reader_stops_at_the_first_line_that_is_no_field(block: bytes, strict: int) -> None:
    assert HeaderBlock(block).strict_end == strict


ADDRESSES = [
    (b" joe@example.org\n", ["joe@example.org"]),
    (b" <joe@Example.ORG>", ["joe@example.org"]),
    (b' "Doe, Joe" <joe@example.org>, Ann <ann@example.org>', ["joe@example.org", "ann@example.org"]),
    (b" joe@example.org (Joe (the one) Doe)", ["joe@example.org"]),
    (b' "joe"@example.org', ["joe@example.org"]),
    (b' "joe doe"@example.org', ['"joe doe"@example.org']),
    (b" joe . doe @ example . org", ["joe.doe@example.org"]),
    (b" team: joe@example.org, ann@example.org;", ["joe@example.org", "ann@example.org"]),
    (b" undisclosed-recipients:;", []),
    (b" ,, joe@example.org ,", ["joe@example.org"]),
    (b" Joe <@a.example,@b.example:joe@example.org>", ["joe@example.org"]),
    (b" =?utf-8?q?J=C3=B6?= <joe@example.org>", ["joe@example.org"]),
    (b" J\xc3\xb6 <joe@example.org>", ["joe@example.org"]),
    (b" J\xf6 <joe@example.org>", ["joe@example.org"]),
    (b" joe@[192.0.2.1]", ["joe@[192.0.2.1]"]),
    (b" boss@example.org <joe@example.org>", ["boss@example.org", "joe@example.org"]),
    (b' "boss@example.org" <joe@example.org>', ["joe@example.org"]),
    (b" \xc3\xb6@example.org", ["\xf6@example.org"]),
    (b"", []),
]


@pytest.mark.parametrize(("value", "found"), ADDRESSES, ids=[repr(value) for value, _ in ADDRESSES])
def test_addresses_are_read(value: bytes, found: list[str]) -> None:
    assert [each.address for each in mailboxes(value)] == found


def _read(value: bytes) -> list[Mailbox] | None:
    try:
        return mailboxes(value)
    except Unreadable:
        return None


PARTS = (
    b"joe",
    b"@",
    b"example.org",
    b"<",
    b">",
    b".",
    b" ",
    b"\n\t",
    b'"a@b" ',
    b"Joe Q. ",
    b",",
    b":",
    b"\xc3\xa4",
    b"\\",
)


@given(st.lists(st.sampled_from(PARTS), max_size=9).map(b"".join))
def test_a_comment_behind_a_field_changes_nothing(value: bytes) -> None:
    """A field with one is never read as a whole."""
    assert _read(value) == _read(value + b"()")


UNREADABLE = [
    b" joe",
    b" Joe Doe",
    b" joe@example.org ann@example.org",
    b" joe@example.org <",
    b" <joe@example.org",
    b" <joe@example.org> <ann@example.org>",
    b" <joe@example.org> ann@example.org",
    b" <joe@example.org> trailing",
    b' "joe@example.org',
    b" (joe@example.org",
    b" joe@example.org)",
    b" a@b@example.org",
    b" joe@example.org;",
    b" <<joe@example.org>>",
    b" <>",
    b" joe..doe@example.org",
    b" joe@example..org",
    b" joe@\xf6.example",
    b" a:b:joe@example.org;",
    b" a@b:joe@example.org;",
    b" joe\\@example.org",
    b" x" * 40_000,
]


@pytest.mark.parametrize("value", UNREADABLE, ids=[repr(value[:40]) for value in UNREADABLE])
def test_what_two_readers_could_understand_differently_is_unreadable(value: bytes) -> None:
    with pytest.raises(Unreadable):
        mailboxes(value)


@pytest.mark.parametrize(
    "value",
    [
        b"(" * 60_000,
        b"(" * 30_000 + b")" * 30_000 + b"joe@example.org",
        b'"' * 60_000,
        b"a@b," * 16_000,
        b"<" * 60_000,
        b"\\" * 60_000,
        b'"' + b"\\" * 60_000,
        b"a:" * 30_000,
        b" " * 65_000,
    ],
    ids=["open", "nested", "quotes", "many", "angles", "backslashes", "escapes", "groups", "blanks"],
)
def test_hostile_values_take_no_time(value: bytes) -> None:
    started = time.process_time()
    with contextlib.suppress(Unreadable):
        mailboxes(value)
    assert time.process_time() - started < 1.5


@pytest.mark.parametrize(
    "block",
    [b"from \n" * 43_000, b"from" + b" " * 250_000, b"a\n" * 130_000, b"from:\n" * 43_000, b"From \n \n" * 32_000],
)
def test_hostile_header_blocks_take_no_time(block: bytes) -> None:
    started = time.process_time()
    found = HeaderBlock(block)
    found.count(b"from"), found.fields(b"from"), found.strict_end, found.has(b"sender")
    assert time.process_time() - started < 1.5


LOCAL = st.from_regex(r"[a-z0-9][a-z0-9!#$%&'*+/=?^_`{|}~-]{0,12}", fullmatch=True)
DOMAIN = st.from_regex(r"[a-z][a-z0-9]{0,8}\.(example|test)", fullmatch=True)
PHRASE = st.text("abcXYZ ,;:<>@()[].\\\"'0", min_size=1, max_size=20)


@given(st.lists(st.tuples(PHRASE, LOCAL, DOMAIN), min_size=1, max_size=5))
def test_what_the_standard_library_writes_is_read(people: list[tuple[str, str, str]]) -> None:
    value = ", ".join(str(Address(display, local, domain)) for display, local, domain in people)
    found = mailboxes(value.encode())
    assert [each.address for each in found] == [f"{local}@{domain}" for _, local, domain in people]


@given(st.binary(max_size=200))
@example(b'"\\')
def test_any_octets_are_read_or_refused(value: bytes) -> None:
    try:
        found = mailboxes(value)
    except Unreadable:
        return
    for each in found:
        assert 0 <= each.outer <= each.start < each.end <= each.outer_end <= len(value)


# Authors of any form ---------------------------------------------------------------------------------------------

OWN = "joe@example.org"
ODD = [
    (b" Doe, Joe <joe@example.org>", [OWN], []),
    (b" Joe @ Acme Inc. <joe@example.org>", [OWN], []),
    (b" Joe @acme <joe@example.org>", [OWN], []),
    (b" =?utf-8?q?Doe,_J=C3=B6?= <joe@example.org>", [OWN], []),
    (b" joe@example.org;", [OWN], []),
    (b" Joe <joe@example.org>;", [OWN], []),
    (b" ACME\\joe <joe@example.org>", [OWN], []),
    (b" joe\\@example.org", [OWN], []),
    (b" Joe <joe@Example.org.>", [OWN], []),
    (b" joe@example.org.", [OWN], []),
    (b" joe", ["joe"], []),
    (b" Joe Doe <joe>", ["joe"], []),
    (b" root (Cron Daemon)", ["root"], []),
    (b" team: Joe <joe@example.org>;", [OWN], []),
    (b" <joe@example.org> Joe Doe", [OWN], []),
    (b" \"'joe@example.org'\" <joe@example.org>", [OWN], [OWN]),
    (b' "boss@other.test" <joe@example.org>', [OWN], ["boss@other.test"]),
    (b" joe@example.org (boss@other.test)", [OWN], ["boss@other.test"]),
    (b" =?utf-8?q?boss?= =?utf-8?b?QG90aGVyLnRlc3Q=?= <joe@example.org>", [OWN], ["boss@other.test"]),
    (b' "=?utf-8?q?boss=40other=2Etest?=" <joe@example.org>', [OWN], ["boss@other.test"]),
    (" boss＠other.test <joe@example.org>".encode(), [OWN], ["boss@other.test"]),
    (b" boss @ other . test <joe@example.org>", [OWN], ["boss@other.test"]),
    (b' "boss"@other.test <joe@example.org>', [OWN], ["boss@other.test"]),
    (b" boss@other.test <joe@example.org", [], ["boss@other.test", OWN]),
    (b" boss @ other . test", ["boss@other.test"], []),
    (b" <joe@example.org> <boss@other.test>", [OWN, "boss@other.test"], []),
    (b" joe@example.org boss@other.test", [], [OWN, "boss@other.test"]),
    (b" Joe Doe", [], []),
    (b"", [], []),
]


@pytest.mark.parametrize(("value", "addresses", "names"), ODD, ids=[repr(value) for value, _, _ in ODD])
def test_every_address_that_a_reader_could_see_is_found(value: bytes, addresses: list[str], names: list[str]) -> None:
    found = read_authors(value + b"\n")
    assert [each.address for each in found.addresses] == addresses
    assert list(found.display_names) == names
    for each in found.addresses:
        assert value[each.start : each.end].strip() == value[each.start : each.end]


@pytest.mark.parametrize("value", [b" a@b@example.org", b" Joe <joe doe@x@y>", b" joe@\xf6.example", b"x" * 70_000])
def test_an_address_that_cannot_be_read_makes_the_field_unreadable(value: bytes) -> None:
    with pytest.raises(Unreadable):
        read_authors(value)


PIECES = st.sampled_from(
    [b"joe@a.test", b"boss@b.test", b"x", b"[192.0.2.1]", b"team:", b"boss", b"b.test", b"<boss@b.test>", b"\n "]
    + [bytes([octet]) for octet in b'<>"(),;:@. \\']
)


@given(st.lists(PIECES, max_size=10).map(b"".join))
def test_an_address_that_the_grammar_allows_is_never_overlooked(value: bytes) -> None:
    try:
        strict = {each.address for each in mailboxes(value)}
        found = read_authors(value)
    except Unreadable:
        return
    assert strict <= {each.address for each in found.addresses} | set(found.display_names)


@given(st.binary(max_size=300))
def test_any_octets_have_authors_or_are_refused(value: bytes) -> None:
    with contextlib.suppress(Unreadable):
        for each in read_authors(value).addresses:
            assert 0 <= each.start < each.end <= len(value)


@pytest.mark.parametrize(
    "value",
    [
        b"<" * 60_000,
        b"(" * 60_000,
        b'"\\' * 30_000,
        b"a@" * 30_000,
        b"a@b." * 16_000,
        b"," * 60_000,
        b"x" * 60_000,
        b"a." * 30_000,
    ],
)
def test_hostile_fields_are_read_in_linear_time(value: bytes) -> None:
    began = time.monotonic()
    with contextlib.suppress(Unreadable):
        read_authors(value)
    assert time.monotonic() - began < 10.0  # quadratic ones take minutes


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"From: joe\nTo: ann\n", b"From: joe@us.test\nTo: ann\n"),
        (b"From: Joe <joe >\n", b"From: Joe <joe@us.test >\n"),
        (b"From: root (Cron)\nSender:\n root\n", b"From: root@us.test (Cron)\nSender:\n root@us.test\n"),
        (b"From: Doe, Joe <joe@x.test>\n", b"From: Doe, Joe <joe@x.test>\n"),
        (b"From: Joe Doe\n", b"From: Joe Doe\n"),
    ],
)
def test_only_a_local_part_alone_gets_the_domain(before: bytes, after: bytes) -> None:
    assert complete(HeaderBlock(before), "us.test") == after


# Mail Header Replace ---------------------------------------------------------------------------------------------

RULES = (
    Replacement(name="sales@example.org", addresses=("joe@pc.lan", "root@pc.lan"), local=True),
    Replacement(name="Jörg, Support <help@example.org>", addresses=("ann@pc.lan",), local=True),
    Replacement(name="late@example.org", addresses=("joe@pc.lan",), local=True),
    Replacement(name="out@example.org", addresses=("bob@pc.lan",), envelope_sender=True),
    Replacement(name="in@example.org", addresses=("bob@pc.lan",), local=True, remote=False),
)
REWRITTEN = [
    (b"From: joe@pc.lan\n", b"From: sales@example.org\n"),
    (b"FROM : JOE@PC.LAN\n", b"FROM : sales@example.org\n"),
    (b'From: "Joe D." <joe@pc.lan> (at home)\n', b'From: "Joe D." <sales@example.org> (at home)\n'),
    (b"From:\n\tJoe\n <joe@pc.lan>,\n Ann <x@y.z>\n", b"From:\n\tJoe\n <sales@example.org>,\n Ann <x@y.z>\n"),
    (
        b"Sender: Annie <ann@pc.lan>\n",
        b"Sender: =?utf-8?b?SsO2cmcsIFN1cHBvcnQ=?= <help@example.org>\n",
    ),
    (b"Reply-To: ann@pc.lan\n", b"Reply-To: =?utf-8?b?SsO2cmcsIFN1cHBvcnQ=?= <help@example.org>\n"),
    (b"From: joe@pc.lan, root@pc.lan\n", b"From: sales@example.org, sales@example.org\n"),
    (b"From: joe@pc.lan <joe@pc.lan>\n", b"From: sales@example.org <sales@example.org>\n"),
    (b"From: ann@pc.lan <ann@pc.lan>\n", b"From: =?utf-8?b?SsO2cmcsIFN1cHBvcnQ=?= <help@example.org>\n"),
    (b"To: joe@pc.lan\n", b"To: joe@pc.lan\n"),
    (b"X-From: joe@pc.lan\n", b"X-From: joe@pc.lan\n"),
    (b"From: joe@pc.lan.example\n", b"From: joe@pc.lan.example\n"),
    (b"From: bigjoe@pc.lan\n", b"From: bigjoe@pc.lan\n"),
    (b'From: "joe@pc.lan" <x@y.z>\n', b'From: "joe@pc.lan" <x@y.z>\n'),
    (b"From: Joe Doe, joe@pc.lan\n", b"From: Joe Doe, sales@example.org\n"),
    (b"From: Doe, Joe <joe@pc.lan>;\n", b"From: Doe, Joe <sales@example.org>;\n"),
    (b"From: ann@pc.lan (Annie)\n", b"From: =?utf-8?b?SsO2cmcsIFN1cHBvcnQ=?= <help@example.org>\n"),
    (b"From: (Annie) ann@pc.lan\n", b"From: =?utf-8?b?SsO2cmcsIFN1cHBvcnQ=?= <help@example.org>\n"),
    (b"From: <ann@pc.lan>\n (Annie (Lee))\n", b"From: =?utf-8?b?SsO2cmcsIFN1cHBvcnQ=?= <help@example.org>\n"),
    (
        b"From: x@y.z (X), ann@pc.lan (Annie), (J) joe@pc.lan\n",
        b"From: x@y.z (X), =?utf-8?b?SsO2cmcsIFN1cHBvcnQ=?= <help@example.org>, (J) sales@example.org\n",
    ),
    (b"From: <joe@pc.lan\n", b"From: <joe@pc.lan\n"),
    (b"From: bob@pc.lan\n", b"From: in@example.org\n"),
]


@pytest.mark.parametrize(("before", "after"), REWRITTEN, ids=[repr(before) for before, _ in REWRITTEN])
def test_addresses_are_replaced_and_nothing_else(before: bytes, after: bytes) -> None:
    around = b"Subject: joe@pc.lan\n", b"X: ann@pc.lan\n"
    assert rewriting_for(RULES, local=True).header(around[0] + before + around[1]) == around[0] + after + around[1]


def test_each_rule_is_for_its_destinations_and_the_first_counts() -> None:
    here, elsewhere = rewriting_for(RULES, local=True), rewriting_for(RULES, local=False)
    assert here.header(b"From: bob@pc.lan\n") == b"From: in@example.org\n"
    assert elsewhere.header(b"From: bob@pc.lan\n") == b"From: out@example.org\n"
    assert elsewhere.sender("bob@pc.lan") == "out@example.org"
    assert here.sender("bob@pc.lan") == "bob@pc.lan"
    assert elsewhere.sender("joe@pc.lan") == "joe@pc.lan"
    assert elsewhere.sender("") == ""


@pytest.mark.parametrize(
    ("display", "written"),
    [
        ("Sales", b"Sales"),
        ("Sales, Inc.", b'"Sales, Inc."'),
        ('"Sales"', b'"Sales"'),
        ('a "b" \\ c', b'"a \\"b\\" \\\\ c"'),
    ],
)
def test_a_display_name_is_quoted_where_it_must_be(display: str, written: bytes) -> None:
    rules = (Replacement(name=f"{display} <new@example.org>", addresses=("joe@pc.lan",)),)
    found = rewriting_for(rules, local=False).header(b"From: joe@pc.lan\n")
    assert found == b"From: " + written + b" <new@example.org>\n"
    assert [each.address for each in mailboxes(found[6:])] == ["new@example.org"]


def test_domains_of_people_are_written_as_dns_has_them() -> None:
    """Only SMTPUTF8 mail may hold them otherwise; what is replaced may be written either way."""
    rules = (Replacement(name="büro@grün.example", addresses=("joe@blau-ä.example",)),)
    found = rewriting_for(rules, local=False)
    for written in ("joe@blau-ä.example", "JOE@xn--blau--kra.example"):
        changed = found.header(f"From: {written}\n".encode())
        assert changed == "From: büro@xn--grn-ioa.example\n".encode()


FIELD = st.sampled_from([b"From", b"sender", b"REPLY-TO", b"To", b"Subject", b"X-From"])
VALUE = st.one_of(
    st.binary(max_size=60).map(lambda octets: octets.replace(b"\r", b"").replace(b"\n", b"\n ")),
    st.sampled_from([value for value, _ in ADDRESSES]).map(lambda value: value.replace(b"\n", b"\n ")),
    st.sampled_from([b" Joe <joe@pc.lan>", b" ann@pc.lan, joe@pc.lan", b' "x" <ROOT@pc.lan> (y)']),
)


@given(st.lists(st.tuples(FIELD, VALUE), max_size=6))
def test_everything_but_the_replaced_addresses_is_byte_identical(fields: list[tuple[bytes, bytes]]) -> None:
    """Undoing the replacements in the output gives the input back, for rules that bring no display name."""
    rules = (Replacement(name="zz@zz.zz", addresses=("joe@pc.lan", "root@pc.lan", "ann@pc.lan")),)
    raw = b"".join(name + b":" + value + b"\n" for name, value in fields)
    written = rewriting_for(rules, local=False).header(raw)
    pieces = [re.escape(piece) for piece in written.split(b"zz@zz.zz")]
    assert re.fullmatch(rb"((?i:joe|root|ann)@(?i:pc\.lan))".join(pieces), raw)
    for name in (b"from", b"sender", b"reply-to"):
        for field in HeaderBlock(written).fields(name):
            try:
                left = {each.address for each in mailboxes(written[field.value : field.end])}
            except Unreadable:
                continue
            assert not left & {"joe@pc.lan", "root@pc.lan", "ann@pc.lan"}


# Trace -----------------------------------------------------------------------------------------------------------

HOP = Hop("client.example", "mx.example.net", "192.0.2.1", "ESMTP", None, "here.example", "4711ABC", "joe@example.org")


def test_received_tells_all_that_is_known() -> None:
    now = 1_763_812_800.0
    field = received(HOP._replace(tls=TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256), protocol="ESMTPSA"), now)
    assert field == (
        b"Received: from client.example (mx.example.net [192.0.2.1])\n"
        b"\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256 bits))\n"
        b"\tby here.example (smtpd-classic) with ESMTPSA id 4711ABC\n"
        b"\tfor <joe@example.org>; " + date_text(now).encode() + b"\n"
    )
    assert parsedate_to_datetime(date_text(now)).timestamp() == now


def test_several_recipients_do_not_learn_of_one_another() -> None:
    field = received(HOP._replace(recipient="", ip="2001:db8::1"), 0.0)
    assert b" for " not in field
    assert b"\tfor" not in field
    assert b"[IPv6:2001:db8::1]" in field


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_name_breaks_out_of_the_field(hello: str, name: str) -> None:
    field = received(HOP._replace(hello=hello, name=name), 0.0)
    assert re.fullmatch(
        rb"Received: from [\w.:\[\]?-]+ \([\w.:\[\]?-]+ \[192.0.2.1\]\)\n\t[^\n]+\n\tfor[^\n]+\n", field
    )
