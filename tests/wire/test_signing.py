"""Signing & DNS: the printed records show what the page says."""

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Signing
from tests.wire.panel import options
from tests.wire.world import World

PAGE = "Signing & DNS"
OPTIONS = options("signing")


def test_every_option_has_a_test() -> None:
    assert [each.name for each in options_of(Signing) if f"test_{each.name}" not in globals()] == []


def records(world: World) -> str:
    return world.command("dns", "records", "example.test").stdout


def test_dmarc_reports_to(world: World) -> None:
    world.given({})
    assert "v=DMARC1; p=none; rua=mailto:postmaster@example.test" in records(world)
    world.panel.set(PAGE, OPTIONS["dmarc_reports_to"], "dmarc@example.test")
    assert "v=DMARC1; p=none; rua=mailto:dmarc@example.test" in records(world)


def test_tls_reports_to(world: World) -> None:
    world.given({})
    assert "v=TLSRPTv1; rua=mailto:postmaster@example.test" in records(world)
    world.panel.set(PAGE, OPTIONS["tls_reports_to"], "tls@example.test")
    assert "v=TLSRPTv1; rua=mailto:tls@example.test" in records(world)
