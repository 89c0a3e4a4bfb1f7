"""What becomes of a header: where it ends, who is in it, what is added and taken out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.submission.addresses import BadAddresses
from smtpd_classic.submission.header import recipients_in, with_domain, without_bcc
from smtpd_classic.submission.message import HeaderTooLong, SubmittedMessage, completed, content, qualified, split
from smtpd_classic.submission.source import StandardInput


def source(data: bytes) -> StandardInput:
    found = StandardInput()
    found.write(data)
    return found


def letter(data: bytes, sender: str = "joe", name: str = "") -> SubmittedMessage:
    body = source(data)
    header, text = split(body)
    return SubmittedMessage(sender, ("ann",), header, body, text, body.eight_bit, name=name)


PARTS = {
    "a header and a text": (b"Subject: x\n\ntext\n", b"Subject: x\n", b"text\n"),
    "a folded header": (b"Subject: x\n y\nTo: z\n\ntext\n", b"Subject: x\n y\nTo: z\n", b"text\n"),
    "only a text": (b"text\n\nmore\n", b"", b"text\n\nmore\n"),
    "a text that begins with an empty line": (b"\ntext\n", b"", b"text\n"),
    "no empty line": (b"Subject: x\ntext\n", b"Subject: x\n", b"text\n"),
    "only a header": (b"Subject: x\n", b"Subject: x\n", b""),
    "only a header, without a line end": (b"Subject: x", b"Subject: x\n", b""),
    "a line of an mbox": (b"From joe Sat Nov 22\nSubject: x\n\ntext\n", b"Subject: x\n", b"text\n"),
    "nothing": (b"", b"", b""),
    "an empty line": (b"\n", b"", b""),
    "two empty lines": (b"\n\n", b"", b"\n"),
}


@pytest.mark.parametrize(("data", "header", "text"), PARTS.values(), ids=PARTS)
def test_where_the_header_ends(data: bytes, header: bytes, text: bytes) -> None:
    body = source(data)
    parts = split(body)
    assert (parts.header, body.read(parts.text, 1000)) == (header, text)


def test_a_header_of_megabytes_is_read() -> None:
    data = b"".join(b"X-%d: %s\n" % (number, b"y" * 900) for number in range(3000)) + b"\ntext\n"
    body = source(data)
    parts = split(body)
    assert parts.header + b"\n" + body.read(parts.text, 100) == data


def test_a_header_without_end_is_refused() -> None:
    with pytest.raises(HeaderTooLong):
        split(source(b"X: " + b"y" * 17_000_000 + b"\n\n"))


@given(st.binary(max_size=200) | st.text("aX:\n \tFrom>", max_size=60).map(str.encode))
def test_nothing_of_the_text_is_lost(data: bytes) -> None:
    body = source(data)
    parts = split(body)
    text = body.read(parts.text, 10_000)
    assert data.endswith(text)
    assert not parts.header or parts.header.endswith(b"\n")
    assert parts.header.rstrip(b"\n") in data
    whole = letter(data, sender="")
    assert b"".join(content(whole, "here.example")) == parts.header + b"\n" + text
    assert whole.size == len(parts.header + b"\n" + text)


NAMED: dict[str, tuple[bytes, list[str]]] = {
    "To, Cc and Bcc": (b"To: joe\nCc: ann\nBcc: bob\n", ["joe", "ann", "bob"]),
    "any case, several": (b"TO: joe\nto : ann\n", ["joe", "ann"]),
    "folded": (b"To: joe,\n ann\n", ["joe", "ann"]),
    "sent again": (b"Resent-To: ann\nTo: joe\nResent-Bcc: bob\n", ["ann", "bob"]),
    "nobody": (b"Subject: x\n", []),
    "a group of nobody": (b"To: undisclosed-recipients:;\nBcc: joe\n", ["joe"]),
    "a name in Latin-1": (b"To: J\xf6rg <joe>\n", ["joe"]),
}


@pytest.mark.parametrize(("header", "found"), NAMED.values(), ids=NAMED)
def test_recipients_in_a_header(header: bytes, found: list[str]) -> None:
    assert recipients_in(header) == found


def test_what_cannot_be_read_names_the_field() -> None:
    with pytest.raises(BadAddresses, match=r"^Cc: two words"):
        recipients_in(b"To: joe\nCc: joe ann\n")


HIDDEN = {
    "in the middle": (b"To: a\nBcc: b,\n c\nCc: d\n", b"To: a\nCc: d\n"),
    "alone": (b"bcc: b\n", b""),
    "twice": (b"Bcc: b\nX: y\nBCC: c\n", b"X: y\n"),
    "sent again": (b"Resent-Bcc: b\nTo: a\n", b"To: a\n"),
    "none": (b"To: bcc: x\n", b"To: bcc: x\n"),
}


@pytest.mark.parametrize(("header", "left"), HIDDEN.values(), ids=HIDDEN)
def test_nobody_sees_the_blind_copies(header: bytes, left: bytes) -> None:
    assert without_bcc(header) == left


WITH_DOMAIN = {
    "cron": (b"From: root (Cron Daemon)\nTo: joe\n", b"From: root@here.example (Cron Daemon)\nTo: joe@here.example\n"),
    "with a name": (b"From: Joe <joe>\n", b"From: Joe <joe@here.example>\n"),
    "a list": (b"Cc: a, b@x.example,\n c\n", b"Cc: a@here.example, b@x.example,\n c@here.example\n"),
    "quoted": (b'To: "a b"\n', b'To: "a b"@here.example\n'),
    "a sign in quotes": (b'To: "a@b"\n', b'To: "a@b"@here.example\n'),
    "has one": (b"To: joe@x.example\n", b"To: joe@x.example\n"),
    "cannot be read": (b"From: Joe Doe\nTo: joe\n", b"From: Joe Doe\nTo: joe@here.example\n"),
    "no field of addresses": (b"Subject: joe\n", b"Subject: joe\n"),
    "nobody": (b"To: undisclosed-recipients:;\n", b"To: undisclosed-recipients:;\n"),
    "not ASCII": ("To: Jörg <joe>\n".encode(), "To: Jörg <joe@here.example>\n".encode()),
}


@pytest.mark.parametrize(("header", "result"), WITH_DOMAIN.values(), ids=WITH_DOMAIN)
def test_addresses_in_the_header_get_a_domain(header: bytes, result: bytes) -> None:
    assert with_domain(header, "here.example") == result
    assert with_domain(result, "here.example") == result


FROM = {
    "plain": (letter(b"\nx\n"), b"From: joe@here.example\n"),
    "with a name": (letter(b"\nx\n", name="Joe Doe"), b"From: Joe Doe <joe@here.example>\n"),
    "with a name to be quoted": (letter(b"\nx\n", name="Doe, Joe"), b'From: "Doe, Joe" <joe@here.example>\n'),
    "with a name to be encoded": (letter(b"\nx\n", name="Jörg"), b"From: =?utf-8?b?SsO2cmc=?= <joe@here.example>\n"),
    "is there": (letter(b"from: x@y.example\n\nx\n"), b"from: x@y.example\n"),
    "no sender": (letter(b"\nx\n", sender=""), b""),
    "sent again": (
        letter(b"Resent-To: a@b.example\nFrom: c@d.example\n\n"),
        b"Resent-To: a@b.example\nFrom: c@d.example\nResent-From: joe@here.example\n",
    ),
}


@pytest.mark.parametrize(("what", "header"), FROM.values(), ids=FROM)
def test_a_from_that_is_missing(what: SubmittedMessage, header: bytes) -> None:
    assert completed(what, "here.example") == header


@pytest.mark.parametrize(
    ("address", "whole"),
    [("joe", "joe@d"), ("joe@x", "joe@x"), ('"a@b"', '"a@b"@d'), ('"a@b"@x', '"a@b"@x'), ("", "")],
)
def test_an_address_without_a_domain_gets_one(address: str, whole: str) -> None:
    assert qualified(address, "d") == whole
