"""Remote Delivery: each is set on the page, and the server leaves its mail with others in another way."""

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Remote
from smtpd_classic.smtp import events
from tests.client.fake_host import FakeHost, Got, RawHost, Talk, certificate, hosts, own_ip
from tests.waiting import until
from tests.wire.panel import options
from tests.wire.test_basic import FAR, LATER, STRANGER, refusing
from tests.wire.world import AWAY, BOTH_IPV4, DEAD_MX, JOE, Sections, World, to

PAGE = "Remote Delivery"
REMOTE = options("remote")
GRACE_S = 0.5


def set_(world: World, name: str, value: str) -> None:
    world.set(PAGE, REMOTE[name], value)


def relay(peer: FakeHost, **more: str) -> Sections:
    """Everything goes to this relay."""
    where = {"relay_hosts": peer.ip, "relay_port": str(peer.port), "dead_host_time": "0"}
    return {"remote": {"look_up_mx": "no", "relay_always": "yes", **where, **more}}


def secure(**more: str) -> dict[str, str]:
    return {"relay_accept_any_certificate": "yes", **more}


def taken(world: World, peer: FakeHost, recipient: str = FAR, **how: str) -> Got:
    """What the peer gets of a message to this recipient."""
    before = len(peer.got)
    world.send(recipient, **how)
    until(lambda: len(peer.got) > before, 20, lambda: f"the peer got nothing:\n{world.log()}")
    return peer.got[before]


def reason(world: World, queue_id: str) -> str:
    return str(world.deferred(queue_id)["recipients"][0]["delay_reason"])


def test_every_option_has_a_test() -> None:
    assert [each.name for each in options_of(Remote) if f"test_{each.name}" not in globals()] == []


def test_look_up_mx(world: World) -> None:
    peer = FakeHost()
    with hosts(peer):
        given = {"relay_hosts": f"{peer.ip}:{peer.port}", "relay_when_delivery_fails": "yes"}
        world.given({"remote": given})

        def answers() -> list[str]:
            with world.client(JOE) as client:
                found = [client.envelope(JOE, "bob@missing.test")]
                return [each[:10].strip() for each in (*found, client.say("RCPT TO:<bob@null.test>"))]

        assert answers() == ["550 5.1.2", "556 5.1.10"]
        set_(world, "look_up_mx", "no")
        assert answers() == ["250 2.1.5", "250 2.1.5"]
        assert taken(world, peer, "bob@null.test").recipients == ("bob@null.test",)


def goes_to_the_mx(world: World) -> None:
    """The host that DNS names for this domain refuses connections."""
    assert f"mail.mx.test[{DEAD_MX}]:25" in reason(world, world.send("bob@mx.test"))


def test_relay_when_delivery_fails(world: World) -> None:
    peer = FakeHost()
    with hosts(peer):
        world.given({"remote": {"relay_hosts": f"{peer.ip}:{peer.port}", "dead_host_time": "0"}})
        goes_to_the_mx(world)
        assert peer.got == []
        set_(world, "relay_when_delivery_fails", "yes")
        got = taken(world, peer, "bob@mx.test")
        assert got.recipients == ("bob@mx.test",)


def test_relay_always(world: World) -> None:
    peer = FakeHost()
    with hosts(peer):
        world.given({"remote": {"relay_hosts": f"{peer.ip}:{peer.port}", "dead_host_time": "0"}})
        goes_to_the_mx(world)
        set_(world, "relay_always", "yes")
        assert taken(world, peer, "bob@mx.test").recipients == ("bob@mx.test",)


def test_relay_hosts(world: World) -> None:
    first, second = FakeHost(), FakeHost()
    with hosts(first, second):
        world.given(relay(first))
        taken(world, first)
        set_(world, "relay_hosts", f"{own_ip()}:25, {second.ip}:{second.port}")
        taken(world, second)
        assert len(first.got) == 1


