"""SPF beyond the suite: our limits, other address families, local parts outside ASCII."""

import pytest

from smtpd_classic.dns import DnsFailure, FixedResolver
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.spf import SpfQuery, check_spf
from smtpd_classic.mailauth.words import ResultWord

IP = "192.0.2.1"


def word(resolver: FixedResolver, sender: str = "a@example.org", ip: str = IP) -> ResultWord:
    return check_spf(SpfQuery(ip, sender, "client.example"), Lookups(resolver)).word


def test_names_with_the_other_address_family_alone_are_not_void() -> None:
    hosts = {f"v6-{n}.example.org": ["2001:db8::1"] for n in range(5)}
    record = " ".join(f"a:{name}" for name in hosts)
    resolver = FixedResolver(addresses=hosts, txt={"example.org": (f"v=spf1 {record} ~all".encode(),)})
    assert word(resolver) is ResultWord.SOFTFAIL
    void = " ".join(f"a:none{n}.example.org" for n in range(3))
    assert word(FixedResolver(txt={"example.org": (f"v=spf1 {void} ~all".encode(),)})) is ResultWord.PERMERROR


def test_a_client_without_a_name_makes_a_ptr_term_void() -> None:
    record = (b"v=spf1 ptr a:none1.example.org a:none2.example.org ~all",)
    named = {IP: ["client.example"]}
    assert word(FixedResolver(txt={"example.org": record}, pointers=named)) is ResultWord.SOFTFAIL
    assert word(FixedResolver(txt={"example.org": record})) is ResultWord.PERMERROR
    assert word(FixedResolver(txt={"example.org": record}, pointers={IP: ()})) is ResultWord.PERMERROR
    failed = {IP: DnsFailure("silence")}
    assert word(FixedResolver(txt={"example.org": record}, pointers=failed)) is ResultWord.SOFTFAIL


def test_the_validated_name_is_found_in_any_case() -> None:
    resolver = FixedResolver(
        txt={
            "example.org": (b"v=spf1 include:Example.NET -all",),
            "example.net": (b"v=spf1 exists:%{p}.spf.example.net -all",),
        },
        pointers={IP: ["a.example.com", "mail.example.net"]},
        addresses={"a.example.com": [IP], "mail.example.net": [IP], "mail.example.net.spf.example.net": ["127.0.0.2"]},
    )
    assert word(resolver) is ResultWord.PASS


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("x%%", ResultWord.FAIL),
        ("%{d}%-", ResultWord.FAIL),
        ("%{d}%_", ResultWord.FAIL),
        ("%{i}.example.org.", ResultWord.FAIL),
        ("example.org.%%{d}", ResultWord.PERMERROR),
        ("%%{d}", ResultWord.PERMERROR),
        ("%{d}x", ResultWord.PERMERROR),
        ("%{d}.1", ResultWord.PERMERROR),
    ],
)
def test_a_domain_ends_with_a_top_label_or_an_expansion(spec: str, expected: ResultWord) -> None:
    assert word(FixedResolver(txt={"example.org": (f"v=spf1 exists:{spec} -all".encode(),)})) is expected


def test_more_than_thirty_questions_are_permerror() -> None:
    hosts = [f"h{n}.example.org" for n in range(50)]
    resolver = FixedResolver(
        mx={f"m{n}.example.org": [(1, host) for host in hosts[n * 10 : n * 10 + 10]] for n in range(5)},
        addresses={host: ["198.51.100.1"] for host in hosts},
        txt={"example.org": (b"v=spf1 " + b" ".join(b"mx:m%d.example.org" % n for n in range(5)) + b" -all",)},
    )
    lookups = Lookups(resolver)
    assert check_spf(SpfQuery(IP, "a@example.org", "x.example"), lookups).word is ResultWord.PERMERROR
    assert lookups.questions <= 31


def test_a_local_part_outside_ascii_matches_no_term_that_names_it() -> None:
    resolver = FixedResolver(
        addresses={"x.example.org": ["127.0.0.2"]}, txt={"example.org": (b"v=spf1 exists:%{l}.example.org -all",)}
    )
    assert word(resolver, "x@example.org") is ResultWord.PASS
    assert word(resolver, "jürgen@example.org") is ResultWord.FAIL


def test_an_international_domain_is_asked_for_as_a_labels() -> None:
    resolver = FixedResolver(txt={"xn--bcher-kva.example": (b"v=spf1 ip4:192.0.2.1 -all",)})
    assert word(resolver, "a@bücher.example") is ResultWord.PASS


def test_an_ipv4_mapped_client_is_an_ipv4_client() -> None:
    resolver = FixedResolver(txt={"example.org": (b"v=spf1 ip4:192.0.2.1 -all",)})
    assert word(resolver, ip="::ffff:192.0.2.1") is ResultWord.PASS


@pytest.mark.parametrize("domain", ["example.org", "inner.example.org"])
def test_a_failure_anywhere_is_temperror(domain: str) -> None:
    txt = {"example.org": (b"v=spf1 include:inner.example.org -all",), "inner.example.org": (b"v=spf1 -all",)}
    assert word(FixedResolver(txt={**txt, domain: DnsFailure("silence")})) is ResultWord.TEMPERROR


def test_a_message_over_its_time_or_number_of_questions_is_temperror() -> None:
    clock = iter((0.0, 20.0, 20.0, 20.0))  # before and after each question
    txt = {"example.org": (b"v=spf1 include:other.example -all",), "other.example": (b"v=spf1 -all",)}
    lookups = Lookups(FixedResolver(txt=txt), clock=lambda: next(clock))
    assert check_spf(SpfQuery(IP, "a@example.org", "x.example"), lookups).word is ResultWord.TEMPERROR
    assert lookups.questions == 1
    lookups = Lookups(FixedResolver(txt={"example.org": (b"v=spf1 -all",)}), max_questions=0)
    assert check_spf(SpfQuery(IP, "a@example.org", "x.example"), lookups).word is ResultWord.TEMPERROR


def test_an_answer_is_asked_for_once() -> None:
    lookups = Lookups(FixedResolver(txt={"example.org": (b"v=spf1 -all",)}))
    for _ in range(3):
        check_spf(SpfQuery(IP, "a@example.org", "x.example"), lookups)
    assert lookups.questions == 1
