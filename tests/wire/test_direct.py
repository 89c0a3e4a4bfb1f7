"""Domain Direct Delivery: the list of domains, each with its list of hosts, and what the server does by them."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Direct, DirectDomain
from smtpd_classic.smtp import events
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import FakeHost, RawHost, Talk, certificate, hosts
from tests.wire.panel import TOOK, Panel, options
from tests.wire.test_basic import LATER, STRANGER, refusing
from tests.wire.test_remote import reason, taken
from tests.wire.world import AWAY, JOE, World, to

pytestmark = pytest.mark.screen

PAGE = "Direct Delivery"
DIRECT, ROW = options("direct"), options("direct", named=True)
HOST, SSL, USER, PASSWORD = "Host, or host:PORT", "Use SSL", "User (blank: no login)", "Password"
NO_MX = {"remote": {"dead_host_time": "0"}}


def at(peer: FakeHost) -> str:
    return f"{peer.ip}:{peer.port}"


def row(world: World, name: str) -> Panel:
    """The dialog of a row."""
    return world.panel.open(PAGE).row(name).button("Edit").shows(f"{PAGE}: {name}")


def kept(world: World, name: str = "away.test") -> Panel:
    world.panel.button("OK").hides(f"{PAGE}: {name}", f"{PAGE}: new").shows(f"*{name}")
    return world.panel


def add_host(panel: Panel, host: str, *, ssl: bool = False, user: str = "", password: str = "") -> None:
    panel.button("Add").shows("Add a host").focus(HOST).type(host)
    if ssl:
        panel.focus(SSL).press(" ").shows("[x] yes")
    if user:
        panel.focus(USER).type(user)
        panel.focus(PASSWORD).type(password, masked=True)
    panel.button("OK").hides("Add a host").shows(host)


def test_every_option_has_a_test() -> None:
    names = [each.name for section in (Direct, DirectDomain) for each in options_of(section)]
    assert [name for name in names if f"test_{name}" not in globals()] == []


def test_fall_back_to_remote(world: World) -> None:
    """A direct host that defers; the relay is the remote rule."""
    direct, relay = refusing(LATER), FakeHost()
    with hosts(direct, relay):
        remote = {"look_up_mx": "no", "relay_always": "yes", "relay_hosts": at(relay)}
        world.given({"remote": remote, "direct away.test": to(direct)})
        assert "451 4.7.1" in reason(world, world.send(AWAY))
        assert relay.got == []
        world.panel.open(PAGE).fill(DIRECT["fall_back_to_remote"], "yes").apply("+fall_back_to_remote = yes")
        assert taken(world, relay, AWAY).recipients == (AWAY,)


@pytest.mark.parametrize(
    ("name", "domain", "matches"),
    [
        ("there.test", "there.test", True),
        (".there.test", "sub.there.test", True),
        (".there.test", "there.test", False),
        ("there.test", "sub.there.test", False),
    ],
)
def test_add(world: World, name: str, domain: str, matches: bool) -> None:
    """A domain of its own, by its button; a domain that does not match goes to the relay as before."""
    peer, relay = FakeHost(), FakeHost()
    with hosts(peer, relay):
        world.given({"remote": {"look_up_mx": "no", "relay_always": "yes", "relay_hosts": at(relay)}})
        taken(world, relay, f"bob@{domain}")
        panel = world.panel.open(PAGE).button("Add").shows(f"{PAGE}: new").focus("Domain").type(name)
        add_host(panel, at(peer))
        kept(world, name).apply(f"+[direct {name}]")
        taken(world, peer if matches else relay, f"bob@{domain}")


def test_verify_recipients(world: World) -> None:
    """Unknown users are refused at RCPT; other users get their mail; a host that is down lets the mail wait."""

    def script(event: events.Event, talk: Talk) -> Reply | None:
        known = not isinstance(event, events.RcptTo) or event.forward_path in {"bob@away.test", "full@away.test"}
        if isinstance(event, events.RcptTo) and event.forward_path == "full@away.test":
            return Reply(452, "4.2.2", "full")
        return None if known else Reply(550, "5.1.1", "unknown")

    peer = FakeHost(script=script)
    with hosts(peer):
        world.given({"direct away.test": {**to(peer), "open": "yes"}})
        row(world, "away.test").fill(ROW["verify_recipients"], "yes")
        kept(world).apply("+verify_recipients = yes")
        with world.client(ip="127.77.9.2") as client:
            assert client.envelope("eve@there.test", "nobody@away.test").startswith("550 5.1.1")
            assert client.say("RCPT TO:<full@away.test>").startswith("450")
            assert client.say("RCPT TO:<bob@away.test>").startswith("250")
    assert peer.got == []


def test_invented_recipients_of_one_client_leave_the_others_their_answers(world: World) -> None:
    """One client asks for invented sub-domains over many connections, and the host is slow with them. The recipient of
    another client has an answer in two seconds."""

    def script(event: events.Event, talk: Talk) -> Reply | None:
        if not isinstance(event, events.RcptTo) or event.forward_path.startswith("bob@"):
            return None
        if "invented" in event.forward_path:
            asked.release()
            time.sleep(0.6)
        return Reply(550, "5.1.1", "unknown")

    def flood(number: int) -> None:
        with world.client(ip="127.77.9.5") as client:
            for each in itertools.takewhile(lambda _: not ended.is_set(), itertools.count()):
                answer = client.envelope("eve@there.test", f"invented@s{number}x{each}.away.test")
                assert answer[:3] in {"550", "450"}, answer
                client.rset()

    asked, ended = threading.Semaphore(0), threading.Event()
    with hosts(peer := FakeHost(script=script)):
        section = {**to(peer), "open": "yes", "verify_recipients": "yes"}
        access = {
            "auto_block": "no",
            "max_errors": "10000",
            "max_commands": "10000",
            "max_connections_per_address": "30",
        }
        world.given({"direct .away.test": section, "access": access})
        with ThreadPoolExecutor(24) as pool:
            floods = [pool.submit(flood, number) for number in range(24)]
            try:
                assert all(asked.acquire(timeout=20) for _ in range(5))
                for number in range(3):
                    with world.client(ip=f"127.77.9.{10 + number}") as client:
                        client.mail("ann@there.test")
                        began = time.monotonic()
                        assert client.say(f"RCPT TO:<bob@{'sub' if number else 'SUB'}.away.test>").startswith("250")
                        assert time.monotonic() - began < 2.0
            finally:
                ended.set()
            assert [each.exception(20) for each in floods] == [None] * 24


def test_mail_of_a_user_waits_when_a_recipient_cannot_be_verified(world: World) -> None:
    """450 is for servers, which come back. A user's program does not: the queue does it for the user."""

    def script(event: events.Event, talk: Talk) -> Reply | None:
        if isinstance(event, events.RcptTo) and event.forward_path == "slow@away.test":
            return Reply(451, "4.3.0", "later")
        return Reply(550, "5.1.1", "unknown") if isinstance(event, events.RcptTo) else None

    with hosts(peer := FakeHost(script=script)):
        world.given({"direct away.test": {**to(peer), "open": "yes", "verify_recipients": "yes"}})
        with world.client(ip="127.77.9.4") as client:
            assert client.envelope("eve@there.test", "slow@away.test").startswith("450")
        with world.client(JOE) as client:
            assert client.envelope(JOE, "slow@away.test").startswith("250")
            assert client.say("RCPT TO:<nobody@away.test>").startswith("550 5.1.1")


