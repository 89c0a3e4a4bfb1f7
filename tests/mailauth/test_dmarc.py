"""DMARC: discovery of the policy, alignment, and the organizational domain (RFC 9989)."""

from collections.abc import Mapping, Sequence

import pytest

from smtpd_classic.dns import DnsFailure, FixedResolver
from smtpd_classic.mailauth.dkim_verify import DkimResult
from smtpd_classic.mailauth.dmarc import DmarcResult, check_dmarc, tree_walk_names
from smtpd_classic.mailauth.dmarc_record import mailto_uri, parse_dmarc_record, report_address
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.spf import SpfResult
from smtpd_classic.mailauth.words import ResultWord

Txt = Mapping[str, Sequence[bytes] | Exception]
REJECT = (b"v=DMARC1; p=reject",)


def spf(domain: str, word: ResultWord = ResultWord.PASS) -> SpfResult:
    return SpfResult(word, domain)


def dkim(domain: str, word: ResultWord = ResultWord.PASS) -> DkimResult:
    return DkimResult(word, "", domain, "sel")


def check(
    author: str,
    txt: Txt,
    *,
    spf_result: SpfResult | None = None,
    dkim_results: Sequence[DkimResult] = (),
    hosts: Sequence[str] = (),
) -> DmarcResult:
    resolver = FixedResolver(txt=txt, addresses={host: ["192.0.2.1"] for host in hosts})
    return check_dmarc(author, spf_result, dkim_results, Lookups(resolver))


def test_a_tree_walk_asks_at_most_eight_names() -> None:
    assert tree_walk_names("a.mail.example.com") == ["a.mail.example.com", "mail.example.com", "example.com", "com"]
    deep = "a.b.c.d.e.f.g.h.i.j.mail.example.com"
    names = tree_walk_names(deep)
    assert (len(names), names[0], names[-1]) == (8, deep, "com")
    assert names[1:3] == ["g.h.i.j.mail.example.com", "h.i.j.mail.example.com"]
    assert tree_walk_names("a.b.c.d.e.f.example.com")[1] == "b.c.d.e.f.example.com"


def test_without_a_record_the_result_is_none() -> None:
    assert check("example.org", {}).word is ResultWord.NONE


@pytest.mark.parametrize(
    ("spf_result", "dkim_results", "word"),
    [
        (spf("example.org"), [], ResultWord.PASS),
        (spf("mail.example.org"), [], ResultWord.PASS),
        (None, [dkim("example.org")], ResultWord.PASS),
        (None, [dkim("other.example"), dkim("news.example.org")], ResultWord.PASS),
        (spf("other.example"), [dkim("another.example")], ResultWord.FAIL),
        (spf("example.org", ResultWord.FAIL), [], ResultWord.FAIL),
        (spf("example.org", ResultWord.SOFTFAIL), [], ResultWord.FAIL),
        (spf("example.org", ResultWord.TEMPERROR), [], ResultWord.TEMPERROR),
        (spf("other.example", ResultWord.TEMPERROR), [], ResultWord.FAIL),
        (spf("example.org", ResultWord.TEMPERROR), [dkim("example.org")], ResultWord.PASS),
        (None, [dkim("example.org", ResultWord.TEMPERROR)], ResultWord.TEMPERROR),
        (None, [dkim("example.org", ResultWord.POLICY)], ResultWord.FAIL),
        (spf("badexample.org"), [dkim("org")], ResultWord.FAIL),
        (None, [], ResultWord.FAIL),
    ],
)
def test_spf_or_dkim_of_the_same_organization_passes(
    spf_result: SpfResult | None, dkim_results: list[DkimResult], word: ResultWord
) -> None:
    result = check("example.org", {"_dmarc.example.org": REJECT}, spf_result=spf_result, dkim_results=dkim_results)
    assert (result.word, result.policy) == (word, "reject")


def test_strict_alignment_wants_the_very_domain() -> None:
    txt = {"_dmarc.example.org": (b"v=DMARC1; p=reject; adkim=s; aspf=s",)}
    assert check("example.org", txt, dkim_results=[dkim("a.example.org")]).word is ResultWord.FAIL
    assert check("example.org", txt, spf_result=spf("a.example.org")).word is ResultWord.FAIL
    assert check("example.org", txt, dkim_results=[dkim("example.org")]).word is ResultWord.PASS


@pytest.mark.parametrize(
    ("record", "existing", "missing"),
    [
        (b"v=DMARC1; p=reject", "reject", "reject"),
        (b"v=DMARC1; p=reject; sp=none", "none", "none"),
        (b"v=DMARC1; p=none; np=reject", "none", "reject"),
        (b"v=DMARC1; p=none; sp=quarantine; np=reject", "quarantine", "reject"),
    ],
)
def test_a_subdomain_has_the_policy_of_its_organization(record: bytes, existing: str, missing: str) -> None:
    txt = {"_dmarc.example.org": (record,)}
    assert check("a.example.org", txt, hosts=["a.example.org"]).policy == existing
    assert check("a.example.org", txt).policy == missing


def test_the_record_of_the_author_domain_comes_first() -> None:
    txt = {"_dmarc.example.org": REJECT, "_dmarc.a.example.org": (b"v=DMARC1; p=none",)}
    result = check("a.example.org", txt)
    assert (result.policy, result.record_domain) == ("none", "a.example.org")
    # The organization is still example.org, because that record has the fewest labels.
    assert check("a.example.org", txt, spf_result=spf("example.org")).word is ResultWord.PASS


