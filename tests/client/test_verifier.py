"""Verification of recipients at the server of a direct domain, without the server that asks."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smtpd_classic.client.verified import DomainMemory, KnownFor, VerifiedDomains
from smtpd_classic.client.verifier import RecipientVerifier, Verification, direct_servers
from smtpd_classic.config import parse
from smtpd_classic.dns import FixedResolver
from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import FakeHost, Script, Talk, hosts
from tests.waiting import until

CONFIG = "[server]\nprimary_domain = us.test\n[direct away.test]\nhosts = {ip}:{port}\nverify_recipients = yes\n"


def test_a_question_that_waits_for_its_turn_has_its_whole_time(tmp_path: Path) -> None:
    """Two sessions answer slowly; the third question begins when one of them is free, and is answered too."""

    def script(event: Event, talk: Talk) -> Reply | None:
        if not isinstance(event, events.RcptTo):
            return None
        if event.forward_path.startswith("slow"):
            time.sleep(1.2)
        return Reply(550, "5.1.1", "unknown")

    said: list[str] = []
    with hosts(peer := FakeHost(script=script)):
        config = parse(CONFIG.format(ip=peer.ip, port=peer.port), tmp_path / "smtpd-classic.conf")
        [direct] = config.direct_domains
        asked = RecipientVerifier(direct_servers(config, direct, FixedResolver()), said.append, limit_s=2.0)
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(asked.verify, (f"slow{number}@away.test" for number in range(3))))
        asked.close()
    assert (set(found), said) == ({Verification.UNKNOWN}, [])


def verifier(peer: FakeHost, folder: Path, said: list[str], *, idle_s: float = 30.0) -> RecipientVerifier:
    config = parse(CONFIG.format(ip=peer.ip, port=peer.port), folder / "smtpd-classic.conf")
    [direct] = config.direct_domains
    return RecipientVerifier(direct_servers(config, direct, FixedResolver()), said.append, idle_s=idle_s)


def knows(*addresses: str) -> Script:
    def script(event: Event, talk: Talk) -> Reply | None:
        known = not isinstance(event, events.RcptTo) or event.forward_path in addresses
        return None if known else Reply(550, "5.1.1", "unknown")

    return script


def test_a_session_without_a_question_is_closed(tmp_path: Path) -> None:
    """The next question opens another one."""
    with hosts(peer := FakeHost(script=knows("bob@away.test"))):
        asked = verifier(peer, tmp_path, [], idle_s=0.2)
        assert asked.verify("bob@away.test") is Verification.KNOWN
        until(lambda: "QUIT" in " ".join(peer.commands))
        assert asked.verify("eve@away.test") is Verification.UNKNOWN
        assert peer.connections == 2
        asked.close()


def test_a_domain_that_accepts_all_leaves_the_others_verified(tmp_path: Path) -> None:
    """One section may be for several domains: `[direct .away.test]`."""

    def script(event: Event, talk: Talk) -> Reply | None:
        open_domain = not isinstance(event, events.RcptTo) or event.forward_path.endswith("@all.away.test")
        return None if open_domain else Reply(550, "5.1.1", "unknown")

    said: list[str] = []
    with hosts(peer := FakeHost(script=script)):
        asked = verifier(peer, tmp_path, said)
        assert asked.verify("bob@all.away.test") is Verification.UNSURE
        assert asked.verify("bob@strict.away.test") is Verification.UNKNOWN
        assert asked.verify("ann@all.away.test") is Verification.UNSURE
        asked.close()
    assert any("random address at all.away.test" in each for each in said)


@pytest.mark.parametrize(
    ("age", "known", "unknown"),
    [
        (0.0, (Verification.KNOWN, True), (Verification.UNKNOWN, True)),
        (599.0, (Verification.KNOWN, True), (Verification.UNKNOWN, True)),
        (601.0, (Verification.KNOWN, True), (None, False)),
        (86_401.0, (Verification.KNOWN, False), (None, False)),
        (7 * 86_400.0 + 1, (None, False), (None, False)),
    ],
)
def test_results_are_kept_for_their_time(
    age: float, known: tuple[Verification | None, bool], unknown: tuple[Verification | None, bool]
) -> None:
    memory = DomainMemory(KnownFor())
    memory.keep("a@x.test", Verification.KNOWN, 1000.0)
    memory.keep("b@x.test", Verification.UNKNOWN, 1000.0)
    assert memory.find("a@x.test", 1000.0 + age) == known
    assert memory.find("b@x.test", 1000.0 + age) == unknown


def test_a_domain_keeps_ten_thousand_results_the_latest_ones() -> None:
    memory = DomainMemory(KnownFor())
    for number in range(10_001):
        memory.keep(f"{number}@x.test", Verification.UNKNOWN, 0.0)
    assert memory.find("0@x.test", 0.0) == (None, False)
    assert memory.find("1@x.test", 0.0) == (Verification.UNKNOWN, True)
    assert memory.find("10000@x.test", 0.0) == (Verification.UNKNOWN, True)


def test_a_domain_is_asked_twenty_times_a_second_and_each_by_itself() -> None:
    domains = VerifiedDomains(KnownFor())
    assert [domains.of("x.test").may_ask(5.0) for _ in range(21)] == [True] * 20 + [False]
    assert domains.of("y.test").may_ask(5.0)
    assert not domains.of("x.test").may_ask(5.9)
    assert domains.of("x.test").may_ask(6.1)


def test_the_domains_of_one_section_are_bounded() -> None:
    """An attacker may name any number of them."""
    domains = VerifiedDomains(KnownFor())
    first = domains.of("first.test")
    for number in range(100):
        domains.of(f"{number}.test")
    assert domains.of("first.test") is not first
    assert domains.of("99.test") is domains.of("99.test")


def test_beyond_the_limit_the_client_comes_back(tmp_path: Path) -> None:
    with hosts(peer := FakeHost(script=knows())):
        config = parse(CONFIG.format(ip=peer.ip, port=peer.port), tmp_path / "smtpd-classic.conf")
        [direct] = config.direct_domains
        asked = RecipientVerifier(direct_servers(config, direct, FixedResolver()), lambda said: None, lambda: 1000.0)
        found = [asked.verify(f"{number}@away.test") for number in range(25)]
        asked.close()
    assert found == [Verification.UNKNOWN] * 19 + [Verification.LATER] * 6  # the first question had a random address
    assert sum(command.startswith("RCPT") for command in peer.commands) == 20
