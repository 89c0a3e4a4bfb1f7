"""Headers of 250 KiB that are made to cost time: the work of reception for one message, with all checks of mail on."""

import time

import pytest

from smtpd_classic.dns import FixedResolver
from tests.mailauth.messages import BODY, HEADER, records, signed
from tests.mailauth.test_hostile import lines_run
from tests.reception.world import World, world

MOST_LINES = 300_000  # of Python; the worst of these headers costs 25 ms of CPU
MOST_S = 1.0  # the figure is 0.05 s, and a busy machine is slower; without bounds combining characters cost 30 s
LENGTH = 250_000
SIGNATURE = signed().partition(b"From: Ann")[0]
U_LABELS = b".".join([b"\xc3\xbc" * 18] * 6)
MARKS = "\u0344\u0315".encode()  # combining characters, which normalization sorts in quadratic time
RESULTS = b"Authentication-Results: a; spf=pass"


def filled(unit: bytes, length: int = LENGTH) -> bytes:
    return unit * (length // len(unit))


def all_at_once(author: bytes, results: bytes, filler: bytes) -> bytes:
    """A header that costs time in every check: signatures, author, results of others, fields that we remove."""
    signatures = (
        SIGNATURE.replace(b"d=example.org", b"d=" + U_LABELS + b".org") * 50
        + SIGNATURE.replace(b"h=", b"h=" + b"a:" * 900) * 5
        + SIGNATURE.replace(b"relaxed/relaxed", b"simple/simple") * 2
        + SIGNATURE * 3
    )
    rest = HEADER.replace(b"Ann <ann@example.org>", author).replace(b"dinner", b"a  \t " * 10_000)
    header = signatures + results + rest
    return filled(filler, LENGTH - len(header)) + header


HEADERS = {
    "an author of many atoms": all_at_once(
        b"a." * 1_990 + b"a@b.example", RESULTS + b" a.b=c" * 990 + b"\n", b"a:" + b" \t" * 499 + b"\n"
    ),
    "many authors": all_at_once(
        b",".join("a@ü%d.cc".encode() % n for n in range(50)), (RESULTS + b" a.b=c" * 17 + b"\n") * 50, b"a :\n"
    ),
    "thousands of authors": all_at_once(
        b",".join("a@ü%d.cc".encode() % n for n in range(1_500)), RESULTS + b";a=b" * 8_000 + b"\n", b"x\n"
    ),
    "comments": all_at_once(
        b"()" * 2_000 + b"<a@b.example>", RESULTS + b"(a)" * 10_000 + b"\n", b"Authentication-Results: a\n"
    ),
    "delivery fields": all_at_once(
        b"a@b.example", RESULTS + b" a.b=c" * 5_000 + b"\n", b"Return-Path:\nEnvelope-To:a\nX-Spam-Flag :\n"
    ),
    "Delivered-To of others": all_at_once(b"a@b.example", b"", b"Delivered-To: a@b" + b"x" * 236 + b"\n"),
    "combining characters in Delivered-To": b"Delivered-To: " + filled(MARKS) + b"@example.org\n" + HEADER,
    "combining characters in an author": HEADER.replace(b"Ann <ann", b"<a@" + MARKS * 900 + b"> <ann"),
    "combining characters in the author's name": HEADER.replace(b"Ann", b'"boss@' + MARKS * 900 + b'"'),
    "combining characters in results": b"Authentication-Results: " + filled(MARKS, 32_000) + b"; none\n" + HEADER,
    "combining characters in a signature": filled(SIGNATURE.replace(b"d=", b"d=" + MARKS * 8_000)) + HEADER,
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> World:
    resolver = FixedResolver(
        txt={**records(), "_dmarc.example.org": (b"v=DMARC1; p=reject",)},
        mx={"elsewhere.example": [(10, "mx.elsewhere.example")]},
        addresses={"mx.elsewhere.example": ["198.51.100.25"]},
    )
    return world(tmp_path_factory.mktemp("world"), resolver=resolver)


def receive(here: World, header: bytes) -> str:
    talk = here.talk()
    talk()
    for line in ("EHLO x.example", "MAIL FROM:<a@elsewhere.example>", "RCPT TO:<joe@example.org>"):
        assert talk.line(line).startswith("250")
    talk.line("DATA")
    content = (header + b"\n" + BODY).replace(b"\n", b"\r\n") + b".\r\n"
    said = b"".join(talk(content[at : at + 65_536]) for at in range(0, len(content), 65_536))
    talk.end()
    return said.decode()


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_reception_bounds_its_work_for_a_header(here: World, header: bytes) -> None:
    assert len(header) < 262_144
    began = time.thread_time()
    assert receive(here, header).startswith("250")
    assert time.thread_time() - began < MOST_S
    assert lines_run(lambda: receive(here, header)) < MOST_LINES


def test_more_deliveries_than_any_route_has_are_a_loop(here: World) -> None:
    other = b"Delivered-To: friend@elsewhere.example\n"
    assert receive(here, other * 1_000 + HEADER).startswith("250")
    assert receive(here, other * 1_001 + HEADER) == (
        "554 5.4.6 Too many hops, a mail loop; check the forwarding of the recipient.\r\n"
    )
