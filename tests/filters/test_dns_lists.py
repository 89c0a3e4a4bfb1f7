"""DNS lists: the answers that count, lists that do not work, and their tests in the course of time."""

import threading
from pathlib import Path
from typing import ClassVar

import pytest

from smtpd_classic.config import parse
from smtpd_classic.config.kinds import BLOCKLISTS, HELLO_PATTERNS, SENDER_PATTERNS
from smtpd_classic.dns import DnsFailure, FixedResolver
from smtpd_classic.filters.dns_lists import DnsLists, Listing
from smtpd_classic.filters.list_watch import ListWatch
from smtpd_classic.filters.patterns import NamePatterns
from smtpd_classic.filters.tools import filter_tools
from smtpd_classic.mailauth.lookup import Lookups
from tests.reception.world import CONFIG, Clock

WORKS: dict[str, list[str] | Exception] = {"2.0.0.127.list.example": ["127.0.0.2"]}


def lists(
    addresses: dict[str, list[str] | Exception], text: str = "list.example", clock: Clock | None = None
) -> tuple[DnsLists, Lookups, list[str]]:
    complaints: list[str] = []
    resolver = FixedResolver(addresses=addresses, txt={"7.2.0.192.list.example": [b"bad\r\nQUIT", b"more"]})
    found = DnsLists(BLOCKLISTS.parse(text), resolver, complaints.append, clock or Clock())
    return found, Lookups(resolver), complaints


@pytest.mark.parametrize(
    ("answer", "is_listed"),
    [
        (["127.0.0.2"], True),
        (["127.0.10.3"], True),
        (["127.0.0.1"], False),
        (["127.0.0.255"], False),
        (["127.255.255.254"], False),
        (["127.1.0.2"], False),
        (["192.0.2.80"], False),
        (["127.0.0.1", "127.0.0.9"], True),
        (DnsFailure("SERVFAIL"), False),
        (DnsFailure("no reply"), False),
    ],
)
def test_only_answers_of_the_list_count(answer: list[str] | Exception, is_listed: bool) -> None:
    found, lookups, complaints = lists({**WORKS, "7.2.0.192.list.example": answer})
    assert (found.find(lookups, "192.0.2.7") is not None) == is_listed
    assert complaints == []


def test_the_reason_has_no_line_ends() -> None:
    found, lookups, _ = lists({**WORKS, "7.2.0.192.list.example": ["127.0.0.2"]})
    assert found.find(lookups, "::ffff:192.0.2.7") == Listing("list.example", "127.0.0.2", "bad??QUIT more")


def test_an_address_of_version_6_is_asked_by_its_digits() -> None:
    name = "1.0.0.0" + ".0" * 20 + ".8.b.d.0.1.0.0.2.list.example"
    found, lookups, _ = lists({**WORKS, name: ["127.0.0.2"]})
    assert found.find(lookups, "2001:db8::1") is not None


@pytest.mark.parametrize(
    ("addresses", "complaint"),
    [
        ({}, "the list does not have its test address 127.0.0.2"),
        ({"2.0.0.127.list.example": ["127.255.255.254"]}, "the list refuses to answer this resolver"),
        ({**WORKS, "1.0.0.127.list.example": ["127.0.0.2"]}, "the list has 127.0.0.1"),
        ({"2.0.0.127.list.example": DnsFailure("no reply")}, "the list does not answer: no reply"),
    ],
)
def test_a_list_that_does_not_work_is_not_used(addresses: dict[str, list[str] | Exception], complaint: str) -> None:
    clock = Clock()
    known: dict[str, list[str] | Exception] = {**addresses, "7.2.0.192.list.example": ["127.0.0.2"]}
    found, lookups, complaints = lists(known, clock=clock)
    assert found.find(lookups, "192.0.2.7") is None
    assert found.find(lookups, "192.0.2.7") is None
    assert [each.startswith(f"list.example is not used: {complaint}") for each in complaints] == [True]
    assert list(found.problems) == ["list.example"]
    known.pop("1.0.0.127.list.example", None)
    known.update(WORKS)
    clock.now += 400
    found.test()
    assert found.find(lookups, "192.0.2.7") is not None
    assert complaints[1:] == ["list.example is used again"]
    known.pop("2.0.0.127.list.example")
    clock.now += 3599
    found.test()
    assert found.find(lookups, "192.0.2.7") is not None
    clock.now += 2
    found.test()
    assert found.find(lookups, "192.0.2.7") is None


