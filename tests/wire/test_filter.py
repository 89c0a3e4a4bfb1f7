"""SMTP Filter: each option is set on the page, and strangers fare as it says."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email import message_from_string

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Filter
from tests.wire.panel import options
from tests.wire.world import JOE, World

PAGE = "SMTP Filter"
OPTIONS = options("filter")
LISTED, LISTED_TOO, CLEAN = "127.77.10.1", "127.77.10.2", "127.77.10.3"
ACCEPTED = "250 2.1.5"
QUARANTINE = {"quarantine_time", "quarantine_size"}  # their tests are in tests/retry
OFF = {"filter": {"sender_domain": "no"}}


def test_every_option_has_a_test() -> None:
    names = {each.name for each in options_of(Filter)} - QUARANTINE
    assert [name for name in names if f"test_{name}" not in globals()] == []


def set_(world: World, name: str, value: str) -> None:
    world.set(PAGE, OPTIONS[name], value)


def reply(
    world: World, sender: str = "x@there.test", ip: str = CLEAN, recipient: str = JOE, hello: str = "client.test"
) -> str:
    """The reply to RCPT of a stranger."""
    with world.client(ip=ip) as client:
        client.ehlo(hello)
        return client.envelope(sender, recipient)


def place(world: World, ip: str) -> tuple[str, str]:
    """The folder in which a message of a stranger ends, and its X-Blocklist field."""
    tag = world.tag()
    with world.client(ip=ip) as client:
        assert client.envelope("x@there.test", JOE).startswith(ACCEPTED)
        assert client.content(world.text(tag, "x@there.test")).startswith("250")
    folder = world.instance.folder / "mail" / "example.test" / "joe"
    for name in ("", ".Junk/"):
        for path in (folder / f"{name}new").glob("*"):
            text = path.read_text()
            if tag in text:
                return name.strip("./").lower() or "inbox", str(message_from_string(text).get("X-Blocklist", ""))
    raise AssertionError("the message did not arrive")


def test_sender_domain(world: World) -> None:
    world.given({"filter": {"sender_domain": "defer"}})
    assert reply(world, "x@missing.test").startswith("450 4.1.8 ")
    assert reply(world, "x@closed.test").startswith("450 4.1.8 ")  # it exists, and cannot get mail
    assert reply(world, "x@null.test").startswith("550 5.7.27 ")
    assert reply(world, "x@there.test").startswith(ACCEPTED)
    assert reply(world, "x@mx.test").startswith(ACCEPTED)
    assert reply(world, "").startswith(ACCEPTED)
    set_(world, "sender_domain", "refuse")
    assert reply(world, "x@missing.test").startswith("550 5.1.8 ")
    assert reply(world, "x@missing.test", recipient="postmaster@example.test").startswith(ACCEPTED)
    set_(world, "sender_domain", "no")
    assert reply(world, "x@missing.test").startswith(ACCEPTED)


BEHIND_A_BALANCER = {"listener smtp": {"proxy_protocol": "127.0.0.1"}, **OFF}


def behind(world: World, ip: str, recipient: str = JOE) -> str:
    """The reply to RCPT of a stranger at any address, as a load balancer passes it on."""
    with socket.create_connection(("127.0.0.1", world.instance.ports["smtp"]), 20) as connection:
        file = connection.makefile("rwb")
        answer = b""
        lines = ("EHLO c.test", "MAIL FROM:<x@there.test>", f"RCPT TO:<{recipient}>")
        for line in (f"PROXY TCP4 {ip} 127.0.0.1 4000 25", *lines):
            file.write(f"{line}\r\n".encode())
            file.flush()
            while (answer := file.readline())[3:4] == b"-":
                pass
    return answer.decode()


def test_reverse_name(world: World) -> None:
    world.given(BEHIND_A_BALANCER)
    nameless, wrong, named = "192.0.2.1", "192.0.2.2", "192.0.2.3"
    assert behind(world, nameless).startswith(ACCEPTED)
    set_(world, "reverse_name", "refuse")
    assert behind(world, nameless).startswith("550 5.7.25 ")
    assert behind(world, wrong).startswith("550 5.7.25 ")
    assert behind(world, named).startswith(ACCEPTED)
    assert behind(world, nameless, "postmaster@example.test").startswith(ACCEPTED)


def test_own_hello(world: World) -> None:
    world.given({"basic": {"helo_name": "mx.example.test"}, **OFF})
    assert reply(world, hello="MX.example.test").startswith("550 5.7.1 ")
    assert reply(world, hello="other.example.test").startswith(ACCEPTED)
    assert reply(world, hello="mx.example.test", ip="127.0.0.1").startswith(ACCEPTED)
    set_(world, "own_hello", "no")
    assert reply(world, hello="mx.example.test").startswith(ACCEPTED)


def test_a_program_of_this_machine_may_write_any_sender(world: World) -> None:
    world.given({"filter": {"sender_domain": "refuse"}})
    assert reply(world, "x@nowhere.test", ip="127.0.0.1").startswith(ACCEPTED)
    assert not reply(world, "x@nowhere.test").startswith(ACCEPTED)


@pytest.mark.parametrize("pattern", ["x@there.test", "there.test", "*@there.test", ".test", "x@t*"])
def test_refuse_senders(world: World, pattern: str) -> None:
    world.given(OFF)
    set_(world, "refuse_senders", pattern)
    assert reply(world, "X@There.test").startswith("550 5.7.1 ")
    assert reply(world, "y@elsewhere.example").startswith(ACCEPTED)
    assert reply(world, "").startswith(ACCEPTED)
    with world.client(JOE) as client:
        assert client.envelope(JOE, JOE).startswith(ACCEPTED)


def test_refuse_hellos(world: World) -> None:
    world.given(OFF)
    set_(world, "refuse_hellos", "friend, .dialup.test")
    for hello, answer in {"friend": "550 5.7.1 ", "a.b.dialup.test": "550 5.7.1 ", "my.friend": ACCEPTED}.items():
        assert reply(world, hello=hello).startswith(answer)


def test_blocklists(world: World) -> None:
    world.given(OFF)
    set_(world, "blocklists", "list.test=127.0.0.2-9")
    assert reply(world, ip=LISTED) == f"550 5.7.1 {LISTED} is listed in list.test: See http://list.test/1"
    assert reply(world, ip=LISTED_TOO).startswith(ACCEPTED)  # with an answer that does not count
    assert reply(world, ip=CLEAN).startswith(ACCEPTED)
    assert reply(world, ip=LISTED, recipient="abuse@example.test").startswith("550 5.1.1")
    assert reply(world, ip=LISTED, recipient="postmaster@example.test").startswith(ACCEPTED)


def test_blocklists_that_do_not_work(world: World) -> None:
    world.given({"filter": {"sender_domain": "no", "blocklists": "closed.list.test, all.list.test, missing.test"}})
    world.logged("closed.list.test is not used: the list refuses to answer this resolver")  # before a client comes
    assert reply(world, ip=LISTED).startswith(ACCEPTED)
    status = world.command("status").stdout
    assert "closed.list.test off: the list refuses to answer this resolver" in status
    assert "the list missing.test is off" in world.command("status", "--check").stdout
    world.logged("all.list.test is not used: the list has 127.0.0.1")
    world.logged("missing.test is not used: the list does not have its test address 127.0.0.2")


@contextmanager
def failing_lists() -> Iterator[int]:
    """A name server with three lists that pass their test. To another question about an address, one answers SERVFAIL,
    one nothing, and the third has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    data, client = listening.recvfrom(2000)
                except OSError:
                    return
                if not data:
                    return
                question = dns.message.from_wire(data)
                name = question.question[0].name.to_text()
                answer = dns.message.make_response(question)
                if name.startswith("2.0.0.127.") and question.question[0].rdtype == dns.rdatatype.A:
                    answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "127.0.0.2"))
                elif name.endswith(".second.test.") and name != "1.0.0.127.second.test.":
                    if question.question[0].rdtype == dns.rdatatype.A:
                        answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "127.0.0.4"))
                elif name.endswith("fail.test.") and not name.startswith("1.0.0.127."):
                    answer.set_rcode(dns.rcode.SERVFAIL)
                elif name.endswith("silent.test.") and not name.startswith("1.0.0.127."):
                    continue
                else:
                    answer.set_rcode(dns.rcode.NXDOMAIN)
                listening.sendto(answer.to_wire(), client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        with suppress(OSError):  # a datagram socket is not connected, but this wakes the thread
            listening.shutdown(socket.SHUT_RDWR)
        thread.join(20)


@pytest.mark.parametrize("zone", ["fail.test", pytest.param("silent.test", marks=pytest.mark.peers)])
def test_a_blocklist_that_fails_says_nothing_about_a_client(world: World, zone: str) -> None:
    with failing_lists() as port:
        world.given({**OFF, "server": {"name_servers": f"127.0.0.1:{port}"}})
        set_(world, "blocklists", zone)
        assert reply(world, ip=LISTED).startswith(ACCEPTED)
        assert f"{zone} off" not in world.command("status").stdout
        set_(world, "blocklists", f"{zone}, second.test")
        assert reply(world, ip=LISTED).startswith(f"550 5.7.1 {LISTED} is listed in second.test")
        world.given(OFF)


def test_blocklist_action(world: World) -> None:
    world.given({"filter": {"sender_domain": "no", "blocklists": "list.test"}})
    assert reply(world, ip=LISTED).startswith("550 5.7.1 ")
    set_(world, "blocklist_action", "junk")
    assert place(world, LISTED) == ("junk", "list.test (127.0.0.4)")
    assert place(world, CLEAN) == ("inbox", "")
    set_(world, "blocklist_action", "mark")
    assert place(world, LISTED) == ("inbox", "list.test (127.0.0.4)")


def test_allowlists(world: World) -> None:
    world.given({"filter": {"sender_domain": "no", "blocklists": "list.test"}})
    assert reply(world, ip=LISTED).startswith("550 5.7.1 ")
    set_(world, "allowlists", "good.test=127.0.0-9.1-3")
    assert reply(world, ip=LISTED).startswith(ACCEPTED)
    assert reply(world, ip=LISTED_TOO).startswith("550 5.7.1 ")


def test_allowlists_replace_a_host_name(world: World) -> None:
    allowed = {"allowlists": "good.test=127.0.0-9.1-3", "reverse_name": "refuse", "sender_domain": "no"}
    world.given({**BEHIND_A_BALANCER, "filter": allowed})
    assert behind(world, "192.0.2.1").startswith(ACCEPTED)
    assert behind(world, "192.0.2.2").startswith("550 5.7.25 ")


def test_greylist(world: World) -> None:
    world.given({**BEHIND_A_BALANCER, "filter": {"sender_domain": "no", "allowlists": "good.test=127.0.0-9.1-3"}})
    nameless, named, allowed = "192.0.2.2", "192.0.2.3", "192.0.2.1"
    assert behind(world, nameless).startswith(ACCEPTED)
    set_(world, "greylist", "suspicious")
    assert behind(world, nameless).startswith("451 4.7.1 ")
    assert behind(world, nameless).startswith("451 4.7.1 ")
    assert behind(world, nameless, "postmaster@example.test").startswith(ACCEPTED)
    assert behind(world, named).startswith(ACCEPTED)
    assert behind(world, allowed).startswith(ACCEPTED)


def attachment(world: World, name: str, body: str = "A line.") -> tuple[str, str]:
    """The reply to a message with a file, and its folder."""
    tag = world.tag()
    with world.client(ip=CLEAN) as client:
        client.envelope("x@there.test", JOE)
        headers = "Content-Type: application/octet-stream", f'Content-Disposition: attachment; filename="{name}"'
        answer = client.content(world.text(tag, "x@there.test", *headers, body=body))
    folder = world.instance.folder / "mail" / "example.test" / "joe"
    is_junk = any(tag in path.read_text() for path in (folder / ".Junk" / "new").glob("*"))
    return answer[:9], "junk" if is_junk else ""


def test_block_attachments(world: World) -> None:
    world.given(OFF)
    assert attachment(world, "setup.exe") == ("250 2.0.0", "")
    set_(world, "block_attachments", ".exe, .js")
    assert attachment(world, "Setup.EXE") == ("550 5.7.1", "")
    for name in ("x.js", "setup.exe.", "'setup.exe' ", 'a.txt"; filename="setup.exe"; filename="b.txt'):
        assert attachment(world, name) == ("550 5.7.1", ""), name
    assert attachment(world, "exe.txt") == ("250 2.0.0", "")
    assert attachment(world, "a.txt", "begin 644 b.exe\n#86)C\n`\nend") == ("550 5.7.1", "")


def test_block_attachments_action(world: World) -> None:
    world.given({"filter": {"sender_domain": "no", "block_attachments": ".exe"}})
    assert attachment(world, "setup.exe") == ("550 5.7.1", "")
    set_(world, "block_attachments_action", "junk")
    assert attachment(world, "setup.exe") == ("250 2.0.0", "junk")