def test_relay_port(world: World) -> None:
    first = FakeHost()
    second = FakeHost(ip=first.ip)
    with hosts(first, second):
        world.given(relay(first))
        taken(world, first)
        set_(world, "relay_port", str(second.port))
        taken(world, second)
        assert len(first.got) == 1


def test_relay_ssl(world: World) -> None:
    peer, plain = FakeHost(tls=certificate("relay.test")), FakeHost()
    with hosts(peer, plain):
        world.given(relay(peer, **secure(opportunistic_tls="no")))
        assert not taken(world, peer).encrypted
        set_(world, "relay_ssl", "yes")
        assert taken(world, peer).encrypted
        world.given(relay(plain, **secure(relay_ssl="yes")))
        assert "TLS" in reason(world, world.send(FAR))
        assert plain.got == []


def test_relay_accept_any_certificate(world: World) -> None:
    peer = FakeHost(tls=certificate("relay.test"))
    with hosts(peer):
        world.given(relay(peer, relay_ssl="yes"))
        assert "certificate" in reason(world, world.send(FAR))
        set_(world, "relay_accept_any_certificate", "yes")
        assert taken(world, peer).encrypted


def test_relay_retries(world: World) -> None:
    peer = refusing(LATER)
    with hosts(peer):
        world.given({**relay(peer), "basic": {"retry_interval": "1s", "retry_backoff": "1"}})
        tag = world.tag()
        queue_id = world.send(FAR, tag=tag)
        world.deferred(queue_id, attempts=2)
        assert world.mail("joe", tag) == []
        world.command("queue", "delete", queue_id)
        set_(world, "relay_retries", "1")
        tag = world.tag()
        queue_id = world.send(FAR, tag=tag)
        assert "451 4.7.1 greylisted" in world.arrives("joe", tag)
        world.logged(f"{queue_id}: removed")
        assert len([line for line in world.log(f"{queue_id}: to=").split("\n") if f"<{FAR}>" in line]) == 2


def test_relay_auth(world: World) -> None:
    peer = FakeHost(tls=certificate("relay.test"), auth=("PLAIN",), password="right")
    with hosts(peer):
        world.given(relay(peer, **secure(relay_user="us", relay_password="right")))
        assert taken(world, peer).login == ""
        set_(world, "relay_auth", "yes")
        got = taken(world, peer)
        assert (got.login, got.encrypted) == ("us", True)


def test_relay_user(world: World) -> None:
    peer = FakeHost(tls=certificate("relay.test"), auth=("LOGIN",), password="right")
    with hosts(peer):
        world.given(relay(peer, **secure(relay_auth="yes", relay_user="first", relay_password="right")))
        assert taken(world, peer).login == "first"
        set_(world, "relay_user", "second")
        assert taken(world, peer).login == "second"


def test_relay_password(world: World) -> None:
    peer = FakeHost(tls=certificate("relay.test"), auth=("PLAIN",), password="quite right")
    with hosts(peer):
        world.given(relay(peer, **secure(relay_auth="yes", relay_user="us", relay_password="wrong")))
        queue_id = world.send(FAR)
        assert "535" in reason(world, queue_id)
        set_(world, "relay_password", "quite right")
        assert not world.by_screen or "quite right" not in world.panel.text
        assert taken(world, peer).login == "us"


def test_relay_password_file(world: World) -> None:
    peer = FakeHost(tls=certificate("relay.test"), auth=("PLAIN",), password="quite right")
    file = world.instance.folder / "relay-password"
    file.unlink(missing_ok=True)
    with hosts(peer):
        world.given(relay(peer, **secure(relay_auth="yes", relay_user="us", relay_token_command="/bin/false")))
        set_(world, "relay_password_file", "relay-password")
        set_(world, "relay_token_command", "")
        assert "relay_password_file" in reason(world, world.send(FAR))  # it waits: the file is not there
        file.write_text("quite right\n")
        file.chmod(0o644)
        assert taken(world, peer).login == "us"
    assert "quite right" not in world.log("")