class _Slow(FixedResolver):
    """A resolver that answers when `go` is set."""

    go: ClassVar[threading.Event]
    asked: ClassVar[threading.Event]

    def address_records(self, host: str, version: int, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        self.asked.set()
        assert self.go.wait(20)
        return super().address_records(host, version, timeout_s=timeout_s)


def test_a_session_waits_for_the_first_test_of_a_list_and_for_no_other() -> None:
    """Before it nothing is known: a list that has every address would refuse all mail."""
    _Slow.go, _Slow.asked = threading.Event(), threading.Event()
    every = {name: ["127.0.0.2"] for name in ("2.0.0.127.list.example", "1.0.0.127.list.example")}
    addresses: dict[str, list[str] | Exception] = {**every, "7.2.0.192.list.example": ["127.0.0.2"]}
    resolver, clock, reports = _Slow(addresses=addresses), Clock(), list[tuple[str, str]]()
    report = threading.Event()

    def reported(zone: str, problem: str) -> None:
        reports.append((zone, problem))
        report.set()

    found = DnsLists(BLOCKLISTS.parse("list.example"), resolver, lambda said: None, clock, reported)
    watch = ListWatch([found])
    watch.start()
    assert _Slow.asked.wait(20)
    results: list[Listing | None] = []
    session = threading.Thread(target=lambda: results.append(found.find(Lookups(resolver), "192.0.2.7")))
    session.start()
    assert results == []
    _Slow.go.set()
    session.join(20)
    watch.stop()
    assert results == [None]
    assert report.wait(20)
    assert reports == [("list.example", "the list has 127.0.0.1, and so probably every address")]
    _Slow.go.clear()
    clock.now += 4000
    assert found.find(Lookups(resolver), "192.0.2.7") is None  # at once: the next test is that of the thread


def test_a_list_that_ceases_to_answer_is_tested_soon() -> None:
    """Every message would wait for it until the next hour."""
    known: dict[str, list[str] | Exception] = {**WORKS, "7.2.0.192.list.example": DnsFailure("no reply")}
    found, lookups, complaints = lists(known)
    assert found.find(lookups, "192.0.2.7") is None
    found.test()
    assert found.problems == {}  # it answers: nothing but that look-up has failed
    known["2.0.0.127.list.example"] = DnsFailure("no reply")
    assert found.find(lookups, "192.0.2.7") is None  # known from this message
    found.test()
    assert found.problems == {}
    assert found.find(Lookups(lookups._records), "192.0.2.7") is None
    found.test()
    assert found.problems == {"list.example": "the list does not answer: no reply"}
    assert complaints == ["list.example is not used: the list does not answer: no reply"]


class _Silent(FixedResolver):
    """A resolver whose clock goes on while a list of the zone silent.example does not answer."""

    clock: ClassVar[Clock]
    asked: ClassVar[list[float]]

    def address_records(self, host: str, version: int, *, timeout_s: float = 10.0) -> tuple[str, ...]:
        if host.endswith("silent.example") and not host.endswith(".127.silent.example"):
            self.asked.append(timeout_s)
            self.clock.now += timeout_s
            raise DnsFailure("no reply")
        return super().address_records(host, version, timeout_s=timeout_s)


def silent_and_listed() -> tuple[DnsLists, _Silent, list[str]]:
    _Silent.clock, _Silent.asked = Clock(), []
    known: dict[str, list[str] | Exception] = {**WORKS, "7.2.0.192.list.example": ["127.0.0.2"]}
    resolver = _Silent(addresses={**known, "2.0.0.127.silent.example": ["127.0.0.2"]})
    complaints: list[str] = []
    zones = BLOCKLISTS.parse("silent.example, list.example")
    return DnsLists(zones, resolver, complaints.append, _Silent.clock), resolver, complaints


def test_a_silent_list_hides_no_other_list_and_leaves_time_for_the_sender() -> None:
    found, resolver, _ = silent_and_listed()
    lookups = Lookups(resolver, clock=_Silent.clock)
    listing = found.find(lookups, "192.0.2.7")
    assert listing is not None
    assert listing.zone == "list.example"
    assert _Silent.asked == [2.0]
    assert found.find(lookups, "192.0.2.7") == listing
    assert _Silent.asked == [2.0], "the next recipient of the message does not wait again"


def test_a_list_that_fails_three_times_in_a_row_is_not_asked_before_its_next_test() -> None:
    found, resolver, complaints = silent_and_listed()
    for _ in range(5):
        lookups = Lookups(resolver, clock=_Silent.clock)
        for _ in range(4):
            assert found.find(lookups, "192.0.2.7") is not None
        found.test()
    assert len(_Silent.asked) == 3
    assert complaints == ["silent.example is not used: the list does not answer: no reply"]
    _Silent.clock.now += 400
    found.test()
    assert found.problems == {}
    assert found.find(Lookups(resolver, clock=_Silent.clock), "192.0.2.7") is not None
    assert len(_Silent.asked) == 4


@pytest.mark.parametrize(
    "text", ["list.example=", "list.example=127.0.0", "list.example=127.0.0.9-2", "list.example=10.0.0.2", "a b"]
)
def test_answers_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"list|answer|domain"):
        BLOCKLISTS.parse(text)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("joe@x.example", "JOE@x.example", True),
        ("joe@x.example", "ajoe@x.example", False),
        ("x.example", "joe@x.example", True),
        ("x.example", "joe@y.x.example", False),
        (".x.example", "joe@y.x.example", True),
        (".x.example", "joe@x.example", False),
        (".x.example", "joe@evilx.example", False),
        ("news*@x.example", "newsletter@x.example", True),
        ("mail*.x.example", "mail7.x.example", True),
        ("mail*.x.example", "mail7.x.example.evil.example", False),
        ("mail7.x.example", "mail7.x.example.", True),
        ("bücher.example", "joe@bücher.example", True),
        ("BÜCHER.example", "joe@xn--bcher-kva.example", True),
        ("xn--bcher-kva.example", "joe@Bücher.example", True),
        (".bücher.example", "joe@a.xn--bcher-kva.example", True),
        ("büch*.example", "mail.xn--bcher-kva.example", False),
        ("*büch*.example", "mail.xn--bcher-kva.example", True),
        ("bücher.example", "joe@bucher.example", False),
        ("grün@bücher.example", "GRÜN@xn--bcher-kva.example", True),
        ("xn--.example", "joe@xn--.example", True),
        ("[ipv6:2001:db8::*]", "[IPv6:2001:db8::1]", True),
        ("*@bücher.example", "joe@xn--bcher-kva.example", True),
        (".bücher.example", "joe@y.xn--bcher-kva.example", True),
        (".bücher.example", "joe@xn--bcher-kva.example", False),
        ("friend", "friend.", True),
    ],
)
def test_patterns(pattern: str, text: str, matches: bool) -> None:
    kind = HELLO_PATTERNS if pattern.startswith("[") else SENDER_PATTERNS
    assert bool(NamePatterns(kind.parse(pattern)).find(text)) == matches


def test_allowlists_are_not_asked_through_a_public_resolver(tmp_path: Path) -> None:
    options = "allowlists = list.example=127.0.0.2\n"
    for resolver, is_used in {"127.0.0.1": True, "8.8.8.8": False}.items():
        text = CONFIG.format(folder=tmp_path).replace("[server]", f"[server]\nname_servers = {resolver}") + options
        complaints: list[str] = []
        reports: dict[str, str] = {}
        config = parse(text, tmp_path / "smtpd-classic.conf")
        tools = filter_tools(config, FixedResolver(), complaints.append, reports.__setitem__)
        assert bool(tools.allowlists) == is_used
        assert any("that of Google" in each for each in complaints) != is_used
        assert ("that of Google" in reports.get("list.example", "")) != is_used  # Status shows these
