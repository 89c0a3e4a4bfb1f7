"""What leaves: edited at the top, streamed below, described right."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.client.content import ContentFacts, MessageContent, folded, packets
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.smtp.content import stuff


def content(data: bytes, on_top: bytes = b"") -> MessageContent:
    return MessageContent(lambda: io.BytesIO(data), lambda header: header.replace(b"joe", b"sales"), on_top)


@pytest.mark.parametrize("size", [0, 10, 65_000, 65_536, 65_537, 200_000])
def test_only_the_header_is_edited(size: int) -> None:
    body = (b"joe says\n" * (size // 9 + 1))[:size]
    found = content(b"From: joe\n\n" + body, b"Delivered-To: x\n")
    expected = b"Delivered-To: x\nFrom: sales\n\n" + body
    assert b"".join(found.chunks()) == expected
    assert found.whole() == expected, "again, from wherever it is kept now"
    assert found.header() == b"Delivered-To: x\nFrom: sales\n"


def test_a_header_longer_than_a_piece_is_edited_whole() -> None:
    header = b"X-Filler: " + b"f" * 100_000 + b"\nFrom: joe\n"
    assert b"From: sales\n\njoe" in content(header + b"\njoe").whole()


def test_without_an_empty_line_nothing_below_the_fields_is_edited() -> None:
    assert content(b"From: joe\nthis is no field, says joe\n").whole() == b"From: sales\nthis is no field, says joe\n"


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (b"Subject: x\n\nbody\n", ContentFacts(20, False, False)),
        (b"Subject: x\n\nbody", ContentFacts(20, False, False)),
        ("Subject: ü\n\nbody\n".encode(), ContentFacts(21, True, False)),
        ("Subject: x\n\nbüdy\n".encode(), ContentFacts(21, False, True)),
        (b"Subject: x\n\n" + b"a" * 70_000 + b"\xff\n", ContentFacts(70_017, False, True, body_long=True)),
        (b"Subject: " + b"x" * 989 + b"\n\n" + b"y" * 998 + b"\n", ContentFacts(2002, False, False)),
        (b"Subject: " + b"x" * 990 + b"\n\n", ContentFacts(1003, False, False, header_long=True)),
        (b"", ContentFacts(0, False, False)),
    ],
)
def test_facts(data: bytes, facts: ContentFacts) -> None:
    assert content(data).facts() == facts


@given(st.binary(max_size=2000).map(lambda data: data.replace(b"\r", b"").replace(b"\0", b"")))
def test_the_announced_size_is_that_of_the_wire(data: bytes) -> None:
    """RFC 1870 3: without what transparency adds."""
    found = MessageContent(lambda: io.BytesIO(data))
    sent = b"".join(stuff(found.chunks())).removesuffix(b".\r\n")
    stuffed = sum(line.startswith(b".") for line in data.split(b"\n"))
    assert len(sent) - stuffed == found.facts().size


def test_a_transcript_keeps_its_beginning_and_its_end() -> None:
    transcript = Transcript(limit=2000)
    for number in range(1000):
        transcript.heard(f"250 line {number}")
    lines = transcript.text.splitlines()
    assert (lines[0], lines[-1], "…" in lines) == ("S: 250 line 0", "S: 250 line 999", True)
    assert len(transcript.text) < 2500


def test_a_transcript_holds_nothing_that_moves_a_cursor() -> None:
    transcript = Transcript()
    transcript.heard("250 \x1b[2J\u202e" + "x" * 9999)
    transcript.add("one\ntwo\x07")
    assert all(line.isprintable() and len(line) < 700 for line in transcript.text.splitlines())


@pytest.mark.parametrize("cut", [1, 7, 998, 999, 5000])
@pytest.mark.parametrize("text", [b"x" * 998 + b"\n", b"x" * 999 + b"\ny\n", b"a\n" + "ü".encode() * 3000, b"x" * 4000])
def test_lines_are_folded_at_998_octets_and_between_characters(text: bytes, cut: int) -> None:
    made = b"".join(folded(text[at : at + cut] for at in range(0, len(text), cut)))
    assert all(len(line) <= 998 for line in made.split(b"\n"))
    assert made.replace(b"\n ", b"") == text
    if len(text) < 1000:
        assert made == text
    if cut > 3:
        made.decode()


def test_a_message_leaves_in_few_large_pieces() -> None:
    pieces = list(packets([b"x" * 100] * 2000))
    assert b"".join(pieces) == b"x" * 200_000
    assert len(pieces) <= 7
    assert list(packets([b"header", b"body", b".\r\n"])) == [b"headerbody.\r\n"]
