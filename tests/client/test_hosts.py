"""What hosts do to us, one fault each, and the outcome that every recipient must have of it."""

import email
import email.policy
import socket
import ssl
import threading
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest

from smtpd_classic.client.fallback import FallbackTransport
from smtpd_classic.client.mx import MxTransport
from smtpd_classic.client.network import Network, Timeouts
from smtpd_classic.client.transport import DeliveryJob, HostBusy, Outcome
from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply
from spool import Recipient
from tests.client.fake_host import DROP, SILENCE, FakeHost, RawHost, Script, Talk, certificate, hosts, own_ip
from tests.client.world import MESSAGE, QUICK, Clock, config_of, deliver, job_for, network_of

BOB, EVE = "bob@example.org", "eve@example.org"
Any = FakeHost | RawHost


def world(*made: Any, text: str = "") -> Network:
    """The MX hosts of example.org, in this order."""
    names = [f"mx{number}.example.org" for number in range(1, len(made) + 1)]
    return network_of(
        config_of(text),
        mx={"example.org": [(10 * number, name) for number, name in enumerate(names)]},
        addresses={name: [host.ip] for name, host in zip(names, made, strict=True)},
        port=made[0].port,
    )


def send(network: Network, job: DeliveryJob) -> dict[str, Outcome]:
    try:
        return deliver(MxTransport(network), job)
    finally:
        network.connections.close_idle(all_of_them=True)


def brief(outcome: Outcome) -> tuple[str, str, bool]:
    return outcome.action.value, outcome.reply.enhanced, outcome.soft


def when(kind: type, answer: Reply | str) -> Script:
    return lambda event, talk: answer if isinstance(event, kind) else None


def by_recipient(**replies: Reply) -> Script:
    def script(event: Event, talk: Talk) -> Reply | None:
        if isinstance(event, events.RcptTo):
            return replies.get(event.forward_path.partition("@")[0])
        return None

    return script


@pytest.mark.parametrize("hidden", [(), ("PIPELINING",)], ids=["pipelined", "one by one"])
def test_each_recipient_has_its_own_fate(hidden: tuple[str, ...]) -> None:
    script = by_recipient(greylisted=Reply(451, "4.7.1", "later"), nobody=Reply(550, "5.1.1", "no such user"))
    host = FakeHost(script=script, hidden=hidden)
    with hosts(host):
        job = job_for("greylisted@example.org", "nobody@example.org", BOB)
        outcomes = send(world(host), job)
    assert brief(outcomes["greylisted@example.org"]) == ("delayed", "4.7.1", True)
    assert brief(outcomes["nobody@example.org"]) == ("failed", "5.1.1", False)
    assert brief(outcomes[BOB]) == ("delivered", "2.0.0", False)
    assert host.envelopes == [("joe@us.test", (BOB,))]
    assert host.got[0].content == MESSAGE


@pytest.mark.parametrize("hidden", [(), ("PIPELINING",)], ids=["pipelined", "one by one"])
@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        (events.MailFrom, 451, "delayed"),
        (events.MailFrom, 550, "failed"),
        (events.RcptTo, 450, "delayed"),
        (events.RcptTo, 550, "failed"),
        (events.StartContent, 451, "delayed"),
        (events.StartContent, 554, "failed"),
        (events.EndContent, 452, "delayed"),
        (events.EndContent, 552, "failed"),
    ],
)
def test_a_reply_to_any_command(kind: type, code: int, expected: str, hidden: tuple[str, ...]) -> None:
    host = FakeHost(script=when(kind, Reply(code, f"{code // 100}.0.9", "because")), hidden=hidden)
    with hosts(host):
        outcome = send(world(host), job_for(BOB))[BOB]
    assert brief(outcome) == (expected, f"{code // 100}.0.9", expected == "delayed")
    assert not host.got


def test_a_host_that_takes_data_without_recipients_gets_an_empty_message_and_no_more() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"220 x\r\n")
        connection.recv(999)
        connection.sendall(b"250-x\r\n250 PIPELINING\r\n")
        connection.recv(999)
        connection.sendall(b"250 ok\r\n550 5.1.1 no\r\n354 go on\r\n")
        heard.append(connection.recv(999))
        connection.sendall(b"554 no valid recipients\r\n")

    heard: list[bytes] = []
    host = RawHost(serve)
    with hosts(host):
        assert brief(send(world(host), job_for(BOB))[BOB]) == ("failed", "5.1.1", False)
    assert heard == [b".\r\n"]


@pytest.mark.parametrize("kind", [events.Hello, events.MailFrom, events.RcptTo, events.StartContent])
def test_a_host_that_hangs_up_leaves_the_message_to_the_next(kind: type) -> None:
    first = FakeHost(script=when(kind, DROP))
    second = FakeHost(port=first.port)
    with hosts(first, second):
        outcome = send(world(first, second), job_for(BOB))[BOB]
    assert (brief(outcome)[0], len(second.got)) == ("delivered", 1)


