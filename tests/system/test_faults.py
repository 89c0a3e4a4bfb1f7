"""What is broken below the server gets the right 4xx and a log line, and service goes on when the cause is gone."""

import contextlib
import smtplib
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.instance import Instance, running
from tests.tools import need
from tests.waiting import until

CONTENT = b"Subject: x\r\n\r\nbody\r\n"


def send(server: Instance, content: bytes = CONTENT) -> tuple[int, bytes]:
    """The first negative reply of a message from a stranger, or that to its end."""
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=30) as client:
        client.ehlo()
        steps: tuple[Callable[[], tuple[int, bytes]], ...] = (
            lambda: client.mail("a@client.test"),
            lambda: client.rcpt(server.login),
            lambda: data(client, content),
        )
        for step in steps:
            code, text = step()
            if code >= 400:
                break
        return code, text


def data(client: smtplib.SMTP, content: bytes) -> tuple[int, bytes]:
    """What smtplib raises, as what it is: a reply."""
    try:
        return client.data(content)
    except smtplib.SMTPResponseException as problem:
        text = problem.smtp_error
        return problem.smtp_code, text if isinstance(text, bytes) else text.encode()


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A tmpfs over a folder; tests that need one run as root, as they do in a container."""
    owner = folder.stat()
    options = f"size={size},mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disk_defers_and_service_returns_with_the_space() -> None:
    with running(basic__min_free_space="1M") as server:
        server.stop()
        with small_disk(server.folder / "mail", "4M"):
            server.start()
            assert send(server)[0] == 250
            ballast = server.folder / "mail" / "ballast"
            ballast.write_bytes(bytes(3584 * 1024))
            until(lambda: send(server)[0] == 452, 10, server.log)
            assert send(server)[1].startswith(b"4.3.1")
            ballast.unlink()
            until(lambda: send(server)[0] == 250, 10, server.log)
            server.stop()


def test_disk_that_fills_up_during_a_message_loses_nothing() -> None:
    with running(basic__min_free_space="0") as server:
        server.stop()
        with small_disk(server.folder / "mail", "2M"):
            server.start()
            code, text = send(server, b"Subject: big\r\n\r\n" + (b"x" * 70 + b"\r\n") * 50_000)
            assert (code, text[:5]) == (452, b"4.3.1")
            assert "warning" in server.log()
            assert send(server)[0] == 250
            assert [path for path in server.mail() if b"big" in path.read_bytes()] == []
            server.stop()


@pytest.mark.parametrize("name", ["mail", "spool"])
def test_unwritable_folder_defers(name: str) -> None:
    with running() as server:
        assert send(server)[0] == 250
        server.wait_for_mail()
        server.stop()
        folder = server.folder / name
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        try:
            server.start()
            subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
            if name == "mail":
                code, _ = send(server)
            else:
                code, _ = submit_to_stranger(server)
            assert 400 <= code < 500
            subprocess.run(["mount", "-o", "remount,rw,bind", str(folder)], check=True)
            assert send(server)[0] == 250
            server.stop()
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def submit_to_stranger(server: Instance) -> tuple[int, bytes]:
    """A message that must be queued, from a user who has logged in."""
    with smtplib.SMTP_SSL("127.0.0.1", server.ports["submissions"], timeout=30, context=server.tls()) as client:
        client.login(server.login, server.password)
        client.mail(server.login)
        client.rcpt("someone@[127.0.0.9]")
        return data(client, b"From: " + server.login.encode() + b"\r\n\r\nx\r\n")


def test_without_file_descriptors_the_server_waits_and_goes_on() -> None:
    with running(server__workers="1") as server:
        server.stop()
        server.start(need("prlimit"), "--nofile=40")
        held = [socket.create_connection(("127.0.0.1", server.ports["smtp"]), 10) for _ in range(40)]
        until(lambda: "open files" in server.log(), 20, server.log)
        assert server.process is not None
        assert server.process.poll() is None
        for connection in held:
            connection.close()
        until(lambda: send(server)[0] == 250, 20, server.log)
        assert "Traceback" not in server.log() + server.said()


def test_broken_users_file_leaves_the_last_good_one_in_force() -> None:
    with running() as server:
        users = server.folder / "users"
        good = users.read_bytes()
        users.write_bytes(b"this is no line of a users file\n")
        until(lambda: "users:1" in server.log() or send(server) == (0, b""), 20, server.log)
        assert send(server)[0] == 250
        users.write_bytes(good)
        assert send(server)[0] == 250


def test_bad_configuration_changes_nothing_and_says_where() -> None:
    with running() as server:
        text = server.file.read_text(encoding="utf-8")
        server.file.write_text(text + "\n[basic]\nmax_recipient = 5\n", encoding="utf-8")
        server.reload()
        until(lambda: "max_recipient" in server.log(), 20, server.log)
        assert send(server)[0] == 250
        assert f"smtpd-classic.conf:{text.count(chr(10)) + 3}:" in server.log() or "[basic]" in server.log()
