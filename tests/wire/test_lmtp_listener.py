"""[listener lmtp]: another mail server of this machine hands mail over and gets a reply for each recipient."""

import grp
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Listener
from tests.instance import free_port
from tests.server.serving import Dialog
from tests.wire.world import ANN, AWAY, JOE, World

STRANGER = "eve@reject.test"
UNKNOWN = "nobody@example.test"


class LmtpDialog(Dialog):
    """A client at the Unix socket, greeted."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self._rest = b""
        assert self.reply().startswith("220 ")

    def envelope(self, sender: str, *recipients: str) -> list[str]:
        """The replies to MAIL and to each RCPT, all sent at once."""
        lines = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{each}>" for each in recipients)]
        self.send("".join(f"{line}\r\n" for line in lines).encode())
        return [self.reply() for _ in lines]

    def content(self, text: str, replies: int) -> list[str]:
        """The replies after the content; NOOP shows that there are no more."""
        assert self.ask("DATA").startswith("354 ")
        self.send(text.replace("\n", "\r\n").encode() + b"\r\n.\r\nNOOP\r\n")
        found = [self.reply() for _ in range(replies)]
        assert self.reply().startswith("250 2.0.0 "), found
        return found


def socket_of(world: World) -> str:
    return str(world.instance.folder / "run" / "lmtp")


@contextmanager
def lmtp(world: World, **sections: dict[str, str]) -> Iterator[LmtpDialog]:
    world.given({"listener lmtp": {"socket": socket_of(world)}, **sections})
    dialog = LmtpDialog(socket_of(world))
    with dialog:
        assert dialog.ask("LHLO mx.test").startswith("250-")
        yield dialog


def codes(replies: list[str]) -> list[str]:
    return [each[:9] for each in replies]


def test_socket(world: World) -> None:
    """The service user owns the socket, its group may connect, and a reload without the listener removes it."""
    path = socket_of(world)
    with lmtp(world):
        found = os.stat(path)
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o660
        assert found.st_uid == os.stat(os.path.dirname(path)).st_uid
        assert grp.getgrgid(found.st_gid)
        assert f"lmtp on {path}" in world.command("status").stdout
    world.reload()
    LmtpDialog(path).close()
    world.given({})
    assert not os.path.exists(path)


def test_the_socket_is_made_anew_at_a_start_and_removed_at_the_end(world: World) -> None:
    path = socket_of(world)
    with lmtp(world):
        pass
    world.instance.stop()
    assert not os.path.exists(path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)  # as a server that was killed leaves it
        owner = os.stat(os.path.dirname(path))
        os.chown(path, owner.st_uid, owner.st_gid)
    world.instance.start()
    LmtpDialog(path).close()


def test_a_port_on_a_loopback_address(world: World) -> None:
    port = free_port()
    world.given({"listener lmtp": {"address": "127.0.0.1", "port": str(port)}})
    with Dialog(port) as dialog:
        assert dialog.reply().startswith("220 ")
        assert dialog.ask("LHLO mx.test").startswith("250-")
        assert dialog.ask("MAIL FROM:<>").startswith("250 ")
        assert dialog.ask(f"RCPT TO:<{UNKNOWN}>").startswith("550 5.1.1 ")


def test_it_greets_by_lhlo_alone(world: World) -> None:
    """RFC 2033 4.1; an SMTP listener in turn does not know LHLO."""
    with lmtp(world) as dialog:
        offered = dialog.ask("LHLO mx.test")
        for word in ("PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8"):
            assert f"250-{word}\n" in offered
        for word in ("AUTH", "STARTTLS", "DSN", "LIMITS"):
            assert word not in offered
        assert dialog.ask("EHLO mx.test").startswith("500 5.5.1 ")
        assert dialog.ask("HELO mx.test").startswith("500 5.5.1 ")
        assert dialog.ask("AUTH PLAIN AGpvZQB3cm9uZw==").startswith("502 ")
        assert dialog.ask("STARTTLS").startswith("502 ")
    with LmtpDialog(socket_of(world)) as dialog:
        assert dialog.ask(f"MAIL FROM:<{STRANGER}>") == "503 5.5.1 Send LHLO first."
    with world.client() as client:
        assert client.say("LHLO mx.test").startswith("500 ")


def test_help_names_the_commands_that_there_are(world: World) -> None:
    with lmtp(world) as dialog:
        said = dialog.ask("HELP")
        assert "LHLO" in said
        assert not {"EHLO", "HELO", "STARTTLS", "AUTH"} & set(said.split())


def test_each_recipient_has_a_reply_in_order(world: World) -> None:
    """Refused recipients have none; one that is named twice has two, and one copy."""
    tag = world.tag()
    with lmtp(world) as dialog:
        replies = dialog.envelope(STRANGER, UNKNOWN, JOE, AWAY, ANN, JOE)
        assert codes(replies) == ["250 2.1.0", "550 5.1.1", "250 2.1.5", "550 5.7.1", "250 2.1.5", "250 2.1.5"]
        assert codes(dialog.content(world.text(tag, STRANGER), 3)) == ["250 2.0.0"] * 3
        assert codes(dialog.envelope(STRANGER, UNKNOWN)) == ["250 2.1.0", "550 5.1.1"]
        assert dialog.ask("DATA").startswith("503 ")
    text = world.arrives("joe", tag)
    assert "with LMTP id " in text
    assert "from mx.test (localhost [127.0.0.1])" in text
    assert len(world.mail("joe", tag)) == len(world.mail("ann", tag)) == 1


def test_content_by_bdat_has_its_replies_after_the_last_chunk(world: World) -> None:
    tag = world.tag()
    text = world.text(tag, STRANGER).replace("\n", "\r\n").encode() + b"\r\n"
    with lmtp(world) as dialog:
        dialog.envelope(STRANGER, JOE, ANN)
        dialog.send(b"BDAT %d\r\n%s" % (len(text), text))
        assert dialog.reply().startswith("250 ")
        dialog.send(b"BDAT 0 LAST\r\nNOOP\r\n")
        assert codes([dialog.reply() for _ in range(3)]) == ["250 2.0.0"] * 3
    world.arrives("joe", tag)
    world.arrives("ann", tag)


@pytest.fixture
def small(world: World) -> Iterator[str]:
    """The address of an empty mailbox with a quota of 4 KiB."""
    address = "small@example.test"
    assert world.command("user", "add", address, "--generate").returncode == 0
    assert world.command("user", "quota", address, "4k").returncode == 0
    world.reload()
    yield address
    assert world.command("user", "delete", address).returncode == 0


@pytest.mark.parametrize("size", [5_000, 200_000])
def test_a_full_mailbox_defers_its_recipient_alone(world: World, small: str, size: int) -> None:
    """The size is known at the end only; the others have the message, also one that is not held in memory."""
    tag = world.tag()
    with lmtp(world) as dialog:
        text = world.text(tag, STRANGER, body="A line.\n" * (size // 8))
        assert codes(dialog.envelope(STRANGER, small, JOE, small)) == ["250 2.1.0"] + ["250 2.1.5"] * 3
        assert codes(dialog.content(text, 3)) == ["452 4.2.2", "250 2.0.0", "452 4.2.2"]
        dialog.envelope(STRANGER, small)
        assert codes(dialog.content(text, 1)) == ["452 4.2.2"]
        replies = [dialog.ask(f"MAIL FROM:<{STRANGER}> SIZE={size}"), dialog.ask(f"RCPT TO:<{small}>")]
        assert codes(replies) == ["250 2.1.0", "452 4.2.2"]
    world.arrives("joe", tag)
    assert world.mail("small", tag) == []
    assert world.log(f"reject: DATA from localhost[127.0.0.1]: 452 4.2.2 <{small}>")


def test_nothing_is_signed_checked_limited_or_filtered(world: World) -> None:
    """Its client did that: the same message from a stranger by SMTP is refused for each of these reasons."""
    tag = world.tag()
    sections = {
        "basic": {"max_recipients": "1", "max_message_size": "1k"},
        "authentication": {"check": "yes"},
        "filter": {"refuse_senders": STRANGER},
        "trusted": {"hosts": "127.0.0.1"},
    }
    with lmtp(world, **sections) as dialog:
        assert codes(dialog.envelope(STRANGER, JOE, ANN))[1:] == ["250 2.1.5"] * 2
        text = f"Subject: {tag}\nAuthentication-Results: mx.test; dmarc=pass\n\n" + "A line.\n" * 300
        assert codes(dialog.content(text, 2)) == ["250 2.0.0"] * 2
        assert codes(dialog.envelope(JOE, JOE)) == ["250 2.1.0", "250 2.1.5"]  # without a login
        dialog.ask("RSET")
        assert dialog.envelope(STRANGER, AWAY)[1].startswith("550 5.7.1 Only local ")  # though 127.0.0.1 is trusted
    arrived = world.arrives("joe", tag)
    assert "Authentication-Results: mx.test; dmarc=pass" in arrived
    assert arrived.count("Authentication-Results:") == 1
    assert "DKIM-Signature" not in arrived
    assert "Message-ID" not in arrived


def test_garbage_does_not_block_this_machine(world: World) -> None:
    with lmtp(world, access={"max_errors": "2"}) as dialog:
        for _ in range(30):
            assert dialog.ask("XYZZY").startswith("500 ")
    assert "127.0.0.1" not in world.command("block", "list").stdout


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"port": "25", "address": "127.0.0.1"}, "never spoken on port 25"),
        ({"port": "2424"}, "0.0.0.0 is no loopback address"),
        ({"port": "2424", "address": "127.0.0.1, 192.0.2.1"}, "192.0.2.1 is no loopback address"),
        ({}, "[listener lmtp] needs the option port."),
        ({"socket": "/run/x", "auth": "offered"}, "LMTP has no login"),
        ({"socket": "/run/x", "tls": "implicit"}, "LMTP has no TLS"),
        ({"socket": "/run/x", "tls": "starttls"}, "LMTP has no TLS"),
        ({"socket": "/run/x", "tls_ciphers": "old"}, "tls_ciphers does not apply"),
        ({"port": "2424", "address": "127.0.0.1", "tls_ciphers": "intermediate"}, "tls_ciphers does not apply"),
        ({"socket": "/run/x", "address": "127.0.0.1"}, "address has no effect without a port"),
        ({"socket": "/run/x", "refuse": "10.0.0.0/8"}, "refuse does not apply"),
        ({"socket": "/run/x", "proxy_protocol": "127.0.0.1"}, "proxy_protocol does not apply"),
        ({"socket": "/run/x", "allow_only": "10.0.0.0/8"}, "allow_only does not apply"),
        ({"socket": "/run/" + "x" * 110}, "107 octets at most"),
    ],
)
def test_what_lmtp_cannot_be_is_refused(world: World, values: dict[str, str], said: str) -> None:
    world.given({})
    text = world.instance.file.read_text()
    file = world.instance.folder / "lmtp-check.conf"
    file.write_text(f"{text}\n[listener lmtp]\n" + "".join(f"{name} = {value}\n" for name, value in values.items()))
    checked = world.instance.run("--config", str(file), "check")
    assert checked.returncode == os.EX_CONFIG
    [line] = [each for each in (checked.stdout + checked.stderr).splitlines() if said in each]
    number = int(line.removeprefix(f"{file}:").partition(":")[0])
    assert file.read_text().splitlines()[number - 1].partition(" = ")[0] in {*values, "[listener lmtp]"}


def test_values_that_say_how_lmtp_is_are_taken(world: World) -> None:
    """The option is written out, and means the same."""
    world.given({"listener lmtp": {"socket": socket_of(world), "tls": "none", "auth": "none", "refuse": ""}})
    LmtpDialog(socket_of(world)).close()


def test_each_option_works_or_is_complained_about(world: World) -> None:
    """No option of a listener is taken and ignored."""
    complained = {"tls", "tls_ciphers", "auth", "proxy_protocol", "refuse", "allow_only"}
    assert {each.name for each in options_of(Listener)} == complained | {"address", "port", "socket"}


def test_explain_knows_the_listener(world: World) -> None:
    world.given({"listener lmtp": {"socket": socket_of(world)}, "filter": {"refuse_senders": STRANGER}})
    question = ("explain", "--from", STRANGER, "--ip", "192.0.2.9", "--to")
    assert "250" in world.command(*question, JOE, "--listener", "lmtp").stdout
    assert "LMTP is for local recipients alone" in world.command(*question, AWAY, "--listener", "lmtp").stdout
    assert "LMTP" not in world.command(*question, JOE).stdout
