"""Archives, from the screen to the wire."""

import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Archive
from tests.client.fake_host import FakeHost, hosts, own_ip
from tests.waiting import until
from tests.wire.panel import options
from tests.wire.world import ANN, AWAY, JOE, World

PAGE, ARCHIVE, DOMAIN = "Archive", options("archive"), options("domain", named=True)
KEEP = "keep@example.test"


@pytest.fixture(autouse=True, scope="module")
def mailbox(everything: World) -> None:
    """A process of the test run may come back to this module: the account is there then."""
    known = everything.instance.run("user", "list").stdout
    if KEEP not in known:
        made = everything.instance.run("user", "add", KEEP, "--password-stdin", input="secret word")
        assert made.returncode == 0, made.stderr


def test_every_option_has_a_test() -> None:
    assert [each.name for each in options_of(Archive) if f"test_{each.name}" not in globals()] == []


def write(world: World, sender: str, *recipients: str, login: str = "", headers: tuple[str, ...] = ()) -> str:
    """Send a message. Return its tag."""
    tag = world.tag()
    with world.client(login) as client:
        assert client.envelope(sender, *recipients).startswith("250")
        assert client.content(world.text(tag, sender or "eve@there.test", *headers)).startswith("250")
    return tag


def test_incoming(world: World) -> None:
    """The copy names the whole envelope; mail for the archive alone gets no copy, and neither does a copy that comes
    back. No field that a stranger writes keeps a message out of the archive.
    """
    world.given({})
    world.set(PAGE, ARCHIVE["incoming"], KEEP)
    tag = write(world, "eve@there.test", JOE, ANN)
    copy = world.arrives("keep", tag)
    assert copy.startswith(
        f"Return-Path: <>\nEnvelope-To: {KEEP}\nDelivered-To: {KEEP}\nX-Envelope-From: eve@there.test\n"
        f"X-Envelope-To: {JOE},\n\t{ANN}\n"
    )
    for user in ("joe", "ann"):
        assert "X-Envelope" not in world.arrives(user, tag)
    alone = write(world, "eve@there.test", KEEP)
    assert "X-Envelope-To" not in world.arrives("keep", alone)
    mark = next(line for line in copy.splitlines() if line.startswith("X-Archive-Copy: "))
    for sender, fields in (
        ("eve@there.test", (f"Delivered-To: {KEEP}",)),
        ("", (f"Delivered-To: {KEEP}", "X-Envelope-From: <>", f"X-Envelope-To: {JOE}", f"{mark[:-4]}0000")),
    ):
        forged = write(world, sender, JOE, headers=fields)
        world.arrives("keep", forged)
    backs = [write(world, login or "eve@there.test", JOE, login=login, headers=(mark,)) for login in ("", JOE)]
    for back in backs:
        world.arrives("joe", back)
    empty = write(world, "", JOE)
    assert "X-Envelope-From: <>\n" in world.arrives("keep", empty)
    assert [len(world.mail("keep", each)) for each in (tag, alone, empty, *backs)] == [1, 1, 1, 0, 0]


def test_outgoing(world: World) -> None:
    with hosts(peer := FakeHost()):
        direct = {"direct away.test": {"hosts": f"{peer.ip}:{peer.port}"}}
        world.given(direct)
        world.set(PAGE, ARCHIVE["outgoing"], KEEP)
        tag = write(world, JOE, AWAY, ANN, login=JOE)
        assert f"X-Envelope-To: {AWAY},\n\t{ANN}\n" in world.arrives("keep", tag)
        world.arrives("ann", tag)
        world.logged(f"to=<{AWAY}>", "status=sent")
        strange = write(world, "eve@there.test", ANN)
        world.arrives("ann", strange)
        assert not world.mail("keep", strange)


@pytest.mark.screen
def test_the_archives_of_a_domain(world: World) -> None:
    world.given({"domain example.test": {}, "domain other.test": {"archive_incoming": KEEP}})
    tag = write(world, "eve@there.test", ANN)
    world.arrives("ann", tag)
    assert not world.mail("keep", tag)
    page = world.panel.open("Domains").row("example.test").step("enter")
    page.fill(DOMAIN["archive_incoming"], KEEP).press("f2").apply("+archive_incoming = ")
    tag = write(world, "eve@there.test", ANN)
    world.arrives("keep", tag, "X-Envelope-To: ann@example.test\n")
    world.given({"domain example.test": {"archive_outgoing": KEEP}})
    tag = write(world, JOE, ANN, login=JOE)
    world.arrives("keep", tag, "X-Envelope-From: joe@example.test\n")


def test_a_copy_waits_while_the_archive_is_full(world: World) -> None:
    world.given({"archive": {"incoming": KEEP}})
    assert world.command("user", "quota", KEEP, "1").returncode == 0
    world.reload()  # else the file is looked at once a second
    tag = write(world, "eve@there.test", ANN)
    world.arrives("ann", tag)
    queue_id = world.logged(f"to=<{KEEP}>", "status=deferred", "mailbox is full").split(": to=")[0].split()[-1]
    assert world.command("user", "quota", KEEP, "0").returncode == 0
    world.reload()
    world.retry(queue_id)
    world.arrives("keep", tag)


def test_the_notices_of_this_server_are_not_archived(world: World) -> None:
    archive = {"archive": {"incoming": KEEP, "outgoing": KEEP}}
    world.given({"direct away.test": {"hosts": f"{own_ip()}:9"}, "limits": {"hold_time": "1s"}, **archive})
    queue_id = world.send(AWAY)
    world.deferred(queue_id)
    world.command("queue", "hold", queue_id)

    def returned() -> list[str]:
        world.runtime.wake()
        return world.mail("joe", queue_id, "was on hold")

    until(returned, 20, world.log)
    assert not world.mail("keep", "was on hold")


def test_explain_names_the_archive(world: World) -> None:
    world.given({"archive": {"incoming": KEEP}})
    said = world.command("explain", "--ip", "192.0.2.9", "--from", "eve@there.test", "--to", ANN).stdout
    assert f"a copy goes to {KEEP}" in said
