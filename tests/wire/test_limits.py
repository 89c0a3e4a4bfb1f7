"""Sending Limits and the quarantine of SMTP Filter, from the screen to the wire."""

import itertools
import json
import smtplib
from collections.abc import Mapping

import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Limits
from tests.client.fake_host import FakeHost, hosts, own_ip
from tests.waiting import until
from tests.wire.panel import options
from tests.wire.world import ANN, AWAY, JOE, World

LIMITS_PAGE, LIMITS = "Sending Limits", options("limits")
QUARANTINE_PAGE, QUARANTINE = "SMTP Filter", options("filter")


def test_every_option_has_a_test() -> None:
    assert [each.name for each in options_of(Limits) if f"test_{each.name}" not in globals()] == []


def held(world: World) -> str:
    """Put a message on hold by hand. Return its id."""
    queue_id = world.send(AWAY)
    world.deferred(queue_id)
    until(lambda: world.command("queue", "hold", queue_id).returncode == 0, 30)  # not while it is being delivered
    return queue_id


def gone(world: World, queue_id: str) -> None:
    def scanned() -> bool:
        world.runtime.wake()
        return world.queued(queue_id) is None

    until(scanned, 20, world.log)


def test_hold_time(world: World) -> None:
    world.given({"direct away.test": {"hosts": f"{own_ip()}:9"}})
    queue_id = held(world)
    world.runtime.wake()
    row = world.queued(queue_id)
    assert row is not None
    assert (row["state"], row["hold_reason"]) == ("held", "by hand")
    world.set(LIMITS_PAGE, LIMITS["hold_time"], "1s")
    gone(world, queue_id)
    assert "was on hold (by hand)" in " ".join(world.arrives("joe", queue_id, "was on hold").split())
    assert JOE in world.logged(queue_id, "status=expired, returned to sender (The message was on hold")


FORGED = {"authentication": {"check": "yes"}}


def quarantined(world: World) -> str:
    """Let a stranger send forged mail, to a mailbox and to an alias that leads elsewhere. Return the id of the held
    copy.
    """
    world.command("alias", "set", "away@example.test", AWAY)
    with world.client() as client:
        client.envelope("eve@quarantine.test", JOE, "away@example.test")
        assert client.content(world.text(world.tag(), "eve@quarantine.test")).startswith("250")
    line = world.log("held: junk is not forwarded").splitlines()[-1]
    return line.partition(": held:")[0].rpartition(" ")[2]


def test_quarantine_time(world: World) -> None:
    world.given(FORGED)
    queue_id = quarantined(world)
    world.runtime.wake()
    assert world.queued(queue_id) is not None
    world.set(QUARANTINE_PAGE, QUARANTINE["quarantine_time"], "1s")
    gone(world, queue_id)
    world.logged(f"{queue_id}: from=<eve@quarantine.test>, deleted without a notice: quarantine_time is over")


def test_quarantine_size(world: World) -> None:
    world.given(FORGED)
    queue_id = quarantined(world)
    world.set(QUARANTINE_PAGE, QUARANTINE["quarantine_size"], "10")
    gone(world, queue_id)
    world.logged(f"{queue_id}: from=<eve@quarantine.test>, deleted without a notice: the quarantine is full")


_numbers = itertools.count(1)


def given(world: World, peer: FakeHost, limits: Mapping[str, str], **more: Mapping[str, str]) -> None:
    """Begin with these limits and with nothing counted."""
    world.given({"direct away.test": {"hosts": f"{peer.ip}:{peer.port}"}, "limits": limits, **more})
    for sender in (JOE, ANN, "127.0.0.1"):
        world.command("limits", "reset", sender)


def write(world: World, number: int, *others: str, login: str = JOE, ip: str = "") -> str:
    """Write to so many new recipients elsewhere, and to others. Return the reply to the first RCPT that is refused,
    else to the content.
    """
    recipients = [f"someone{next(_numbers)}@away.test" for _ in range(number)]
    with world.client(login, ip=ip) as client:
        answer = client.envelope(login or JOE, *recipients, *others)
        return client.content(world.text(world.tag(), login or JOE)) if answer.startswith("250") else answer


