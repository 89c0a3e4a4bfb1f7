"""Postfix and Exim on the other side, both ways, found through a real name server, with TLS and without."""

import re
import smtplib
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from typing import NamedTuple

import pytest

from tests.peers.exim import Exim
from tests.peers.postfix import Postfix
from tests.peers.smtp import Door
from tests.peers.world import Net, content, failures, network, parts, send, trace_of
from tests.waiting import until

MX = {
    "postfix.test": [(10, "mx.postfix.test")],
    "plain.postfix.test": [(10, "plain.mx.postfix.test")],
    "exim.test": [(10, "mx.exim.test")],
    "plain.exim.test": [(10, "plain.mx.exim.test")],
    "late.test": [(10, "mx.late.test")],
}
ADDRESSES = {
    "mx.postfix.test": Postfix.ip,
    "plain.mx.postfix.test": Postfix.plain_ip,
    "mx.exim.test": Exim.ip,
    "plain.mx.exim.test": Exim.plain_ip,
    "mx.late.test": "127.0.0.7",
}
DOMAINS = ("postfix.test", "plain.postfix.test", "late.test")
ALIASES = (("list@postfix.test", "nobody@exim.test"),)
LATER = "transport_maps = inline:{ {later@postfix.test=smtp:[127.0.0.8]} }"


class World(NamedTuple):
    net: Net
    postfix: Postfix
    exim: Exim

    def peer(self, name: str) -> Postfix | Exim:
        return self.postfix if name == "postfix" else self.exim


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with network(MX, ADDRESSES, basic__copy_bounces="none") as net:
        us = net.us
        for alias, target in (("away", "nobody@exim.test"),):
            done = us.run("alias", "set", f"{alias}@us.test", target)
            assert done.returncode == 0, done.stderr
        postfix, exim = (
            Postfix(net.folder, DOMAINS, users=("ann", "later"), aliases=ALIASES, options=LATER),
            Exim(net.folder),
        )
        postfix.start()
        try:
            exim.start()
            try:
                yield World(net, postfix, exim)
            finally:
                exim.stop()
        finally:
            postfix.stop()


def with_tag(stored: list[bytes], tag: str) -> list[bytes]:
    return [each for each in stored if f"\nMessage-ID: <{tag}@client.test>\n".encode() in each]


@pytest.mark.parametrize("way", ["tls", "plain"])
@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_mail_from_us_arrives_as_it_was_written(world: World, name: str, way: str) -> None:
    tag = f"to-{name}-{way}"
    address = f"ann@{'plain.' if way == 'plain' else ''}{name}.test"
    queue_id = world.net.submit(content(tag), address)
    peer = world.peer(name)
    stored = until(lambda: with_tag(peer.mail(address), tag), 20, lambda: world.net.us.log() + peer.log())
    assert len(stored) == 1
    assert stored[0].endswith(content(tag))
    trace = stored[0].removesuffix(content(tag))
    assert trace_of(stored[0]).startswith(trace)
    assert ("TLS" in message_from_bytes(stored[0])["Received"]) == (way == "tls")
    world.net.gone(queue_id)
    assert world.net.outcomes(queue_id) == [(address, "2.0.0", "sent")]
    assert f"relay={'plain.' if way == 'plain' else ''}mx.{name}.test[" in world.net.us.log()


@pytest.mark.parametrize("way", ["tls", "plain"])
@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_mail_from_others_arrives_as_it_was_written(world: World, name: str, way: str) -> None:
    tag = f"from-{name}-{way}"
    sender = f"ann@{name}.test"
    peer = world.peer(name)
    with smtplib.SMTP(peer.ip, 25, timeout=20) as client:
        send(client, sender, content(tag, sender), f"joe@{'plain.' if way == 'plain' else ''}us.test")
    stored = until(
        lambda: with_tag([path.read_bytes() for path in world.net.us.mail()], tag),
        20,
        lambda: world.net.us.log() + peer.log(),
    )
    assert len(stored) == 1
    assert stored[0].endswith(content(tag, sender))
    trace = stored[0].removesuffix(content(tag, sender))
    assert trace_of(stored[0]).startswith(trace)
    assert trace.startswith(f"Return-Path: <{sender}>\n".encode())
    assert f"with {'ESMTPS' if way == 'tls' else 'ESMTP'} id" in message_from_bytes(stored[0])["Received"]


# Bounces -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["postfix", "exim"])
def test_an_unknown_user_comes_back_as_a_bounce_that_programs_understand(world: World, name: str) -> None:
    queue_id = world.net.submit(content(f"unknown-{name}"), f"nobody@{name}.test", f"ann@{name}.test")
    bounce = world.net.bounce(queue_id)
    assert failures(bounce) == {f"nobody@{name}.test".encode()}
    assert f"Your message could not be delivered to <nobody@{name}.test>.".encode() in bounce
    assert f"The mail server mx.{name}.test ({world.peer(name).ip}) said".encode() in bounce
    _, (recipient,) = parts(bounce)
    assert recipient["Action"] == "failed"
    assert recipient["Remote-MTA"] == f"dns; mx.{name}.test"
    assert recipient["Diagnostic-Code"].startswith("smtp; 550 ")
    stored = until(lambda: with_tag(world.peer(name).mail(f"ann@{name}.test"), f"unknown-{name}"), 20)
    assert len(stored) == 1


def test_a_bounce_of_postfix_reaches_our_user(world: World) -> None:
    """Postfix takes it, Exim refuses it, and what Postfix makes of that comes in as any other mail."""
    world.net.submit(content("list"), "list@postfix.test")
    bounce = world.net.mail_with(b"\nMessage-ID: <list@client.test>\n")
    assert bounce.startswith(b"Return-Path: <>\nEnvelope-To: joe@us.test\n")
    assert failures(bounce) == {b"list@postfix.test"}


