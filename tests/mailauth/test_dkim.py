"""DKIM: what is signed here, what is verified here, and every kind of signature that must not pass."""

import base64
import hashlib
import re
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from smtpd_classic.dns import DnsFailure
from smtpd_classic.mailauth.canonical import canonical_field, choose_fields, group_fields, header_fields
from smtpd_classic.mailauth.dkim_sign import BadKey, SigningKey, load_signing_key, sign
from smtpd_classic.mailauth.dkim_verify import DkimResult
from smtpd_classic.mailauth.words import ResultWord
from tests.mailauth.messages import (
    BODY,
    HEADER,
    NOW,
    ed25519_key,
    key_record,
    only,
    pem,
    records,
    rsa_key,
    signed,
    signing_key,
    verify,
)

BODIES = {
    "plain": BODY,
    "empty": b"",
    "empty lines": b"\n\n\n",
    "8-bit": "Grüße\n".encode() + bytes(range(128, 256)) + b"\n",
    "no last line end": b"one\ntwo",
    "blanks": b" a  \t b \n\t\n \n",
    "dots": b".\n..\n",
}
HEADERS = {
    "plain": HEADER,
    "8-bit": HEADER + "X-Name: Jürgen\n".encode(),
    "utf-8 address": "From: Jürgen <jürgen@bücher.example>\nSubject: Grüße\n".encode(),
    "folded": HEADER + b"References:" + b"".join(b"\n <%d@example.org>" % n for n in range(300)) + b"\n",
    "odd blanks": b"From : ann@example.org\nSUBJECT:\t a \n\tb\n  \nTo:\n",
    "twice": HEADER + b"To: carl@example.net\nReceived: one\nReceived: two\n",
}


def tagged(tags: str, message: bytes | None = None) -> bytes:
    """A message whose signature has other tags; it need not be a good one."""
    return f"DKIM-Signature: {tags}\n".encode() + (HEADER + b"\n" + BODY if message is None else message)


GOOD = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=sel; h=from; bh=YWJj; b=YWJj"