def queue_id(reply: str) -> str:
    assert reply.startswith("250"), reply
    return reply.rsplit(maxsplit=1)[-1].strip(".")


def is_held(world: World, reply: str) -> bool:
    row = world.queued(queue_id(reply))
    return row is not None and (row["state"], row["hold_reason"]) == ("held", "over limit")


def counted(world: World, sender: str = JOE) -> tuple[int, int, int]:
    rows = json.loads(world.command("limits", "list", "--json").stdout)
    return next(((row["hour"], row["day"], row["new"]) for row in rows if row["sender"] == sender), (0, 0, 0))


def test_recipients_per_hour(world: World) -> None:
    """Held recipients do not count; a smaller message still goes; released ones count and are not asked again."""
    with hosts(peer := FakeHost()):
        given(world, peer, {})
        assert not is_held(world, write(world, 6, ANN))
        world.set(LIMITS_PAGE, LIMITS["recipients_per_hour"], "10")
        reply = write(world, 5)
        assert is_held(world, reply)
        assert counted(world) == (6, 6, 6)
        notice = world.arrives("joe", queue_id(reply), "Action: delayed", "waits for the administrator")
        assert "4.7.1" in notice
        assert not is_held(world, write(world, 4))
        until(lambda: len(peer.got) == 2, 20, world.log)
        assert is_held(world, write(world, 1))
        assert world.command("queue", "release", queue_id(reply)).returncode == 0
        until(lambda: len(peer.got) == 3, 20, world.log)
        assert counted(world) == (15, 15, 15)
        assert len(world.mail("joe", "waits for the administrator", "Action: delayed")) >= 1


def test_recipients_per_day(world: World) -> None:
    with hosts(peer := FakeHost()):
        given(world, peer, {"recipients_per_hour": "0"})
        assert not is_held(world, write(world, 4))
        world.set(LIMITS_PAGE, LIMITS["recipients_per_day"], "5")
        reply = write(world, 2)
        assert is_held(world, reply)
        assert "5 recipients a day" in world.command("queue", "show", queue_id(reply)).stdout
        assert not is_held(world, write(world, 2, login=ANN))


def test_new_recipients_per_day(world: World) -> None:
    """The account is young, so that the log only warns."""
    with hosts(peer := FakeHost()):
        given(world, peer, {})
        world.set(LIMITS_PAGE, LIMITS["new_recipients_per_day"], "2")
        reply = write(world, 3)
        assert not is_held(world, reply)
        world.logged(queue_id(reply), f"account {JOE} is over 2 new recipients a day, which only warns")


def test_hosts_per_hour(world: World) -> None:
    with hosts(peer := FakeHost()):
        given(world, peer, {}, trusted={"hosts": "127.0.0.1"})
        assert not is_held(world, write(world, 3, login="", ip="127.0.0.1"))
        world.set(LIMITS_PAGE, LIMITS["hosts_per_hour"], "4")
        assert is_held(world, write(world, 2, login="", ip="127.0.0.1"))
        assert not is_held(world, write(world, 5))


def test_hosts_per_day(world: World) -> None:
    with hosts(peer := FakeHost()):
        given(world, peer, {}, trusted={"hosts": "127.0.0.1"})
        assert not is_held(world, write(world, 3, login="", ip="127.0.0.1"))
        world.set(LIMITS_PAGE, LIMITS["hosts_per_day"], "4")
        assert is_held(world, write(world, 2, login="", ip="127.0.0.1"))


def test_over_limit(world: World) -> None:
    """hold: recipients here get the message at once. defer and refuse: at RCPT, and never for recipients here."""
    with hosts(peer := FakeHost()):
        given(world, peer, {"recipients_per_hour": "2"})
        tag = world.tag()
        with world.client(JOE) as client:
            client.envelope(JOE, ANN, "x1@away.test", "x2@away.test", "x3@away.test")
            reply = client.content(world.text(tag, JOE))
        assert reply.startswith("250")
        world.arrives("ann", tag)
        world.logged(": held: over limit: 2 recipients an hour, for x1@away.test, x2@away.test, x3@away.test")
        for value, expected in (("defer", "450 4.7.1"), ("refuse", "550 5.7.1")):
            world.set(LIMITS_PAGE, LIMITS["over_limit"], value)
            world.command("limits", "reset", JOE)
            assert write(world, 3).startswith(expected)
            assert write(world, 2).startswith("250")
            assert write(world, 1).startswith(expected)
            assert write(world, 0, ANN).startswith("250")
            assert counted(world)[0] == 2