def test_a_host_that_hangs_up_in_the_middle_of_the_content_leaves_the_message_to_the_next() -> None:
    first = FakeHost(script=when(events.Content, DROP))
    second = FakeHost(port=first.port)
    content = b"Subject: large\n\n" + b"0123456789\n" * 2_000_000
    with hosts(first, second):
        outcome = send(world(first, second), job_for(BOB, content=content))[BOB]
    assert (brief(outcome)[0], [each.content == content for each in second.got]) == ("delivered", [True])


def test_after_the_final_dot_nobody_else_is_tried() -> None:
    first = FakeHost(script=when(events.EndContent, DROP))
    second = FakeHost(port=first.port)
    with hosts(first, second):
        outcome = send(world(first, second), job_for(BOB))[BOB]
    assert brief(outcome) == ("delayed", "4.4.2", False)
    assert (second.connections, "twice" in outcome.reply.text) == (0, True)


@pytest.mark.parametrize(
    "kind", [events.Connected, events.Hello, events.MailFrom, events.StartContent, events.EndContent]
)
def test_a_host_that_never_answers_is_waited_for_no_longer_than_is_due(kind: type) -> None:
    host = FakeHost(script=when(kind, SILENCE), hidden=("PIPELINING",))
    network = world(host)
    with hosts(host):
        outcome = send(_hasty(network), job_for(BOB))[BOB]
    assert (outcome.action.value, outcome.reply.enhanced) == ("delayed", "4.4.2")
    assert "timed out" in outcome.reply.text


class SilentTls(FakeHost):
    """It takes STARTTLS, and never answers the handshake."""

    def _wrapped(self, connection: socket.socket, ends: ExitStack) -> ssl.SSLSocket:
        while connection.recv(65536):
            pass
        raise OSError("the client has given up")


@pytest.mark.parametrize("silent", ["handshake", "EHLO behind it"])
def test_a_host_that_falls_silent_under_tls_gets_the_message_in_plaintext(silent: str) -> None:
    greeted: set[int] = set()

    def script(event: Event, talk: Talk) -> str | None:
        if not isinstance(event, events.Hello):
            return None
        again = talk.number in greeted
        greeted.add(talk.number)
        return SILENCE if again else None

    host = (SilentTls if silent == "handshake" else FakeHost)(tls=certificate("mx1.example.org"), script=script)
    with hosts(host):
        network = world(host)
        outcome = send(replace(network, timeouts=QUICK.scaled(0.5)), job_for(BOB))[BOB]
    assert outcome.action.value == "delivered"
    assert (host.connections, host.got[0].encrypted) == (2, False)


def test_the_handshake_and_the_ehlo_behind_it_have_thirty_seconds() -> None:
    assert Timeouts().handshake == 30.0


def _hasty(network: Network) -> Network:
    return replace(network, timeouts=QUICK.scaled(0.1))


def test_one_message_has_a_time_limit_in_all() -> None:
    """However slowly a host answers, each reply just in time."""
    clock_ticks: list[int] = []

    def script(event: Event, talk: Talk) -> None:
        if isinstance(event, events.RcptTo):
            clock_ticks.append(1)
            socket_pause.recv(1)

    socket_pause, other_end = socket.socketpair()
    socket_pause.settimeout(0.1)

    def slowly(event: Event, talk: Talk) -> None:
        try:
            script(event, talk)
        except TimeoutError:
            return

    host = FakeHost(script=slowly, hidden=("PIPELINING",))
    network = replace(world(host), timeouts=QUICK._replace(transaction=0.5))
    with hosts(host), socket_pause, other_end:
        outcomes = send(network, job_for(*(f"user{number}@example.org" for number in range(60))))
    assert {outcome.action.value for outcome in outcomes.values()} == {"delayed"}
    assert 1 < len(clock_ticks) < 30


def test_an_attempt_has_twenty_minutes_and_time_for_its_size() -> None:
    timeouts = Timeouts()
    assert timeouts.transaction_of(0) == 20 * 60
    assert timeouts.transaction_of(25 * 1024 * 1024) == 20 * 60 + 12_800


def test_the_reply_to_the_final_dot_is_waited_for_beyond_the_limit_of_the_message() -> None:
    def script(event: Event, talk: Talk) -> None:
        if isinstance(event, events.EndContent):
            time.sleep(1.0)  # a host that stores slowly

    host = FakeHost(script=script)
    network = replace(world(host), timeouts=QUICK._replace(transaction=0.5))
    with hosts(host):
        assert send(network, job_for(BOB))[BOB].action.value == "delivered"


@pytest.mark.parametrize(
    "said",
    [b"hello\r\n", b"220" + b"x" * 5000, b"220-more\r\n" * 300, b"\0\0\0\r\n", b"2200 x\r\n", b"99 x\r\n"],
    ids=["no code", "endless line", "endless reply", "NUL", "four digits", "two digits"],
)
def test_what_is_no_reply_ends_the_session(said: bytes) -> None:
    host = RawHost(lambda connection: connection.sendall(said))
    with hosts(host):
        outcome = send(world(host), job_for(BOB))[BOB]
    assert brief(outcome) == ("delayed", "4.4.2", True)
    assert outcome.reply.text.isprintable()