@pytest.mark.parametrize("ed", [False, True], ids=["rsa", "ed25519"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_our_signature_passes_here(header: bytes, body: bytes, ed: bool) -> None:
    result = only(verify(signed(header, body, signing_key(ed=ed)), records(ed=ed)))
    assert result == DkimResult(
        ResultWord.PASS,
        "",
        "example.org",
        "sel",
        "ed25519-sha256" if ed else "rsa-sha256",
        result.shown,
    )
    assert len(result.shown) == 8


def test_the_signature_has_the_tags_and_names_of_the_policy() -> None:
    field = sign(HEADER + b"List-Id: <x>\n", [BODY], [signing_key()], now=NOW)
    text = re.sub(rb"\s+", b"", field).decode()
    assert text.startswith(f"DKIM-Signature:v=1;a=rsa-sha256;c=relaxed/relaxed;d=example.org;s=sel;t={NOW};h=")
    names = text.split("h=")[1].split(";")[0].split(":")
    assert names == (
        ["From", "From", "Reply-To", "To", "To", "Cc", "Subject", "Subject", "Date", "Date", "Message-ID", "List-Id"]
    )
    assert not {"q", "l", "z", "x"} & {tag.split("=")[0] for tag in text.partition(":")[2].split(";")}
    assert all(len(line) <= 78 for line in field.decode().splitlines())


@pytest.mark.parametrize("name", ["From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID"])
def test_no_second_field_can_be_added(name: str) -> None:
    message = signed()
    for forged in (f"{name}: x\n".encode() + message, message.replace(b"\n\n", f"\n{name}: x\n\n".encode(), 1)):
        assert only(verify(forged)).word is ResultWord.FAIL


def test_a_field_that_is_not_signed_may_be_added() -> None:
    assert only(verify(b"Received: here\nX-Spam-Flag: NO\n" + signed())).word is ResultWord.PASS


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_pieces_of_any_size_give_the_same_result(piece: int) -> None:
    assert only(verify(signed(body=b"a  b \n\n c\n\n\n"), piece=piece)).word is ResultWord.PASS


def test_a_mebibyte_passes_and_one_changed_octet_fails() -> None:
    body = b"0123456789abcdef 0123456789 abcdef 0123456789\n" * 22_000
    message = signed(body=body)
    assert only(verify(message, piece=65_536)).word is ResultWord.PASS
    assert only(verify(message[:-9] + b"x" + message[-8:], piece=65_536)).word is ResultWord.FAIL


def test_two_signatures_have_two_results() -> None:
    message = signed(HEADER, BODY, signing_key("one"), signing_key("two", ed=True))
    found = verify(message, records(selector="one") | records(selector="two", ed=True))
    assert [(each.word, each.selector) for each in found] == [(ResultWord.PASS, "one"), (ResultWord.PASS, "two")]


def test_an_unsigned_message_has_no_result() -> None:
    assert verify(HEADER + b"\n" + BODY) == ()


@pytest.mark.parametrize(
    ("record", "word", "reason"),
    [
        ((), ResultWord.PERMERROR, "no key"),
        (DnsFailure("silence"), ResultWord.TEMPERROR, "silence"),
        ((b"v=DKIM1; p=",), ResultWord.PERMERROR, "revoked"),
        ((b"v=DKIM1; p=;",), ResultWord.PERMERROR, "revoked"),
        ((b"v=DKIM2; p=YWJj",), ResultWord.PERMERROR, "version"),
        ((b"p=YWJj; v=DKIM1",), ResultWord.PERMERROR, "version"),
        ((b"k=rsa",), ResultWord.PERMERROR, "p="),
        ((b"v=DKIM1; k=rsa; p=***",), ResultWord.PERMERROR, "base64"),
        ((b"v=DKIM1; k=rsa; p=YWJj",), ResultWord.PERMERROR, "RSA"),
        ((b"v=DKIM1; k=dsa; p=YWJj",), ResultWord.PERMERROR, "type"),
        ((b"v=DKIM1; k=ed25519; p=YWJj",), ResultWord.PERMERROR, "type"),
        ((b"\xff\xfe",), ResultWord.PERMERROR, "text"),
        ((b"p=" + b"A" * 9000,), ResultWord.PERMERROR, "long"),
    ],
)
def test_a_key_record_that_cannot_be_used(record: object, word: ResultWord, reason: str) -> None:
    result = only(verify(signed(), {"sel._domainkey.example.org": record}))  # type: ignore[dict-item]
    assert (result.word, reason in result.reason) == (word, True), result


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ("h=sha1; ", ResultWord.PERMERROR),
        ("h=sha1:sha256; ", ResultWord.PASS),
        ("s=other; ", ResultWord.PERMERROR),
        ("s=other:email; ", ResultWord.PASS),
        ("t=s; ", ResultWord.PASS),
        ("t=y; ", ResultWord.PASS),
        ("n=some notes=; x-unknown=1; ", ResultWord.PASS),
        ("g=*; ", ResultWord.PASS),
    ],
)
def test_the_tags_of_a_key_record_hold(more: str, word: ResultWord) -> None:
    assert only(verify(signed(), records(more=more))).word is word


def test_one_good_record_beside_bad_ones_is_found() -> None:
    name = "sel._domainkey.example.org"
    good = records()[name]
    assert isinstance(good, tuple)
    assert only(verify(signed(), {name: (b"v=spf1 -all", b"p=", *good)})).word is ResultWord.PASS


def test_small_keys_are_refused_and_huge_ones_not_tried() -> None:
    message = signed()
    odd = (1 << 8191) + 1
    huge = rsa.RSAPublicNumbers(65537, odd).public_key()
    small = (
        b"k=rsa; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBANmBe10IgY+u7h3enWTukkqtUD5PR52T"
        b"b/mPfjC0QJTocVBq6Za/PlzfV+Py92VaCak19F4WrbVTK5Gg5tW220MCAwEAAQ=="
    )
    for record, word in ((small, ResultWord.PERMERROR), (key_record(huge), ResultWord.POLICY)):
        assert only(verify(message, {"sel._domainkey.example.org": (record,)})).word is word


