"""Whom the retry thread tells what."""

import email
import email.policy
import threading
from email.message import EmailMessage
from pathlib import Path

import pytest

from smtpd_classic.smtp import events
from smtpd_classic.smtp.reply import Reply
from spool import Recipient
from tests.client.fake_host import FakeHost, certificate
from tests.client.test_hosts import by_recipient, when
from tests.retry.test_patience import Gatekeeper
from tests.retry.world import JOE, MESSAGE, running
from tests.waiting import until

BOB, NOBODY = "bob@example.org", "nobody@example.org"
NO_USER = Reply(550, "5.1.1", "no such user")
LATER = Reply(451, "4.7.1", "greylisted")


def refusing(**replies: Reply) -> FakeHost:
    return FakeHost(script=by_recipient(**(replies or {"nobody": NO_USER})))


def parsed(message: bytes) -> EmailMessage:
    found = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def text_of(message: bytes) -> str:
    first = next(part for part in parsed(message).walk() if part.get_content_type() == "text/plain")
    return str(first.get_content())


def test_the_sender_gets_one_bounce_for_all_who_failed(tmp_path: Path) -> None:
    with running(tmp_path, refusing(nobody=NO_USER, noone=Reply(552, "5.2.2", "full")), text=NO_COPIES) as world:
        queue_id = world.send(NOBODY, BOB, "noone@example.org")
        bounce = world.arrived(JOE)[0]
        world.empty()
        assert bounce.startswith(b"Return-Path: <>\nEnvelope-To: joe@us.test\n")
        text = text_of(bounce)
        assert f"message {queue_id}" in text
        assert "550 5.1.1 no such user" in text
        assert "552 5.2.2 full" in text
        assert BOB not in text
        assert b"Message-ID: <1@us.test>" in bounce
        assert b"A line." not in bounce
        assert len(world.mailbox(JOE)) == 1
        assert f"{queue_id}: sender non-delivery notification:" in world.log()


def test_a_bounce_from_an_internationalised_domain_is_ascii(tmp_path: Path) -> None:
    text = "[basic]\ncopy_bounces = none\nhelo_name = bücher.example\npostmaster = joe@bücher.example\n"
    host = refusing()
    with running(tmp_path, host, text=text) as world:
        world.send(NOBODY)
        bounce = world.arrived(JOE)[0]
    assert bounce.isascii()
    assert b"\nFrom: Mail Delivery System <joe@xn--bcher-kva.example>\n" in bounce
    assert b"\nReporting-MTA: dns; xn--bcher-kva.example\n" in bounce
    assert host.commands[0] == "EHLO xn--bcher-kva.example"


NO_COPIES = "[basic]\ncopy_bounces = none\n"


@pytest.mark.parametrize(("mode", "copies", "body"), [("none", 0, False), ("headers", 1, False), ("full", 1, True)])
def test_copies_for_the_postmaster(tmp_path: Path, mode: str, copies: int, body: bool) -> None:
    with running(tmp_path, refusing(), text=f"[basic]\ncopy_bounces = {mode}\n") as world:
        world.gone(world.send(NOBODY))
        world.arrived(JOE)
        world.empty()
        found = world.mailbox("root@us.test")
        assert len(found) == copies
        assert [b"A line." in each for each in found] == [body] * copies
        assert all(
            "postmaster's copy of a bounce to <joe@us.test>" in text_of(each).replace("\n", " ") for each in found
        )


@pytest.mark.parametrize(
    ("notify", "told"),
    [((), 1), (("FAILURE",), 1), (("NEVER",), 0), (("SUCCESS",), 0), (("DELAY", "FAILURE"), 1)],
    ids=str,
)
def test_notify_is_honoured_for_failures(tmp_path: Path, notify: tuple[str, ...], told: int) -> None:
    with running(tmp_path, refusing(), text=NO_COPIES) as world:
        world.gone(world.send(Recipient(NOBODY, frozenset(notify))))
        world.empty()
        assert len(world.mailbox(JOE)) == told