def test_control_characters_of_a_host_go_nowhere() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"554 \x1b[31mgo\x07 away\xe2\x80\xae\r\n")

    host = RawHost(serve)
    with hosts(host):
        job = job_for(BOB)
        outcome = send(world(host), job)[BOB]
    assert outcome.reply.text.isprintable()
    assert all(line.isprintable() for line in job.transcript.text.splitlines())


def test_a_host_that_refuses_the_session_leaves_the_mail_to_the_fallback() -> None:
    """A 5xx before MAIL is about the host, not about the recipient."""
    closed, relay = RawHost(lambda connection: connection.sendall(b"554 5.3.2 closed\r\n")), FakeHost()
    with hosts(closed, relay):
        first, second = world(closed), world(relay)
        outcomes = deliver(FallbackTransport(MxTransport(first), MxTransport(second)), job_for(BOB))
        for network in (first, second):
            network.connections.close_idle(all_of_them=True)
    assert outcomes[BOB].action.value == "delivered"
    assert relay.envelopes == [("joe@us.test", (BOB,))]


def test_ehlo_refused_then_helo() -> None:
    def script(event: Event, talk: Talk) -> Reply | None:
        return Reply(502, "", "what?") if isinstance(event, events.Hello) and event.extended else None

    host = FakeHost(script=script)
    with hosts(host):
        assert send(world(host), job_for(BOB))[BOB].action.value == "delivered"
    assert host.got[0].mail == events.MailFrom("joe@us.test")


# Liars --------------------------------------------------------------------------------


def test_pipelining_announced_and_not_understood() -> None:
    """It answers what came first and throws the rest away; the second session goes one by one."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"220 x\r\n")
        while data := connection.recv(9999):
            command = data.partition(b"\r\n")[0]
            commands.append(command.partition(b":")[0].decode())
            if command == b"EHLO us.test":
                connection.sendall(b"250-x\r\n250 PIPELINING\r\n")
            elif command == b"DATA":
                connection.sendall(b"354 go\r\n")
            elif command == b"QUIT":
                return
            else:
                connection.sendall(b"250 2.0.0 ok\r\n")

    commands: list[str] = []
    host = RawHost(serve)
    network = _hasty(world(host))
    with hosts(host):
        first = send(network, job_for(BOB))[BOB]
    assert (first.action.value, host.connections) == ("delivered", 2)
    assert commands[:3] == ["EHLO us.test", "MAIL FROM", "EHLO us.test"]


def test_size_and_dsn_announced_and_refused() -> None:
    def script(event: Event, talk: Talk) -> Reply | None:
        if isinstance(event, events.MailFrom) and (event.size is not None or event.ret):
            return Reply(555, "5.5.4", "unknown parameter")
        if isinstance(event, events.RcptTo) and event.notify:
            return Reply(501, "5.5.4", "what is NOTIFY?")
        return None

    host = FakeHost(script=script)
    with hosts(host):
        job = job_for(Recipient(BOB, frozenset({"FAILURE"})), EVE)
        outcomes = send(world(host), job)
    assert {outcome.action.value for outcome in outcomes.values()} == {"delivered"}
    assert not any(outcome.notifies for outcome in outcomes.values())
    assert sorted(path for each in host.got for path in each.recipients) == [BOB, EVE]


def test_notify_refused_for_one_recipient_only_repeats_that_one() -> None:
    def script(event: Event, talk: Talk) -> Reply | None:
        refused = isinstance(event, events.RcptTo) and event.notify and "bob" in event.forward_path
        return Reply(504, "", "no NOTIFY") if refused else None

    host = FakeHost(script=script)
    with hosts(host):
        send(world(host), job_for(Recipient(BOB, frozenset({"FAILURE"})), EVE))
    assert [each.recipients for each in host.got] == [(EVE,), (BOB,)]


def test_a_parameter_refused_for_ever_is_a_refusal() -> None:
    host = FakeHost(script=when(events.MailFrom, Reply(501, "5.1.7", "bad sender")))
    with hosts(host):
        assert brief(send(world(host), job_for(BOB))[BOB]) == ("failed", "5.1.7", False)
    assert sum(command.startswith("MAIL") for command in host.commands) == 3


def test_starttls_announced_and_refused_goes_on_in_plaintext() -> None:
    host = FakeHost(broken_tls=True, script=when(events.StartTls, Reply(454, "4.7.0", "no TLS today")))
    with hosts(host):
        assert send(world(host), job_for(BOB))[BOB].action.value == "delivered"
    assert (host.connections, host.got[0].encrypted) == (1, False)


def test_what_comes_in_the_clear_behind_the_answer_to_starttls_is_not_believed() -> None:
    """Injected replies would be taken for the first ones under TLS."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"220 x\r\n")
        connection.recv(999)
        connection.sendall(b"250-x\r\n250 STARTTLS\r\n")
        connection.recv(999)
        connection.sendall(b"220 go\r\n250-x\r\n250 AUTH PLAIN\r\n")

    host = RawHost(serve)
    with hosts(host):
        outcome = send(world(host), job_for(BOB))[BOB]
    assert outcome.action.value == "delayed"


