"""Other servers with faults, found through a real name server: every recipient has exactly the outcome it should, in
mailbox, queue, log and bounce.
"""

import json
import smtplib
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import DROP, SILENCE, Answer, FakeHost, Talk, hosts
from tests.peers import impatient
from tests.peers.liar import Liar
from tests.peers.name_server import NULL_MX
from tests.peers.world import Net, content, failures, network, parts
from tests.waiting import until

HOSTS = {f"mx{number}.hosts.test": f"127.0.1.{number}" for number in range(1, 60)}
MX = {
    "dead-first.test": [(10, "mx1.hosts.test"), (20, "mx2.hosts.test")],
    "no-name.test": [(10, "no-such-host.test"), (20, "mx3.hosts.test")],
    "grey.test": [(10, "mx4.hosts.test"), (20, "mx5.hosts.test")],
    "null.test": NULL_MX,
    "closing.test": [(10, "mx6.hosts.test"), (20, "mx7.hosts.test")],
    "closing-alone.test": [(10, "mx8.hosts.test")],
    "mixed.test": [(10, "mx9.hosts.test"), (20, "mx10.hosts.test")],
    "back.test": [(10, "mx11.hosts.test")],
    "liar.test": [(10, "mx12.hosts.test")],
    "full.test": [(10, "mx13.hosts.test"), (20, "mx14.hosts.test")],
    "loop.test": [(10, "mail.us.test")],
    **{f"silent{number}.test": [(10, f"mx{number}.hosts.test")] for number in range(20, 27)},
    **{
        f"silent-first{number}.test": [(10, f"mx{number}.hosts.test"), (20, "mx30.hosts.test")]
        for number in range(20, 27)
    },
}
ALIASES = {"null": "ann@null.test", "nowhere": "ann@nowhere.test", "turned-away": "nobody@mixed.test"}


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    prefix = (sys.executable, str(Path(impatient.__file__)))
    options = {"remote__connect_timeout": "2s", "remote__dead_host_time": "0", "basic__copy_bounces": "none"}
    with network(MX, HOSTS, *prefix, **options) as made:
        for alias, target in ALIASES.items():
            done = made.us.run("alias", "set", f"{alias}@us.test", target)
            assert done.returncode == 0, done.stderr
        yield made


def mx(
    number: int, script: Callable[[Event, Talk], Answer | None] = lambda event, talk: None, **more: object
) -> FakeHost:
    name = f"mx{number}.hosts.test"
    return FakeHost(name, HOSTS[name], 25, script=script, **more)  # type: ignore[arg-type]


def wire(content: bytes) -> bytes:
    """As a host has seen it, without our trace header."""
    return content.partition(b"Date:")[1] + content.partition(b"Date:")[2]


# Several MX ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "number"), [("dead-first.test", 2), ("no-name.test", 3)], ids=["nobody listens", "no such host"]
)
def test_a_dead_first_mx_costs_nothing(net: Net, domain: str, number: int) -> None:
    second = mx(number)
    with hosts(second):
        queue_id = net.submit(content(domain), f"ann@{domain}")
        net.gone(queue_id)
    assert net.outcomes(queue_id) == [(f"ann@{domain}", "2.0.0", "sent")]
    assert f"relay=mx{number}.hosts.test[127.0.1.{number}]:25" in net.us.log()
    assert second.envelopes == [("joe@us.test", (f"ann@{domain}",))]
    assert wire(second.got[0].content) == content(domain)