@pytest.mark.parametrize("bits", [1024, 4096])
def test_keys_of_1024_and_4096_bits_pass(bits: int) -> None:
    message = signed(HEADER, BODY, SigningKey("example.org", "sel", rsa_key(bits)))
    assert only(verify(message, {"sel._domainkey.example.org": (key_record(rsa_key(bits)),)})).word is ResultWord.PASS


@pytest.mark.parametrize(
    ("tags", "word", "reason"),
    [
        ("", ResultWord.NEUTRAL, "missing"),
        ("v=1; a=rsa-sha256", ResultWord.NEUTRAL, "missing"),
        ("nonsense", ResultWord.NEUTRAL, "tag=value"),
        (GOOD.replace("v=1", "v=2"), ResultWord.NEUTRAL, "version"),
        (GOOD + "; b=AAAA", ResultWord.NEUTRAL, "twice"),
        (GOOD.replace("rsa-sha256", "rsa-md5"), ResultWord.NEUTRAL, "algorithm"),
        (GOOD.replace("rsa-sha256", "rsa-sha1"), ResultWord.PERMERROR, "sha1"),
        (GOOD.replace("relaxed/", "loose/"), ResultWord.NEUTRAL, "canonicalization"),
        (GOOD.replace("h=from", "h=to:subject"), ResultWord.PERMERROR, "From"),
        (GOOD.replace("b=YWJj", "b=*"), ResultWord.NEUTRAL, "base64"),
        (GOOD + "; q=http", ResultWord.NEUTRAL, "query"),
        (GOOD + "; i=ann@elsewhere.example", ResultWord.PERMERROR, "within"),
        (GOOD + "; i=ann@notexample.org", ResultWord.PERMERROR, "within"),
        (GOOD + "; i=ann", ResultWord.NEUTRAL, "address"),
        (GOOD + "; l=many", ResultWord.NEUTRAL, "number"),
        (GOOD + "; t=soon", ResultWord.NEUTRAL, "time"),
        (GOOD + "; t=20; x=10", ResultWord.NEUTRAL, "expires"),
        (GOOD + f"; x={NOW - 1}", ResultWord.PERMERROR, "expired"),
        (GOOD + "; l=99999999999999999999", ResultWord.PERMERROR, "more than"),
        (GOOD.replace("d=example.org", "d=org"), ResultWord.NEUTRAL, "domain"),
        (GOOD.replace("d=example.org", "d=a b.example"), ResultWord.NEUTRAL, "domain"),
        (GOOD.replace("s=sel", "s=a b"), ResultWord.NEUTRAL, "selector"),
        (GOOD.replace("s=sel", "s=" + "a" * 70), ResultWord.FAIL, ""),
        (GOOD + "; z=" + "A" * 100_000, ResultWord.NEUTRAL, "long"),
        (GOOD, ResultWord.FAIL, "body"),
    ],
)
def test_a_signature_that_cannot_pass(tags: str, word: ResultWord, reason: str) -> None:
    result = only(verify(tagged(tags)))
    assert (result.word, reason in result.reason) == (word, True), result


def resigned(tags: str, body: bytes = BODY, header: bytes = HEADER) -> bytes:
    """A message signed over a field with the given tags, by our own key: correct but for these tags."""
    names = re.search(r"h=([^;]*)", tags)
    assert names
    (own,) = header_fields(f"DKIM-Signature: {tags}; b=\n".encode())
    chosen = choose_fields(
        group_fields(header_fields(header)), [name.strip().lower().encode() for name in names[1].split(":")]
    )
    data = b"".join(canonical_field(each, "relaxed") + b"\r\n" for each in chosen) + canonical_field(own, "relaxed")
    value = base64.b64encode(signing_key().sign(data)).decode()
    return f"DKIM-Signature: {tags}; b={value}\n".encode() + header + b"\n" + body


def body_tag(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body.replace(b"\n", b"\r\n")).digest()).decode()


TAGS = f"v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=sel; h=From:Subject; bh={body_tag(BODY)}"