# What a host does not offer -----------------------------------------------------------------------


def test_eight_bit_mail_is_converted_for_a_seven_bit_host() -> None:
    host = FakeHost(hidden=("8BITMIME",))
    content = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nGrüße\n".encode()
    with hosts(host):
        assert send(world(host), job_for(BOB, content=content))[BOB].action.value == "delivered"
    assert b"Gr=C3=BC=C3=9Fe\n" in host.got[0].content
    assert b"Content-Transfer-Encoding: quoted-printable\n" in host.got[0].content
    assert not host.got[0].mail.body_8bit


def test_eight_bit_mail_stays_for_a_host_that_takes_it() -> None:
    host = FakeHost()
    content = "Subject: x\n\nGrüße\n".encode()
    with hosts(host):
        send(world(host), job_for(BOB, content=content))
    assert (host.got[0].content, host.got[0].mail.body_8bit) == (content, True)


def test_eight_bit_mail_that_cannot_be_converted_is_returned() -> None:
    host = FakeHost(hidden=("8BITMIME",))
    content = "Subject: Grüße\n\nx\n".encode()
    with hosts(host):
        outcome = send(world(host), job_for(BOB, content=content))[BOB]
    assert brief(outcome) == ("failed", "5.6.3", False)
    assert not host.got


@pytest.mark.parametrize(
    ("recipient", "content", "hidden", "expected"),
    [
        ("jörg@example.org", MESSAGE, ("SMTPUTF8",), "5.6.7"),
        ("jörg@example.org", MESSAGE, (), "2.0.0"),
        (BOB, MESSAGE, ("SMTPUTF8",), "2.0.0"),
        (BOB, "Subject: Grüße\n\nx\n".encode(), ("SMTPUTF8",), "5.6.9"),
        (BOB, "Subject: x\n\nGrüße\n".encode(), ("SMTPUTF8",), "2.0.0"),
    ],
    ids=["address", "address, offered", "declared but not needed", "header", "body only"],
)
def test_internationalised_mail_where_smtputf8_is_missing(
    recipient: str, content: bytes, hidden: tuple[str, ...], expected: str
) -> None:
    host = FakeHost(hidden=hidden)
    with hosts(host):
        job = job_for(recipient, content=content)._replace(smtputf8=True)
        outcome = send(world(host), job)[recipient]
    assert outcome.reply.enhanced == expected
    assert [each.mail.smtputf8 for each in host.got] == ([not hidden] if expected == "2.0.0" else [])


@pytest.mark.parametrize("hidden", [("SMTPUTF8",), ("SMTPUTF8", "PIPELINING")], ids=["pipelined", "one by one"])
def test_an_address_that_a_host_cannot_read_costs_the_other_recipients_nothing(hidden: tuple[str, ...]) -> None:
    host = FakeHost(hidden=hidden)
    with hosts(host):
        outcomes = send(
            world(host), job_for("jörg@example.org", BOB, "jürgen@example.org", EVE)._replace(smtputf8=True)
        )
    assert {address: brief(outcome)[:2] for address, outcome in outcomes.items()} == {
        "jörg@example.org": ("failed", "5.6.7"),
        BOB: ("delivered", "2.0.0"),
        "jürgen@example.org": ("failed", "5.6.7"),
        EVE: ("delivered", "2.0.0"),
    }
    assert "jürgen@example.org" in outcomes["jürgen@example.org"].reply.text
    assert host.envelopes == [("joe@us.test", (BOB, EVE))]


@pytest.mark.parametrize("hidden", [(), ("SMTPUTF8",)], ids=["offered", "not offered"])
def test_an_internationalised_original_recipient_is_passed_on_in_its_ascii_form(hidden: tuple[str, ...]) -> None:
    host = FakeHost(hidden=hidden)
    recipient = Recipient(BOB, frozenset({"FAILURE"}), "utf-8;jörg@us.test")
    with hosts(host):
        assert brief(send(world(host), job_for(recipient)._replace(smtputf8=True))[BOB]) == (
            "delivered",
            "2.0.0",
            False,
        )
    assert host.got[0].rcpts[0].orcpt == "utf-8;j\\x{F6}rg@us.test"


def test_an_internationalised_domain_is_written_in_ascii_for_a_host_without_smtputf8() -> None:
    host = FakeHost(hidden=("SMTPUTF8",))
    network = network_of(config_of(), mx={"bücher.example": [(1, "mx")]}, addresses={"mx": [host.ip]}, port=host.port)
    with hosts(host):
        send(network, job_for("bob@bücher.example")._replace(smtputf8=True))
    assert host.got[0].recipients == ("bob@xn--bcher-kva.example",)


