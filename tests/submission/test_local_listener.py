"""The socket for local submission, as the server makes it and keeps it."""

import os
import pwd
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.message.trace import Hop, received
from smtpd_classic.server import local_listener
from smtpd_classic.submission.local_socket import LocalSocket
from tests.instance import Instance, running
from tests.server.serving import Dialog
from tests.submission.programs import Programs
from tests.tools import need
from tests.waiting import until


class LocalDialog(Dialog):
    """A client at the socket, greeted."""

    def __init__(self, server: Instance) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(server.folder / "run" / "submit"))
        self._rest = b""
        assert self.reply() == "220 example.org ESMTP"


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    with running(domain="example.org", basic__max_recipients="5", basic__max_message_size="10k") as server:
        yield server


@pytest.fixture
def dialog(server: Instance) -> Iterator[LocalDialog]:
    """Somebody who has said EHLO."""
    found = LocalDialog(server)
    found.ask("EHLO me")
    yield found
    found.socket.close()


def test_every_user_may_enter(server: Instance) -> None:
    assert stat.S_IMODE((server.folder / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((server.folder / "run" / "submit").stat().st_mode) == 0o666
    assert (server.folder / "run" / "submit").stat().st_uid == pwd.getpwnam("nobody").pw_uid


def test_it_offers_neither_tls_nor_login(dialog: LocalDialog) -> None:
    """There is nobody in between, and the kernel says who it is."""
    hello = dialog.ask("EHLO me").split("\n")
    assert "250 XLOCAL example.org" in hello
    assert "250-LIMITS RCPTMAX=5" in hello
    assert not [line for line in hello if "STARTTLS" in line or "AUTH" in line]
    assert dialog.ask("STARTTLS").startswith("502 ")
    assert dialog.ask("AUTH PLAIN AGpvZQB3cm9uZw==").startswith("502 ")


def test_the_ports_do_not_say_what_the_socket_says(server: Instance) -> None:
    dialog = Dialog(server.ports["smtp"])
    dialog.reply()
    assert "XLOCAL" not in dialog.ask("EHLO me")
    dialog.socket.close()


def test_a_local_user_may_send_everywhere_as_anybody(dialog: LocalDialog) -> None:
    assert dialog.ask("MAIL FROM:<joe@example.org>").startswith("250 ")
    assert dialog.ask("RCPT TO:<friend@[192.0.2.1]>").startswith("250 ")
    assert dialog.ask("RCPT TO:<nobody@example.org>").startswith("550 5.1.1")


def test_the_limits_hold(dialog: LocalDialog) -> None:
    assert dialog.ask("MAIL FROM:<joe@example.org> SIZE=20000").startswith("552 5.3.4")
    dialog.ask("MAIL FROM:<joe@example.org>")
    codes = [dialog.ask(f"RCPT TO:<joe+{number}@example.org>")[:3] for number in range(6)]
    assert codes == ["250"] * 5 + ["550"]
    assert dialog.ask("DATA").startswith("554 5.5.3")


def test_wrong_recipients_do_not_end_the_session(dialog: LocalDialog) -> None:
    dialog.ask("MAIL FROM:<>")
    assert {dialog.ask(f"RCPT TO:<no{number}@example.org>")[:3] for number in range(60)} == {"550"}
    assert dialog.ask("RCPT TO:<joe@example.org>").startswith("250 ")


def test_a_reload_keeps_the_socket_and_whoever_is_there(server: Instance, dialog: LocalDialog) -> None:
    path = server.folder / "run" / "submit"
    before = path.stat().st_ino
    dialog.ask("MAIL FROM:<>")
    server.reload()
    until(lambda: "reload --" in server.log())
    assert dialog.ask("RCPT TO:<joe@example.org>").startswith("250 ")
    assert path.stat().st_ino == before
    fresh = LocalDialog(server)
    assert fresh.ask("QUIT").startswith("221 ")
    fresh.socket.close()


def test_local_sessions_leave_no_lines_but_those_of_messages() -> None:
    with running(domain="example.org") as server:
        programs = Programs(server)
        until(lambda: "disconnect from" in server.log())  # whoever looked whether it runs
        before = server.log()
        for number in range(3):
            assert programs.run("sendmail", "joe", message=b"X-Number: %d\n\n" % number).returncode == 0
        assert programs.run("sendmail", "nobody", message=b"\n").returncode == os.EX_NOUSER
        server.wait_for_mail(3)
        parts = re.findall(r"smtpd-classic/(\w+)\[", server.log().removeprefix(before))
        assert parts == ["pickup", "cleanup", "qmgr", "local", "qmgr"] * 3 + ["smtpd"]
        command = [need("pflogsumm"), "--syslog-name=smtpd-classic", *map(str, server.folder.rglob("*.log"))]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        numbers = {name: int(count) for count, name in re.findall(r"^\s+(\d+)\s+([a-z ]+?)(?:\s+\(.*)?$", said, re.M)}
        assert (numbers["received"], numbers["delivered"], numbers["rejected"]) == (3, 3, 1)


def test_what_stands_in_the_way_and_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "submit"
    path.write_text("precious")
    with pytest.raises(OSError, match="Address already in use"):
        local_listener.bind(str(path))
    assert path.read_text() == "precious"


def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "submit")
    local_listener.bind(path).close()
    listening = local_listener.bind(path)
    try:
        LocalSocket(path).close()
    finally:
        listening.close()
    local_listener.unbind(path)
    local_listener.unbind(path)
    assert os.listdir(tmp_path) == []


def test_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    folder.mkdir(parents=True)
    path = str(folder / "submit")
    listening = local_listener.bind(path)
    try:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
        channel = LocalSocket(path)
        listening.setblocking(True)
        accepted, _ = listening.accept()
        assert local_listener.peer_uid(accepted) == os.geteuid()
        accepted.close()
        channel.close()
    finally:
        listening.close()


@pytest.mark.parametrize(("recipient", "for_whom"), [("joe@example.org", "\n\tfor <joe@example.org>"), ("", "")])
def test_the_trace_of_local_submission(recipient: str, for_whom: str) -> None:
    hop = Hop("x", "localhost", "", "ESMTP", None, "here.example", "4711ABC", recipient, uid=33)
    field = received(hop, 1_763_812_800.0).decode()
    begin = f"Received: by here.example (smtpd-classic, from userid 33)\n\tid 4711ABC{for_whom}; Sat, 22 Nov 2025 "
    assert field.startswith(begin)
