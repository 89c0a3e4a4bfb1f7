"""Basic Parameters: each is set on the page, and the server does otherwise than before."""

import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Basic
from smtpd_classic.smtp import events
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import FakeHost, Talk, hosts
from tests.instance import free_port
from tests.tnef.test_convert import SAMPLES
from tests.tnef.test_convert import message as outlook_message
from tests.waiting import until
from tests.wire.panel import options
from tests.wire.world import ANN, AWAY, JOE, World, to

PAGE = "Basic Parameters"
BASIC = options("basic")
STRANGER = "stranger@client.test"
FAR = "bob@there.test"
LATER, NEVER = Reply(451, "4.7.1", "greylisted"), Reply(550, "5.1.1", "no such user")


def set_(world: World, name: str, value: str) -> None:
    world.set(PAGE, BASIC[name], value)


def refusing(reply: Reply) -> FakeHost:
    def script(event: events.Event, talk: Talk) -> Reply | None:
        return reply if isinstance(event, events.RcptTo) else None

    return FakeHost(script=script)


def test_every_option_has_a_test() -> None:
    assert [each.name for each in options_of(Basic) if f"test_{each.name}" not in globals()] == []


def test_postmaster(world: World) -> None:
    peer = refusing(NEVER)
    with hosts(peer):
        world.given({"direct away.test": to(peer), "domain second.test": {}})
        for user, address in (("joe", "postmaster@example.test"), ("ann", ANN)):
            if user == "ann":
                set_(world, "postmaster", ANN)
            tag = world.tag()
            with world.client() as client:
                assert client.envelope(STRANGER, "postmaster@second.test").startswith("250")
                assert client.content(world.text(tag, STRANGER)).startswith("250")
            world.arrives(user, tag)
            tag = world.tag()
            world.send(AWAY, tag=tag)
            assert f"<{address}>" in world.arrives("joe", tag, "Auto-Submitted:", "To: <joe@").split("To: <")[0]
            world.arrives(user, tag, "copy of a bounce")


@pytest.mark.parametrize(("value", "copies", "body"), [("none", 0, False), ("full", 1, True)])
def test_copy_bounces(world: World, value: str, copies: int, body: bool) -> None:
    peer = refusing(NEVER)
    with hosts(peer):
        world.given({"direct away.test": to(peer)})

        def bounced() -> list[str]:
            tag = world.tag()
            queue_id = world.send(AWAY, sender=ANN, login=ANN, text=world.text(tag, ANN, body="The body."))
            world.arrives("ann", tag, "5.1.1")
            world.logged(f"{queue_id}: removed")
            until(lambda: not world.waiting(), 20, world.log)  # a copy is in the queue before the message leaves it
            return world.mail("joe", tag)

        (copy,) = until(bounced)
        assert "The body." not in copy
        set_(world, "copy_bounces", value)
        found = bounced()
        assert ["The body." in each for each in found] == [body] * copies


def test_helo_name(world: World) -> None:
    world.given({})
    assert world.banner().startswith("220 example.test ")
    set_(world, "helo_name", "relay7.example.test")
    assert world.banner().startswith("220 relay7.example.test ")
    with world.client() as client:
        assert client.say("EHLO x").split()[1].startswith("relay7.example.test")


def third_recipient(world: World) -> str:
    with world.client() as client:
        return client.envelope(STRANGER, JOE, ANN, "postmaster")


def test_max_recipients(world: World) -> None:
    world.given({})
    assert third_recipient(world).startswith("250 2.1.5")
    set_(world, "max_recipients", "2")
    assert third_recipient(world).startswith("452 4.5.3")
    with world.client() as client:
        assert client.keywords()["limits"] == "RCPTMAX=2"


def test_over_max_recipients(world: World) -> None:
    world.given({"basic": {"max_recipients": "2"}})
    assert third_recipient(world).startswith("452 4.5.3")
    set_(world, "over_max_recipients", "reject")
    with world.client() as client:
        assert client.envelope(STRANGER, JOE, ANN, "postmaster").startswith("550 5.5.3")
        assert client.say("DATA").startswith("554 5.5.3")