def test_a_message_over_the_hosts_limit_is_not_even_begun() -> None:
    host = FakeHost(size=40)
    with hosts(host):
        assert brief(send(world(host), job_for(BOB))[BOB]) == ("failed", "5.3.4", False)
    assert not any(command.startswith("MAIL") for command in host.commands)


def test_dsn_parameters_are_passed_on() -> None:
    host = FakeHost()
    with hosts(host):
        bob = Recipient(BOB, frozenset({"SUCCESS", "DELAY"}), "rfc822;bob+2Bx@old.example")
        job = job_for(bob)._replace(ret="HDRS", envid="a b+c=d")
        outcome = send(world(host), job)[BOB]
    assert outcome.notifies
    assert (host.got[0].mail.ret, host.got[0].mail.envid) == ("HDRS", "a b+c=d")
    assert host.got[0].rcpts == (events.RcptTo(BOB, frozenset({"SUCCESS", "DELAY"}), "rfc822;bob+2Bx@old.example"),)


# Many recipients --------------------------------------------------------------------------------


def test_recipients_over_the_hosts_limit_go_in_further_transactions() -> None:
    everybody = [f"user{number}@example.org" for number in range(25)]

    def script(event: Event, talk: Talk) -> Reply | None:
        full = isinstance(event, events.RcptTo) and len(talk.rcpts) >= 10
        return Reply(452, "4.5.3", "too many") if full else None

    host = FakeHost(script=script)
    with hosts(host):
        outcomes = send(world(host), job_for(*everybody))
    assert {outcome.action.value for outcome in outcomes.values()} == {"delivered"}
    assert [len(each.recipients) for each in host.got] == [10, 10, 5]
    assert sorted(path for each in host.got for path in each.recipients) == sorted(everybody)


@pytest.mark.parametrize("hidden", [(), ("PIPELINING",)], ids=["pipelined", "one by one"])
def test_552_of_an_old_server_is_a_limit_behind_other_recipients_and_a_refusal_alone(hidden: tuple[str, ...]) -> None:
    everybody = ["full@example.org", *(f"user{number}@example.org" for number in range(5)), "stuffed@example.org"]

    def script(event: Event, talk: Talk) -> Reply | None:
        if not isinstance(event, events.RcptTo):
            return None
        full = event.forward_path.startswith(("full@", "stuffed@"))
        return Reply(552, "", "storage exceeded") if full or len(talk.rcpts) >= 2 else None

    host = FakeHost(script=script, hidden=(*hidden, "ENHANCEDSTATUSCODES"))
    with hosts(host):
        outcomes = send(world(host), job_for(*everybody))
    assert [len(each.recipients) for each in host.got] == [2, 2, 1]
    assert {address for address, outcome in outcomes.items() if outcome.action.value == "failed"} == {
        "full@example.org",
        "stuffed@example.org",
    }


def test_an_announced_limit_of_recipients_is_kept() -> None:
    host = FakeHost(most_recipients=7)
    with hosts(host):
        send(world(host), job_for(*(f"user{number}@example.org" for number in range(20))))
    assert [len(each.recipients) for each in host.got] == [7, 7, 6]


def test_a_session_that_ends_between_two_transactions_settles_everybody_once() -> None:
    host = FakeHost(most_recipients=5, script=lambda event, talk: DROP if _second(event, talk) else None)
    with hosts(host):
        outcomes = send(world(host), job_for(*(f"user{number}@example.org" for number in range(10))))
    actions = [outcome.action.value for outcome in outcomes.values()]
    assert (actions.count("delivered"), actions.count("delayed")) == (5, 5)


def _second(event: Event, talk: Talk) -> bool:
    return isinstance(event, events.MailFrom) and talk.mail is not None


SHUTTING_DOWN = Reply(421, "4.3.2", "shutting down")


@pytest.mark.parametrize("hidden", [(), ("PIPELINING",)], ids=["pipelined", "one by one"])
def test_421_to_the_first_recipient_defers_all(hidden: tuple[str, ...]) -> None:
    host = FakeHost(script=by_recipient(eve=SHUTTING_DOWN), hidden=hidden)
    with hosts(host):
        outcomes = send(world(host), job_for(EVE, BOB))
    assert {brief(outcome) for outcome in outcomes.values()} == {("delayed", "4.3.2", True)}
    assert host.got == []


