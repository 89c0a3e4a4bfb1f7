"""Authentication: each option is set on the page, and mail of strangers fares as it says."""

import time
from email import message_from_string

import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Authentication
from tests.wire.panel import options
from tests.wire.world import JOE, World

PAGE = "Authentication"
OPTIONS = options("authentication")
CLIENT = "127.77.9.1"
ON = {"authentication": {"check": "yes"}}


def test_every_option_has_a_test() -> None:
    assert [each.name for each in options_of(Authentication) if f"test_{each.name}" not in globals()] == []


def reply(world: World, domain: str, *headers: str, tag: str = "") -> str:
    """The last reply to a stranger whose author is at this domain."""
    with world.client(ip=CLIENT) as client:
        answer = client.envelope(f"x@{domain}", JOE)
        return client.content(world.text(tag, f"x@{domain}", *headers)) if answer.startswith("2") else answer


def place(world: World, domain: str, *headers: str) -> str:
    """Where a message of a stranger ends: inbox, junk, or the reply that refuses it."""
    tag = world.tag()
    answer = reply(world, domain, *headers, tag=tag)
    if not answer.startswith("250"):
        return answer[:10]
    folder = world.instance.folder / "mail" / "example.test" / "joe"
    junk = any(tag in path.read_text() for path in (folder / ".Junk" / "new").glob("*"))
    return "junk" if junk else "inbox"


def results(world: World, domain: str, *headers: str) -> list[str]:
    tag = world.tag()
    assert reply(world, domain, *headers, tag=tag).startswith("250")
    message = message_from_string(world.arrives("joe", tag))
    return [" ".join(str(each).split()) for each in message.get_all("Authentication-Results", [])]


def set_(world: World, name: str, value: str) -> None:
    world.set(PAGE, OPTIONS[name], value)


def test_check(world: World) -> None:
    world.given(ON)
    assert "dmarc=none" in results(world, "plain.test")[0]
    set_(world, "check", "no")
    assert results(world, "plain.test") == []


def test_spf_fail(world: World) -> None:
    world.given(ON)
    assert "spf=fail" in results(world, "closed.test")[0]
    set_(world, "spf_fail", "refuse")
    assert reply(world, "closed.test").startswith("550 5.7.23")
    with world.client() as client:
        assert client.envelope("x@closed.test", "postmaster@example.test").startswith("250")


CHOICES = pytest.mark.parametrize(("value", "ends"), [("mark", "inbox"), ("refuse", "550 5.7.26")])


@CHOICES
def test_dmarc_quarantine(world: World, value: str, ends: str) -> None:
    world.given(ON)
    assert place(world, "quarantine.test") == "junk"
    set_(world, "dmarc_quarantine", value)
    assert place(world, "quarantine.test") == ends


@CHOICES
def test_dmarc_reject(world: World, value: str, ends: str) -> None:
    world.given(ON)
    assert place(world, "reject.test") == "junk"
    set_(world, "dmarc_reject", value)
    assert place(world, "reject.test") == ends


def test_own_domains(world: World) -> None:
    world.given({"domain own.test": {}, "authentication": {"check": "yes"}})
    assert place(world, "plain.test", "From: boss@own.test") == "junk"
    set_(world, "own_domains", "refuse")
    assert place(world, "plain.test", "From: boss@own.test") == "550 5.7.26"


def test_trusted_forwarders(world: World) -> None:
    world.given(ON)
    assert place(world, "reject.test") == "junk"
    set_(world, "trusted_forwarders", CLIENT)
    assert place(world, "reject.test") == "inbox"


def test_trusted_results(world: World) -> None:
    field = "Authentication-Results: example.test; spf=pass smtp.mailfrom=forged.test"
    world.given(ON)
    assert len(results(world, "plain.test", field)) == 1
    set_(world, "trusted_results", CLIENT)
    assert len(results(world, "plain.test", field)) == 2


def test_deadline(world: World) -> None:
    """A name server that does not answer."""
    world.given({"server": {"name_servers": "127.0.0.1:9"}, "authentication": {"check": "yes", "deadline": "4s"}})
    set_(world, "deadline", "1s")
    started = time.monotonic()
    assert "dmarc=temperror" in results(world, "slow.test")[0]
    assert time.monotonic() - started < 4