def test_ret_full_brings_the_message_back(tmp_path: Path) -> None:
    with running(tmp_path, refusing(), text=NO_COPIES) as world:
        world.send(NOBODY, ret="FULL", envid="QQ1")
        bounce = world.arrived(JOE)[0]
    assert MESSAGE in bounce
    assert b"Original-Envelope-Id: QQ1\n" in bounce


def test_one_delay_notice_and_no_more(tmp_path: Path) -> None:
    host = refusing(bob=LATER)
    text = "[basic]\nretry_interval = 1h\nmax_retry_interval = 1h\ndelay_notice = 2h\n"
    with running(tmp_path, host, text=text) as world:
        queue_id = world.send(BOB)
        for attempt in range(1, 6):
            world.tried(queue_id, attempt)
            world.later(3700)
        world.tried(queue_id, 6)
        notices = world.arrived(JOE)
        assert len(notices) == 1
        assert parsed(notices[0])["Subject"] == "Your message is delayed"
        assert b"Action: delayed\nStatus: 4.7.1\n" in notices[0]
        assert b"Will-Retry-Until: " in notices[0]
        state = world.state(queue_id)
        assert state is not None
        assert state.delay_notified


def test_a_delay_notice_names_only_recipients_that_have_an_outcome(tmp_path: Path) -> None:
    """A server that stops ends an attempt of which one job was never begun."""
    gate, host = Gatekeeper(), refusing(bob=LATER)
    busy = FakeHost(script=gate, port=host.port)
    text = "[basic]\nretry_interval = 1h\nmax_retry_interval = 1h\ndelay_notice = 1h\n"
    text += "[remote]\nmax_connections_per_host = 1\n"
    with running(tmp_path, host, busy, text=text) as world:
        first = world.send("eve@second.example")
        assert gate.waiting.acquire(timeout=10)
        queue_id = world.put(BOB, "ann@second.example")
        world.clock.now += 7200
        assert world.services.runtime.wake(queue_id)
        until(lambda: "status=deferred" in world.log(), explain=world.log)
        stopping = threading.Thread(target=world.stop)
        stopping.start()
        try:
            assert world.tried(queue_id).delay_notified
        finally:
            gate.open.set()
            stopping.join()
        world.start()
        world.gone(first)
        text = text_of(world.arrived(JOE)[0])
    assert BOB in text
    assert "ann@second.example" not in text


@pytest.mark.parametrize("notify", [("FAILURE",), ("NEVER",)], ids=str)
def test_no_delay_notice_for_whom_it_is_not_wanted(tmp_path: Path, notify: tuple[str, ...]) -> None:
    text = "[basic]\nretry_interval = 1h\nmax_retry_interval = 1h\ndelay_notice = 1h\n"
    with running(tmp_path, refusing(bob=LATER), text=text) as world:
        queue_id = world.send(Recipient(BOB, frozenset(notify)))
        for attempt in range(1, 4):
            world.tried(queue_id, attempt)
            world.later(3700)
        world.tried(queue_id, 4)
        assert world.queue() == [queue_id]
        assert not world.mailbox(JOE)


@pytest.mark.parametrize(("hidden", "told"), [((), 0), (("DSN",), 1)], ids=["host notifies", "host cannot"])
def test_success_is_told_by_whoever_can(tmp_path: Path, hidden: tuple[str, ...], told: int) -> None:
    host = FakeHost(hidden=hidden)
    with running(tmp_path, host) as world:
        world.gone(world.send(Recipient(BOB, frozenset({"SUCCESS"}))))
        world.empty()
        found = world.mailbox(JOE)
        assert len(found) == told
        assert all(b"Action: relayed\nStatus: 2.0.0\n" in each for each in found)
    assert host.got[0].rcpts[0].notify == (frozenset() if hidden else frozenset({"SUCCESS"}))


def test_success_of_local_delivery(tmp_path: Path) -> None:
    with running(tmp_path) as world:
        world.send(Recipient("ann@us.test", frozenset({"SUCCESS"})))
        notice = world.arrived(JOE)[0]
        assert b"Action: delivered\n" in notice
        assert len(world.mailbox("ann@us.test")) == 1