@pytest.mark.parametrize("hidden", [(), ("PIPELINING",)], ids=["pipelined", "one by one"])
@pytest.mark.parametrize("closes", [True, False], ids=["closes", "goes on"])
def test_421_in_the_middle_of_the_recipients_ends_the_list_there(closes: bool, hidden: tuple[str, ...]) -> None:
    """What was accepted is sent; the rest comes with the next attempt, in groups of that size."""
    everybody = [f"user{number}@example.org" for number in range(7)]

    def script(event: Event, talk: Talk) -> Reply | str | None:
        if isinstance(event, events.RcptTo) and len(talk.rcpts) >= 3:
            return SHUTTING_DOWN if closes else Reply(421, "4.3.2", "too many for now")
        return None

    host = FakeHost(script=script, hidden=hidden, stays_open=not closes)
    network = world(host)
    with hosts(host):
        first = send(network, job_for(*everybody))
        left = [name for name, outcome in first.items() if outcome.action.value == "delayed"]
        assert left == everybody[3:]
        assert {brief(first[name]) for name in left} == {("delayed", "4.3.2", True)}
        assert [each.recipients for each in host.got] == [tuple(everybody[:3])]
        second = send(network, job_for(*left))
    assert {outcome.action.value for outcome in second.values()} == {"delivered"}
    assert [len(each.recipients) for each in host.got] == [3, 3, 1]


def test_two_batches_of_recipients_with_the_whole_first_refused() -> None:
    """Nothing of the first is left in the second: there is an RSET between them."""
    nobody = [f"nobody{number}@example.org" for number in range(5)]
    script = by_recipient(**{name.partition("@")[0]: Reply(550, "5.1.1", "no such user") for name in nobody})
    for hidden in ((), ("PIPELINING",)):
        host = FakeHost(script=script, most_recipients=5, hidden=hidden)
        with hosts(host):
            outcomes = send(world(host), job_for(*nobody, BOB))
        assert {outcomes[name].reply.enhanced for name in nobody} == {"5.1.1"}
        assert outcomes[BOB].action.value == "delivered"
        assert host.envelopes == [("joe@us.test", (BOB,))]
        verbs = [command.partition(" ")[0] for command in host.commands]
        assert "RSET" in verbs[verbs.index("MAIL") : len(verbs) - verbs[::-1].index("MAIL")]
        assert host.connections == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"250 " + b"x" * 100_000 + b"\r\n",
        b"250-" + b"x" * 3000 + b"\r\n250 2.0.0 done\r\n",
        b"250-line\r\n" * 5000 + b"250 2.0.0 done\r\n",
    ],
    ids=["a long line", "a long first line", "many lines"],
)
def test_a_long_reply_to_the_final_dot_is_a_delivery(reply: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        file = connection.makefile("rwb")
        file.write(b"220 mx.example.org\r\n")
        file.flush()
        for line in file:
            verb = line[:4].upper()
            if verb == b"DATA":
                file.write(b"354 go\r\n")
                file.flush()
                while file.readline() != b".\r\n":
                    pass
                file.write(reply)
            else:
                file.write(b"250 ok\r\n")
            file.flush()
            if verb == b"QUIT":
                return

    host = RawHost(serve)
    with hosts(host):
        outcome = send(world(host), job_for(BOB))[BOB]
    assert outcome.action.value == "delivered"
    assert len(outcome.reply.text) <= 8192


LONG = b"Subject: x\n\n" + b"word " * 500 + b"\n"


def test_long_lines_of_our_own_mail_are_encoded_and_those_of_others_folded() -> None:
    host = FakeHost()
    with hosts(host):
        for ours in (True, False):
            send(world(host), job_for(BOB, content=LONG)._replace(originates_here=ours))
    own, foreign = (each.content for each in host.got)
    for content in (own, foreign):
        assert max(map(len, content.split(b"\n"))) <= 998
    assert b"Content-Transfer-Encoding: quoted-printable\n" in own
    assert email.message_from_bytes(own).get_payload(decode=True) == LONG.partition(b"\n\n")[2]
    assert foreign.replace(b"\n ", b"") == LONG
    assert b"\n " in foreign


def test_a_utf8_header_of_our_own_mail_is_converted_for_a_host_without_smtputf8() -> None:
    content = "From: Jörg <joe@us.test>\nSubject: Grüße\n\nGrüße\n".encode()
    host = FakeHost(hidden=("SMTPUTF8",))
    with hosts(host):
        job = job_for(BOB, content=content)._replace(smtputf8=True, originates_here=True)
        assert send(world(host), job)[BOB].action.value == "delivered"
        refused = send(world(host), job._replace(originates_here=False))[BOB]
    header, _, body = host.got[0].content.partition(b"\n\n")
    assert header.isascii()
    assert str(email.message_from_bytes(header, policy=email.policy.default)["Subject"]) == "Grüße"
    assert body == "Grüße\n".encode()
    assert len(host.got) == 1
    assert (refused.reply.enhanced, "UTF-8 in header fields" in refused.reply.text) == ("5.6.9", True)


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("a" * 200 + "@example.org", None),
        ("a..b@example.org", '"a..b"@example.org'),
        (".a@example.org", '".a"@example.org'),
        ("a.@example.org", '"a."@example.org'),
        ('"a b"@example.org', None),
    ],
)
def test_addresses_leave_as_a_strict_host_reads_them(address: str, written: str | None) -> None:
    host = FakeHost()
    with hosts(host):
        send(world(host), job_for(address, sender="bounce-" + "v" * 100 + "@us.test"))
    expected = f"RCPT TO:<{written or address}>"
    assert expected in host.commands
    assert any(command.startswith("MAIL FROM:<bounce-" + "v" * 100) for command in host.commands)


