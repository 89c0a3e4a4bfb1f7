"""The hash of a body in its two canonical forms."""

import hashlib
import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.mailauth.body_hash import RELAXED, SIMPLE, BodyHash

BODIES = st.text(alphabet=" \t\nab", max_size=60).map(str.encode)


def canonical(body: bytes, form: str) -> bytes:
    """RFC 6376 3.4.3 and 3.4.4, word for word, without regard to cost."""
    text = body.replace(b"\n", b"\r\n")
    if form == RELAXED:
        text = re.sub(rb"[ \t]+", b" ", text)
        text = re.sub(rb" (?=\r\n|$)", b"", text)
    text = re.sub(rb"(?:\r\n)*$", b"", text, count=1)
    return text + b"\r\n" if text or form == SIMPLE else b""


def digest(pieces: list[bytes], form: str) -> bytes:
    hashed = BodyHash(form)
    for piece in pieces:
        hashed.update(piece)
    return hashed.finish()


@pytest.mark.parametrize("form", [SIMPLE, RELAXED])
@given(body=BODIES)
def test_the_hash_is_that_of_the_canonical_form(form: str, body: bytes) -> None:
    assert digest([body], form) == hashlib.sha256(canonical(body, form)).digest()


@pytest.mark.parametrize("form", [SIMPLE, RELAXED])
@given(body=BODIES, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_cut_anywhere_it_is_the_hash_of_the_whole(form: str, body: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[start:end] for start, end in itertools.pairwise(edges)]
    assert digest(pieces, form) == digest([body], form)


@pytest.mark.parametrize("form", [SIMPLE, RELAXED])
@given(body=BODIES, length=st.integers(0, 70), cut=st.integers(0, 60))
def test_a_beginning_is_that_of_the_canonical_form(form: str, body: bytes, length: int, cut: int) -> None:
    whole = canonical(body, form)
    hashed = BodyHash(form, [length])
    hashed.update(body[:cut])
    hashed.update(body[cut:])
    hashed.finish()
    assert hashed.octets == len(whole)
    if length and length <= len(whole):
        assert hashed.beginning(length) == hashlib.sha256(whole[:length]).digest()
    elif length:
        assert hashed.beginning(length) is None


@pytest.mark.parametrize(("form", "octets"), [(SIMPLE, 2), (RELAXED, 0)])
@pytest.mark.parametrize("body", [b"", b"\n", b"\n\n\n\n"])
def test_a_body_of_empty_lines_is_one_line_end_or_nothing(form: str, octets: int, body: bytes) -> None:
    hashed = BodyHash(form)
    hashed.update(body)
    assert hashed.finish() == hashlib.sha256(b"\r\n"[:octets]).digest()
    assert hashed.octets == octets


def test_a_body_of_blanks_is_nothing_in_the_relaxed_form() -> None:
    assert digest([b"  \t \n \n\n", b"  "], RELAXED) == hashlib.sha256(b"").digest()


def test_millions_of_empty_lines_and_blanks_cost_little_time_and_memory() -> None:
    hashed = BodyHash(RELAXED)
    started = time.process_time()
    hashed.update(b"x")
    for _ in range(64):
        hashed.update(b"\n" * 65_536)
        hashed.update(b" \t" * 32_768)
    hashed.update(b"x\n")
    hashed.finish()
    assert time.process_time() - started < 2.0


def test_a_mebibyte_is_hashed_in_some_milliseconds() -> None:
    body = (b"The quick  brown fox jumps over the\tlazy dog, and then it sleeps. \n" * 16_000)[: 1 << 20]
    best = 1.0
    for _ in range(5):
        started = time.process_time()
        digest([body[at : at + 65_536] for at in range(0, len(body), 65_536)], RELAXED)
        best = min(best, time.process_time() - started)
    assert best < 0.03