def test_an_address_that_stands_for_several_is_expanded_and_its_members_tell_nothing(tmp_path: Path) -> None:
    host = FakeHost()
    wish = frozenset({"SUCCESS"})
    with running(tmp_path, host) as world:
        members = [Recipient(each, wish, "rfc822;team@us.test", "team@us.test") for each in (BOB, "ann@us.test")]
        world.gone(world.send(*members))
        notice = world.arrived(JOE)[0]
        world.empty()
        assert len(world.mailbox(JOE)) == 1
        assert b"Final-Recipient: rfc822; team@us.test\nAction: expanded\n" in notice
    assert host.got[0].rcpts[0].notify == frozenset({"NEVER"})


# The null sender and the postmaster ----------------------------------------------------------------------------------


def test_what_comes_from_the_null_sender_goes_to_the_postmaster(tmp_path: Path) -> None:
    with running(tmp_path, refusing()) as world:
        world.gone(world.send(NOBODY, sender=""))
        found = world.arrived("root@us.test")
        world.empty()
        assert len(found) == 1
        assert "It cannot be returned, so you get it." in text_of(found[0]).replace("\n", " ")
        assert b"Return-Path: <>" in found[0]


def test_a_bounce_to_a_sender_who_does_not_exist_goes_to_the_postmaster(tmp_path: Path) -> None:
    with running(tmp_path, refusing()) as world:
        world.gone(world.send(NOBODY, sender="ghost@us.test"))
        assert "<ghost@us.test> cannot be delivered" in text_of(world.arrived("root@us.test")[0]).replace("\n", " ")


def test_a_bounce_that_another_server_refuses_goes_to_the_postmaster(tmp_path: Path) -> None:
    host = FakeHost(script=by_recipient(nobody=NO_USER, stranger=NO_USER))
    with running(tmp_path, host, text=NO_COPIES) as world:
        world.gone(world.send(NOBODY, sender="stranger@example.org"))
        found = world.arrived("root@us.test")
        world.empty()
        assert len(found) == 1
        assert b"Final-Recipient: rfc822; stranger@example.org" in found[0]


def test_what_cannot_even_reach_the_postmaster_is_held_and_never_bounced_again(tmp_path: Path) -> None:
    host = FakeHost(script=when(events.RcptTo, NO_USER))
    text = "[basic]\npostmaster = admin@example.org\n"
    with running(tmp_path, host, text=text) as world:
        world.send(NOBODY, sender="")
        until(lambda: any(each.held for each in world.spool.list()), explain=world.log)
        held = [each.queue_id for each in world.spool.list()]
        assert len(held) == 1
        assert f"{held[0]}: a notification to the postmaster cannot be delivered; the message is held" in world.log()
        world.later(86400 * 30)
        world.gone(world.send("joe@us.test"))
        assert world.queue() == held
    assert len([command for command in host.commands if command.startswith("RCPT")]) == 2


def test_a_postmaster_who_does_not_exist_keeps_the_message(tmp_path: Path) -> None:
    with running(tmp_path, refusing(), aliases="", text="[basic]\npostmaster = nobody@us.test\n") as world:
        queue_id = world.send(NOBODY, sender="")
        until(lambda: any(each.held for each in world.spool.list()), explain=world.log)
        assert world.queue() == [queue_id]


# A login that is refused ---------------------------------------------------------------------------------------------


def test_the_postmaster_is_told_once_a_day_that_the_password_has_expired(tmp_path: Path) -> None:
    relay = FakeHost("relay.test", tls=certificate("relay.test"), auth=("PLAIN",), password="new one")
    text = (
        "[basic]\nqueue_lifetime = 9d\ndelay_notice = 0\n[remote]\ndead_host_time = 0\nrelay_always = yes\n"
        f"relay_hosts = relay.test:{relay.port}\nrelay_auth = yes\nrelay_user = us\nrelay_password = old one\n"
        "relay_accept_any_certificate = yes\n"
    )
    with running(tmp_path, relay, addresses={"relay.test": [relay.ip]}, text=text) as world:
        queue_id = world.send(BOB)
        world.send("eve@example.org")
        first = world.arrived("root@us.test")
        world.tried(queue_id)
        assert "expired or was changed" in text_of(first[0]).replace("\n", " ")
        assert "old one" not in world.log() + str(world.state(queue_id)) + first[0].decode()
        world.stop()
        world.start()
        world.later(20 * 60)
        world.tried(queue_id, 2)
        assert len(world.mailbox("root@us.test")) == 1, "a restart does not make it news"
        world.later(86400)
        world.tried(queue_id, 3)
        world.arrived("root@us.test", 2)
        state = world.state(queue_id)
        assert state is not None
        assert [row.state for row in state.recipients] == ["waiting"]
        assert not world.mailbox(JOE), "nothing is returned because of a password"