# Sessions --------------------------------------------------------------------------------


def test_one_session_carries_many_messages() -> None:
    host = FakeHost()
    network = world(host)
    with hosts(host):
        for number in range(5):
            job = job_for(BOB, content=f"Subject: {number}\n\n".encode())
            assert deliver(MxTransport(network), job)[BOB].action.value == "delivered"
        network.connections.close_idle(all_of_them=True)
    assert (host.connections, len(host.got)) == (1, 5)


def test_after_so_many_messages_a_session_ends() -> None:
    host = FakeHost()
    network = world(host, text="[remote]\nmax_messages_per_connection = 2\n")
    with hosts(host):
        for _ in range(5):
            deliver(MxTransport(network), job_for(BOB))
        network.connections.close_idle(all_of_them=True)
    assert [each.connection for each in host.got] == [1, 1, 2, 2, 3]


def test_a_refused_message_does_not_spoil_the_session() -> None:
    host = FakeHost(script=by_recipient(nobody=Reply(550, "5.1.1", "no")))
    network = world(host)
    with hosts(host):
        assert (
            deliver(MxTransport(network), job_for("nobody@example.org"))["nobody@example.org"].action.value == "failed"
        )
        assert deliver(MxTransport(network), job_for(BOB))[BOB].action.value == "delivered"
        network.connections.close_idle(all_of_them=True)
    assert (host.connections, "RSET" in host.commands) == (1, True)


@pytest.mark.parametrize("answer", [DROP, Reply(421, "4.4.2", "idle too long")], ids=["closed", "421"])
def test_a_kept_session_that_is_gone_costs_nothing(answer: Reply | str) -> None:
    def script(event: Event, talk: Talk) -> Reply | str | None:
        if isinstance(event, events.MailFrom) and talk.mail is not None:
            return answer
        return None

    host = FakeHost(script=script)
    network = world(host)
    with hosts(host):
        for _ in range(3):
            assert deliver(MxTransport(network), job_for(BOB))[BOB].action.value == "delivered"
        network.connections.close_idle(all_of_them=True)
    assert (host.connections, len(host.got)) == (3, 3)