def test_relay_token_command(world: World) -> None:
    peer = FakeHost(tls=certificate("relay.test"), auth=("XOAUTH2",), token="t0ken")
    with hosts(peer):
        world.given(relay(peer, **secure(relay_auth="yes", relay_user="us", relay_password="x")))
        world.deferred(world.send(FAR))
        assert peer.got == []
        set_(world, "relay_token_command", "/bin/echo t0ken")
        assert taken(world, peer).login == "by token"


def test_relay_mail_from(world: World) -> None:
    peer, direct = FakeHost(), FakeHost()
    with hosts(peer, direct):
        world.given({**relay(peer), "direct away.test": to(direct)})
        assert taken(world, peer).sender == JOE
        set_(world, "relay_mail_from", "office@example.test")
        assert taken(world, peer).sender == "office@example.test"
        assert taken(world, direct, AWAY).sender == JOE


def test_opportunistic_tls(world: World) -> None:
    peer = FakeHost(tls=certificate("relay.test"))
    with hosts(peer):
        world.given(relay(peer))
        assert taken(world, peer).encrypted
        set_(world, "opportunistic_tls", "no")
        assert not taken(world, peer).encrypted


def behind(gate: threading.Event) -> Callable[[], None]:
    """What a host does before it says anything: it waits until the gate is open."""

    def wait() -> None:
        gate.wait()

    return wait


@pytest.mark.screen
def test_delivery_threads(world: World) -> None:
    """It waits for a restart, and the screen says so. A host that is not ready for MAIL does not count."""
    gate, asked = threading.Event(), threading.Semaphore(0)

    def at_mail(event: events.Event, talk: Talk) -> None:
        if isinstance(event, events.MailFrom):
            asked.release()
            gate.wait()

    slow, other = FakeHost(script=at_mail), FakeHost()
    with hosts(slow, other), ExitStack() as ends:
        ends.callback(gate.set)
        world.given({"direct slow.test": to(slow), "direct away.test": to(other)})
        world.send("bob@slow.test")
        assert asked.acquire(timeout=20), world.log()
        taken(world, other, AWAY)
        gate.set()
        until(lambda: slow.got)
        ends.callback(world.restart)
        ends.callback(world.given, {})
        world.panel.open(PAGE).fill(REMOTE["delivery_threads"], "1")
        world.panel.apply("+delivery_threads = 1", answer="A restart is needed").shows("delivery_threads")
        world.panel.button("Close").hides("A restart is needed")
        gate.clear()
        world.restart()
        world.send("bob@slow.test")
        assert asked.acquire(timeout=20), world.log()
        world.send(AWAY)
        gate.wait(GRACE_S)
        assert len(other.got) == 1
        gate.set()
        until(lambda: len(other.got) == 2)


def test_max_connections_per_host(world: World) -> None:
    gate = threading.Event()
    before, after = FakeHost(wait=behind(gate)), FakeHost(wait=behind(gate))
    with hosts(before, after), ExitStack() as ends:
        ends.callback(gate.set)
        world.given({"direct before.test": to(before), "direct after.test": to(after)})
        for number in range(3):
            world.send(f"bob{number}@before.test")
        until(lambda: before.connections >= 2, 20, world.log)
        gate.set()
        until(lambda: len(before.got) == 3)
        set_(world, "max_connections_per_host", "1")
        gate.clear()
        for number in range(3):
            world.send(f"bob{number}@after.test")
        gate.wait(GRACE_S)
        assert after.connections == 1
        gate.set()
        until(lambda: len(after.got) == 3)


def test_max_messages_per_connection(world: World) -> None:
    gate = threading.Event()
    before, after = FakeHost(wait=behind(gate)), FakeHost(wait=behind(gate))
    with hosts(before, after), ExitStack() as ends:
        ends.callback(gate.set)
        directs = {"direct before.test": to(before), "direct after.test": to(after)}
        world.given({**directs, "remote": {"max_connections_per_host": "1"}})

        def connections(domain: str, peer: FakeHost) -> list[int]:
            gate.clear()
            for number in range(3):
                world.send(f"bob{number}@{domain}")
            gate.set()
            until(lambda: len(peer.got) == 3, 20, world.log)
            return [each.connection for each in peer.got]

        assert connections("before.test", before) == [1, 1, 1]
        set_(world, "max_messages_per_connection", "1")
        assert connections("after.test", after) == [1, 2, 3]