def test_a_host_that_accepts_every_address_verifies_none(world: World) -> None:
    """The random address is accepted: the check is off, and the log says so."""
    peer = FakeHost()
    with hosts(peer):
        world.given({"direct away.test": {**to(peer), "open": "yes", "verify_recipients": "yes"}})
        with world.client(ip="127.77.9.3") as client:
            assert client.envelope("eve@there.test", "nobody@away.test").startswith("250")
    world.logged("verification of recipients of away.test", "accepts a random address")
    world.given({"direct away.test": {**to(peer), "open": "yes", "verify_recipients": "yes", "trust_hosts": "no"}})
    with world.client(ip="127.77.9.3") as client:
        assert client.envelope("eve@there.test", "nobody@away.test").startswith(
            "250"
        )  # the host is down: the mail waits
    world.logged("verification of recipients of away.test", "accepted unverified")


def test_delete(world: World) -> None:
    peer, relay = FakeHost(), FakeHost()
    with hosts(peer, relay):
        remote = {"look_up_mx": "no", "relay_always": "yes", "relay_hosts": at(relay)}
        world.given({"remote": remote, "direct away.test": to(peer)})
        taken(world, peer, AWAY)
        world.panel.open(PAGE).row("away.test").button("Delete").hides("away.test").apply("-[direct away.test]")
        taken(world, relay, AWAY)


@pytest.mark.parametrize(("name", "button"), [(".example.net", "Down"), (".sub.example.net", "Up")])
def test_order(world: World, name: str, button: str) -> None:
    """The first domain that matches counts."""
    wide, narrow = FakeHost(), FakeHost()
    bob = "bob@a.sub.example.net"
    with hosts(wide, narrow):
        world.given({"direct .example.net": to(wide), "direct .sub.example.net": to(narrow)})
        taken(world, wide, bob)
        world.panel.open(PAGE).row(name).button(button).apply("[direct .")
        taken(world, narrow, bob)


def test_hosts(world: World) -> None:
    """Added at the end of the list and moved up; edited; deleted: the first that answers gets the message."""
    first, second = FakeHost(), FakeHost()
    with hosts(first, second):
        world.given({"direct away.test": to(first), **NO_MX})
        taken(world, first, AWAY)
        add_host(row(world, "away.test"), at(second))
        kept(world).apply("hosts =")
        taken(world, first, AWAY)

        row(world, "away.test").row(at(second)).button("Up")
        kept(world).apply("hosts =")
        taken(world, second, AWAY)

        row(world, "away.test").row(at(second)).button("Down")
        kept(world).apply("hosts =")
        taken(world, first, AWAY)

        row(world, "away.test").row(at(first)).button("Delete").hides(at(first))
        kept(world).apply("hosts =")
        taken(world, second, AWAY)

        panel = row(world, "away.test").row(at(second)).button("Edit").shows("Change the host")
        panel.focus(HOST).type(at(first)).button("OK").hides("Change the host")
        kept(world).apply(f"+hosts = {at(first)}")
        taken(world, first, AWAY)


