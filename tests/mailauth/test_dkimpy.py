"""dkimpy as the other side: its corpus is judged alike here, and each verifies what the other signs."""

import random
import re
from collections.abc import Callable

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.mailauth.dkim_sign import load_signing_key, sign
from smtpd_classic.mailauth.words import ResultWord
from tests.mailauth.messages import NOW, ed25519_key, key_record, only, pem, rsa_key, verify
from tests.mailauth.test_dkim import BODIES, HEADERS
from tests.tools import TOOLS

DATA = TOOLS / "dkimpy" / "dkim" / "tests" / "data"
FORMS = [b"simple", b"relaxed"]
TXT: dict[str, str | bytes] = {
    "test._domainkey.football.example.com": "test.txt",
    "brisbane._domainkey.football.example.com": b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test._domainkey.example.com": "test.txt",
    "test._domainkey.example.net": b"v=DKIM1; k=ed25519; p=yi50DjK5O9pqbFpNHklsv9lqaS0ArSYu02qp1S0DW1Y=",
    "sed._domainkey.test.ex": "eximtest.dns",
}


def data(name: str) -> bytes:
    return (DATA / name).read_bytes()


def records() -> dict[str, tuple[bytes, ...]]:
    return {name: (data(text).strip() if isinstance(text, str) else text,) for name, text in TXT.items()}


def crlf(message: bytes) -> bytes:
    return message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def accepted_by_dkimpy(message: bytes, txt: dict[str, tuple[bytes, ...]]) -> bool:
    def answer(name: bytes, timeout: int = 5) -> bytes:
        return b"".join(txt.get(name.decode().removesuffix("."), ()))

    return bool(dkim.verify(crlf(message), dnsfunc=answer))


@pytest.mark.parametrize("name", ["rfc6376.signed.msg", "rfc6376.signed.rsa.msg"])
def test_the_examples_of_rfc_6376_and_8463_pass(name: str) -> None:
    found = verify(data(name), records(), author="football.example.com")
    assert found
    assert all(each.word is ResultWord.PASS for each in found), found


@pytest.mark.parametrize("name", ["rfc6376.signed.no_t.msg", "message.mbox"])
def test_what_dkimpy_does_not_take_fails(name: str) -> None:
    assert all(each.word is not ResultWord.PASS for each in verify(data(name), records()))


def test_a_message_that_exim_signed_passes() -> None:
    assert only(verify(data("ed25519test2.msg"), records())).word is ResultWord.PASS


@pytest.mark.parametrize("key", ["2048_testkey.key", "2048_testkey_PKCS8.key", "1024_testkey.key"])
@pytest.mark.parametrize("kind", ["", ".rsa"])
@pytest.mark.parametrize("header", FORMS)
@pytest.mark.parametrize("body", FORMS)
def test_keys_in_both_encodings_verify_what_dkimpy_signs(key: str, kind: str, header: bytes, body: bytes) -> None:
    message = crlf(data("test.message"))
    field = dkim.sign(message, b"test", b"example.com", data(key), canonicalize=(header, body))
    record = data(f"{key[:4]}_testkey_wo_markers.pub{kind}.txt")
    if key == "2048_testkey_PKCS8.key":
        record = data("2048_testkey_PKCS8.key.pub.txt")
    assert only(verify(field + message, {"test._domainkey.example.com": (record.strip(),)})).word is ResultWord.PASS


@pytest.mark.parametrize("ed", [False, True], ids=["rsa", "ed25519"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("header", [HEADERS[name] for name in ("plain", "8-bit", "folded")])
def test_dkimpy_verifies_what_we_sign(header: bytes, body: bytes, ed: bool) -> None:
    private = ed25519_key() if ed else rsa_key()
    key = load_signing_key(pem(private), "example.org", "sel")
    message = sign(header, [body], [key], now=NOW) + header + b"\n" + body
    assert accepted_by_dkimpy(message, {"sel._domainkey.example.org": (key_record(private),)})


PIECES = st.lists(st.sampled_from([b"word", b" ", b"\t", b"\r\n", b"  \r\n", b"=20", "é".encode()]), max_size=30)


@settings(max_examples=60, deadline=None)
@given(body=PIECES.map(b"".join), folded=PIECES.map(b"".join), forms=st.tuples(*[st.sampled_from(FORMS)] * 2))
def test_we_verify_what_dkimpy_signs(body: bytes, folded: bytes, forms: tuple[bytes, bytes]) -> None:
    subject = re.sub(rb"\r\n(?![ \t])", b"\r\n ", folded + b"end").replace(b"\r\n \r\n", b"\r\n ")
    message = b"From: ann@example.org\r\nSubject: " + subject + b"\r\nTo: b\r\n\r\n" + body + b"\r\n"
    key = pem(rsa_key(), traditional=True)
    field = dkim.sign(message, b"sel", b"example.org", key, canonicalize=forms)
    txt = {"sel._domainkey.example.org": (key_record(rsa_key()),)}
    assert only(verify(field + message, txt)).word is ResultWord.PASS


def changed(message: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(message))
    return message[:at] + bytes((chance.randrange(32, 127),)) + message[at + 1 :]


@pytest.mark.parametrize("make", [changed])
def test_a_changed_message_passes_only_where_it_passes_there(make: Callable[[bytes, random.Random], bytes]) -> None:
    message = data("rfc6376.signed.rsa.msg").replace(b"\r\n", b"\n")
    chance = random.Random(6376)
    for _ in range(300):
        other = make(message, chance)
        ours = any(each.word is ResultWord.PASS for each in verify(other, records(), author=""))
        try:
            theirs = accepted_by_dkimpy(other, records())
        except Exception:  # it fails in many ways where a field cannot be read
            theirs = False
        assert not ours or theirs, other
