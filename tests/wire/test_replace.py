"""Mail Header Replace: each rule is set on the page, and From, Sender and Reply-To leave otherwise than before."""

import email

import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Replacement
from tests.client.fake_host import FakeHost, Got, hosts
from tests.waiting import until
from tests.wire.panel import TOOK, Panel, options
from tests.wire.test_basic import STRANGER
from tests.wire.world import ANN, AWAY, JOE, World, to

pytestmark = pytest.mark.screen

PAGE = "Mail Header Replace"
ROW = options("replace", named=True)
SALES = "sales@example.test"
RULE = {f"replace {SALES}": {"addresses": JOE}}


def row(world: World, name: str = SALES) -> Panel:
    return world.panel.open(PAGE).row(name).button("Edit").shows(f"{PAGE}: {name}")


def kept(world: World, name: str = SALES) -> Panel:
    return world.panel.button("OK").hides(f"{PAGE}: {name}", f"{PAGE}: new").shows(f"*{name[:15]}")


def fields(content: str, *names: str) -> list[str | None]:
    message = email.message_from_string(content)
    return [message[name] for name in names or ("From",)]


def sent(world: World, peer: FakeHost, *headers: str) -> tuple[Got, str]:
    """A message of a user's to another server and to a mailbox here: what the one got, and what lies in the other."""
    tag, before = world.tag(), len(peer.got)
    world.send(AWAY, ANN, text=world.text(tag, JOE, *headers))
    until(lambda: len(peer.got) > before, 20, world.log)
    return peer.got[before], world.arrives("ann", tag)


def test_every_option_has_a_test() -> None:
    assert [each.name for each in options_of(Replacement) if f"test_{each.name}" not in globals()] == []


def test_add(world: World) -> None:
    """A rule by its button: who it is, which fields, and a display name that stays or is replaced."""
    peer = FakeHost()
    headers = (f'From: "Joe" <{JOE.upper()}>', f"Reply-To: {JOE}")
    with hosts(peer):
        world.given({"direct away.test": to(peer)})
        got, _ = sent(world, peer, *headers)
        assert fields(got.content.decode(), "From", "Reply-To") == [f'"Joe" <{JOE.upper()}>', JOE]
        panel = world.panel.open(PAGE).button("Add").shows(f"{PAGE}: new").focus("Replace with").type(SALES)
        panel.fill(ROW["addresses"], JOE)
        kept(world).apply(f"+[replace {SALES}]", f"+addresses = {JOE}")
        got, local = sent(world, peer, *headers)
        assert fields(got.content.decode(), "From", "Reply-To") == [f'"Joe" <{SALES}>', SALES]
        assert fields(local) == [f'"Joe" <{JOE.upper()}>']
        with world.client() as client:  # what a stranger sends does not originate here
            tag = world.tag()
            assert client.envelope(STRANGER, ANN).startswith("250")
            assert client.content(world.text(tag, JOE)).startswith("250")
        assert fields(world.arrives("ann", tag)) == [JOE]


def test_name(world: World) -> None:
    """The replacement itself: another address, and a display name that it brings."""
    peer = FakeHost()
    with hosts(peer):
        world.given({"direct away.test": to(peer), **RULE})
        assert fields(sent(world, peer)[0].content.decode()) == [SALES]
        row(world).focus("Replace with").type("Office <office@example.test>")
        kept(world, "Office <office@example.test>").apply("+[replace Office <office@example.test>]")
        assert fields(sent(world, peer)[0].content.decode()) == ["Office <office@example.test>"]


def test_addresses(world: World) -> None:
    peer = FakeHost()
    with hosts(peer):
        world.given({"direct away.test": to(peer), f"replace {SALES}": {"addresses": "root@example.test"}})
        assert fields(sent(world, peer)[0].content.decode()) == [JOE]
        row(world).fill(ROW["addresses"], f"root@example.test; {JOE}")
        kept(world).apply(f"+addresses = root@example.test; {JOE}")
        assert fields(sent(world, peer)[0].content.decode()) == [SALES]


def test_local(world: World) -> None:
    peer = FakeHost()
    with hosts(peer):
        world.given({"direct away.test": to(peer), **RULE})
        assert fields(sent(world, peer)[1]) == [JOE]
        row(world).fill(ROW["local"], "yes")
        kept(world).apply("+local = yes")
        assert fields(sent(world, peer)[1]) == [SALES]


def test_remote(world: World) -> None:
    peer = FakeHost()
    with hosts(peer):
        world.given({"direct away.test": to(peer), **RULE})
        assert fields(sent(world, peer)[0].content.decode()) == [SALES]
        row(world).fill(ROW["remote"], "no").fill(ROW["local"], "yes")
        kept(world).apply("+remote = no")
        got, local = sent(world, peer)
        assert fields(got.content.decode()) == [JOE]
        assert fields(local) == [SALES]


def test_envelope_sender(world: World) -> None:
    peer = FakeHost()
    with hosts(peer):
        world.given({"direct away.test": to(peer), **RULE})
        assert sent(world, peer)[0].sender == JOE
        row(world).fill(ROW["envelope_sender"], "yes")
        kept(world).apply("+envelope_sender = yes")
        assert sent(world, peer)[0].sender == SALES


def test_delete(world: World) -> None:
    peer = FakeHost()
    with hosts(peer):
        world.given({"direct away.test": to(peer), **RULE})
        assert fields(sent(world, peer)[0].content.decode()) == [SALES]
        world.panel.open(PAGE).row(SALES).button("Delete").shows("Nothing is replaced").apply(f"-[replace {SALES}]")
        assert fields(sent(world, peer)[0].content.decode()) == [JOE]


@pytest.mark.parametrize(("name", "button"), [("a@example.test", "Down"), ("b@example.test", "Up")])
def test_order(world: World, name: str, button: str) -> None:
    """The first rule that holds an address counts."""
    peer = FakeHost()
    rules = {f"replace {each}@example.test": {"addresses": JOE} for each in "ab"}
    with hosts(peer):
        world.given({"direct away.test": to(peer), **rules})
        assert fields(sent(world, peer)[0].content.decode()) == ["a@example.test"]
        world.panel.open(PAGE).row(name).button(button).apply("[replace ")
        assert fields(sent(world, peer)[0].content.decode()) == ["b@example.test"]


def test_apply_and_reset(world: World) -> None:
    """By the buttons: Diff shows, Reset forgets, Apply puts into force."""
    peer = FakeHost()
    with hosts(peer):
        world.given({"direct away.test": to(peer), **RULE})
        row(world).fill(ROW["local"], "yes")
        kept(world).button("Diff").shows("The changes of the file", "+local = yes").button("Close")
        world.panel.hides("The changes of the file").button("Reset").shows("Changes discarded").hides(f"*{SALES}")
        assert TOOK not in world.panel.text
        assert fields(sent(world, peer)[1]) == [JOE]
        row(world).fill(ROW["local"], "yes")
        kept(world).button("Apply").confirm("+local = yes")
        assert fields(sent(world, peer)[1]) == [SALES]
