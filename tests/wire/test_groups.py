"""Groups, from the screen to the wire."""

import re
from email.header import decode_header, make_header
from urllib.parse import quote

import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Group
from tests.client.fake_host import FakeHost, hosts
from tests.waiting import until
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
    world.panel.open(PAGE).row(STAFF).step("enter").fill(GROUP[name], value).press("f2").apply(f"+{name} = ")


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
        world.panel.open(PAGE).row(STAFF).step("enter").fill(GROUP["members"], f"{ANN}, {AWAY}, inner@example.test")
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


def test_a_prefix_of_any_letters_is_encoded_and_found_again(world: World) -> None:
    prefix = "[Büro der Geschäftsführung, Ländergruppe Süd und Österreich]"
    given(world, subject_prefix=prefix)
    tag = world.tag()
    post(world, tag)
    subject = re.search(r"\nSubject:((?: .*\n)+)", world.arrives("ann", tag))
    assert subject
    assert max(map(len, re.findall(r"=\?\S+\?=", subject[1]))) <= 75  # RFC 2047 2
    assert str(make_header(decode_header(subject[1].strip()))) == f"{prefix} {tag}"
    tag = world.tag()
    post(world, f"Re: =?utf-8?q?{quote(prefix).replace('%', '=')}?= {tag}")
    assert len(decode_header(world.arrives("ann", tag).partition("\nSubject: ")[2].partition("\n")[0])) == 3


def test_the_name_of_a_list_is_ascii(world: World) -> None:
    """RFC 2919: it is a dot-atom-text, also for a group with an address that needs SMTPUTF8."""
    world.given({"group büro@example.test": {"members": f"{JOE}, {ANN}", "owner": JOE}})
    tag = world.tag()
    with world.client(JOE) as client:
        assert client.docmd(f"MAIL FROM:<{JOE}> SMTPUTF8")[0] == 250
        client.send("RCPT TO:<büro@example.test>\r\n".encode())
        assert client.getreply()[0] == 250
        assert client.content(world.text(tag)).startswith("250")
    copy = world.arrives("ann", tag)
    assert "\nList-Id: <b=C3=BCro.example.test>\nList-Post: <mailto:b%C3%BCro@example.test>\n" in copy
    with world.client(JOE) as client:
        assert client.docmd(f"MAIL FROM:<{JOE}> SMTPUTF8")[0] == 250
        client.send("RCPT TO:<büro@example.test>\r\n".encode())
        assert client.getreply()[0] == 250
        assert client.content(world.text(tag, JOE, "List-Id: <b=C3=BCro.example.test>")).startswith("554 5.4.6")


def test_a_disabled_member_gets_no_mail(world: World) -> None:
    given(world, members=f"{ANN}, off@example.test")
    made = world.instance.run("user", "add", "off@example.test", "--password-stdin", input="secret word")
    assert made.returncode == 0, made.stderr
    assert world.command("user", "status", "off@example.test", "disabled").returncode == 0
    world.reload()
    tag = world.tag()
    assert post(world, tag).startswith("250")
    world.arrives("ann", tag)
    assert not world.mail("off", tag)
    given(world, members="off@example.test")
    assert post(world, world.tag()).startswith("550 5.1.1")
    given(world)
    assert world.command("user", "delete", "off@example.test").returncode == 0


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


def test_the_group_is_the_final_delivery_for_its_author(world: World) -> None:
    """RFC 3461 5.2.7.1: a notice names the group, and no copy has a parameter of the author."""
    alias = world.command("alias", "set", "everyone@example.test", STAFF)
    assert alias.returncode == 0, alias.stderr
    with hosts(peer := FakeHost()):
        group = {"members": f"{ANN}, {AWAY}", "owner": ANN}
        world.given({"direct away.test": {"hosts": f"{peer.ip}:{peer.port}"}, f"group {STAFF}": group})
        tag = world.tag()
        with world.client(JOE) as client:
            assert client.say(f"MAIL FROM:<{JOE}> RET=FULL ENVID=id-{tag}").startswith("250")
            for address, notify in (("everyone@example.test", "SUCCESS"), ("ann@example.test", "NEVER")):
                assert client.say(f"RCPT TO:<{address}> NOTIFY={notify} ORCPT=rfc822;{address}").startswith("250")
            assert client.content(world.text(tag)).startswith("250")
        notice = world.arrives("joe", "Action: delivered", tag)
        assert f"Original-Envelope-Id: id-{tag}\n" in notice
        assert (
            "Original-Recipient: rfc822; everyone@example.test\nFinal-Recipient: rfc822; staff@example.test\n" in notice
        )
        world.logged("to=<bob@away.test>, orig_to=<staff@example.test>", "status=sent")
        (got,) = peer.got
        assert (got.mail.ret, got.mail.envid, got.rcpts[0].notify, got.rcpts[0].orcpt) == ("", "", frozenset(), "")
        assert len(world.mail("joe", f"id-{tag}")) == 1


@pytest.mark.parametrize(("notify", "told"), [("NEVER", 0), ("SUCCESS", 0), ("FAILURE", 1), ("SUCCESS,FAILURE", 1)])
def test_what_is_refused_before_it_reaches_the_group_is_told_as_its_author_wishes(
    world: World, notify: str, told: int
) -> None:
    """Members here have their copies, so the author who wants to know of success is told of that."""
    group = {"members": f"{ANN}, {AWAY}", "owner": ANN}
    world.given({f"group {STAFF}": group, "approval sales": {"senders": JOE, "managers": ANN}})
    tag = world.tag()
    with world.client(JOE) as client:
        assert client.say(f"MAIL FROM:<{JOE}>").startswith("250")
        assert client.say(f"RCPT TO:<{STAFF}> NOTIFY={notify} ORCPT=rfc822;{STAFF}").startswith("250")
        answer = client.content(world.text(tag))
    world.arrives("ann", f"Subject: {tag}\n", "List-Id")
    asked = re.search(r"queue approve\s+(\w+)", world.arrives("ann", tag, "waits for approval"))
    assert asked, answer
    assert world.command("queue", "refuse", asked[1]).returncode == 0
    world.logged(f"{asked[1]}: from=", "returned to sender")
    until(lambda: world.queued(asked[1]) is None, 20, world.log)
    if told:
        world.arrives("joe", "Action: failed", tag, "To: <joe@example.test>")
    found = world.mail("joe", "Action: failed", tag, "To: <joe@example.test>")
    assert len(found) == told
    assert all(f"Original-Recipient: rfc822; {STAFF}\n" in each for each in found)
    assert len(world.mail("joe", "Action: delivered", tag)) == notify.startswith("SUCCESS")
