"""Signing & DNS: the printed records show what the page says."""

import json

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Signing
from tests.client.fake_host import FakeHost, Got, hosts
from tests.waiting import until
from tests.wire.panel import options
from tests.wire.test_basic import FAR
from tests.wire.test_remote import relay, taken
from tests.wire.world import JOE, World

PAGE = "Signing & DNS"
OPTIONS = options("signing")


def test_every_option_has_a_test() -> None:
    assert [each.name for each in options_of(Signing) if f"test_{each.name}" not in globals()] == []


def records(world: World) -> str:
    return world.command("dns", "records", "example.test").stdout


def test_dmarc_reports_to(world: World) -> None:
    world.given({})
    assert "v=DMARC1; p=none; rua=mailto:dmarc-reports@example.test" in records(world)
    world.set(PAGE, OPTIONS["dmarc_reports_to"], "dmarc@example.test")
    assert "v=DMARC1; p=none; rua=mailto:dmarc@example.test" in records(world)


def test_tls_reports_to(world: World) -> None:
    world.given({})
    assert "v=TLSRPTv1; rua=mailto:tls-reports@example.test" in records(world)
    world.set(PAGE, OPTIONS["tls_reports_to"], "tls@example.test")
    assert "v=TLSRPTv1; rua=mailto:tls@example.test" in records(world)


def in_use(world: World) -> None:
    """Begin with one key that signs."""
    (key, *_) = json.loads(world.command("dkim", "list", "--json").stdout)
    assert world.command("dkim", "use", key["selector"], "--force").returncode == 0


def is_signed(got: Got) -> bool:
    return got.content.startswith(b"DKIM-Signature: ")


def test_sign_relayed(world: World) -> None:
    with hosts(peer := FakeHost()):
        world.given(relay(peer))
        in_use(world)
        assert is_signed(taken(world, peer))
        world.set(PAGE, OPTIONS["sign_relayed"], "no")
        assert not is_signed(taken(world, peer))


def test_sign_for_hosts(world: World) -> None:
    """A trusted host passes on a message that another program has received."""
    with hosts(peer := FakeHost()):
        world.given({"trusted": {"hosts": "127.0.0.1"}, **relay(peer)})
        in_use(world)
        for signed in (False, True):
            before = len(peer.got)
            with world.client(ip="127.0.0.1") as client:
                client.envelope(JOE, FAR)
                client.content(world.text(world.tag(), JOE, "Received: from a by b; Fri, 11 Jul 2025 21:00:37 +0000"))
            until(lambda before=before: len(peer.got) > before, 20, world.log)  # type: ignore[misc]
            assert is_signed(peer.got[-1]) is signed
            if not signed:
                world.set(PAGE, OPTIONS["sign_for_hosts"], "127.0.0.1")