def test_a_host_that_failed_is_tried_last(world: World) -> None:
    peer, broken = FakeHost(), RawHost(lambda connection: None)
    with hosts(peer, broken):
        address = f"{broken.ip}:{broken.port}"
        world.given({"direct away.test": to(peer)})
        taken(world, peer, AWAY)
        add_host(row(world, "away.test"), address)
        world.panel.row(address).button("Up")
        kept(world).apply("hosts =")
        for _ in range(2):
            taken(world, peer, AWAY)
            assert broken.connections == 1


def test_ssl_of_a_host(world: World) -> None:
    peer = FakeHost(tls=certificate("direct.test"))
    with hosts(peer):
        world.given({"direct away.test": to(peer, accept_any_certificate="yes"), "remote": {"opportunistic_tls": "no"}})
        assert not taken(world, peer, AWAY).encrypted
        panel = row(world, "away.test").row(at(peer)).button("Edit").shows("Change the host")
        panel.focus(SSL).press(" ").shows("[x] yes").button("OK").hides("Change the host").shows(f"{at(peer)} ssl")
        kept(world).apply(f"+hosts = {at(peer)} ssl")
        assert taken(world, peer, AWAY).encrypted


def test_login_at_a_host(world: World) -> None:
    peer = FakeHost(tls=certificate("direct.test"), auth=("PLAIN",), password="a secret")
    with hosts(peer):
        world.given({"direct away.test": to(peer, accept_any_certificate="yes")})
        assert taken(world, peer, AWAY).login == ""
        panel = row(world, "away.test").row(at(peer)).button("Edit").shows("Change the host").focus(USER).type("us")
        panel.focus(PASSWORD).type("a secret", masked=True).button("OK").hides("Change the host").shows("user=us")
        kept(world).apply("user=us")
        assert "a secret" not in world.panel.text
        assert taken(world, peer, AWAY).login == "us"


def test_accept_any_certificate(world: World) -> None:
    peer = FakeHost(tls=certificate("direct.test"))
    with hosts(peer):
        world.given({"direct away.test": {"hosts": f"{at(peer)} ssl"}, **NO_MX})
        assert "certificate" in reason(world, world.send(AWAY))
        row(world, "away.test").fill(ROW["accept_any_certificate"], "yes")
        kept(world).apply("+accept_any_certificate = yes")
        assert taken(world, peer, AWAY).encrypted


@pytest.mark.parametrize(
    ("host", "value", "before", "after"),
    [("127.77.9.9", "no", True, False), ("localhost", "yes", False, True)],
)
def test_trust_hosts(world: World, host: str, value: str, before: bool, after: bool) -> None:
    """A host of the list sends to others; written as an IP address, it may from the beginning."""
    world.given({"direct away.test": {"hosts": host}})
    ip = "127.0.0.1" if host == "localhost" else host

    def trusted() -> bool:
        with world.client(ip=ip) as client:
            answer = client.envelope(STRANGER, "bob@there.test")
            assert answer[:9] in {"250 2.1.5", "550 5.7.1"}
            return answer.startswith("250")

    assert trusted() is before
    row(world, "away.test").fill(ROW["trust_hosts"], value)
    kept(world).apply(f"+trust_hosts = {value}")
    assert trusted() is after


def test_open(world: World) -> None:
    peer = FakeHost()
    with hosts(peer):
        world.given({"direct away.test": to(peer)})

        def answer() -> str:
            with world.client() as client:
                return client.envelope(STRANGER, AWAY)[:9]

        assert answer() == "550 5.7.1"
        row(world, "away.test").fill(ROW["open"], "yes")
        kept(world).apply("+open = yes")
        assert answer() == "250 2.1.5"


def test_reset(world: World) -> None:
    peer = FakeHost()
    with hosts(peer):
        world.given({"direct away.test": to(peer)})
        row(world, "away.test").fill(ROW["open"], "yes")
        kept(world).button("Diff").shows("The changes of the file", "+open = yes").button("Close")
        world.panel.hides("The changes of the file").button("Reset").shows("Changes discarded").hides("*away.test")
        assert TOOK not in world.panel.text
        with world.client() as client:
            assert client.envelope(STRANGER, AWAY).startswith("550 5.7.1")


def test_apply(world: World) -> None:
    peer = FakeHost()
    with hosts(peer):
        world.given({"direct away.test": to(peer)})
        row(world, "away.test").fill(ROW["open"], "yes")
        kept(world).button("Apply").confirm("+open = yes")
        with world.client() as client:
            assert client.envelope(STRANGER, AWAY).startswith("250")
            assert client.envelope(JOE, AWAY).startswith("5")
