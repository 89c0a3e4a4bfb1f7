"""The content on the wire: line ends, dots, and nothing that ends it but CR LF . CR LF."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings

from smtpd_classic.smtp.content import ChunkDecoder, ContentDecoder, crlf, stuff
from tests.drawing import joined, numbers

# What other servers have taken for the end of the content. Each is sent within a message, followed by the commands of a
# second one, and the real end: one message must come of it, that holds all of it.
SMUGGLED_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\n\n.\n",
    b"\n\n.\r\n",
    b"\r\n\n.\r\n",
    b"\r\n\n.\n",
    b"\n\r.\r\n",
    b"\n\r.\n\r",
    b"\n\r\n\r.\r\n",
    b"\r\r\n.\n",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\r.\r\r",
    b"\r\r\n\r.\r\n",
    b"\r\n\r.\r\n",
    b"\0\n.\r\n",
    b"\r\0\n.\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\0\n",
    b"\r\n\0.\0\r\n",
    b"\n\0.\n",
    b"\r\0\n.\r\0\n",
    b"\r\n. \r\n",
    b"\r\n.\t\r\n",
    b"\r\n .\r\n",
    b"\r\n..\r\n",
    b"\r\n.\x0b\r\n",
    b"\r\n.\x0c\r\n",
    b"\x0b.\x0b",
    b"\x0c.\x0c",
    b"\x85.\x85",
    b"\xc2\x85.\xc2\x85",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
    b"\r\n.=0D=0A",
    b"\r\n=2E\r\n",
    b"\r\n\xef\xbc\x8e\r\n",
    b"\r\n.\x1a\r\n",
    b"\x8d\x8a.\x8d\x8a",  # CR LF with the eighth bit set
    b"\r\n\xae\r\n",
]
SECOND = b"MAIL FROM:<admin@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: forged\r\n\r\nx"


def decoded(pieces: list[bytes]) -> tuple[bytes, bytes, bool]:
    """Content, what is behind its end, and whether it was bare."""
    decoder = ContentDecoder()
    content = b""
    for number, piece in enumerate(pieces):
        text, rest = decoder.decode(piece)
        content += text
        if decoder.finished:
            return content, rest + b"".join(pieces[number + 1 :]), decoder.bare
    raise AssertionError("the content has no end")


def cuts(data: bytes) -> list[list[bytes]]:
    return [
        [data],
        [bytes([octet]) for octet in data],
        [data[:7], data[7:]],
        [data[i : i + 2] for i in range(0, len(data), 2)],
    ]


@pytest.mark.parametrize("end", SMUGGLED_ENDS, ids=repr)
def test_nothing_else_ends_the_content(end: bytes) -> None:
    wire = b"Subject: one\r\n\r\ntext" + end + SECOND + b"\r\n.\r\nQUIT\r\n"
    for pieces in cuts(wire):
        content, rest, bare = decoded(pieces)
        assert rest == b"QUIT\r\n"
        assert content.endswith(b"RCPT TO:<victim@example.org>\nDATA\nSubject: forged\n\nx\n")
        without_line_ends = end.replace(b"\r\n", b"")
        assert bare == any(octet in without_line_ends for octet in b"\r\n\0")
        assert b"\r" not in content
        assert b"\0" not in content


@pytest.mark.parametrize("end", SMUGGLED_ENDS, ids=repr)
def test_nothing_smuggled_goes_out_again(end: bytes) -> None:
    content, _, _ = decoded([b"text" + end + SECOND + b"\r\n.\r\n"])
    wire = b"".join(stuff([content]))
    assert wire.count(b"\r\n.\r\n") == 1
    assert wire.endswith(b"\r\n.\r\n")
    only_line_ends = wire.replace(b"\r\n", b"")
    assert not any(octet in only_line_ends for octet in b"\r\n\0")
    assert decoded([wire]) == (content, b"", False)


@pytest.mark.parametrize(
    ("wire", "content", "bare"),
    [
        (b".\r\n", b"", False),
        (b"\r\n.\r\n", b"\n", False),
        (b"x\r\n.\r\n", b"x\n", False),
        (b"..\r\n.\r\n", b".\n", False),
        (b".x\r\n.\r\n", b"x\n", False),
        (b"...\r\n..x\r\n.\r\n", b"..\n.x\n", False),
        (b"x.\r\n.\r\n", b"x.\n", False),
        (b"x\ny\r\n.\r\n", b"x\ny\n", True),
        (b"x\ry\r\n.\r\n", b"x\ny\n", True),
        (b"x\r\r\n.\r\n", b"x\n\n", True),
        (b"\r\r\n.\r\n", b"\n\n", True),
        (b"\n.\r\n\r\n.\r\n", b"\n.\n\n", True),
        (b"x\0y\r\n.\r\n", b"xy\n", True),
        (b"x\r\0\ny\r\n.\r\n", b"x\n\ny\n", True),
        (b".\r\r\n.\r\n", b"\n\n", True),
        (b".\n\r\n.\r\n", b"\n\n", True),
        (b"\r.\r\n.\r\n", b"\n.\n", True),
    ],
)
def test_decoding(wire: bytes, content: bytes, bare: bool) -> None:
    for pieces in cuts(wire):
        assert decoded(pieces) == (content, b"", bare)


def test_what_is_behind_the_end_is_left_alone() -> None:
    assert decoded([b"x\r\n.\r\n.\r\nNOOP\n"]) == (b"x\n", b".\r\nNOOP\n", False)


octets = joined([b"\r", b"\n", b".", b"\0", b"\r\n", b"\r\n.", b"x", b"long text "], 30)
marks = numbers(10)


def split(data: bytes, places: list[int]) -> list[bytes]:
    cuts = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(cuts)]


def slowly(wire: bytes) -> tuple[bytes, bool]:
    """What the standard says, line by line, with nothing clever."""
    lines = wire.split(b"\r\n")
    lines = lines[: lines.index(b".")]
    plain = [line.removeprefix(b".") for line in lines]
    bare = any(octet in line for line in plain for octet in b"\r\n\0")
    clean = [line.replace(b"\r", b"\n").replace(b"\0", b"") for line in plain]
    return b"".join(line + b"\n" for line in clean), bare


@settings(deadline=None, max_examples=1000)
@given(octets, marks)
def test_any_cut_decodes_as_the_standard_says(data: bytes, places: list[int]) -> None:
    wire = data + b"\r\n.\r\n"
    content, rest, bare = decoded(split(wire, places))
    assert (content, bare) == slowly(wire)
    lines = wire.split(b"\r\n")
    assert rest == b"\r\n".join(lines[lines.index(b".") + 1 :])


contents = joined([b"\n", b".", b"..", b"x", b"\xff", b" "], 40)


@settings(deadline=None, max_examples=1000)
@given(contents, marks)
def test_stuffing_and_unstuffing_are_inverse(data: bytes, places: list[int]) -> None:
    content = data + b"\n" if data else b""
    wire = b"".join(stuff(split(content, places)))
    assert decoded([wire]) == (content, b"", False)


def with_line_ends(data: bytes) -> bytes:
    """Return the octets with a CR before each LF that has none."""
    return re.sub(rb"(?<!\r)\n", b"\r\n", data)


@settings(deadline=None, max_examples=1000)
@given(octets, marks)
def test_lenient_content_is_that_of_a_client_with_cr_before_each_lf(data: bytes, places: list[int]) -> None:
    data += b"\n.\nQUIT\n"
    lenient, strict = ContentDecoder(), ContentDecoder()
    content, rest, behind = b"", b"", iter(split(data, places))
    for piece in behind:
        text, rest = lenient.decode_lenient(piece)
        content += text
        if lenient.finished:
            break
    expected, expected_rest = strict.decode(with_line_ends(data))
    assert content == expected
    assert with_line_ends(rest + b"".join(behind)) == expected_rest
    assert lenient.bare == strict.bare
    assert lenient.size == strict.size == len(content) + content.count(b"\n")


@settings(deadline=None, max_examples=1000)
@given(octets, marks)
def test_whatever_goes_out_is_clean(data: bytes, places: list[int]) -> None:
    wire = b"".join(stuff(split(data, places)))
    assert b"\0" not in wire
    assert wire.count(b"\r") == wire.count(b"\n") == wire.count(b"\r\n")
    assert wire.endswith(b".\r\n")
    assert wire.count(b"\r\n.\r\n") + wire.startswith(b".\r\n") == 1
    assert wire == b"".join(stuff([data])), "the chunks must not show"


@pytest.mark.parametrize(
    ("chunks", "wire"),
    [
        ([], b".\r\n"),
        ([b""], b".\r\n"),
        ([b"x"], b"x\r\n.\r\n"),
        ([b"x\n"], b"x\r\n.\r\n"),
        ([b".", b"x\n", b".", b"\n"], b"..x\r\n..\r\n.\r\n"),
        ([b"x\n", b".y\n"], b"x\r\n..y\r\n.\r\n"),
        ([b"x\r", b"\ny"], b"x\r\ny\r\n.\r\n"),
        ([b"x\r", b"y"], b"x\r\ny\r\n.\r\n"),
        ([b"x\r"], b"x\r\n.\r\n"),
        ([b"x\n", b"\r"], b"x\r\n\r\n.\r\n"),
        ([b"x\r", b"", b"\n"], b"x\r\n.\r\n"),
        ([b"a\0b\n", b"\0"], b"ab\r\n.\r\n"),
    ],
)
def test_stuffing(chunks: list[bytes], wire: bytes) -> None:
    assert b"".join(stuff(chunks)) == wire


def test_crlf_stuffs_nothing() -> None:
    assert b"".join(crlf([b".x\n.", b"\n"])) == b".x\r\n.\r\n"


@pytest.mark.parametrize(
    ("pieces", "content", "bare"),
    [
        ([b""], b"", False),
        ([b"x"], b"x", False),
        ([b".\r\n.x\r\n"], b".\n.x\n", False),
        ([b"x\r", b"\ny\r\n"], b"x\ny\n", False),
        ([b"x\r", b"y"], b"x\ny", True),
        ([b"x\r"], b"x\n", True),
        ([b"x\n"], b"x\n", True),
        ([b"x\0"], b"x", True),
    ],
)
def test_chunks(pieces: list[bytes], content: bytes, bare: bool) -> None:
    decoder = ChunkDecoder()
    text = b"".join(decoder.decode(piece) for piece in pieces) + decoder.decode(b"", last=True)
    assert (text, decoder.bare) == (content, bare)


@settings(deadline=None, max_examples=500)
@given(octets, marks)
def test_the_borders_of_chunks_do_not_show(data: bytes, places: list[int]) -> None:
    whole, cut = ChunkDecoder(), ChunkDecoder()
    text = b"".join(cut.decode(piece) for piece in split(data, places)) + cut.decode(b"", last=True)
    assert text == whole.decode(data, last=True)
    assert cut.bare == whole.bare
    assert cut.size == whole.size == len(text) + text.count(b"\n")