def test_psd_n_ends_an_organization() -> None:
    txt = {"_dmarc.example.org": REJECT, "_dmarc.a.example.org": (b"v=DMARC1; p=none; psd=n",)}
    assert check("a.example.org", txt, spf_result=spf("example.org")).word is ResultWord.FAIL
    assert check("a.example.org", txt, spf_result=spf("b.a.example.org")).word is ResultWord.PASS
    assert check("example.org", txt, spf_result=spf("a.example.org")).word is ResultWord.FAIL


def test_below_a_public_suffix_the_next_label_is_the_organization() -> None:
    txt: Txt = {
        "_dmarc.bank.example": (b"v=DMARC1; p=reject; psd=y",),
        "_dmarc.giant.bank.example": (b"v=DMARC1; p=none",),
    }
    giant = check(
        "giant.bank.example",
        txt,
        spf_result=spf("mail.giant.bank.example"),
        dkim_results=[dkim("mail.mega.bank.example")],
    )
    assert giant.word is ResultWord.PASS
    assert check("giant.bank.example", txt, dkim_results=[dkim("mail.mega.bank.example")]).word is ResultWord.FAIL
    mega = check("mega.bank.example", txt)
    assert (mega.word, mega.policy, mega.record_domain) == (ResultWord.FAIL, "reject", "bank.example")


def test_two_records_at_one_name_are_none_and_the_walk_goes_on() -> None:
    txt: Txt = {"_dmarc.a.example.org": REJECT * 2, "_dmarc.example.org": (b"v=DMARC1; p=quarantine",)}
    assert check("a.example.org", txt).policy == "quarantine"
    assert check("example.org", {"_dmarc.example.org": REJECT * 2}).word is ResultWord.NONE


@pytest.mark.parametrize(
    ("record", "asked"),
    [
        (b"v=DMARC1; p=reject; t=y", "quarantine"),
        (b"v=DMARC1; p=quarantine; t=y", "none"),
        (b"v=DMARC1; p=reject; pct=0", "reject"),
    ],
)
def test_testing_is_one_step_milder_and_pct_means_nothing(record: bytes, asked: str) -> None:
    assert check("example.org", {"_dmarc.example.org": (record,)}).asked == asked


@pytest.mark.parametrize(
    ("record", "word", "policy"),
    [
        (b"v=DMARC1", ResultWord.NONE, ""),
        (b"v=DMARC1; p=maybe", ResultWord.NONE, ""),
        (b"v=DMARC1; p=maybe; rua=mailto:a@example.org", ResultWord.FAIL, "none"),
        (b"v=DMARC1; rua=mailto:a@example.org", ResultWord.FAIL, "none"),
        (b"v=DMARC1; p=reject; sp=maybe", ResultWord.NONE, ""),
        (b"v=DMARC1;p=REJECT", ResultWord.FAIL, "reject"),
        (b"v = DMARC1 ; p = reject ; unknown ; x=1;", ResultWord.FAIL, "reject"),
        (b"V=DMARC1; P=reject", ResultWord.FAIL, "reject"),
        (b"v=dmarc1; p=reject", ResultWord.NONE, ""),
        (b"p=reject; v=DMARC1", ResultWord.NONE, ""),
        (b"v=DMARC12; p=reject", ResultWord.NONE, ""),
        (b"v=DMARC1; \xff=1; p=reject", ResultWord.FAIL, "reject"),
    ],
)
def test_odd_records(record: bytes, word: ResultWord, policy: str) -> None:
    result = check("example.org", {"_dmarc.example.org": (record,)})
    assert (result.word, result.policy) == (word, policy)


def test_a_failure_of_dns_is_temperror() -> None:
    assert check("example.org", {"_dmarc.example.org": DnsFailure("silence")}).word is ResultWord.TEMPERROR
    txt: Txt = {"_dmarc.example.org": REJECT, "_dmarc.a.example.org": DnsFailure("silence")}
    assert check("example.org", txt, spf_result=spf("a.example.org")).word is ResultWord.TEMPERROR


def test_strangers_cost_no_questions() -> None:
    lookups = Lookups(FixedResolver(txt={"_dmarc.example.org": REJECT}))
    strangers = [dkim(f"d{number}.example.com") for number in range(5)]
    check_dmarc("example.org", spf("mailer.example"), strangers, lookups)
    assert lookups.questions == 1


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("dmarc+reports@example.org", "mailto:dmarc+reports@example.org"),
        ("a!b@example.org", "mailto:a%21b@example.org"),
        ("a%b@example.org", "mailto:a%25b@example.org"),
        ('"a b,c"@example.org', "mailto:%22a%20b%2Cc%22@example.org"),
        ("dmärc@bücher.example", "mailto:dm%C3%A4rc@xn--bcher-kva.example"),
    ],
)
def test_the_uri_of_an_address_can_stand_in_a_record(address: str, uri: str) -> None:
    assert mailto_uri(address) == uri
    assert parse_dmarc_record(f"v=DMARC1; p=none; rua={uri}, {uri}".encode()).reports_to == (uri, uri)
    local, _, domain = report_address(uri).rpartition("@")
    assert (local, domain) == (address.rpartition("@")[0], uri.rpartition("@")[2])


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("mailto:a@Example.net!10m", "a@example.net"),
        ("MAILTO:a@example.net!5", "a@example.net"),
        ("mailto:a!10m@example.net", "a!10m@example.net"),
        ("mailto:a%21b@example.net?subject=x", "a!b@example.net"),
        ("https://example.net/reports@here", ""),
    ],
)
def test_the_address_of_a_uri_is_read(uri: str, address: str) -> None:
    assert report_address(uri) == address


def test_report_addresses_are_read() -> None:
    record = parse_dmarc_record(b"v=DMARC1; p=none; rua=mailto:a@example.org, mailto:b@example.net!10m,nonsense")
    assert record.reports_to == ("mailto:a@example.org", "mailto:b@example.net!10m")