def test_max_message_size(world: World) -> None:
    world.given({})
    with world.client() as client:
        assert client.keywords()["size"] == str(25 * 1024**2)
        assert client.envelope(STRANGER, parameters=" SIZE=20000").startswith("250")
    set_(world, "max_message_size", "10K")
    with world.client() as client:
        assert client.keywords()["size"] == "10240"
        assert client.envelope(STRANGER, parameters=" SIZE=20000").startswith("552 5.3.4")
        assert client.envelope(STRANGER, JOE).startswith("250")
        assert client.content(world.text("large", STRANGER, body="0123456789\n" * 2000)).startswith("552 5.3.4")


def test_max_incoming_size(world: World) -> None:
    world.given({})

    def answers() -> list[str]:
        found = []
        for login in ("", JOE):
            with world.client(login) as client:
                found.append(client.envelope(login or STRANGER, JOE, parameters=" SIZE=20000")[:9])
        return found

    assert answers() == ["250 2.1.5", "250 2.1.5"]
    set_(world, "max_incoming_size", "10K")
    assert answers() == ["552 5.3.4", "250 2.1.5"]


def test_max_outgoing_size(world: World) -> None:
    world.given({})

    def answers() -> list[str]:
        with world.client(JOE) as client:
            found = [client.envelope(JOE, FAR, parameters=" SIZE=20000")[:9]]
            return [*found, client.say(f"RCPT TO:<{ANN}>")[:9]]

    assert answers() == ["250 2.1.5", "250 2.1.5"]
    set_(world, "max_outgoing_size", "10K")
    assert answers() == ["552 5.3.4", "250 2.1.5"]


def test_max_hops(world: World) -> None:
    world.given({})
    trace = ["Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000"] * 4

    def answer() -> str:
        with world.client() as client:
            client.envelope(STRANGER, JOE)
            return client.content(world.text("hops", STRANGER, *trace))

    assert answer().startswith("250")
    set_(world, "max_hops", "3")
    assert answer().startswith("554 5.4.6")


def test_max_rset(world: World) -> None:
    world.given({})

    def answers() -> list[str]:
        with world.client() as client:
            return [client.say("RSET")[:9] for _ in range(3)]

    assert answers() == ["250 2.0.0"] * 3
    set_(world, "max_rset", "2")
    assert answers() == ["250 2.0.0", "250 2.0.0", "421 4.7.0"]


def test_retry_interval(world: World) -> None:
    peer = refusing(LATER)
    with hosts(peer):
        world.given({"direct away.test": to(peer)})
        assert 13 * 60 <= world.wait(world.send(AWAY)) <= 17 * 60
        set_(world, "retry_interval", "7m")
        assert 6 * 60 <= world.wait(world.send(AWAY)) <= 8 * 60


def second_wait(world: World) -> float:
    queue_id = world.send(AWAY)
    world.deferred(queue_id)
    world.retry(queue_id)
    return world.wait(queue_id, attempts=2)


def test_retry_backoff(world: World) -> None:
    peer = refusing(LATER)
    with hosts(peer):
        world.given({"direct away.test": to(peer)})
        assert 26 * 60 <= second_wait(world) <= 34 * 60
        set_(world, "retry_backoff", "4")
        assert 53 * 60 <= second_wait(world) <= 67 * 60


def test_max_retry_interval(world: World) -> None:
    peer = refusing(LATER)
    with hosts(peer):
        world.given({"direct away.test": to(peer)})
        assert 26 * 60 <= second_wait(world) <= 34 * 60
        set_(world, "max_retry_interval", "20m")
        assert 17 * 60 <= second_wait(world) <= 23 * 60


def test_queue_lifetime(world: World) -> None:
    peer = refusing(LATER)
    with hosts(peer):
        world.given({"direct away.test": to(peer), "basic": {"retry_interval": "1s", "retry_backoff": "1"}})
        tag = world.tag()
        world.deferred(world.send(AWAY, tag=tag), attempts=2)
        assert world.mail("joe", tag) == []
        set_(world, "queue_lifetime", "1s")
        bounce = world.arrives("joe", tag)
        assert "Status: 4.4.7" in bounce
        assert "451 4.7.1 greylisted" in bounce


