"""A Postfix with Dovecot's passwords as smarthost and as host of direct domains: login under verified TLS, by each
mechanism; the relay for what MX hosts could not do; and an expired password, for which nothing may bounce.
"""

from collections.abc import Iterator
from email import message_from_bytes
from typing import NamedTuple

import pytest

from smtpd_classic.smtp import events
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import FakeHost, hosts
from tests.peers.dovecot_login import logins
from tests.peers.postfix import Postfix
from tests.peers.world import Net, content, failures, network
from tests.waiting import until

PASSWORD = "pass word"  # quoted in the list of hosts
MECHANISMS = {587: "scram-sha-256", 2001: "plain", 2002: "login"}
DOMAINS = ("down.test", "refusing.test", "busy.test", "smarthost.test", *(f"direct{port}.test" for port in MECHANISMS))
MX = {
    "down.test": [(10, "mx.down.test")],
    "refusing.test": [(10, "mx.refusing.test")],
    "busy.test": [(10, "mx.busy.test")],
    "smarthost.test": [(10, "mx.smarthost.test")],
}
ADDRESSES = {
    "mx.postfix.test": Postfix.ip,
    "mx.down.test": "127.0.0.10",
    "mx.refusing.test": "127.0.0.11",
    "mx.busy.test": "127.0.0.12",
    "mx.smarthost.test": "127.0.0.13",
}
RELAY = {
    "remote__relay_when_delivery_fails": "yes",
    "remote__relay_hosts": "mx.postfix.test",
    "remote__relay_port": "587",
    "remote__relay_auth": "yes",
    "remote__relay_user": "us",
    "remote__relay_password": PASSWORD,
    "remote__dead_host_time": "0",
    "basic__copy_bounces": "none",
}
DIRECT = {
    f"direct direct{port}.test__hosts": f"mx.postfix.test:{port} user=us password='{PASSWORD}'" for port in MECHANISMS
}


class World(NamedTuple):
    net: Net
    postfix: Postfix


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with network(MX, ADDRESSES, **RELAY, **DIRECT) as net:
        postfix = Postfix(net.folder, DOMAINS, logins=MECHANISMS)
        net.us.stop()
        net.us.start("env", f"SSL_CERT_FILE={postfix.folder}/certificate.pem")
        postfix.start()
        try:
            with logins(net.folder / "dovecot", postfix.logins, "us", PASSWORD):
                yield World(net, postfix)
        finally:
            postfix.stop()


def arrived(world: World, address: str) -> bytes:
    """The only message in Postfix's mailbox."""
    stored = until(lambda: world.postfix.mail(address), 20, lambda: world.net.us.log() + world.postfix.log())
    assert len(stored) == 1
    return stored[0]


@pytest.mark.parametrize("port", MECHANISMS, ids=MECHANISMS.values())
def test_we_log_in_by_every_mechanism(world: World, port: int) -> None:
    ann = f"ann@direct{port}.test"
    queue_id = world.net.submit(content(f"direct{port}"), ann)
    stored = arrived(world, ann)
    assert stored.endswith(content(f"direct{port}"))
    assert "TLSv1." in message_from_bytes(stored)["Received"]
    assert "(Authenticated sender: us)" in message_from_bytes(stored)["Received"]
    assert f"sasl_method={MECHANISMS[port].upper()}, sasl_username=us" in world.postfix.log()
    world.net.gone(queue_id)
    assert world.net.outcomes(queue_id) == [(ann, "2.0.0", "sent")]


def test_the_relay_gets_what_a_dead_mx_could_not_take(world: World) -> None:
    queue_id = world.net.submit(content("down"), "ann@down.test")
    stored = arrived(world, "ann@down.test")
    assert stored.endswith(content("down"))
    assert "(Authenticated sender: us)" in message_from_bytes(stored)["Received"]
    world.net.gone(queue_id)
    assert world.net.outcomes(queue_id) == [("ann@down.test", "2.0.0", "sent")]
    assert "relay=mx.postfix.test[127.0.0.2]:587" in world.net.us.log()


def test_the_relay_gets_whom_an_mx_puts_off_and_not_whom_it_refuses(world: World) -> None:
    def script(event: events.Event, talk: object) -> Reply | None:
        if not isinstance(event, events.RcptTo):
            return None
        return Reply(550, "5.1.1", "no such user") if "nobody" in event.forward_path else Reply(450, "4.2.0", "busy")

    with hosts(FakeHost("mx.busy.test", ADDRESSES["mx.busy.test"], 25, script=script)):
        queue_id = world.net.submit(content("busy"), "nobody@busy.test", "ann@busy.test")
        bounce = world.net.bounce(queue_id)
    assert failures(bounce) == {b"nobody@busy.test"}
    assert sorted(world.net.outcomes(queue_id)) == [
        ("ann@busy.test", "2.0.0", "sent"),
        ("nobody@busy.test", "5.1.1", "bounced"),
    ]
    assert arrived(world, "ann@busy.test").endswith(content("busy"))
    assert "nobody@busy.test" not in world.postfix.log()


def test_an_expired_password_keeps_mail_waiting_and_is_told_once(world: World) -> None:
    """Joe is the postmaster, too."""
    net, us = world.net, world.net.us
    us.set("remote", "relay_password", "expired")
    us.reload()
    until(lambda: us.log().count("reload") >= 1, 20, us.log)
    ids = [net.submit(content(f"expired{number}"), "ann@smarthost.test") for number in range(2)]
    for queue_id in ids:
        ((address, dsn, status),) = net.settled(queue_id)
        assert (address, dsn[0], status) == ("ann@smarthost.test", "4", "deferred")
        assert net.bounces(queue_id) == []
        assert "535 5.7.8" in us.run("queue", "show", queue_id).stdout
    notice = net.mail_with(b"\nSubject: The login at mx.postfix.test is refused: mail is waiting\n")
    assert b"535 5.7.8" in notice
    assert PASSWORD.encode() not in notice
    us.set("remote", "relay_password", PASSWORD)
    us.reload()
    for queue_id in ids:
        until(lambda queue_id=queue_id: _through(net, queue_id), 20, us.log)  # type: ignore[misc]
    until(lambda: len(world.postfix.mail("ann@smarthost.test")) >= len(ids), 20, world.postfix.log)
    stored = world.postfix.mail("ann@smarthost.test")
    assert sorted(each.partition(b"Message-ID: <")[2][:8] for each in stored) == [b"expired0", b"expired1"]


def _through(net: Net, queue_id: str) -> bool:
    """Tries by hand until the new password holds."""
    if net.waiting(queue_id):
        net.us.run("queue", "retry", queue_id)
    return not net.waiting(queue_id)