def test_a_signature_of_part_of_the_body_is_policy_and_of_all_of_it_passes() -> None:
    length = len(BODY.replace(b"\n", b"\r\n"))
    assert only(verify(resigned(f"{TAGS}; l={length}"))).word is ResultWord.PASS
    assert only(verify(resigned(f"{TAGS}; l={length}", BODY + b"added\n"))).word is ResultWord.POLICY
    assert only(verify(resigned(f"{TAGS}; l={length}", BODY + b"\n\n"))).word is ResultWord.PASS
    nothing = TAGS.replace(body_tag(BODY), body_tag(b""))
    assert only(verify(resigned(f"{nothing}; l=0"))).word is ResultWord.POLICY
    assert only(verify(resigned(f"{nothing}; l=0", b""))).word is ResultWord.PASS


def test_the_identity_may_be_a_subdomain_unless_the_key_is_strict() -> None:
    message = resigned(TAGS + "; i=@mail.example.org")
    assert only(verify(message)).word is ResultWord.PASS
    assert only(verify(message, records(more="t=s; "))).word is ResultWord.PERMERROR


@pytest.mark.parametrize(
    "tags",
    [
        TAGS.replace("; ", " ;\t"),
        TAGS + "; x-new=1",
        TAGS.replace("example.org", "EXAMPLE.ORG"),
        TAGS.replace("rsa-sha256", "RSA-SHA256"),
        TAGS.replace("From:Subject", "from : SUBJECT : subject : nonsense"),
        TAGS.replace("bh=", "bh= ").replace("s=sel", "s = sel "),
        TAGS + f"; t={NOW + 100}",
        TAGS + f"; x={NOW + 1}",
        TAGS + "; q=dns/txt:http",
        TAGS + "; i=J=C3=BCrgen@example.org",
    ],
)
def test_odd_but_correct_tags_pass(tags: str) -> None:
    assert only(verify(resigned(tags))).word is ResultWord.PASS


def test_a_folded_signature_with_blanks_in_base64_passes() -> None:
    message = resigned(TAGS).decode()
    value = re.search(r"b=([^;\n]+)\n", message.partition("bh=")[2])
    assert value
    message = message.replace(value[1], "\n ".join(re.findall(".{1,40}", value[1])))
    assert only(verify(message.encode())).word is ResultWord.PASS


def test_international_domains_are_asked_for_as_a_labels() -> None:
    key = SigningKey("bücher.example", "prüf", rsa_key())
    message = signed("From: a@bücher.example\n".encode(), BODY, key)
    asked = {"xn--prf-ioa._domainkey.xn--bcher-kva.example": (key_record(rsa_key()),)}
    result = only(verify(message, asked))
    assert (result.word, result.domain) == (ResultWord.PASS, "xn--bcher-kva.example")


def test_at_most_five_signatures_are_verified_those_of_the_author_first() -> None:
    others = b"".join(
        b"DKIM-Signature: " + GOOD.replace("example.org", f"d{n}.example").encode() + b"\n" for n in range(50)
    )
    found = verify(others + signed())
    assert len(found) == 5
    assert found[0].word is ResultWord.PASS


def test_fifty_signatures_cost_little() -> None:
    own = signed()
    field = own[: own.index(b"From: Ann")]
    body = b"text\n" * 200_000
    started = time.process_time()
    found = verify(field * 50 + HEADER + b"\n" + body)
    assert time.process_time() - started < 0.25
    assert {each.word for each in found} == {ResultWord.FAIL}


@pytest.mark.parametrize("traditional", [False, True])
def test_key_files_of_both_forms_are_read(traditional: bool) -> None:
    key = load_signing_key(pem(rsa_key(), traditional=traditional), "example.org", "sel")
    assert only(verify(signed(HEADER, BODY, key))).word is ResultWord.PASS


@pytest.mark.parametrize("text", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_without_a_key_says_so(text: bytes) -> None:
    with pytest.raises(BadKey):
        load_signing_key(text, "example.org", "sel")


def test_an_ed25519_key_file_is_read() -> None:
    assert load_signing_key(pem(ed25519_key()), "example.org", "sel").algorithm == "ed25519-sha256"