def test_alarm_at(world: World) -> None:
    """One mail when it comes near, one when it is reached, with the counts and the last clients."""
    subject = f"Subject: {ANN} "
    for each in world.instance.mail("joe"):  # those of the same test by another way
        each.unlink()
    with hosts(peer := FakeHost()):
        given(world, peer, {"recipients_per_hour": "10", "alarm_at": "0"})
        write(world, 9, login=ANN)
        world.set(LIMITS_PAGE, LIMITS["alarm_at"], "80")
        world.command("limits", "reset", ANN)
        assert not world.mail("joe", subject)
        assert write(world, 8, login=ANN).startswith("250")
        near = world.arrives("joe", f"{subject}comes near a sending limit")
        assert "8 recipients outside" in " ".join(near.split())
        for _ in range(3):
            assert is_held(world, write(world, 3, login=ANN))
        full = world.arrives("joe", f"{subject}has reached a sending limit")
        assert "10 recipients an hour" in " ".join(full.split())
        assert "The last addresses of its programs: 127." in " ".join(full.split())
        assert len(world.mail("joe", subject)) == 2


def test_a_limit_that_is_used_up_has_its_mail_before_a_message_is_over_it(world: World) -> None:
    subject = f"Subject: {ANN} "
    for each in world.instance.mail("joe"):
        each.unlink()
    with hosts(peer := FakeHost()):
        given(world, peer, {"recipients_per_hour": "5"})
        world.command("limits", "reset", ANN)
        assert not is_held(world, write(world, 4, login=ANN))
        world.arrives("joe", f"{subject}comes near a sending limit")
        assert not is_held(world, write(world, 1, login=ANN))
        full = world.arrives("joe", f"{subject}has reached a sending limit")
        assert "Its limit of 5 recipients an hour is reached" in " ".join(full.split())
        assert is_held(world, write(world, 1, login=ANN))
        assert len(world.mail("joe", subject)) == 2


def test_suspend_after(world: World) -> None:
    """An account that is suspended can neither go on in its session nor log in, until it is resumed."""
    with hosts(peer := FakeHost()):
        given(world, peer, {"recipients_per_hour": "1"})
        world.set(LIMITS_PAGE, LIMITS["suspend_after"], "2")
        with world.client(ANN) as client:
            assert is_held(world, write(world, 2, login=ANN))
            assert is_held(world, write(world, 2, login=ANN))
            assert client.envelope(ANN, JOE).startswith("550 5.7.1 This account is suspended")
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            write(world, 1, login=ANN)
        assert refused.value.smtp_code == 535
        assert "2 messages in a row" in world.command("limits", "list").stdout
        assert world.command("user", "resume", ANN).returncode == 0
        assert write(world, 1, login=ANN).startswith("250")
        assert world.command("user", "resume", ANN).returncode != 0
        assert world.command("user", "suspend", "ann", "--reason", "on leave").returncode == 0
        assert "suspended: on leave" in world.command("limits", "list").stdout
        with pytest.raises(smtplib.SMTPAuthenticationError):
            write(world, 1, login=ANN)
        assert world.command("user", "resume", "ann").returncode == 0


def test_account_limits(world: World) -> None:
    """The limits of one account take the place of the common ones."""
    own = {"recipients_per_hour": "3", "recipients_per_day": "4", "new_recipients_per_day": "0"}
    with hosts(peer := FakeHost()):
        given(world, peer, {"recipients_per_hour": "1"}, **{f"account-limits {JOE}": own})
        assert not is_held(world, write(world, 3))
        assert is_held(world, write(world, 1))
        assert is_held(world, write(world, 2, login=ANN))