def test_delay_notice(world: World) -> None:
    peer = refusing(LATER)
    with hosts(peer):
        world.given({"direct away.test": to(peer), "basic": {"retry_interval": "1s", "retry_backoff": "1"}})
        tag = world.tag()
        world.deferred(world.send(AWAY, tag=tag), attempts=2)
        assert world.mail("joe", tag) == []
        set_(world, "delay_notice", "1s")
        assert "Action: delayed" in world.arrives("joe", tag)


def stranger_to(world: World, recipient: str, **how: str) -> str:
    with world.client(**how) as client:  # type: ignore[arg-type]
        return client.envelope(STRANGER, recipient)


def test_close_open_relay(world: World) -> None:
    world.given({})
    assert stranger_to(world, FAR).startswith("550 5.7.1")
    set_(world, "close_open_relay", "no")
    assert stranger_to(world, FAR).startswith("250")


@pytest.mark.screen
def test_open_relay_confirmed(world: World) -> None:
    """A server that others can reach is opened only by somebody who was told what that means."""
    port = free_port()
    world.given({"listener public": {"address": "0.0.0.0", "port": str(port)}})
    world.panel.open(PAGE).fill(BASIC["close_open_relay"], "no").press("f2")
    world.panel.shows("This makes an open relay", "EVERY host").press("enter").shows("Not applied")
    assert stranger_to(world, FAR).startswith("550 5.7.1")
    world.panel.press("f2").shows("This makes an open relay").button("Yes, open the relay")
    world.panel.confirm("+close_open_relay = no", "+open_relay_confirmed = yes")
    assert stranger_to(world, FAR).startswith("250")


def test_require_local_sender(world: World) -> None:
    world.given({"basic": {"require_own_sender": "no"}})
    with world.client(JOE) as client:
        assert client.envelope("joe@elsewhere.test").startswith("550 5.1.0")
    set_(world, "require_local_sender", "no")
    with world.client(JOE) as client:
        assert client.envelope("joe@elsewhere.test").startswith("250")


def test_require_own_sender(world: World) -> None:
    world.given({})

    def answers() -> list[str]:
        with world.client(JOE) as client:
            found = [client.envelope(ANN)[:9]]
            client.say("RSET")
            client.envelope(JOE, JOE)
            return [*found, client.content(world.text("own", ANN))[:9]]

    assert answers() == ["553 5.7.1", "550 5.7.1"]
    set_(world, "require_own_sender", "no")
    assert answers() == ["250 2.1.0", "250 2.0.0"]


@pytest.mark.parametrize(
    ("field", "answer"),
    [
        (f"Doe, Joe <{JOE}>", "250 2.0.0"),
        (f"Joe @ Work <{JOE}>;", "250 2.0.0"),
        (f"=?utf-8?q?Doe,_Joe?= <{JOE}.>", "250 2.0.0"),
        (f"HOME\\joe <{JOE}>", "250 2.0.0"),
        (f"team: {JOE};", "250 2.0.0"),
        ("joe", "250 2.0.0"),
        ("", "250 2.0.0"),
        (f'"boss@other.test" <{JOE}>', "550 5.7.1"),
        (f"{JOE}, boss@other.test", "550 5.7.1"),
    ],
)
def test_one_address_of_the_user_in_from_is_enough(world: World, field: str, answer: str) -> None:
    world.given({})
    tag = world.tag()
    header = f"From: {field}\n" if field else ""
    with world.client(JOE) as client:
        client.envelope(JOE, JOE)
        said = client.content(f"{header}Subject: {tag}\n\nx")
    assert said[:9] == answer, said
    if answer.startswith("2"):
        delivered = world.arrives("joe", tag)
        expected = {"joe": JOE, "": f"<{JOE}>"}.get(field, field)
        assert f"\nFrom: {expected}\n" in delivered
        assert "\nDate: " in delivered
        assert "\nMessage-ID: " in delivered
    else:
        assert "<boss@other.test>" in said


