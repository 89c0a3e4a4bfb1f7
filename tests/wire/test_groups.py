"""Groups, from the screen to the wire."""

import re

import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Group
from tests.client.fake_host import FakeHost, hosts
from tests.wire.panel import options
from tests.wire.world import ANN, AWAY, JOE, World

pytestmark = pytest.mark.screen

PAGE, GROUP = "Groups", options("group", named=True)
STAFF = "staff@example.test"
STRANGER = "eve@there.test"


def test_every_option_has_a_test() -> None:
    assert [each.name for each in options_of(Group) if f"test_{each.name}" not in globals()] == []


def given(world: World, **more: str) -> None:
    world.given({f"group {STAFF}": {"members": f"{JOE}, {ANN}", "owner": JOE, **more}})


def set_row(world: World, name: str, value: str) -> None:
    world.panel.open(PAGE).row(STAFF).press("enter").fill(GROUP[name], value).press("f2").apply(f"+{name} = ")


def post(world: World, tag: str, *headers: str, login: str = JOE, sender: str | None = None, to: str = STAFF) -> str:
    """Write to the group. Return the first reply that refuses, else the last."""
    with world.client(login) as client:
        sender = (login or STRANGER) if sender is None else sender
        answer = client.envelope(sender, *to.split())
        return client.content(world.text(tag, sender or STRANGER, *headers)) if answer.startswith("250") else answer


def test_members(world: World) -> None:
    """Each member gets one copy, also of a nested group and of a circle, with the fields of a list on top."""
    with hosts(peer := FakeHost()):
        given(world)
        world.panel.open(PAGE).row(STAFF).press("enter").fill(GROUP["members"], f"{ANN}, {AWAY}, inner@example.test")
        world.panel.press("f2").apply("+members = ")
        world.given(
            {
                "direct away.test": {"hosts": f"{peer.ip}:{peer.port}"},
                f"group {STAFF}": {"members": f"{ANN}, {AWAY}, inner@example.test", "owner": JOE},
                "group inner@example.test": {"members": f"{ANN}, {JOE}, {STAFF}", "owner": JOE},
            }
        )
        tag = world.tag()
        assert post(world, tag, "List-Help: <mailto:x@there.test>", login="").startswith("250")
        for user in ("ann", "joe"):
            copy = world.arrives(user, tag)
            assert re.match(
                "Return-Path: <staff-bounces@example.test>\n(?:.*\n)*?List-Id: <staff.example.test>\n"
                "List-Post: <mailto:staff@example.test>\n"
                r"List-Unsubscribe: <mailto:joe@example.test\?subject=unsubscribe%20staff@example.test>"
                "\n(?:.*\n)*?Received: ",
                copy,
            ), copy
            assert copy.endswith(f"To: somebody@client.test\nSubject: {tag}\n\nA line.\n")
        world.logged("to=<bob@away.test>, orig_to=<staff@example.test>", "status=sent")
        assert [each.sender for each in peer.got] == ["staff-bounces@example.test"]
        assert len(world.mail("ann", tag)) == len(world.mail("joe", tag)) == 1


def test_owner(world: World) -> None:
    """The owner gets the bounces, and only the owner."""
    given(world)
    set_row(world, "owner", ANN)
    tag = world.tag()
    assert post(world, tag, login="", sender="", to="staff-bounces@example.test").startswith("250")
    world.arrives("ann", tag)
    assert not world.mail("joe", tag)


def test_post(world: World) -> None:
    given(world)
    assert post(world, world.tag(), login="").startswith("250")
    set_row(world, "post", "members")
    assert post(world, world.tag(), login="").startswith("550 5.7.1")
    assert post(world, world.tag(), login="", sender=JOE).startswith(("530", "550"))
    assert post(world, world.tag()).startswith("250")
    given(world, post=f"bob@example.test, {ANN}")
    assert post(world, world.tag()).startswith("550 5.7.1")
    assert post(world, world.tag(), login=ANN).startswith("250")
    given(world, post="domain")
    assert post(world, world.tag(), login=ANN).startswith("250")
    assert post(world, world.tag(), login="").startswith("550 5.7.1")


def test_a_stranger_is_an_author_by_a_dmarc_pass(world: World) -> None:
    world.given(
        {"authentication": {"check": "yes"}, f"group {STAFF}": {"members": ANN, "owner": JOE, "post": "eve@pass.test"}}
    )
    tag, forged = world.tag(), world.tag()
    assert post(world, forged, "From: eve@pass.test", login="").startswith("550 5.7.1")
    assert post(world, tag, login="", sender="eve@pass.test").startswith("250")
    world.arrives("ann", tag)
    assert not world.mail("ann", forged)


def test_subject_prefix(world: World) -> None:
    given(world)
    set_row(world, "subject_prefix", "[staff]")
    tag = world.tag()
    post(world, tag)
    assert f"\nSubject: [staff] {tag}\n" in world.arrives("ann", tag)
    tag = world.tag()
    post(world, f"Re: [staff] {tag}")
    assert f"\nSubject: Re: [staff] {tag}\n" in world.arrives("ann", tag)
    tag = world.tag()
    post(world, tag, login="")
    assert f"\nSubject: {tag}\n" in world.arrives("ann", tag)


def test_reply_to(world: World) -> None:
    given(world)
    set_row(world, "reply_to", "group")
    tag = world.tag()
    post(world, tag, f"Reply-To: {ANN}")
    assert re.findall("Reply-To: (.*)", world.arrives("ann", tag)) == ["<staff@example.test>"]
    tag = world.tag()
    post(world, tag, f"Reply-To: {ANN}", login="")
    assert re.findall("Reply-To: (.*)", world.arrives("ann", tag)) == [ANN]


def test_automatic_mail_is_not_passed_on(world: World) -> None:
    given(world)
    tag = world.tag()
    assert post(world, tag, "Auto-Submitted: auto-replied").startswith("550 5.7.1")
    assert post(world, tag, login="", sender="").startswith("550 5.7.1")
    both = world.tag()
    assert post(world, both, "Auto-Submitted: auto-replied", to=f"{STAFF} {JOE}").startswith("250")
    world.arrives("joe", both)
    assert not world.mail("ann", tag)
    assert not world.mail("ann", both)
    assert post(world, tag, "Auto-Submitted: no").startswith("250")
    world.arrives("ann", tag)


def test_a_copy_that_comes_back_is_a_loop(world: World) -> None:
    given(world)
    for field in ("List-Id: Staff <staff.example.test>", f"Delivered-To: {STAFF}"):
        assert post(world, world.tag(), field).startswith("554 5.4.6")


def test_an_alias_leads_to_a_group_with_its_rules(world: World) -> None:
    given(world, post="members")
    world.command("alias", "set", "all@example.test", STAFF)
    assert post(world, world.tag(), login="", to="all@example.test").startswith("550 5.7.1")
    tag = world.tag()
    assert post(world, tag, to=f"all@example.test {ANN}").startswith("250")
    assert "List-Id" in world.arrives("ann", tag, "List-Id")
    world.command("alias", "delete", "all@example.test")


def test_a_name_is_only_one_of_account_group_and_alias(world: World) -> None:
    given(world)
    made = world.instance.run("user", "add", STAFF, "--password-stdin", input="secret word")
    assert made.returncode != 0
    assert "only one of account, group and alias" in made.stderr
    assert world.command("alias", "set", "staff", JOE).returncode != 0
