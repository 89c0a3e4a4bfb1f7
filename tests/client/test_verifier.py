"""Verification of recipients at the server of a direct domain, without the server that asks."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from smtpd_classic.client.inner_server import InnerServer
from smtpd_classic.client.separate_network import separate_network
from smtpd_classic.client.verified import KnownFor, VerifiedRecipients
from smtpd_classic.client.verifier import RecipientVerifier, Verification, direct_section, verifications
from smtpd_classic.config import parse
from smtpd_classic.dns import FixedResolver
from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import FakeHost, Script, Talk, hosts
from tests.waiting import until

CLIENT = "192.0.2.9"
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
    with (
        hosts(peer := FakeHost(script=script)),
        verifier(peer, tmp_path, said, limit_s=2.0) as asked,
        ThreadPoolExecutor(3) as pool,
    ):
        found = list(pool.map(lambda number: asked.verify(f"slow{number}@away.test", f"192.0.2.{number}"), range(3)))
    assert (set(found), said) == ({Verification.UNKNOWN}, [])


@contextmanager
def verifier(
    peer: FakeHost, folder: Path, said: list[str], *, idle_s: float = 30.0, limit_s: float = 5.0
) -> Iterator[RecipientVerifier]:
    config = parse(CONFIG.format(ip=peer.ip, port=peer.port), folder / "smtpd-classic.conf")
    network = separate_network(config, FixedResolver())
    section = direct_section(config, config.direct_domains[0], network)
    server = InnerServer(section.targets, network, idle_s=idle_s, limit_s=limit_s)
    yield RecipientVerifier(section, server, said.append)
    server.close()


def knows(*addresses: str) -> Script:
    def script(event: Event, talk: Talk) -> Reply | None:
        known = not isinstance(event, events.RcptTo) or event.forward_path in addresses
        return None if known else Reply(550, "5.1.1", "unknown")

    return script


def test_a_session_without_a_question_is_closed(tmp_path: Path) -> None:
    """The next question opens another one."""
    with hosts(peer := FakeHost(script=knows("bob@away.test"))), verifier(peer, tmp_path, [], idle_s=0.2) as asked:
        assert asked.verify("bob@away.test", CLIENT) is Verification.KNOWN
        until(lambda: "QUIT" in " ".join(peer.commands))
        assert asked.verify("eve@away.test", CLIENT) is Verification.UNKNOWN
        assert peer.connections == 2


def test_a_domain_that_accepts_all_leaves_the_others_verified(tmp_path: Path) -> None:
    """One section may be for several domains: `[direct .away.test]`."""

    def script(event: Event, talk: Talk) -> Reply | None:
        open_domain = not isinstance(event, events.RcptTo) or event.forward_path.endswith("@all.away.test")
        return None if open_domain else Reply(550, "5.1.1", "unknown")

    said: list[str] = []
    with hosts(peer := FakeHost(script=script)), verifier(peer, tmp_path, said) as asked:
        assert asked.verify("bob@all.away.test", CLIENT) is Verification.KNOWN
        assert asked.verify("bob@strict.away.test", CLIENT) is Verification.UNKNOWN
        assert asked.verify("ann@all.away.test", CLIENT) is Verification.UNSURE
    assert any("random address at all.away.test" in each for each in said)


def test_an_unknown_recipient_costs_one_question_and_the_first_known_one_two(tmp_path: Path) -> None:
    """A refusal shows that the server does not accept all, so a random address is asked for at a known one alone."""
    with hosts(peer := FakeHost(script=knows("bob@away.test"))), verifier(peer, tmp_path, []) as asked:
        asked.verify("eve@away.test", CLIENT)
        asked.verify("eve@away.test", CLIENT)
        assert len(rcpts(peer)) == 1
        for _ in range(2):
            assert asked.verify("bob@away.test", CLIENT) is Verification.KNOWN
        assert len(rcpts(peer)) == 3


def test_sections_with_the_same_hosts_share_their_sessions(tmp_path: Path) -> None:
    with hosts(peer := FakeHost(script=knows())):
        text = CONFIG + "[direct other.test]\nhosts = {ip}:{port}\nverify_recipients = yes\n"
        config = parse(text.format(ip=peer.ip, port=peer.port), tmp_path / "smtpd-classic.conf")
        verify = verifications(config, FixedResolver(), lambda said: None)
        assert verify("away.test", "eve@away.test", CLIENT) == "unknown"
        assert verify("other.test", "eve@other.test", CLIENT) == "unknown"
        assert peer.connections == 1


def test_a_server_without_smtputf8_is_asked_in_ascii(tmp_path: Path) -> None:
    """As the mail would be sent; an address that has no such form is not asked for, and would bounce."""
    known = knows("bob@xn--bcher-kva.test")
    with hosts(peer := FakeHost(script=known, hidden=("SMTPUTF8",))), verifier(peer, tmp_path, []) as asked:
        assert asked.verify("bob@bücher.test", CLIENT) is Verification.KNOWN
        assert asked.verify("jörg@bücher.test", CLIENT) is Verification.UNKNOWN
        assert all(each.isascii() for each in peer.commands)


def test_a_server_with_smtputf8_is_asked_as_it_is_written(tmp_path: Path) -> None:
    with hosts(peer := FakeHost(script=knows("jörg@bücher.test"))), verifier(peer, tmp_path, []) as asked:
        assert asked.verify("jörg@bücher.test", CLIENT) is Verification.KNOWN


def rcpts(peer: FakeHost) -> list[str]:
    return [command for command in peer.commands if command.startswith("RCPT")]


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
    memory = VerifiedRecipients(KnownFor())
    memory.keep("a@x.test", Verification.KNOWN, CLIENT, 1000.0)
    memory.keep("b@x.test", Verification.UNKNOWN, CLIENT, 1000.0)
    assert memory.find("a@x.test", 1000.0 + age) == known
    assert memory.find("b@x.test", 1000.0 + age) == unknown


def test_a_section_keeps_ten_thousand_results_the_latest_ones() -> None:
    memory = VerifiedRecipients(KnownFor())
    for number in range(10_001):
        memory.keep(f"{number}@x.test", Verification.UNKNOWN, CLIENT, 0.0)
    assert memory.find("0@x.test", 0.0) == (None, False)
    assert memory.find("1@x.test", 0.0) == (Verification.UNKNOWN, True)
    assert memory.find("10000@x.test", 0.0) == (Verification.UNKNOWN, True)


@pytest.mark.parametrize("result", [Verification.KNOWN, Verification.UNKNOWN])
def test_a_client_that_asks_about_many_addresses_displaces_its_own_alone(result: Verification) -> None:
    """Addresses with a tag (bob+1, bob+2) are known, and there is no end of them."""
    memory = VerifiedRecipients(KnownFor(), 100)
    for number in range(3):
        memory.keep(f"known{number}@x.test", Verification.KNOWN, f"192.0.2.{number}", 0.0)
    memory.keep("unknown@x.test", Verification.UNKNOWN, "192.0.2.1", 0.0)
    for number in range(1000):
        memory.keep(f"{number}@sub{number}.x.test", result, CLIENT, 0.0)
        memory.keep_domain(f"sub{number}.x.test", CLIENT, 9.0, accepts_all=False)
    assert all(memory.find(f"known{number}@x.test", 0.0)[0] is Verification.KNOWN for number in range(3))
    if result is Verification.UNKNOWN:
        assert memory.find("unknown@x.test", 0.0)[0] is Verification.UNKNOWN


def test_unknown_recipients_never_displace_known_ones() -> None:
    memory = VerifiedRecipients(KnownFor(), 10)
    for number in range(10):
        memory.keep(f"{number}@x.test", Verification.KNOWN, CLIENT, 0.0)
    memory.keep("unknown@x.test", Verification.UNKNOWN, "192.0.2.1", 0.0)
    assert memory.find("unknown@x.test", 0.0) == (None, False)
    assert all(memory.find(f"{number}@x.test", 0.0)[0] is Verification.KNOWN for number in range(10))


def test_the_domains_of_one_section_are_bounded() -> None:
    """An attacker may name any number of them, which does not displace that of another client."""
    memory = VerifiedRecipients(KnownFor())
    memory.keep_domain("x.test", "192.0.2.1", 9.0, accepts_all=True)
    for number in range(1001):
        memory.keep_domain(f"{number}.x.test", CLIENT, 9.0, accepts_all=True)
    assert memory.accepts_all("x.test", 0.0)
    assert memory.accepts_all("1.x.test", 0.0) is None
    assert memory.accepts_all("1000.x.test", 0.0)
    assert memory.accepts_all("1000.x.test", 9.0) is None


def test_a_client_beyond_its_share_waits_for_the_next_second(tmp_path: Path) -> None:
    """There are ten questions a second for it."""
    with hosts(peer := FakeHost(script=knows())), verifier(peer, tmp_path, []) as asked:
        began = time.monotonic()
        found = [asked.verify(f"{number}@away.test", CLIENT) for number in range(11)]
        assert found == [Verification.UNKNOWN] * 11
        assert 1.0 <= time.monotonic() - began < 4.0