class Greylist:
    """The first time a sender writes to a recipient he is told to come again."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()

    def __call__(self, event: Event, talk: Talk) -> Reply | None:
        if isinstance(event, events.RcptTo) and talk.mail is not None:
            pair = talk.mail.reverse_path, event.forward_path
            if pair not in self.seen:
                self.seen.add(pair)
                return Reply(451, "4.7.1", "Greylisted, come again in a while")
        return None


def test_a_greylisted_message_is_followed_by_one_id_through_all_attempts(net: Net) -> None:
    """The first MX is dead; the second wants to be asked twice; a person looks and tries again."""
    host = mx(5, Greylist())
    ann = "ann@grey.test"
    with hosts(host):
        queue_id = net.submit(content("grey"), ann)
        assert net.settled(queue_id) == [(ann, "4.7.1", "deferred")]
        listed = [json.loads(line) for line in net.us.run("queue", "list", "--json", queue_id).stdout.splitlines()]
        assert [(each["queue_id"], each["queue_name"]) for each in listed] == [(queue_id, "deferred")]
        assert "451 4.7.1 Greylisted" in listed[0]["recipients"][0]["delay_reason"]
        shown = net.us.run("queue", "show", queue_id).stdout
        transcript = [line.strip() for line in shown.partition("\nLast transcript\n")[2].splitlines()]
        for line in (
            "-- connecting to mx4.hosts.test[127.0.1.4]:25",
            "-- connection refused",
            "-- connecting to mx5.hosts.test[127.0.1.5]:25",
            "S: 220 mx5.hosts.test ",
            f"C: RCPT TO:<{ann}>",
            "S: 451 4.7.1 Greylisted, come again in a while",
        ):
            assert any(each.startswith(line) for each in transcript), (line, shown)
        net.retry(queue_id)
        net.gone(queue_id)
    assert len(host.got) == 1
    assert wire(host.got[0].content) == content("grey")
    log = net.us.run("log", "--id", queue_id).stdout.splitlines()
    steps = [
        "client=",
        "message-id=<grey@",
        "(queue active)",
        "status=deferred (host mx5",
        "status=sent (250",
        "removed",
    ]
    found = [next(number for number, line in enumerate(log) if step in line) for step in steps]
    assert found == sorted(found), log
    assert all(queue_id in line for line in log)
    assert net.bounces(queue_id) == []


# A queue of several attempts ------------------------------------------------------------------------------------------


def test_what_waits_is_delivered_by_hand_once_the_host_is_back(net: Net) -> None:
    ann = "ann@back.test"
    queue_id = net.submit(content("back"), ann)
    assert net.settled(queue_id) == [(ann, "4.4.1", "deferred")]
    net.retry(queue_id)
    assert net.settled(queue_id, 2) == [(ann, "4.4.1", "deferred")] * 2
    shown = net.us.run("queue", "show", queue_id).stdout
    assert "connection refused" in shown.partition("\nLast transcript\n")[2]
    host = mx(11)
    with hosts(host):
        net.retry(queue_id)
        net.gone(queue_id)
    assert net.outcomes(queue_id)[2:] == [(ann, "2.0.0", "sent")]
    assert len(host.got) == 1


# Domains that cannot be reached at all --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "code", "status"),
    [("null.test", 556, "5.1.10"), ("nowhere.test", 550, "5.1.2")],
    ids=["null MX", "NXDOMAIN"],
)
def test_a_domain_without_mail_is_refused_to_its_face(net: Net, domain: str, code: int, status: str) -> None:
    with smtplib.SMTP("127.0.0.1", net.us.ports["submission"], timeout=20) as client:
        client.starttls(context=net.us.tls())
        client.login(net.us.login, net.us.password)
        client.mail(net.us.login)
        found, said = client.rcpt(f"ann@{domain}")
    assert (found, said.split()[0].decode()) == (code, status)


@pytest.mark.parametrize(
    ("alias", "target", "status"),
    [("null", "ann@null.test", "5.1.10"), ("nowhere", "ann@nowhere.test", "5.1.2")],
    ids=["null MX", "NXDOMAIN"],
)
def test_an_alias_to_a_domain_without_mail_bounces(net: Net, alias: str, target: str, status: str) -> None:
    queue_id = net.submit(content(f"alias-{alias}"), f"{alias}@us.test")
    bounce = net.bounce(queue_id)
    assert net.outcomes(queue_id) == [(target, status, "bounced")]
    assert failures(bounce) == {target.encode()}
    _, (recipient,) = parts(bounce)
    assert (recipient["Action"], recipient["Status"]) == ("failed", status)


def test_a_domain_that_no_name_server_knows_anything_of_waits(net: Net) -> None:
    """What is not below `test` is REFUSED: that may change."""
    queue_id = net.submit(content("refused"), "ann@elsewhere.invalid")
    assert net.settled(queue_id) == [("ann@elsewhere.invalid", "4.4.3", "deferred")]
    until(lambda: net.us.run("queue", "delete", queue_id).returncode == 0, 30)


def test_a_domain_whose_only_mx_we_are_but_that_is_not_ours_bounces(net: Net) -> None:
    queue_id = net.submit(content("loop"), "ann@loop.test")
    bounce = net.bounce(queue_id)
    assert net.outcomes(queue_id) == [("ann@loop.test", "5.4.6", "bounced")]
    assert failures(bounce) == {b"ann@loop.test"}


# In the middle of a message -------------------------------------------------------------------------------------------


def closes_in_data(event: Event, talk: Talk) -> str | None:
    return DROP if isinstance(event, events.Content) else None


def test_a_host_that_closes_in_the_middle_of_data_is_passed_over(net: Net) -> None:
    first, second = mx(6, closes_in_data), mx(7)
    # More than the buffers between the two hold: when it closes, the end has not been sent.
    long = content("closing") + b"A line of a long message.\n" * 600_000
    with hosts(first, second):
        queue_id = net.submit(long, "ann@closing.test")
        net.gone(queue_id)
    assert net.outcomes(queue_id) == [("ann@closing.test", "2.0.0", "sent")]
    assert (first.connections, first.got) == (1, [])
    assert len(second.got) == 1
    assert wire(second.got[0].content) == long


def test_what_a_host_closed_on_waits_and_is_sent_whole_the_next_time(net: Net) -> None:
    """Twice it closes, once in the content and once in place of the last reply."""
    faults = iter([events.Content, events.EndContent])
    fault: list[type] = [events.Content]
    ann = "ann@closing-alone.test"

    def script(event: Event, talk: Talk) -> str | None:
        return DROP if isinstance(event, fault[0]) else None

    host = mx(8, script)
    with hosts(host):
        queue_id = ""
        for number, kind in enumerate(faults, 1):
            fault[0] = kind
            if queue_id:
                net.retry(queue_id)
            else:
                queue_id = net.submit(content("closing-alone"), ann)
            assert net.settled(queue_id, number) == [(ann, "4.4.2", "deferred")] * number
        assert "may be delivered twice" in net.us.run("queue", "show", queue_id).stdout
        fault[0] = type(None)
        net.retry(queue_id)
        net.gone(queue_id)
    assert len(host.got) == 1
    assert wire(host.got[0].content) == content("closing-alone")
    assert net.bounces(queue_id) == []


def test_one_is_taken_one_put_off_and_one_turned_away(net: Net) -> None:
    answers = {"later": Reply(450, "4.2.1", "mailbox busy"), "nobody": Reply(550, "5.1.1", "no such user")}

    def script(event: Event, talk: Talk) -> Reply | None:
        return answers.get(event.forward_path.partition("@")[0]) if isinstance(event, events.RcptTo) else None

    first, second = mx(9, script), mx(10, script)
    later, nobody, ann = "later@mixed.test", "nobody@mixed.test", "ann@mixed.test"
    with hosts(first, second):
        queue_id = net.submit(content("mixed"), later, nobody, ann)
        assert sorted(net.settled(queue_id, 3)) == [
            (ann, "2.0.0", "sent"),
            (later, "4.2.1", "deferred"),
            (nobody, "5.1.1", "bounced"),
        ]
        bounces = until(lambda: net.bounces(queue_id), 20, net.us.log)
        assert [failures(bounce) for bounce in bounces] == [{nobody.encode()}]
        waiting = json.loads(net.us.run("queue", "list", "--json", queue_id).stdout)
        assert [each["address"] for each in waiting["recipients"]] == [later]
        del answers["later"]
        net.retry(queue_id)
        net.gone(queue_id)
    assert net.outcomes(queue_id)[3:] == [(later, "2.0.0", "sent")]
    assert [to for host in (first, second) for each in host.got for to in each.recipients] == [ann, later]
    assert not any(b"nobody@mixed.test" in line.encode() for line in second.commands), "5xx is final, whoever is next"
    assert len(net.bounces(queue_id)) == 1


# Silence -------------------------------------------------------------------------------------------------------------

STEPS = {
    20: events.Connected,
    21: events.Hello,
    22: events.MailFrom,
    23: events.RcptTo,
    24: events.StartContent,
    25: events.EndContent,
}


def silent_at(step: type) -> Callable[[Event, Talk], str | None]:
    return lambda event, talk: SILENCE if isinstance(event, step) else None


def unanswering(ip: str) -> list[socket.socket]:
    """Port 25 of an address that drops every attempt to connect: its backlog is full."""
    listening = socket.create_server((ip, 25), backlog=0)
    filling = socket.create_connection((ip, 25), 5)
    return [listening, filling]


def test_hosts_that_never_answer_cost_time_but_no_mail(net: Net) -> None:
    """One at each step of a session, each alone and with one behind it that works. All at once: it takes as long."""
    silent = [mx(number, silent_at(step), hidden=("PIPELINING",)) for number, step in STEPS.items()]
    second = mx(30)
    with ExitStack() as stack, hosts(*silent, second):
        for each in unanswering(HOSTS["mx26.hosts.test"]):
            stack.enter_context(each)
        alone = {number: net.submit(content(f"silent{number}"), f"ann@silent{number}.test") for number in (*STEPS, 26)}
        others = {
            number: net.submit(content(f"first{number}"), f"ann@silent-first{number}.test") for number in (*STEPS, 26)
        }
        for number, queue_id in alone.items():
            expected = "4.4.1" if number == 26 else "4.4.2"
            assert net.settled(queue_id) == [(f"ann@silent{number}.test", expected, "deferred")]
        for number, queue_id in others.items():
            address = f"ann@silent-first{number}.test"
            if number == 25:  # the dot is sent: perhaps it has arrived, and another host would deliver it again
                assert net.settled(queue_id) == [(address, "4.4.2", "deferred")]
                continue
            net.gone(queue_id)
            assert net.outcomes(queue_id) == [(address, "2.0.0", "sent")]
    taken = sorted(to for each in second.got for to in each.recipients)
    assert taken == [f"ann@silent-first{number}.test" for number in (20, 21, 22, 23, 24, 26)]
    assert not any(host.got for host in silent)
    assert all(net.waiting(queue_id) for queue_id in (*alone.values(), others[25]))


# Lies ----------------------------------------------------------------------------------------------------------------

ANN = "ann@liar.test"
TAKEN, PUT_OFF = [(ANN, "2.0.0", "sent")], "deferred"


def told(*keywords: str) -> bytes:
    return "\r\n".join(["250-liar", *(f"250-{keyword}" for keyword in keywords), "250 HELP"]).encode()


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        ({"EHLO": told("DSN", "8BITMIME"), "RCPT TO:<ann@liar.test> ": b"555 5.5.4 unknown parameter"}, b"\xc3\xbc"),
        ({"EHLO": told("DSN", "8BITMIME"), "MAIL FROM:<joe@us.test> ": b"501 5.5.4 unknown parameter"}, b"=C3=BC"),
        (
            {"EHLO": told("SIZE 1000000000", "8BITMIME"), "MAIL FROM:<joe@us.test> SIZE": b"555 5.5.4 no SIZE"},
            b"\xc3\xbc",
        ),
        ({"EHLO": told("8BITMIME"), "MAIL FROM:<joe@us.test> BODY": b"555 5.5.4 no BODY"}, b"=C3=BC"),
        ({"EHLO": told("CHUNKING", "BINARYMIME", "8BITMIME"), "BDAT": b"502 5.5.1 what?"}, b"\xc3\xbc"),
        ({"EHLO": told("STARTTLS", "8BITMIME"), "STARTTLS": b"454 4.7.0 not now"}, b"\xc3\xbc"),
        ({"EHLO": told("STARTTLS", "8BITMIME"), "STARTTLS": b"220 go on\r\nthis is no TLS"}, b"\xc3\xbc"),
        ({"EHLO": b"502 5.5.1 what?"}, b"=C3=BC"),
        ({"EHLO": told("SIZE", "SIZE=", "LIMITS RCPTMAX=none", "AUTH", "=", "8BITMIME")}, b"\xc3\xbc"),
    ],
    ids=[
        "DSN at RCPT",
        "any parameter at MAIL",
        "SIZE",
        "8BITMIME",
        "CHUNKING",
        "STARTTLS refused",
        "STARTTLS without TLS",
        "EHLO refused",
        "nonsense",
    ],
)
def test_what_is_announced_and_not_kept_costs_no_delivery(
    net: Net, answers: dict[str, bytes], line: bytes, request: pytest.FixtureRequest
) -> None:
    host = Liar(HOSTS["mx12.hosts.test"], answers)
    request.addfinalizer(host.close)
    rcpt = ("NOTIFY=FAILURE", "ORCPT=rfc822;ann+40liar.test")
    queue_id = net.submit(content("lies"), ANN, rcpt=rcpt)
    net.gone(queue_id)
    assert net.outcomes(queue_id) == TAKEN
    assert len(host.got) == 1
    assert b"Gr" + line in host.got[0]
    assert host.got[0].count(b"\r\n..dot\r\n") == 1


def test_a_host_that_drops_pipelined_commands_is_spoken_to_one_by_one(net: Net) -> None:
    host = Liar(HOSTS["mx12.hosts.test"], {"EHLO": told("PIPELINING", "8BITMIME")}, deaf=True)
    try:
        queue_id = net.submit(content("pipelining"), ANN)
        net.gone(queue_id)
        assert net.outcomes(queue_id) == TAKEN
        assert len(host.got) == 1
    finally:
        host.close()


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"DATA": b"250 2.0.0 thank you"}, "deferred"),
        ({".": b"354 2.0.0 go on"}, "deferred"),
        ({".": b"199 thank you"}, "deferred"),
        ({"MAIL": b"354 go on"}, "deferred"),
        ({"RCPT": b"354 go on"}, "deferred"),
        ({".": b"hello"}, "deferred"),
        ({"": b"hello"}, "deferred"),
        ({"": b"554 5.7.1 I do not like you"}, "deferred"),
        ({"EHLO": b"550 5.7.1 no", "HELO": b"550 5.7.1 no"}, "deferred"),
        ({"DATA": b"554 5.6.0 no"}, "bounced"),
        ({".": b"554 5.6.0 no"}, "bounced"),
        ({"MAIL": b"550 5.7.1 no"}, "bounced"),
    ],
    ids=lambda value: (
        " ".join(f"{k or 'greeting'}: {v[:3].decode()}" for k, v in value.items()) if isinstance(value, dict) else value
    ),
)
def test_only_a_yes_to_the_content_is_a_delivery(
    net: Net, answers: dict[str, bytes], expected: str, request: pytest.FixtureRequest
) -> None:
    """Whatever makes no sense is tried again: neither lost nor returned."""
    host = Liar(HOSTS["mx12.hosts.test"], answers)
    request.addfinalizer(host.close)
    queue_id = net.submit(content("no"), ANN)
    found = net.settled(queue_id)
    assert [(to, status) for to, _, status in found] == [(ANN, expected)]
    if expected == "bounced":
        assert failures(net.bounce(queue_id)) == {ANN.encode()}
        return
    assert net.waiting(queue_id)
    until(lambda: net.us.run("queue", "delete", queue_id).returncode == 0, 30)


def test_a_refusal_holds_though_the_host_hangs_up_on_the_rest(net: Net, request: pytest.FixtureRequest) -> None:
    answers = {"EHLO": told("PIPELINING", "8BITMIME"), "MAIL": b"550 5.7.1 not from you"}
    host = Liar(HOSTS["mx12.hosts.test"], answers, closes="MAIL")
    request.addfinalizer(host.close)
    queue_id = net.submit(content("hangs-up"), ANN)
    assert net.settled(queue_id) == [(ANN, "5.7.1", "bounced")]
    assert failures(net.bounce(queue_id)) == {ANN.encode()}