def test_require_auth_for_local_sender(world: World) -> None:
    world.given({})
    with world.client() as client:
        assert client.envelope(JOE, ANN).startswith("530 5.7.0")
    set_(world, "require_auth_for_local_sender", "no")
    with world.client() as client:
        assert client.envelope(JOE, ANN).startswith("250")


def test_convert_tnef(world: World) -> None:
    world.given({})
    tnef = (SAMPLES / "one-file.tnef").read_bytes()

    def delivered() -> str:
        tag = world.tag()
        content = outlook_message(tnef).replace(b"Subject: =?x?=", b"Subject: " + tag.encode()).decode()
        with world.client() as client:
            assert client.envelope(STRANGER, JOE).startswith("250")
            assert client.content(content).startswith("250")
        return world.arrives("joe", tag)

    assert "winmail.dat" in delivered()
    set_(world, "convert_tnef", "yes")
    converted = delivered()
    assert "winmail.dat" not in converted
    assert "AUTHORS" in converted


def test_allow_tls(world: World) -> None:
    world.given({"listener submissions": {"tls": "starttls"}, "basic": {"allow_auth_without_tls": "yes"}})

    def offered() -> tuple[bool, bool]:
        with world.client() as client:
            keyword = "starttls" in client.keywords()
            return keyword, client.say("STARTTLS").startswith("220")

    assert offered() == (True, True)
    set_(world, "allow_tls", "no")
    assert offered() == (False, False)


def test_allow_auth_without_tls(world: World) -> None:
    world.given({})
    with world.client(listener="submission") as client:
        assert "auth" not in client.keywords()
    set_(world, "allow_auth_without_tls", "yes")
    with world.client(listener="submission") as client:
        assert "PLAIN" in client.keywords()["auth"]
        client.login(JOE, "secret word")


def test_allow_vrfy_expn(world: World) -> None:
    world.given({})

    def answers() -> list[str]:
        with world.client() as client:
            assert ("vrfy" in client.keywords()) is ("expn" in client.keywords())
            return [client.say(f"VRFY {JOE}"), client.say("EXPN postmaster@example.test")]

    assert [each[:9] for each in answers()] == ["252 2.5.2", "502 5.5.1"]
    set_(world, "allow_vrfy_expn", "yes")
    vrfy, expn = answers()
    assert vrfy.startswith("250 2.1.5")
    assert f"<{JOE}>" in vrfy
    assert expn.startswith("250")
    assert JOE in expn


def test_bare_line_feeds(world: World) -> None:
    world.given({})

    def answer() -> str:
        with world.client() as client:
            client.envelope(STRANGER, JOE)
            client.say("DATA")
            client.send(b"Subject: bare\r\n\r\none\ntwo\r\n.\r\n")
            code, text = client.getreply()
            return f"{code} {text.decode()}"

    assert answer().startswith("250")
    set_(world, "bare_line_feeds", "reject")
    assert answer().startswith("554 5.6.0")


def test_min_free_space(world: World) -> None:
    world.given({})
    with world.client() as client:
        assert client.envelope(STRANGER).startswith("250")
    set_(world, "min_free_space", "1000000G")
    with world.client() as client:
        assert client.envelope(STRANGER).startswith("452 4.3.1")


def test_offer_dsn(world: World) -> None:
    world.given({})

    def asks_for_a_notice() -> str:
        with world.client() as client:
            offered = "dsn" in client.keywords()
            assert client.say(f"MAIL FROM:<{STRANGER}>").startswith("250")
            answer = client.say(f"RCPT TO:<{JOE}> NOTIFY=SUCCESS")
            assert answer.startswith("250") is offered
            return answer

    assert asks_for_a_notice().startswith("555 5.5.4")
    set_(world, "offer_dsn", "everyone")
    assert asks_for_a_notice().startswith("250")
