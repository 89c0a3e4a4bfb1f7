"""The answers about recipients that servers share: each server has a verifier of its own, and all have one Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smtpd_classic.client.verifier import verifications
from smtpd_classic.config import parse
from smtpd_classic.dns import FixedResolver
from smtpd_classic.policy.rules import Verify
from smtpd_classic.shared_state import SharedState
from smtpd_classic.sharing import shared_answers
from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import FakeHost, Talk, hosts
from tests.shared_state.redis_server import RedisServer

CONFIG = "[server]\nprimary_domain = us.test\n[direct {name}]\nhosts = {ip}:{port}\nverify_recipients = yes\n"
CLIENT = "192.0.2.9"


def strict(event: Event, talk: Talk) -> Reply | None:
    known = not isinstance(event, events.RcptTo) or event.forward_path == "bob@away.test"
    return None if known else Reply(550, "5.1.1", "unknown")


def node(peer: FakeHost, folder: Path, shared: SharedState, name: str = "away.test") -> Verify:
    text = CONFIG.format(name=name, ip=peer.ip, port=peer.port)
    config = parse(text, folder / "smtpd-classic.conf")
    return verifications(config, FixedResolver(), lambda said: None, shared_answers(shared))


@contextmanager
def inner_server(peer: FakeHost) -> Iterator[FakeHost]:
    with hosts(peer):
        yield peer


def questions(peer: FakeHost) -> int:
    return sum(command.startswith("RCPT") for command in peer.commands)


def test_a_recipient_is_asked_for_once_by_all_servers(tmp_path: Path, shared: SharedState) -> None:
    with inner_server(FakeHost(script=strict)) as peer:
        one, two, other = (node(peer, tmp_path, shared, name) for name in ("away.test", "away.test", ".away.test"))
        for address, result in (("bob@away.test", "known"), ("eve@away.test", "unknown")):
            assert one("away.test", address, CLIENT) == result
        before = questions(peer)
        for address, result in (("BOB@away.test", "known"), ("eve@Away.test", "unknown")):
            assert two("away.test", address, CLIENT) == result
        assert questions(peer) == before
        assert other(".away.test", "eve@away.test", CLIENT) == "unknown"  # another section may have other servers
        assert questions(peer) == before + 1


def test_a_domain_that_accepts_all_is_known_to_all_servers(tmp_path: Path, shared: SharedState) -> None:
    with inner_server(FakeHost()) as peer:
        one, two = (node(peer, tmp_path, shared) for _ in range(2))
        assert one("away.test", "bob@away.test", CLIENT) == "known"
        before = questions(peer)
        assert two("away.test", "ann@away.test", CLIENT) == "cannot be verified"
        assert questions(peer) == before


def test_the_lifetimes_are_those_of_one_server(tmp_path: Path, shared: SharedState) -> None:
    with inner_server(FakeHost(script=strict)) as peer:
        one = node(peer, tmp_path, shared)
        one("away.test", "bob@away.test", CLIENT)
        one("away.test", "eve@away.test", CLIENT)
        lifetimes = {}
        for name in ("bob@away.test", "eve@away.test", "@away.test"):
            kept = shared.text("verified", f"away.test {name}")
            assert kept is not None
            lifetimes[name] = round((kept.left_s + kept.age_s) / 600)
        assert lifetimes == {"bob@away.test": 7 * 144, "eve@away.test": 1, "@away.test": 6}


def test_without_an_answer_of_the_shared_state_each_server_asks(
    tmp_path: Path, shared: SharedState, redis_server: RedisServer
) -> None:
    with inner_server(FakeHost(script=strict)) as peer:
        one, two = (node(peer, tmp_path, shared) for _ in range(2))
        redis_server.stop()
        try:
            assert one("away.test", "eve@away.test", CLIENT) == "unknown"
            assert two("away.test", "eve@away.test", CLIENT) == "unknown"
            assert two("away.test", "eve@away.test", CLIENT) == "unknown"
            assert questions(peer) == 2
        finally:
            redis_server.start()