def test_no_more_connections_to_a_host_than_allowed() -> None:
    ready, go = threading.Semaphore(0), threading.Event()

    def script(event: Event, talk: Talk) -> None:
        if isinstance(event, events.MailFrom):
            ready.release()
            go.wait(10)

    host = FakeHost(script=script)
    network = world(host, text="[remote]\nmax_connections_per_host = 2\n")
    with hosts(host):
        threads = [threading.Thread(target=deliver, args=(MxTransport(network), job_for(BOB))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert ready.acquire(timeout=10)
        with pytest.raises(HostBusy):
            MxTransport(network).deliver(job_for(EVE), lambda outcomes: pytest.fail(f"settled {outcomes}"))
        go.set()
        for thread in threads:
            thread.join(10)
        assert deliver(MxTransport(network), job_for(EVE))[EVE].action.value == "delivered"
        network.connections.close_idle(all_of_them=True)
    assert host.connections == 2
    assert network.connections.open == 0


# Which hosts --------------------------------------------------------------------------------


def closed(port: int) -> str:
    """An address at which nobody listens on that port."""
    with socket.create_server((own_ip(), 0)) as probe:
        return str(probe.getsockname()[0])


def test_at_most_five_addresses() -> None:
    host = FakeHost()
    with hosts(host):
        addresses = [closed(host.port) for _ in range(5)]
        network = network_of(
            config_of(), mx={"example.org": [(1, "mx")]}, addresses={"mx": [*addresses, host.ip]}, port=host.port
        )
        assert brief(send(network, job_for(BOB))[BOB]) == ("delayed", "4.4.1", True)
        job = job_for(BOB)
        assert send(network, job)[BOB].action.value == "delivered", "dead ones are remembered and do not count"


def test_at_most_two_sessions_past_the_greeting() -> None:
    first = FakeHost(script=when(events.RcptTo, Reply(450, "4.2.0", "later")))
    second = FakeHost(script=when(events.MailFrom, Reply(451, "4.3.0", "later")), port=first.port)
    third = FakeHost(port=first.port)
    with hosts(first, second, third):
        outcome = send(world(first, second, third), job_for(BOB))[BOB]
    assert (brief(outcome), third.connections) == (("delayed", "4.3.0", True), 0)


def test_a_dead_host_is_remembered_for_a_while_and_then_tried_again() -> None:
    clock = Clock()
    with socket.create_server((own_ip(), 0)) as probe:
        ip, port = probe.getsockname()[:2]
    network = network_of(config_of(), mx={"example.org": [(1, "mx")]}, addresses={"mx": [ip]}, port=port, clock=clock)
    assert "refused" in send(network, job_for(BOB))[BOB].reply.text
    host = FakeHost(ip=ip, port=port)
    with hosts(host):
        remembered = send(network, job_for(BOB))[BOB]
        assert ("suspended" in remembered.reply.text, remembered.unreachable, host.connections) == (True, True, 0)
        clock.now += 301
        assert send(network, job_for(BOB))[BOB].action.value == "delivered"


def test_a_person_may_have_a_dead_host_tried_at_once() -> None:
    with socket.create_server((own_ip(), 0)) as probe:
        ip, port = probe.getsockname()[:2]
    network = network_of(config_of(), mx={"example.org": [(1, "mx")]}, addresses={"mx": [ip]}, port=port)
    send(network, job_for(BOB))
    host = FakeHost(ip=ip, port=port)
    with hosts(host):
        assert send(network, job_for(BOB)._replace(forced=True))[BOB].action.value == "delivered"


def test_ipv6_that_leads_nowhere_does_not_use_up_the_addresses() -> None:
    host = FakeHost()
    with hosts(host):
        nowhere = [f"2001:db8::{number}" for number in range(1, 7)]
        network = network_of(
            config_of(), mx={"example.org": [(1, "mx")]}, addresses={"mx": [*nowhere, host.ip]}, port=host.port
        )
        assert send(_hasty(network), job_for(BOB))[BOB].action.value == "delivered"


def test_an_address_literal_needs_no_dns() -> None:
    host = FakeHost()
    network = network_of(config_of(), port=host.port)
    with hosts(host):
        assert send(network, job_for(f"bob@[{host.ip}]"))[f"bob@[{host.ip}]"].action.value == "delivered"


@pytest.mark.parametrize(
    ("mx", "expected", "tried"),
    [
        ([(10, "us.test")], ("failed", "5.4.6", False), 0),
        ([(10, "us.test"), (20, "mx.example.org")], ("failed", "5.4.6", False), 0),
        ([(10, "us.test"), (10, "mx.example.org")], ("failed", "5.4.6", False), 0),
        ([(10, "mx.example.org"), (20, "us.test")], ("delayed", "4.1.1", False), 1),
        ([(10, "mx.example.org"), (20, "our-other-name.test")], ("delayed", "4.1.1", False), 1),
        ([(10, "our-other-name.test"), (20, "mx.example.org")], ("failed", "5.4.6", False), 0),
        ([(10, "mx.example.org"), (20, "mx.example.org")], ("delayed", "4.1.1", True), 1),
    ],
    ids=["alone", "best", "equal", "backup", "backup by address", "best by address", "not in it"],
)
def test_ourselves_in_the_list(mx: list[tuple[int, str]], expected: tuple[str, str, bool], tried: int) -> None:
    host = FakeHost(script=when(events.RcptTo, Reply(450, "4.1.1", "later")))
    ours = own_ip()
    config = config_of(listeners=f"[listener smtp]\naddress = {ours}\nport = {host.port}\n")
    addresses = {"us.test": [ours], "our-other-name.test": [ours], "mx.example.org": [host.ip]}
    with hosts(host):
        network = network_of(config, mx={"example.org": mx}, addresses=addresses, port=host.port)
        outcome = send(network, job_for(BOB))[BOB]
    assert (brief(outcome), min(host.connections, 1)) == (expected, tried)


def test_a_listener_on_all_addresses_is_us_at_any_of_them() -> None:
    host = FakeHost()
    config = config_of(listeners=f"[listener smtp]\nport = {host.port}\n")
    with hosts(host):
        network = network_of(config, mx={"example.org": [(1, "mx")]}, addresses={"mx": [host.ip]}, port=host.port)
        assert brief(send(network, job_for(BOB))[BOB]) == ("failed", "5.4.6", False)
    assert not host.connections


def test_a_host_that_calls_itself_as_we_do_is_a_loop_in_sight() -> None:
    host = FakeHost("us.test")
    with hosts(host):
        outcome = send(world(host), job_for(BOB))[BOB]
    assert brief(outcome) == ("delayed", "4.4.6", False)
    assert not host.got


@pytest.mark.parametrize("place", range(4), ids=["greeting", "EHLO", "STARTTLS", "HELO"])
def test_an_answer_that_makes_no_sense_before_mail_is_no_yes(place: int) -> None:
    answers = [b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n", b"454 no\r\n"]
    if place == 3:
        answers[1:] = [b"502 no\r\n", b"250 x\r\n"]
    answers[min(place, 2)] = b"354 go on\r\n"

    def serve(connection: socket.socket) -> None:
        connection.sendall(answers[0])
        for answer in answers[1:]:
            connection.recv(999)
            connection.sendall(answer)
        while connection.recv(999):
            pass

    host = RawHost(serve)
    with hosts(host):
        outcome = send(_hasty(world(host)), job_for(BOB))[BOB]
    assert (brief(outcome)[0], "makes no sense" in outcome.reply.text) == ("delayed", True)
