"""The resolver against a real name server (dnsmasq on a high port), and what it does when there is none."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset
import pytest

from smtpd_classic.dns import (
    DnsFailure,
    DnsResolver,
    FixedResolver,
    MxRecord,
    NoSuchDomain,
    NullMx,
    Resolver,
    TlsaAnswer,
    TlsaRecord,
)
from smtpd_classic.domain_name import ascii_domain, spellings
from tests.instance import free_port
from tests.tools import need
from tests.waiting import until

ZONE = [
    "mx-host=example.test,mx2.example.test,20",
    "mx-host=example.test,mx1.example.test,10",
    "mx-host=example.test,mx3.example.test,20",
    "host-record=mx1.example.test,192.0.2.1,2001:db8::1",
    "host-record=mx2.example.test,192.0.2.2",
    "host-record=v6.example.test,2001:db8::6",
    "host-record=implicit.test,192.0.2.9",
    "txt-record=nothing.test,no address and no exchanger",
    "txt-record=pieces.test,v=DKIM1; p=abc,def",
    "txt-record=pieces.test,second",
    "txt-record=a=b.sel._domainkey.nothing.test,any octet",
    "dns-rr=null.test,15,000000",
    "dns-rr=odd-null.test,15,000000",
    "mx-host=odd-null.test,mx1.example.test,10",
    "mx-host=xn--bcher-kva.test,mx1.example.test,10",
    "cname=alias.test,implicit.test",
    "mx-host=dangling.test,gone.example.test,10",
    *(f"mx-host=many.test,a-rather-long-name-of-host-number-{number}.example.test,10" for number in range(60)),
    "ptr-record=1.2.0.192.in-addr.arpa,mx1.example.test",
    "ptr-record=3.2.0.192.in-addr.arpa,mx1.example.test",
    "ptr-record=4.2.0.192.in-addr.arpa,gone.example.test",
    "ptr-record=5.2.0.192.in-addr.arpa,other.example.test",
    "ptr-record=5.2.0.192.in-addr.arpa,five.example.test",
    "host-record=five.example.test,192.0.2.5",
    "ptr-record=1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa,mx1.example.test",
]


def name_server(folder: Path, zone: list[str]) -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    file = folder / "dnsmasq.conf"
    common = [
        "no-resolv",
        "no-hosts",
        "bind-interfaces",
        "listen-address=127.0.0.1",
        "local=/#/",
        "pid-file=",
        "cache-size=0",
    ]
    file.write_text("\n".join([f"port={port}", *common, *zone]) + "\n", encoding="utf-8")
    process = subprocess.Popen(
        [need("dnsmasq"), "--keep-in-foreground", f"--conf-file={file}"], stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        assert process.poll() is None, "dnsmasq ended"
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return True
        except OSError:
            return False

    until(answers)
    return process, port


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    process, port = name_server(tmp_path_factory.mktemp("dns"), ZONE)
    yield port
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def resolver(port: int, tmp_path_factory: pytest.TempPathFactory) -> DnsResolver:
    hosts = tmp_path_factory.mktemp("hosts") / "hosts"
    hosts.write_text(
        "# comment\n127.0.0.1 localhost vm # here\n::1 localhost ip6-localhost\n198.51.100.7 Fixed.example.test fixed\n"
        "not-an-address example.test\n192.0.2.77 mx1.fixed.test\n",
        encoding="utf-8",
    )
    return DnsResolver([("127.0.0.1", port)], hosts_file=str(hosts))


@pytest.mark.parametrize(
    ("domain", "hosts"),
    [
        ("implicit.test", [(0, "implicit.test")]),
        ("IMPLICIT.test.", [(0, "implicit.test")]),
        ("v6.example.test", [(0, "v6.example.test")]),
        ("alias.test", [(0, "alias.test")]),
        ("bücher.test", [(10, "mx1.example.test")]),
        ("BÜCHER.test", [(10, "mx1.example.test")]),
        ("xn--bcher-kva.test", [(10, "mx1.example.test")]),
        ("odd-null.test", [(10, "mx1.example.test")]),
        ("dangling.test", [(10, "gone.example.test")]),
        ("[192.0.2.1]", [(0, "192.0.2.1")]),
        ("[IPv6:2001:db8::1]", [(0, "2001:db8::1")]),
    ],
)
def test_a_domain_has_these_exchangers(resolver: DnsResolver, domain: str, hosts: list[tuple[int, str]]) -> None:
    assert resolver.mx(domain) == tuple(MxRecord(*each) for each in hosts)


def test_exchangers_come_by_preference_and_equal_ones_in_any_order(resolver: DnsResolver) -> None:
    orders = {tuple(each.host for each in resolver.mx("example.test")) for _ in range(60)}
    one, two, three = (f"mx{number}.example.test" for number in (1, 2, 3))
    assert orders == {(one, two, three), (one, three, two)}


def test_an_answer_that_fits_no_datagram_comes_over_tcp(resolver: DnsResolver) -> None:
    assert len(resolver.mx("many.test")) == 60


@pytest.mark.parametrize("domain", ["missing.test", "sub.missing.test", "nothing.test", "mx9.example.test"])
def test_a_domain_that_does_not_exist(resolver: DnsResolver, domain: str) -> None:
    with pytest.raises(NoSuchDomain):
        resolver.mx(domain)


def test_a_domain_that_takes_no_mail(resolver: DnsResolver) -> None:
    with pytest.raises(NullMx):
        resolver.mx("null.test")


@pytest.mark.parametrize(
    "domain",
    [
        "",
        ".",
        "..",
        "a..b",
        "-",
        "a b",
        "a\\.b",
        "a@b",
        "*",
        "x" * 64 + ".test",
        ".".join(["abc"] * 70),
        "\x00",
        "é" * 70,
        "a\nb",
        "[nonsense]",
        "192.0.2.256",
        "ａ．test\u200d",
    ],
)
def test_what_is_no_name_does_not_exist(resolver: DnsResolver, domain: str) -> None:
    with pytest.raises(NoSuchDomain):
        resolver.mx(domain)
    with pytest.raises(NoSuchDomain):
        resolver.addresses(domain)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("mx1.example.test", ["2001:db8::1", "192.0.2.1"]),
        ("MX1.example.test.", ["2001:db8::1", "192.0.2.1"]),
        ("mx2.example.test", ["192.0.2.2"]),
        ("v6.example.test", ["2001:db8::6"]),
        ("alias.test", ["192.0.2.9"]),
        ("192.0.2.200", ["192.0.2.200"]),
        ("2001:DB8::0:1", ["2001:db8::1"]),
        ("[192.0.2.1]", ["192.0.2.1"]),
        ("localhost", ["::1", "127.0.0.1"]),
        ("fixed.EXAMPLE.test", ["198.51.100.7"]),
        ("fixed", ["198.51.100.7"]),
        ("mx1.fixed.test", ["192.0.2.77"]),
    ],
)
def test_a_host_has_these_addresses(resolver: DnsResolver, host: str, addresses: list[str]) -> None:
    assert list(resolver.addresses(host)) == addresses


@pytest.mark.parametrize("host", ["missing.test", "example.test", "nothing.test", "gone.example.test", "here"])
def test_a_host_without_address(resolver: DnsResolver, host: str) -> None:
    with pytest.raises(NoSuchDomain):
        resolver.addresses(host)


@pytest.mark.parametrize(
    ("ip", "name"),
    [
        ("192.0.2.1", "mx1.example.test"),
        ("::ffff:192.0.2.1", "mx1.example.test"),
        ("2001:db8::1", "mx1.example.test"),
        ("192.0.2.3", ""),
        ("192.0.2.4", ""),
        ("192.0.2.5", "five.example.test"),
        ("192.0.2.6", ""),
        ("127.0.0.1", "localhost"),
        ("127.0.0.99", "localhost"),
        ("::1", "localhost"),
        ("198.51.100.7", "fixed.example.test"),
    ],
)
def test_the_name_of_a_client_is_one_that_leads_back(resolver: DnsResolver, ip: str, name: str) -> None:
    assert resolver.host_name(ip) == name


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("nothing.test", [b"no address and no exchanger"]),
        ("NOTHING.test.", [b"no address and no exchanger"]),
        ("pieces.test", [b"v=DKIM1; p=abcdef", b"second"]),
        ("a=b.sel._domainkey.nothing.test", [b"any octet"]),
        ("implicit.test", []),
    ],
)
def test_text_records_come_with_their_strings_joined(resolver: DnsResolver, name: str, records: list[bytes]) -> None:
    assert sorted(resolver.txt(name)) == sorted(records)


@pytest.mark.parametrize("name", ["missing.test", "", "a..b", "x" * 64 + ".test", "é" * 70, ".".join(["abc"] * 70)])
def test_a_name_without_any_record_is_told_from_one_without_this_kind(resolver: DnsResolver, name: str) -> None:
    for ask in (resolver.txt, resolver.mx_records, lambda host: resolver.address_records(host, 4)):
        with pytest.raises(NoSuchDomain):
            ask(name)
    assert resolver.mx_records("implicit.test") == ()
    assert resolver.address_records("implicit.test", 6) == ()


def test_records_are_given_as_they_are_published(resolver: DnsResolver) -> None:
    assert resolver.address_records("mx1.example.test", 4) == ("192.0.2.1",)
    assert resolver.address_records("mx1.example.test", 6) == ("2001:db8::1",)
    assert resolver.mx_records("null.test") == (MxRecord(0, ""),)
    assert [each.preference for each in resolver.mx_records("example.test")] == [10, 20, 20]
    assert resolver.ptr("192.0.2.3") == ("mx1.example.test",)
    assert resolver.ptr("::ffff:192.0.2.3") == ("mx1.example.test",)
    assert sorted(resolver.ptr("192.0.2.5")) == ["five.example.test", "other.example.test"]
    with pytest.raises(NoSuchDomain):
        resolver.ptr("192.0.2.6")


class Server:
    """A name server in a thread, which says what it is told to say and counts the questions."""

    def __init__(self, rcode: dns.rcode.Rcode) -> None:
        self.rcode, self.questions = rcode, 0
        self.rcodes: dict[dns.rdatatype.RdataType, dns.rcode.Rcode] = {}
        self.silent: set[dns.rdatatype.RdataType] = set()
        self.sizes: list[int] = []
        self.records: dict[dns.rdatatype.RdataType, list[dns.rrset.RRset]] = {}
        self.flags = dns.flags.Flag(0)
        self._unanswered: list[tuple[bytes, tuple[str, int]]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, client = self._socket.recvfrom(4096)
            if not data:
                return
            self.questions += 1
            question = dns.message.from_wire(data)
            self.sizes.append(question.payload)
            if question.question[0].rdtype in self.silent:
                self._unanswered.append((data, client))
            else:
                self._answer(question, client)

    def _answer(self, question: dns.message.Message, client: tuple[str, int]) -> None:
        kind = question.question[0].rdtype
        answer = dns.message.make_response(question)
        answer.set_rcode(self.rcodes.get(kind, self.rcode))
        answer.answer += self.records.get(kind, [])
        answer.flags |= question.flags & self.flags
        self._socket.sendto(answer.to_wire(), client)

    def answer_late(self) -> None:
        """Answer the questions that were met with silence."""
        while self._unanswered:
            data, client = self._unanswered.pop()
            self._answer(dns.message.from_wire(data), client)

    def stop(self) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for server in started:
        server.stop()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR, dns.rcode.NOTIMP])
def test_a_server_that_cannot_answer_is_a_failure_for_now(servers: list[Server], rcode: dns.rcode.Rcode) -> None:
    servers.append(Server(rcode))
    resolver = DnsResolver([("127.0.0.1", servers[0].port)])
    with pytest.raises(DnsFailure):
        resolver.mx("example.org")
    with pytest.raises(DnsFailure):
        resolver.addresses("example.org")
    assert resolver.host_name("192.0.2.1") == ""


def test_a_failure_is_remembered_for_half_a_minute(servers: list[Server]) -> None:
    servers.append(Server(dns.rcode.SERVFAIL))
    clock = Clock()
    resolver = DnsResolver([("127.0.0.1", servers[0].port)], clock=clock)
    for _ in range(5):
        with pytest.raises(DnsFailure, match="SERVFAIL"):
            resolver.mx("example.org")
    asked = servers[0].questions
    assert asked == 1
    clock.now += 31
    for _ in range(2):
        with pytest.raises(DnsFailure):
            resolver.mx("example.org")
    assert servers[0].questions == asked + 1
    clock.now += 31
    with pytest.raises(DnsFailure):
        resolver.mx("example.org")
    assert servers[0].questions == asked + 1, "the second failure is kept twice as long"
    servers[0].rcode = dns.rcode.NXDOMAIN
    clock.now += 31
    with pytest.raises(NoSuchDomain):
        resolver.mx("example.org")


def test_a_server_that_never_answers_holds_nobody_up_for_long(servers: list[Server]) -> None:
    servers.append(Server(dns.rcode.NOERROR))
    servers[0].silent |= {dns.rdatatype.MX}
    resolver = DnsResolver([("127.0.0.1", servers[0].port)])
    start = time.monotonic()
    with pytest.raises(DnsFailure, match=r"within 0\.3 s"):
        resolver.mx("example.org", timeout_s=0.3)
    assert time.monotonic() - start < 1.5
    start = time.monotonic()
    with pytest.raises(DnsFailure):
        resolver.mx("example.org", timeout_s=0.2)
    assert time.monotonic() - start < 0.1, "it is known by then"
    assert servers[0].questions == 1
    servers[0].silent.clear()
    servers[0].records[dns.rdatatype.MX] = [dns.rrset.from_text("example.org.", 60, "IN", "MX", "1 mx.example.org.")]
    servers[0].answer_late()
    assert resolver.mx("example.org", timeout_s=5.0) == (MxRecord(1, "mx.example.org"),), "it can wait longer"
    assert servers[0].questions == 1


@pytest.mark.parametrize("validated", [True, False])
def test_a_certificate_association_says_whether_the_answer_was_validated(
    servers: list[Server], validated: bool
) -> None:
    servers.append(Server(dns.rcode.NOERROR))
    name = "_25._tcp.mx1.example.test."
    servers[0].records[dns.rdatatype.TLSA] = [dns.rrset.from_text(name, 60, "IN", "TLSA", "3 1 1 " + "ab" * 32)]
    servers[0].flags = dns.flags.AD if validated else dns.flags.Flag(0)
    resolver = DnsResolver([("127.0.0.1", servers[0].port)])
    assert resolver.tlsa("MX1.example.test", 25) == TlsaAnswer((TlsaRecord(3, 1, 1, b"\xab" * 32),), secure=validated)


A, AAAA, MX, TXT = dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.MX, dns.rdatatype.TXT
ADDRESS = {A: "192.0.2.1", AAAA: "2001:db8::1"}


@pytest.mark.parametrize("in_hand", [A, AAAA])
@pytest.mark.parametrize("other", [dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, None])
def test_an_address_in_hand_wins_over_what_becomes_of_the_other_family(
    servers: list[Server], in_hand: dns.rdatatype.RdataType, other: dns.rcode.Rcode | None
) -> None:
    servers.append(server := Server(dns.rcode.NOERROR))
    lacking = A if in_hand is AAAA else AAAA
    server.records[in_hand] = [
        dns.rrset.from_text("host.test.", 60, "IN", dns.rdatatype.to_text(in_hand), ADDRESS[in_hand])
    ]
    server.records[dns.rdatatype.PTR] = [
        dns.rrset.from_text(dns.reversename.from_address(ADDRESS[in_hand]), 60, "IN", "PTR", "host.test.")
    ]
    if other is None:
        server.silent.add(lacking)
    else:
        server.rcodes[lacking] = other
    resolver = DnsResolver([("127.0.0.1", server.port)])
    begun: SimpleQueue[object] = SimpleQueue()
    start = time.monotonic()
    resolver.begin_addresses("host.test", begun.put)
    assert resolver.addresses("host.test") == (ADDRESS[in_hand],)
    assert resolver.addresses("host.test", timeout_s=0.3) == (ADDRESS[in_hand],)
    assert begun.get(timeout=10) == (ADDRESS[in_hand],)
    assert resolver.mx("host.test") == (MxRecord(0, "host.test"),)
    assert resolver.host_name(ADDRESS[in_hand]) == "host.test"
    assert time.monotonic() - start < 4
    version = 4 if in_hand is A else 6
    assert resolver.addresses("host.test", version=version) == (ADDRESS[in_hand],)
    with pytest.raises(NoSuchDomain if other is dns.rcode.NXDOMAIN else DnsFailure):
        resolver.addresses("host.test", version=10 - version, timeout_s=0.3)


@pytest.mark.parametrize("in_hand", [A, AAAA])
def test_an_address_in_hand_wins_over_a_denial_of_the_exchanger(
    servers: list[Server], in_hand: dns.rdatatype.RdataType
) -> None:
    """A load balancer that knows one kind of record alone denies the name for all others (RFC 4074 4.2)."""
    servers.append(server := Server(dns.rcode.NXDOMAIN))
    kind = dns.rdatatype.to_text(in_hand)
    server.rcodes[in_hand] = dns.rcode.NOERROR
    server.records[in_hand] = [dns.rrset.from_text("host.test.", 60, "IN", kind, ADDRESS[in_hand])]
    resolver = DnsResolver([("127.0.0.1", server.port)])
    begun: SimpleQueue[object] = SimpleQueue()
    assert resolver.mx("host.test") == (MxRecord(0, "host.test"),)
    resolver.begin_mx("host.test", begun.put)
    assert begun.get(timeout=10) == (MxRecord(0, "host.test"),)


@pytest.mark.parametrize("rcode", [dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL])
def test_a_denied_domain_without_any_address_does_not_exist(servers: list[Server], rcode: dns.rcode.Rcode) -> None:
    servers.append(server := Server(dns.rcode.NXDOMAIN))
    server.rcodes |= {A: rcode, AAAA: rcode}
    resolver = DnsResolver([("127.0.0.1", server.port)])
    begun: SimpleQueue[object] = SimpleQueue()
    with pytest.raises(NoSuchDomain, match=r"host\.test does not exist"):
        resolver.mx("host.test")
    resolver.begin_mx("host.test", begun.put)
    answer = begun.get(timeout=10)
    assert isinstance(answer, NoSuchDomain)
    assert str(answer) == "host.test does not exist"


@pytest.mark.parametrize(("names", "asked"), [(2, 2), (3, 3), (4, 3), (9, 3)])
def test_three_names_of_a_client_are_tried_and_no_more(servers: list[Server], names: int, asked: int) -> None:
    """A stranger could publish thousands of names that do not lead back."""
    servers.append(server := Server(dns.rcode.NOERROR))
    server.rcodes[A] = dns.rcode.NXDOMAIN
    client = dns.reversename.from_address("192.0.2.1")
    published = [f"name{number}.test." for number in range(names)]
    server.records[dns.rdatatype.PTR] = [dns.rrset.from_text(client, 60, "IN", "PTR", *published)]
    assert DnsResolver([("127.0.0.1", server.port)]).host_name("192.0.2.1") == ""
    assert server.questions == 1 + asked


def test_without_any_address_a_failure_of_one_family_decides_nothing(servers: list[Server]) -> None:
    servers.append(Server(dns.rcode.NOERROR))
    servers[0].rcodes[AAAA] = dns.rcode.SERVFAIL
    resolver = DnsResolver([("127.0.0.1", servers[0].port)])
    with pytest.raises(DnsFailure):
        resolver.addresses("host.test")


def test_a_slow_name_server_is_usable_and_its_late_answers_are_kept(servers: list[Server]) -> None:
    servers.append(server := Server(dns.rcode.NOERROR))
    server.records[MX] = [dns.rrset.from_text("slow.test.", 60, "IN", "MX", "5 mx.slow.test.")]
    server.silent.add(MX)
    resolver = DnsResolver([("127.0.0.1", server.port)])
    begun: SimpleQueue[object] = SimpleQueue()
    resolver.begin_mx("slow.test", begun.put)
    with pytest.raises(DnsFailure):
        resolver.mx("slow.test", timeout_s=0.2)
    until(lambda: server.questions == 2, 10)  # five seconds later: the second try
    answer_to_the_first, server._unanswered = server._unanswered[:1], []
    server._unanswered += answer_to_the_first
    server.answer_late()
    assert begun.get(timeout=5) == (MxRecord(5, "mx.slow.test"),)
    assert resolver.mx("slow.test", timeout_s=0.2) == (MxRecord(5, "mx.slow.test"),)
    assert server.questions == 2


def test_one_question_about_a_name_is_asked_at_a_time(servers: list[Server]) -> None:
    servers.append(server := Server(dns.rcode.NOERROR))
    server.records[MX] = [dns.rrset.from_text("busy.test.", 60, "IN", "MX", "5 mx.busy.test.")]
    server.silent.add(MX)
    resolver = DnsResolver([("127.0.0.1", server.port)])
    begun: SimpleQueue[object] = SimpleQueue()
    for _ in range(50):
        resolver.begin_mx("busy.test", begun.put)
    until(lambda: server.questions == 1)
    server.answer_late()
    assert [begun.get(timeout=5) for _ in range(50)] == [(MxRecord(5, "mx.busy.test"),)] * 50
    assert server.questions == 1


def test_hundreds_of_silent_names_keep_no_other_name_waiting(servers: list[Server]) -> None:
    servers.append(server := Server(dns.rcode.NOERROR))
    server.silent.add(MX)
    server.records[TXT] = [dns.rrset.from_text("good.test.", 60, "IN", "TXT", "good")]
    resolver = DnsResolver([("127.0.0.1", server.port)])
    begun: SimpleQueue[object] = SimpleQueue()
    for number in range(400):
        resolver.begin_mx(f"silent-{number}.test", begun.put)
    start = time.monotonic()
    assert resolver.txt("good.test") == (b"good",)
    assert time.monotonic() - start < 4
    before = threading.active_count()
    resolver.begin_mx("one-more.test", begun.put)
    assert threading.active_count() == before, "a look-up costs no thread"
    until(lambda: server.answer_late() or begun.qsize() == 401, 40)  # type: ignore[func-returns-value]


def test_names_that_failed_hold_half_of_the_questions_at_most(
    servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpd_classic.dns.questions.MOST_UNDER_WAY", 8)
    servers.append(server := Server(dns.rcode.SERVFAIL))
    clock = Clock()
    resolver = DnsResolver([("127.0.0.1", server.port)], clock=clock)
    names = [f"failing-{number}.test" for number in range(7)]
    for name in names:
        with pytest.raises(DnsFailure):
            resolver.mx(name)
    clock.now += 31
    server.silent.add(MX)
    begun: SimpleQueue[object] = SimpleQueue()
    for name in names:
        resolver.begin_mx(name, begun.put)
    for number in range(2):
        resolver.begin_mx(f"fresh-{number}.test", begun.put)
    until(lambda: len(server._unanswered) == 4 + 2)
    server.rcode = dns.rcode.NXDOMAIN
    until(lambda: server.answer_late() or begun.qsize() == 9)  # type: ignore[func-returns-value]
    assert server.questions == 7 + 9 * 3  # MX, A and AAAA of each that is denied


def test_checks_of_incoming_mail_hold_half_of_the_questions_at_most(
    servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpd_classic.dns.questions.MOST_UNDER_WAY", 8)
    monkeypatch.setattr("smtpd_classic.dns.questions.TRY_S", 60.0)
    servers.append(server := Server(dns.rcode.NOERROR))
    server.records[MX] = [dns.rrset.from_text("next-hop.test.", 60, "IN", "MX", "5 mx.next-hop.test.")]
    server.silent.add(TXT)
    resolver = DnsResolver([("127.0.0.1", server.port)])

    def check(number: int) -> bool:
        with suppress(DnsFailure):
            resolver.txt(f"stranger-{number}.test", timeout_s=60.0)
        return True

    with ThreadPoolExecutor(20) as pool:
        checks = [pool.submit(check, number) for number in range(20)]
        until(lambda: len(server._unanswered) == 4)
        assert resolver.mx("next-hop.test", timeout_s=10.0) == (MxRecord(5, "mx.next-hop.test"),)
        assert len(server._unanswered) == 4, "the others wait"
        until(lambda: server.answer_late() or all(each.done() for each in checks))  # type: ignore[func-returns-value]
    assert server.questions == 20 + 1


def test_the_oldest_of_too_many_questions_makes_room_for_a_new_name(
    servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpd_classic.dns.questions.MOST_UNDER_WAY", 4)
    monkeypatch.setattr("smtpd_classic.dns.questions.TRY_S", 0.5)
    servers.append(server := Server(dns.rcode.NXDOMAIN))
    server.silent.add(MX)
    resolver = DnsResolver([("127.0.0.1", server.port)])
    begun: SimpleQueue[object] = SimpleQueue()
    for number in range(4):
        resolver.begin_mx(f"silent-{number}.test", begun.put)
    until(lambda: server.questions == 4)
    with pytest.raises(NoSuchDomain):
        resolver.txt("fresh.test", timeout_s=4.0)
    assert isinstance(begun.get(timeout=1), DnsFailure)
    assert begun.empty(), "only the oldest was ended"
    until(lambda: server.answer_late() or begun.qsize() == 3)  # type: ignore[func-returns-value]


def test_the_memory_of_failures_is_bounded(servers: list[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpd_classic.dns.questions.MOST_FAILURES", 20)
    servers.append(server := Server(dns.rcode.SERVFAIL))
    resolver = DnsResolver([("127.0.0.1", server.port)])
    names = [f"failing-{number}.test" for number in range(25)]
    for name in names:
        with pytest.raises(DnsFailure):
            resolver.txt(name)
    assert server.questions == 25
    for name in reversed(names):
        with pytest.raises(DnsFailure):
            resolver.txt(name)
    assert server.questions == 30, "the twenty newest failures are remembered, the five oldest are forgotten"


def test_the_memory_of_answers_is_bounded_and_ends_with_their_time(
    servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpd_classic.dns.questions.MOST_ANSWERS", 2)
    servers.append(server := Server(dns.rcode.NOERROR))
    clock = Clock()
    resolver = DnsResolver([("127.0.0.1", server.port)], clock=clock)
    for number in (1, 2, 1, 3, 1):
        server.records[TXT] = [dns.rrset.from_text(f"name-{number}.test.", 60, "IN", "TXT", "x")]
        assert resolver.txt(f"name-{number}.test") == (b"x",)
    assert server.questions == 3, "the one that was used last is kept"
    clock.now += 61
    server.records[TXT] = [dns.rrset.from_text("name-1.test.", 60, "IN", "TXT", "y")]
    assert resolver.txt("name-1.test") == (b"y",)


def test_an_answer_to_another_question_is_not_taken(servers: list[Server]) -> None:
    servers.append(server := Server(dns.rcode.NOERROR))
    server.silent.add(TXT)
    server.records[TXT] = [dns.rrset.from_text("name.test.", 60, "IN", "TXT", "right")]
    resolver = DnsResolver([("127.0.0.1", server.port)])
    found: SimpleQueue[tuple[bytes, ...]] = SimpleQueue()
    asking = threading.Thread(target=lambda: found.put(resolver.txt("name.test")))
    asking.start()
    until(lambda: bool(server._unanswered))
    data, client = server._unanswered[0]
    question = dns.message.from_wire(data)
    forged = [bytes(200), b"", b"\xff", data[:12]]
    other = dns.message.make_response(dns.message.make_query("other.test", "TXT", id=question.id))
    other.answer += [dns.rrset.from_text("other.test.", 60, "IN", "TXT", "wrong")]
    wrong_id = dns.message.make_response(question)
    wrong_id.id ^= 1
    for each in (*forged, other.to_wire(), wrong_id.to_wire()):
        server._socket.sendto(each, client)
    server.answer_late()
    assert found.get(timeout=5) == (b"right",)
    asking.join()


def test_nothing_is_left_behind_by_a_resolver_that_is_idle(
    servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtpd_classic.dns.loop._LINGER_S", 0.1)
    monkeypatch.setattr("smtpd_classic.dns.exchange.LOOKUP_S", 0.3)
    monkeypatch.setattr("smtpd_classic.dns.exchange.TRY_S", 0.2)
    servers.append(Server(dns.rcode.NXDOMAIN))
    resolver = DnsResolver([("127.0.0.1", servers[0].port)])
    others = set(threading.enumerate())
    for name in ("one.test", "two.test"):
        with pytest.raises(NoSuchDomain):
            resolver.txt(name)
        (thread,) = (each for each in threading.enumerate() if each not in others)
        until(lambda thread=thread: not thread.is_alive())  # type: ignore[misc]
        assert resolver._questions.loop._wake == -1


def test_the_second_name_server_is_asked_when_the_first_fails(port: int, servers: list[Server]) -> None:
    servers.append(Server(dns.rcode.SERVFAIL))
    resolver = DnsResolver([("127.0.0.1", servers[0].port), ("127.0.0.1", port)])
    assert resolver.mx("implicit.test") == (MxRecord(0, "implicit.test"),)


def test_questions_are_cached_and_leave_room_for_long_answers(servers: list[Server]) -> None:
    servers.append(Server(dns.rcode.NXDOMAIN))
    resolver = DnsResolver([("127.0.0.1", servers[0].port)])
    for _ in range(3):
        with pytest.raises(NoSuchDomain):
            resolver.mx("example.org")
        assert resolver.host_name("192.0.2.1") == ""
    assert servers[0].questions == 4  # MX, A and AAAA of the domain, and PTR
    assert servers[0].sizes == [1232] * 4


def test_names_of_clients_are_asked_again_after_a_while(servers: list[Server]) -> None:
    servers.append(Server(dns.rcode.SERVFAIL))
    clock = Clock()
    resolver = DnsResolver([("127.0.0.1", servers[0].port)], clock=clock)
    for _ in range(4):
        assert resolver.host_name("192.0.2.1") == ""
    assert servers[0].questions == 1
    clock.now += 61
    assert resolver.host_name("192.0.2.1") == ""
    assert servers[0].questions == 2


def test_a_changed_hosts_file_counts_at_once(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    resolver = DnsResolver([("127.0.0.1", 9)], hosts_file=str(hosts))
    hosts.write_text("192.0.2.1 fixed.test\n")
    assert resolver.addresses("fixed.test") == ("192.0.2.1",)
    hosts.write_text("192.0.2.22 fixed.test\n")
    assert resolver.addresses("fixed.test") == ("192.0.2.22",)
    hosts.unlink()
    with pytest.raises(DnsFailure):
        resolver.addresses("fixed.test", timeout_s=0.2)


def test_many_threads_may_ask_at_once(resolver: DnsResolver) -> None:
    results: list[tuple[str, ...]] = []
    threads = [
        threading.Thread(target=lambda: results.append(resolver.addresses("mx1.example.test"))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [("2001:db8::1", "192.0.2.1")] * 20


@pytest.mark.parametrize(
    ("domain", "ascii_form"),
    [
        ("Example.ORG.", "example.org"),
        ("faß.de", "xn--fa-hia.de"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("_a.b", "_a.b"),
    ],
)
def test_a_domain_as_dns_knows_it(domain: str, ascii_form: str) -> None:
    assert ascii_domain(domain) == ascii_form


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("bücher.example", ("bücher.example", "xn--bcher-kva.example")),
        ("xn--bcher-kva.example", ("xn--bcher-kva.example", "bücher.example")),
        ("example.org", ("example.org",)),
        ("xn--\u0000.example", ("xn--\u0000.example",)),
        ("xn--99999999999.example", ("xn--99999999999.example",)),
    ],
)
def test_a_domain_may_be_written_in_these_ways(domain: str, expected: tuple[str, ...]) -> None:
    assert spellings(domain) == expected


def test_a_fixed_resolver_answers_from_its_tables() -> None:
    resolver: Resolver = FixedResolver(
        mx={"a.test": [(20, "two.test"), (10, "one.test")], "null.test": NullMx("x"), "bad.test": DnsFailure("x")},
        addresses={"one.test": ["192.0.2.1"], "b.test": ["192.0.2.2"], "bad-host.test": DnsFailure("x")},
        names={"192.0.2.1": "one.test"},
    )
    assert resolver.mx("a.test") == (MxRecord(10, "one.test"), MxRecord(20, "two.test"))
    assert resolver.mx("b.test") == (MxRecord(0, "b.test"),)
    assert resolver.addresses("one.test") == ("192.0.2.1",)
    assert resolver.addresses("192.0.2.9") == ("192.0.2.9",)
    assert resolver.host_name("192.0.2.1") == "one.test"
    assert resolver.host_name("192.0.2.2") == ""
    for domain, error in (("null.test", NullMx), ("bad.test", DnsFailure), ("none.test", NoSuchDomain)):
        with pytest.raises(error):
            resolver.mx(domain)
    with pytest.raises(DnsFailure):
        resolver.addresses("bad-host.test")
