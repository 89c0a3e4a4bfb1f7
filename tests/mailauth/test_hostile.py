"""Messages and records made to cost time or to be read in two ways, and every result word of RFC 8601."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from smtpd_classic.dns import DnsFailure, FixedResolver
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.message_check import MessageCheck, MessageResults, results_field
from smtpd_classic.mailauth.results import parse_results
from smtpd_classic.mailauth.spf import SpfQuery, check_spf
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.reception.foreign_results import without_foreign_results
from tests.mailauth.messages import BODY, HEADER, NOW, key_record, records, rsa_key, signed, signing_key

IP = "192.0.2.1"
MOST_LINES = 60_000  # about 10 ms; 1,450,000 without bounds
MOST_LINES_FOR_RESULTS = 30_000
MOST_S = 1.0  # the figure is 0.05 s and 0.01 s a MiB; a busy machine is slower
Txt = Mapping[str, Sequence[bytes] | Exception]
FIELD = signed().partition(b"From: Ann")[0]
REST = HEADER.partition(b"\n")[2]


def results(
    header: bytes, body: bytes = BODY, txt: Txt | None = None, sender: str = "ann@example.org"
) -> MessageResults:
    """The results of all checks together, as reception asks for them."""
    lookups = Lookups(FixedResolver(txt=records() if txt is None else txt))
    spf = check_spf(SpfQuery(IP, "ann@example.org", "mx.example", "us.example"), lookups)
    check = MessageCheck(HeaderBlock(header), spf, lookups, NOW)
    for at in range(0, len(body), 65_536):
        check.update(body[at : at + 65_536])
    found = check.finish()
    assert lookups.questions <= 60
    assert len(results_field("us.example", found, "junk")) < 8_000
    return found


HOSTILE_HEADERS = {
    "fifty signatures": FIELD * 50 + HEADER,
    "a signature field of 100 KiB": FIELD[:-1] + b" ;x=" + b"y \n " * 25_000 + b"\n" + HEADER,
    "blanks in a signature": b"DKIM-Signature: v=1;" + b" \n " * 33_000 + b"a=rsa-sha256\n" + HEADER,
    "thousands of signed names": FIELD.replace(b"h=", b"h=" + b"x:" * 25_000) * 5 + HEADER,
    "thousands of fields": FIELD * 5 + b"a:\n" * 60_000 + HEADER,
    "thousands of tags": (b"DKIM-Signature: " + b"".join(b"a%d=b;" % n for n in range(6_000)) + b"\n") * 5 + HEADER,
    "a long value": FIELD.replace(b"b=", b"b=" + b"A" * 60_000) * 4 + HEADER,
    "a folded subject": FIELD * 5 + HEADER.replace(b"dinner", b"a  \t " * 50_000),
    "a domain of many letters": FIELD.replace(b"d=example", b"d=" + b"\xc3\xbc" * 10_000) * 5 + HEADER,
    "thousands of authors": b"From: " + b",\n ".join(b"a%d@x%d.example" % (n, n) for n in range(9_000)) + b"\n" + REST,
    "nested comments": b"From: " + b"(" * 200_000 + b"\n" + REST,
    "angle brackets": b"From: " + b"<a@b> " * 30_000 + b"\n" + REST,
    "quotation marks": b"From: " + b'"' * 200_001 + b"\n" + REST,
    "blanks behind the author": b"From: a@b.example" + b" \n " * 60_000 + b"x\n" + REST,
    "thousands of From fields": b"From: a@b.c\n" * 20_000 + HEADER,
    "thousands of empty From fields": b"From:\n" * 40_000 + HEADER,
    "thousands of lines like From": b"from x\n" * 35_000 + HEADER,
    "hundreds of signatures": FIELD * 600 + HEADER,
    "thousands of empty signatures": b"DKIM-Signature:\n" * 16_000 + HEADER,
    "as many signed fields": FIELD.replace(b"h=", b"h=" + b"a:" * 20_000) * 5 + b"a:\n" * 20_000 + HEADER,
    "a hundred labels": b"From: a@" + b".".join([b"a"] * 120) + b"\n" + REST,
}


def lines_run(work: Callable[[], object]) -> int:
    """The number of lines of Python that the work runs: the same on every machine, whatever its load."""
    number = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        nonlocal number
        number += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return number


@pytest.mark.parametrize("header", HOSTILE_HEADERS.values(), ids=HOSTILE_HEADERS)
def test_the_work_for_a_header_is_bounded_before_it_begins(header: bytes) -> None:
    assert lines_run(lambda: results(header)) < MOST_LINES


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: us.example; none\n",
        b"Authentication-Results: a;" + b"(" * 2_000 + b")" * 2_000 + b" none\n",
        b"Authentication-Results: a; spf=pass " + b"a.b=c " * 1_000 + b"\n",
        b"X-Spam-Flag: NO\n",
    ],
)
def test_the_work_for_results_of_others_is_bounded_before_it_begins(field: bytes) -> None:
    header = HeaderBlock(field * (250_000 // len(field)) + HEADER)
    assert without_foreign_results(header, frozenset({"us.example"})) == HEADER
    assert lines_run(lambda: without_foreign_results(header, frozenset({"us.example"}))) < MOST_LINES_FOR_RESULTS


@pytest.mark.parametrize("header", HOSTILE_HEADERS.values(), ids=HOSTILE_HEADERS)
def test_no_header_costs_much_time(header: bytes) -> None:
    started = time.process_time()
    results(header)
    assert time.process_time() - started < MOST_S


def test_a_header_of_too_many_fields_has_one_neutral_result() -> None:
    assert [each.word for each in results(b"a:\n" * 1_900 + FIELD + HEADER).dkim] == ["pass"]
    (found,) = results(b"a:\n" * 2_000 + FIELD * 3 + HEADER).dkim
    assert (found.word, found.reason) == ("neutral", "the header has more than 2000 fields")
    assert not results(b"a:\n" * 2_000 + HEADER).dkim


HOSTILE_RECORDS = {
    "example.org": b"v=spf1 " + b"ip4:192.0.3.0/24 " * 3_800 + b"-all",
    "EXAMPLE.ORG": b"v=spf1 " + b"exists:" + b"%{l1r}" * 10_000 + b" -all",
    "Example.org": b"v=spf1 " + b"include:%{i}.%{l}.%{h} " * 300 + b"-all",
    "_dmarc.example.org": b"v=DMARC1; p=reject; rua=" + b"mailto:a@b.example," * 3_500,
    "sel._domainkey.example.org": b"v=DKIM1; p=" + b"A" * 60_000,
}


@pytest.mark.parametrize(("name", "record"), HOSTILE_RECORDS.items(), ids=HOSTILE_RECORDS)
def test_no_record_costs_much_time(name: str, record: bytes) -> None:
    started = time.process_time()
    results(FIELD + HEADER, txt={name.lower(): (record,) * (20 if "_domainkey" in name else 1)})
    assert time.process_time() - started < MOST_S


def test_no_body_costs_much_time() -> None:
    body = b"a  b \t \n" * 130_000
    started = time.process_time()
    results(FIELD + FIELD.replace(b"relaxed/relaxed", b"simple/simple") + HEADER, body)
    assert time.process_time() - started < MOST_S


def test_a_signature_field_of_100_kib_is_neutral() -> None:
    (found,) = results(HOSTILE_HEADERS["a signature field of 100 KiB"]).dkim
    assert (found.word, found.reason) == ("neutral", "the signature field is too long")


def test_a_key_record_of_ten_strings_is_read_as_one() -> None:
    record = key_record(rsa_key(), "n=" + "note " * 400 + ";")
    strings = [record[at : at + 250] for at in range(0, len(record), 250)]
    assert len(strings) >= 10
    (found,) = results(FIELD + HEADER, txt={"sel._domainkey.example.org": (b"".join(strings),)}).dkim
    assert found.word == "pass"


@pytest.mark.parametrize(
    ("author", "domain", "word"),
    [
        ("Ann <ann@EXAMPLE.org.>", "example.org", "fail"),
        ("Friends: ann@example.org, bob@example.org;", "example.org", "fail"),
        ("Friends: ann@example.org, bob@other.example;", "", "permerror"),
        ("Friends:;", "", "permerror"),
        ("ann@example.org, bob@other.example", "", "permerror"),
        ("ann@example.org\nFrom: ann@example.org", "", "permerror"),
        ('"ann@other.example" <ann@example.org>', "example.org", "fail"),
        ("ann@example.org <ann@other.example>", "", "permerror"),
        ("<ann@example.org> <bob@other.example>", "", "permerror"),
        ("ann@bücher.example", "xn--bcher-kva.example", "none"),
        ("ann@xn--bcher-kva.example", "xn--bcher-kva.example", "none"),
        ("ann@localhost", "", "none"),
    ],
)
def test_an_author_has_one_domain_for_every_reader_or_none(author: str, domain: str, word: str) -> None:
    found = results(f"From: {author}\n".encode() + REST, txt={"_dmarc.example.org": (b"v=DMARC1; p=reject",)})
    assert (found.dmarc.domain, str(found.dmarc.word)) == (domain, word)


SPF = "smtp.mailfrom=example.org"
HUGE_KEY = rsa.RSAPublicNumbers(65537, (1 << 5000) + 1).public_key()
SILENCE = DnsFailure("silence")
WORDS: dict[str, tuple[bytes, Txt]] = {
    "dkim=none": (HEADER, {}),
    "dkim=pass": (FIELD + HEADER, records()),
    "dkim=fail": (FIELD + HEADER.replace(b"dinner", b"lunch"), records()),
    "dkim=policy": (FIELD + HEADER, {"sel._domainkey.example.org": (key_record(HUGE_KEY),)}),
    "dkim=neutral": (b"DKIM-Signature: v=2\n" + HEADER, records()),
    "dkim=temperror": (FIELD + HEADER, {"sel._domainkey.example.org": SILENCE}),
    "dkim=permerror": (FIELD + HEADER, {"sel._domainkey.example.org": (b"v=DKIM1; p=",)}),
    "spf=none": (HEADER, {}),
    "spf=pass": (HEADER, {"example.org": (b"v=spf1 ip4:192.0.2.1 -all",)}),
    "spf=fail": (HEADER, {"example.org": (b"v=spf1 -all",)}),
    "spf=softfail": (HEADER, {"example.org": (b"v=spf1 ~all",)}),
    "spf=neutral": (HEADER, {"example.org": (b"v=spf1 ?all",)}),
    "spf=temperror": (HEADER, {"example.org": SILENCE}),
    "spf=permerror": (HEADER, {"example.org": (b"v=spf1 nonsense",)}),
    "dmarc=none": (HEADER, {}),
    "dmarc=pass": (FIELD + HEADER, {**records(), "_dmarc.example.org": (b"v=DMARC1; p=reject",)}),
    "dmarc=fail": (HEADER, {"_dmarc.example.org": (b"v=DMARC1; p=reject",)}),
    "dmarc=temperror": (HEADER, {"_dmarc.example.org": SILENCE}),
    "dmarc=permerror": (b"Subject: no author\n", {}),
}


@pytest.mark.parametrize(("word", "header", "txt"), [(word, *case) for word, case in WORDS.items()], ids=WORDS)
def test_every_result_word_is_reached(word: str, header: bytes, txt: Txt) -> None:
    field = results_field("us.example", results(header, txt=txt), "mark")
    read = parse_results(field.partition(":")[2])
    assert word in {f"{each.method}={each.result}" for each in read.results}


def test_a_failed_look_up_of_any_kind_is_never_a_reason_against_the_message() -> None:
    for name in ("example.org", "_dmarc.example.org", "sel._domainkey.example.org"):
        txt: Txt = {"_dmarc.example.org": (b"v=DMARC1; p=reject",), "example.org": (b"v=spf1 -all",), name: SILENCE}
        assert results(FIELD + HEADER, txt=txt).dmarc.word == "temperror", name


def test_a_second_signature_that_passes_confirms_beside_one_that_fails() -> None:
    other = signed(HEADER, BODY, signing_key("gone")).partition(b"From: Ann")[0]
    txt = {**records(), "_dmarc.example.org": (b"v=DMARC1; p=reject",)}
    found = results(other + FIELD + HEADER, txt=txt)
    assert [str(each.word) for each in found.dkim] == ["permerror", "pass"]
    assert found.dmarc.word == "pass"