def test_our_bounce_passes_through_postfix_unharmed(world: World) -> None:
    """For mail that an alias of ours sends on to where it is refused; what waits in the queue is what arrives."""
    sender = "ann@late.test"
    with smtplib.SMTP(world.postfix.ip, 25, timeout=20) as client:
        send(client, sender, content("away", sender), "away@us.test")
    us = world.net.us
    pattern = r"(\w+): sender non-delivery notification: (\w+)\n(?s:.*) \2: to=<ann@late\.test>"
    found = until(lambda: re.search(pattern, us.log()), 20, us.log)
    assert found is not None
    original, bounce = found.groups()
    assert world.net.outcomes(bounce) == [(sender, "4.4.1", "deferred")]
    sent = us.run("queue", "show", "--content", bounce).stdout
    with Door("127.0.0.7", world.postfix.ip):
        world.net.retry(bounce)
        world.net.gone(bounce)
    stored = until(lambda: world.postfix.mail(sender), 20, world.postfix.log)
    assert len(stored) == 1
    assert stored[0].endswith(sent.encode())
    assert trace_of(stored[0]).startswith(b"Return-Path: <>\n")
    assert failures(stored[0]) == {b"nobody@exim.test"}
    about_it, (recipient,) = parts(stored[0])
    assert about_it["X-Queue-ID"] == original
    assert recipient["Final-Recipient"] == "rfc822; nobody@exim.test"


# Notifications on request --------------------------------------------------------------------------------------------


def dsn(notify: str, address: str) -> tuple[str, ...]:
    return f"NOTIFY={notify}", f"ORCPT=rfc822;{address.replace('@', '+40')}"


def of_postfix(world: World, envid: str, action: str) -> tuple[Message, Message, bytes]:
    """The fields about message and recipient in Postfix's only notification about this envelope."""
    found = world.net.mail_with(f"\nOriginal-Envelope-Id: {envid}\n".encode())
    about, (recipient,) = parts(found)
    assert recipient["Action"] == action
    assert about["Reporting-MTA"] == "dns; mx.postfix.test"
    return about, recipient, found


def test_postfix_tells_our_user_of_success(world: World) -> None:
    ann = "ann@postfix.test"
    queue_id = world.net.submit(content("success"), ann, mail=("ENVID=success+2B1",), rcpt=dsn("SUCCESS", ann))
    _, recipient, _ = of_postfix(world, "success+1", "delivered")
    assert recipient["Original-Recipient"] == f"rfc822;{ann}"
    world.net.gone(queue_id)
    assert world.net.bounces(queue_id) == [], "the notice is Postfix's to send, not ours too"


def test_we_tell_of_success_where_the_other_side_does_not(world: World) -> None:
    ann = "ann@exim.test"
    queue_id = world.net.submit(content("relayed"), ann, mail=("ENVID=relayed",), rcpt=dsn("SUCCESS", ann))
    about, (recipient,) = parts(world.net.bounce(queue_id))
    assert about["Original-Envelope-Id"] == "relayed"
    assert (recipient["Action"], recipient["Status"]) == ("relayed", "2.0.0")
    assert recipient["Original-Recipient"] == f"rfc822; {ann}"


@pytest.mark.parametrize(("ret", "whole"), [("FULL", True), ("HDRS", False)])
def test_how_much_comes_back_is_passed_on(world: World, ret: str, whole: bool) -> None:
    address = "list@postfix.test"
    mail = (f"ENVID=ret-{ret}", f"RET={ret}")
    world.net.submit(content(f"ret-{ret}"), address, mail=mail, rcpt=dsn("FAILURE", address))
    _, recipient, bounce = of_postfix(world, f"ret-{ret}", "failed")
    assert recipient["Original-Recipient"] == f"rfc822;{address}"
    assert ("Grüße".encode() in bounce) == whole


@pytest.mark.parametrize(
    ("notify", "flags"),
    [("NEVER", "1"), ("SUCCESS", "2"), ("FAILURE", "4"), ("DELAY", "8"), ("FAILURE,DELAY", "12")],
)
def test_what_the_sender_wants_to_be_told_is_passed_on(world: World, notify: str, flags: str) -> None:
    """As it lies in Postfix's own queue."""
    address = "later@postfix.test"
    tag = f"notify-{notify.replace(',', '-')}"
    queue_id = world.net.submit(content(tag), address, mail=(f"ENVID={tag}",), rcpt=dsn(notify, address))
    world.net.gone(queue_id)
    theirs = re.search(rf" {queue_id}: to=<{address}>.*queued as (\w+)\)", world.net.us.log())
    assert theirs is not None
    queued = until(lambda: world.postfix.queued(theirs[1]), 20, world.postfix.log)
    found = dict(re.findall(r"^named_attribute: (notify_flags|dsn_orig_rcpt|envelope_id)=(.*)$", queued, re.MULTILINE))
    assert found == {"notify_flags": flags, "dsn_orig_rcpt": f"rfc822;{address}", "envelope_id": tag}


def test_a_sender_who_wants_to_hear_nothing_hears_nothing(world: World) -> None:
    nobody = "nobody@postfix.test"
    queue_id = world.net.submit(content("never"), nobody, rcpt=dsn("NEVER", nobody))
    world.net.gone(queue_id)
    assert world.net.outcomes(queue_id) == [(nobody, "5.1.1", "bounced")]
    assert "notification" not in "".join(line for line in world.net.us.log().splitlines() if queue_id in line)