def test_dead_host_time(world: World) -> None:
    before, after = RawHost(lambda connection: None), RawHost(lambda connection: None)
    with hosts(before, after):
        where = {
            f"direct {name}.test": {"hosts": f"{peer.ip}:{peer.port}"}
            for name, peer in (("before", before), ("after", after))
        }
        world.given(where)

        def connections(domain: str, peer: RawHost) -> list[int]:
            found = []
            for _ in range(2):
                world.deferred(world.send(f"bob@{domain}"))
                found.append(peer.connections)
            return found

        assert connections("before.test", before) == [1, 1]
        set_(world, "dead_host_time", "0")
        assert connections("after.test", after) == [1, 2]


def test_connect_timeout(world: World) -> None:
    """A host whose queue of connections is full answers none."""
    with socket.create_server((own_ip(), 0), backlog=0) as full, ExitStack() as ends:
        address = full.getsockname()
        for _ in range(3):
            waiting = ends.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        world.given({"direct away.test": {"hosts": f"{address[0]}:{address[1]}"}})
        queue_id = world.send(AWAY)
        set_(world, "connect_timeout", "1s")
        assert world.log(f"{queue_id}: to=") == ""  # it still waits its 30 seconds
        assert "timed out" in reason(world, world.send("sue@away.test"))


def test_source_address(world: World) -> None:
    found: list[str] = []
    peer = RawHost(lambda connection: found.append(connection.getpeername()[0]))
    with hosts(peer):
        world.given({"remote": {"dead_host_time": "0"}, "direct away.test": {"hosts": f"{peer.ip}:{peer.port}"}})
        world.deferred(world.send(AWAY))
        ours = own_ip()
        set_(world, "source_address", ours)
        world.deferred(world.send(AWAY))
        assert found[-1] == ours
        assert ours not in found[:-1]


def test_ip_versions(world: World) -> None:
    """The name has an address of each version, and each listens on the same port."""
    found: list[str] = []
    with (
        socket.create_server((BOTH_IPV4, 0)) as ipv4,
        socket.create_server(("::1", ipv4.getsockname()[1]), family=socket.AF_INET6) as ipv6,
        ExitStack() as ends,
    ):

        def serve(listening: socket.socket) -> None:
            with suppress(OSError):
                while True:
                    connection, address = listening.accept()
                    found.append(address[0])
                    connection.close()

        for each in (ipv4, ipv6):
            thread = threading.Thread(target=serve, args=(each,))
            thread.start()
            ends.callback(thread.join)
            ends.callback(each.shutdown, socket.SHUT_RDWR)
        port = ipv4.getsockname()[1]
        world.given({"remote": {"dead_host_time": "0"}, "direct away.test": {"hosts": f"both.test:{port}"}})

        def reached() -> set[bool]:
            found.clear()
            world.deferred(world.send(AWAY))
            return {":" in each for each in found}

        assert reached() == {True, False}
        set_(world, "ip_versions", "both")
        assert reached() == {True, False}
        set_(world, "ip_versions", "ipv4")
        assert reached() == {False}


def test_srs(world: World) -> None:
    peer = FakeHost()
    with hosts(peer):
        world.given({"direct away.test": to(peer)})
        world.command("alias", "set", "forward@example.test", AWAY)

        def sender() -> str:
            before = len(peer.got)
            with world.client() as client:
                assert client.envelope(STRANGER, "forward@example.test").startswith("250")
                assert client.content(world.text(world.tag(), STRANGER)).startswith("250")
            until(lambda: len(peer.got) > before, 20, world.log)
            return peer.got[before].sender

        assert sender().startswith("SRS0=")
        set_(world, "srs", "no")
        assert sender() == STRANGER
