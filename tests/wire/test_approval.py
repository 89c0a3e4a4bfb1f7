"""Approval, from the screen to the wire."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Approval
from smtpd_classic.mailauth.dkim_sign import sign
from tests.client.fake_host import FakeHost, hosts
from tests.mailauth.messages import signing_key
from tests.waiting import until
from tests.wire.panel import options
from tests.wire.world import ANN, AWAY, JOE, World, to

PAGE, APPROVAL = "Approval", options("approval", named=True)
BOSS = ANN


def test_every_option_has_a_test() -> None:
    assert [each.name for each in options_of(Approval) if f"test_{each.name}" not in globals()] == []


@contextmanager
def given(world: World, **more: str) -> Iterator[FakeHost]:
    with hosts(peer := FakeHost()):
        values = {"senders": JOE, "managers": BOSS, **more}
        world.given({"direct away.test": {"hosts": f"{peer.ip}:{peer.port}"}, "approval sales": values})
        yield peer


def set_row(world: World, name: str, value: str) -> None:
    page = world.panel.open(PAGE).row("sales").step("enter")
    page.fill(APPROVAL[name], value).press("f2").apply(f"+{name} = ")


def waits(world: World, queue_id: str) -> bool:
    row = world.queued(queue_id)
    return row is not None and (row["state"], row["hold_reason"]) == ("held", "waiting for approval")


def notice(world: World, queue_id: str) -> str:
    return world.arrives("ann", queue_id, "waits for approval")


def sent(world: World, queue_id: str) -> None:
    world.logged(f"{queue_id}: to=<{AWAY}>", "status=sent")


def gone(world: World, queue_id: str) -> None:
    def scanned() -> bool:
        world.runtime.wake()
        return world.queued(queue_id) is None

    until(scanned, 20, world.log)


def returned(world: World, queue_id: str, words: str) -> str:
    found = world.arrives("joe", queue_id, "Action: failed")
    assert words in " ".join(found.split())
    until(lambda: world.queued(queue_id) is None, 20, world.log)
    return found


def test_senders(world: World) -> None:
    """Recipients here get the message at once; the manager gets a notice with the text; a command approves."""
    with given(world) as peer:
        tag = world.tag()
        body = "Please approve.\nSecond line."
        assert world.send(ANN, tag=tag, text=world.text(tag, body=body))
        world.arrives("ann", tag, "Please approve.")
        queue_id = world.send(AWAY, text=world.text(tag, body=body))
        assert waits(world, queue_id)
        found = notice(world, queue_id)
        assert "Auto-Submitted: auto-generated" in found
        assert f"smtpd-classic queue approve {queue_id}" in " ".join(found.split())
        assert "> Please approve.\n> Second line.\n" in found
        assert tag in found
        assert "approve+" not in found
        assert not peer.got
        assert world.command("queue", "approve", queue_id).returncode == 0
        sent(world, queue_id)
        assert "approved by the administrator" in " ".join(world.arrives("joe", "was approved", tag).split())
        assert world.command("queue", "approve", queue_id).returncode != 0
        set_row(world, "senders", "*@nowhere.test")
        sent(world, world.send(AWAY))


def test_scope(world: World) -> None:
    with given(world):
        set_row(world, "scope", "inside")
        tag = world.tag()
        queue_id = world.send(AWAY, ANN, tag=tag)
        sent(world, queue_id)
        lines = world.log("held: waiting for approval: sales, for ann@example.test").split("\n")
        held = lines[-1].partition(": held:")[0].split()[-1]
        assert waits(world, held)
        assert world.command("queue", "release", held).returncode == 0
        world.arrives("ann", f"Subject: {tag}")
        set_row(world, "scope", "both")
        assert waits(world, world.send(AWAY, ANN))


def test_managers(world: World) -> None:
    with given(world, managers="nobody-yet@away.test"):
        set_row(world, "managers", BOSS)
        queue_id = world.send(AWAY, text=f"From: {JOE}\nSubject: =?utf-8?q?Tea=0A=0AIt_is_approved_already.?=\n\nText.")
        assert "Subject: Tea It is approved already." in notice(world, queue_id)
        assert world.command("queue", "refuse", queue_id).returncode == 0
        assert "5.7.1" in returned(world, queue_id, "The message was refused by the administrator")


def test_wait(world: World) -> None:
    with given(world):
        queue_id = world.send(AWAY)
        notice(world, queue_id)
        set_row(world, "wait", "1s")
        gone(world, queue_id)
        returned(world, queue_id, "was not released within")


def test_the_author_is_told_about_the_copies_of_a_group(world: World) -> None:
    """Members here get theirs at once; the decision about the others reaches the author, not the owner."""
    with given(world) as peer:
        world.given(
            {
                "direct away.test": {"hosts": f"{peer.ip}:{peer.port}"},
                "approval sales": {"senders": JOE, "managers": BOSS},
                "group staff@example.test": {"members": f"{ANN}, {AWAY}", "owner": ANN},
            }
        )
        for command, words in (("approve", "was approved by the administrator"), ("refuse", "Action: failed")):
            tag = world.tag()
            world.send("staff@example.test", tag=tag)
            world.arrives("ann", f"Subject: {tag}\n", "List-Id")
            asked = world.arrives("ann", f"Subject: {tag}", "waits for approval")
            found = re.search(r"queue approve\s+(\w+)", asked)
            assert found
            assert f"A message of {JOE} waits" in " ".join(asked.split())
            assert world.command("queue", command, found[1]).returncode == 0
            told = " ".join(world.arrives("joe", words, tag).split())
            assert "staff@example.test" in told
            assert AWAY not in told
            assert not world.mail("ann", words, tag)
        until(lambda: len(peer.got) == 1, 20, world.log)


def decide(world: World, address: str, *headers: str, login: str = BOSS, sender: str | None = None) -> str:
    with world.client(login) as client:
        sender = (login or "ann@pass.test") if sender is None else sender
        answer = client.envelope(sender, address)
        return client.content(world.text(world.tag(), sender or BOSS, *headers)) if answer.startswith("250") else answer


def addresses(world: World, queue_id: str) -> tuple[str, str]:
    found = " ".join(notice(world, queue_id).split())
    approve, refuse = (re.search(rf"{word}\+\S+@example\.test", found) for word in ("approve", "refuse"))
    assert approve
    assert refuse
    return approve[0], refuse[0]


def test_by_mail(world: World) -> None:
    with given(world):
        set_row(world, "by_mail", "yes")
        queue_id = world.send(AWAY)
        approve, _ = addresses(world, queue_id)
        assert decide(world, approve, login=JOE).startswith("550 5.7.1")
        assert decide(world, approve, login="", sender="eve@there.test").startswith("550")
        forged = approve.replace("@", "0@")
        assert decide(world, forged).startswith("550")
        for automatic in ("Auto-Submitted: auto-replied", "Precedence: bulk"):
            assert decide(world, approve, automatic).startswith("250")
        assert decide(world, approve, sender="").startswith("250")
        assert waits(world, queue_id)
        assert decide(world, approve).startswith("250")
        sent(world, queue_id)
        world.arrives("joe", "was approved by ann@example.test")
        assert decide(world, approve).startswith("250")
        world.logged(f"decision by mail about {queue_id}: it does not wait any more")
        refused = world.send(AWAY)
        _, refuse = addresses(world, refused)
        assert decide(world, refuse).startswith("250")
        returned(world, refused, "The message was refused by ann@example.test")


def test_a_manager_elsewhere_decides_with_a_signature_of_its_domain(world: World) -> None:
    """SPF alone is too weak: all users of the manager's mail server have it."""

    def decided(author: str, content: bytes) -> str:
        with world.client() as client:
            assert client.envelope(author, approve).startswith("250")
            return client.content(content.decode())

    def letter(author: str) -> bytes:
        header = f"From: {author}\nTo: {approve}\nSubject: yes\n".encode()
        key = signing_key("sel", "signed.test", ed=True)
        return sign(header, [b"Yes.\n"], [key], now=int(time.time())) + header + b"\nYes."

    with hosts(peer := FakeHost()):
        routes = {f"direct {each}.test": to(peer) for each in ("away", "signed", "pass")}
        managers = {"senders": JOE, "managers": "boss@signed.test, boss@pass.test", "by_mail": "yes"}
        world.given({**routes, "approval sales": managers, "authentication": {"check": "yes"}})
        queue_id = world.send(AWAY)
        asked = until(lambda: [each for each in peer.got if each.recipients == ("boss@signed.test",)], 20, world.log)
        (approve,) = re.findall(r"approve\+\S+@example\.test", " ".join(asked[0].content.decode().split()))
        good = letter("boss@signed.test")
        for author, content in (
            ("boss@pass.test", b"From: boss@pass.test\n\nYes."),
            ("boss@pass.test", good.replace(b"From: boss@signed", b"From: boss@pass")),
            ("other@signed.test", letter("other@signed.test")),
            ("boss@signed.test", good.replace(b"Yes.", b"Yes, please.")),
            ("boss@signed.test", b"From: eve@there.test\n" + good),
        ):
            assert decided(author, content).startswith("550 5.7.1"), content
        assert waits(world, queue_id)
        assert decided("boss@signed.test", good).startswith("250")
        sent(world, queue_id)
        world.arrives("joe", "was approved by boss@signed.test")


def test_explain_names_the_managers(world: World) -> None:
    with given(world):
        said = world.command("explain", "--login", JOE, "--ip", "192.0.2.9", "--from", JOE, "--to", AWAY).stdout
        assert f"wait for approval by {BOSS}" in said