UTF8 = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"


@pytest.mark.parametrize("hidden", [("8BITMIME",), ("8BITMIME", "SMTPUTF8")])
@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (f"Subject: Grüße\nFrom: Jörg <j@example.org>\n{UTF8}\nEin Wort für dich.\n", "Ein Wort für dich."),
        ("Content-Type: multipart/signed; boundary=b\nSubject: x\n\n--b\n\nfür\n--b\n\nsignature\n--b--\n", ""),
        ("Content-Type: multipart/mixed\nSubject: Grüße\n\n--b\n\nfür\n--b--\n", ""),
        ("From: jörg@example.org\nSubject: Grüße\n\nEin Wort für dich.\n", ""),
        (b"Subject: Gr\xfc\xdfe\nX: y\n\nEin Wort.\n", ""),
        ("Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/x\n\nfür\n--b--\n", ""),
    ],
    ids=["header", "signed", "no boundary", "address", "charset", "report"],
)
def test_a_notice_reaches_a_host_with_seven_bits(
    tmp_path: Path, content: str | bytes, kept: str, hidden: tuple[str, ...]
) -> None:
    """It quotes the message as far as that has a form in ASCII, and its header alone otherwise (RFC 6522 4)."""
    host = FakeHost(script=by_recipient(nobody=NO_USER), hidden=hidden)
    whole = content if isinstance(content, bytes) else content.encode()
    with running(tmp_path, host, text=NO_COPIES) as world:
        world.gone(world.send(NOBODY, sender="someone@example.org", content=whole, ret="FULL"))
        world.empty()
        (got,) = [each for each in host.got if each.mail.reverse_path == ""]
        assert not world.mailbox("root@us.test")
    assert got.content.isascii()
    quoted = list(parsed(got.content).iter_parts())[2]
    assert quoted.get_content_type() == ("message/rfc822" if kept else "text/rfc822-headers")
    if kept:
        inner = quoted.get_content()
        assert (inner["Subject"], inner["From"], inner.get_content().strip()) == ("Grüße", "Jörg <j@example.org>", kept)
    else:
        header = quoted.get_payload(decode=True)
        assert isinstance(header, bytes)
        assert header.strip() == whole.partition(b"\n\n")[0]


def test_a_notice_that_is_too_big_for_a_host_quotes_the_header_alone(tmp_path: Path) -> None:
    host = FakeHost(script=by_recipient(nobody=NO_USER), size=6000)
    with running(tmp_path, host, text=NO_COPIES) as world:
        content = b"Subject: long\n\n" + b"0123456789\n" * 530
        world.gone(world.send(NOBODY, sender="someone@example.org", content=content, ret="FULL"))
        world.empty()
        (got,) = [each for each in host.got if each.mail.reverse_path == ""]
        assert not world.mailbox("root@us.test")
    assert list(parsed(got.content).iter_parts())[2].get_content_type() == "text/rfc822-headers"
    assert b"Subject: long" in got.content
    assert b"0123456789" not in got.content


@pytest.mark.parametrize("ret", ["", "HDRS"])
def test_a_notice_with_a_header_in_eight_bits_reaches_a_host_with_seven(tmp_path: Path, ret: str) -> None:
    host = FakeHost(script=by_recipient(nobody=NO_USER), hidden=("8BITMIME",))
    with running(tmp_path, host, text=NO_COPIES) as world:
        content = "Subject: Grüße\n\nEin Wort.\n".encode()
        world.gone(world.send(NOBODY, sender="someone@example.org", content=content, ret=ret))
        world.empty()
        (got,) = host.got
    assert b"\nSubject: Gr=C3=BC=C3=9Fe\n" in got.content
