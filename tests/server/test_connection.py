"""What a connection does besides deciding: batches, deadlines, limits, threads, ends."""

import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from smtpd_classic.reception import Client
from smtpd_classic.smtp import replies
from smtpd_classic.smtp.events import Connected, Event, MailFrom
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import ServerSession
from tests.server.serving import Answers, Dialog, place
from tests.waiting import until

MESSAGE = b"Subject: x\r\n\r\nHello.\r\n.\r\n"


def test_a_message_goes_through(tmp_path: Path) -> None:
    with place(tmp_path) as found, found.dial() as dialog:
        assert dialog.reply() == "220 test.example ESMTP"
        assert dialog.ask("EHLO client.example").startswith("250-test.example\n250-PIPELINING")
        assert dialog.ask("MAIL FROM:<a@client.example>").startswith("250 2.1.0")
        assert dialog.ask("RCPT TO:<b@test.example>").startswith("250 2.1.5")
        assert dialog.ask("DATA").startswith("354 ")
        dialog.send(MESSAGE)
        assert dialog.reply() == "250 2.0.0 Queued as ID"
        assert dialog.ask("QUIT").startswith("221 ")
        assert dialog.ended()
        assert found.ended() == ["quit"]
        assert found.sessions[0].received == len("Subject: x\n\nHello.\n")


def test_threads_are_used_again(tmp_path: Path) -> None:
    with place(tmp_path) as found:
        for number in range(30):
            with found.dial() as dialog:
                assert dialog.reply().startswith("220")
                assert dialog.ask("QUIT").startswith("221")
                assert dialog.ended()
            found.ended(number + 1)
            until(lambda: found.receiver.connections == 0)
        assert len({session.thread for session in found.sessions}) <= 3
        assert found.receiver.threads <= 3


def test_silent_clients_put_no_receiver_ahead_of_others(tmp_path: Path) -> None:
    with place(tmp_path) as found, ExitStack() as opened:
        dialogs = [opened.enter_context(found.dial()) for _ in range(8)]
        assert all(each.reply().startswith("220") for each in dialogs)

        def all_speak() -> bool:
            return all(each.ask("NOOP").startswith("250") for each in dialogs)

        for _ in range(2):
            until(lambda: all_speak() and found.receiver.is_ahead())
            until(lambda: not found.receiver.is_ahead())


def test_a_batch_of_commands_is_answered_in_one_packet(tmp_path: Path) -> None:
    with place(tmp_path) as found, found.dial() as dialog:
        dialog.reply()
        dialog.ask("EHLO client.example")
        dialog.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<b@test.example>\r\nRCPT TO:<c@test.example>\r\nDATA\r\n")
        # The replies are complete when the first octet is there: they were one send.
        dialog.socket.recv(1, socket.MSG_PEEK)
        assert dialog.socket.recv(65536).count(b"\r\n") == 4


def test_a_client_that_talks_before_the_banner_is_refused(tmp_path: Path) -> None:
    # The name is looked up between accept and banner; that is when an impatient client has spoken.
    spoken = threading.Event()

    def patient(sessions: list[Answers], client: Client, session: ServerSession) -> Answers:
        spoken.wait(10)
        return Answers(sessions, client, session)

    with place(tmp_path, answers=patient) as found, found.dial() as dialog:
        dialog.send(b"EHLO impatient.example\r\n")
        spoken.set()
        assert dialog.reply().startswith("554 5.5.0")
        assert dialog.ended()
        assert found.ended() == ["talked before the banner"]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param([], "421 4.4.2", id="a client that says nothing"),
        pytest.param(
            [b"EHLO client.example\r\n", b"MAIL FROM:<a@client.example>\r\n"], "421 4.4.2", id="within a transaction"
        ),
        pytest.param([b"EHLO cl"], "421 4.4.2", id="within a command"),
    ],
)
def test_silence_ends_a_session(tmp_path: Path, sent: list[bytes], expected: str) -> None:
    with place(tmp_path, access="idle_timeout = 1s") as found, found.dial() as dialog:
        dialog.reply()
        for part in sent:
            dialog.send(part)
            if part.endswith(b"\r\n"):
                assert dialog.reply().startswith("250")
        assert dialog.reply().startswith(expected)
        assert dialog.ended()
        assert found.ended() == ["timeout"]


def test_an_octet_now_and_then_does_not_hold_a_connection(tmp_path: Path) -> None:
    with place(tmp_path, access="idle_timeout = 1s") as found, found.dial() as dialog:
        dialog.reply()
        until(lambda: _drip(dialog, b"N") or found.sessions[0].reason, 10)
        assert found.ended() == ["timeout"]


def _drip(dialog: Dialog, octet: bytes) -> bool:
    """Send one octet; true when the connection is gone."""
    try:
        dialog.send(octet)
    except OSError:
        return True
    return False


class Refusing(Answers):
    def answer(self, event: Event) -> Reply | None:
        return replies.ACCESS_DENIED if isinstance(event, Connected) else super().answer(event)


def test_a_refused_client_that_does_not_leave_is_cut_however_busy_it_is(tmp_path: Path) -> None:
    """Its time does not begin anew with each command (RFC 5321 3.1)."""
    with place(tmp_path, answers=Refusing, access="idle_timeout = 1s") as found, found.dial() as dialog:
        assert dialog.reply().startswith("554 5.7.1")
        until(lambda: not dialog.ask("NOOP").startswith("503") or found.sessions[0].reason, 10)
        assert found.ended() == ["timeout"]


def test_a_message_that_takes_too_long_is_cut_however_busy_the_client_is(tmp_path: Path) -> None:
    with place(tmp_path, access="message_timeout = 1s\nidle_timeout = 30s") as found, found.dial() as dialog:
        dialog.reply()
        dialog.ask("EHLO client.example")
        dialog.ask("MAIL FROM:<a@client.example>")
        dialog.ask("RCPT TO:<b@test.example>")
        assert dialog.ask("DATA").startswith("354")
        until(lambda: _drip(dialog, b"x\r\n") or found.sessions[0].reason, 10)
        assert found.ended() == ["timeout"]
        assert dialog.reply().startswith("421 4.4.2 The message took too long")


@pytest.mark.parametrize("content", [False, True], ids=["within a command", "within the content"])
def test_a_client_that_never_pauses_is_cut_at_the_deadline(tmp_path: Path, *, content: bool) -> None:
    """Its next octets are always there before they are waited for."""
    with place(tmp_path, access="message_timeout = 1s\nidle_timeout = 1s") as found, found.dial() as dialog:
        dialog.reply()
        if content:
            dialog.ask("EHLO client.example")
            dialog.ask("MAIL FROM:<a@client.example>")
            dialog.ask("RCPT TO:<b@test.example>")
            assert dialog.ask("DATA").startswith("354")
        end = time.monotonic() + 10
        with suppress(OSError):
            while found.sessions[0].reason is None and time.monotonic() < end:
                dialog.send(b"x" * 100_000)
        assert found.sessions[0].reason is not None
        assert found.ended() == ["timeout"]


def test_a_slow_message_within_its_time_is_not_cut(tmp_path: Path) -> None:
    """All of it takes longer than a silence may."""
    with place(tmp_path, access="message_timeout = 30s\nidle_timeout = 1s") as found, found.dial() as dialog:
        dialog.reply()
        dialog.ask("EHLO client.example")
        dialog.ask("MAIL FROM:<a@client.example>")
        dialog.ask("RCPT TO:<b@test.example>")
        dialog.ask("DATA")
        pieces = iter([b"x"] * 30)

        def drip() -> bool:
            piece = next(pieces, None)
            if piece is not None:
                dialog.send(piece)
            return piece is None

        until(drip, 10)
        dialog.send(b"\r\n.\r\n")
        assert dialog.reply().startswith("250 2.0.0")


def test_a_client_that_vanishes_is_told_to_the_reception(tmp_path: Path) -> None:
    with place(tmp_path) as found:
        with found.dial() as dialog:
            dialog.reply()
        assert found.ended() == ["lost connection"]
        until(lambda: found.runtime.counters.open_connections() == 0)


def test_a_client_that_does_not_read_is_given_up(tmp_path: Path) -> None:
    """Its replies fill the buffers of both sides, and then the send has to end."""
    access = "idle_timeout = 1s\nmax_commands = 100000\nmax_errors = 10000\npipelining = lenient"
    with place(tmp_path, access=access) as found:
        dialog = found.dial()
        dialog.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        dialog.reply()
        dialog.ask("EHLO client.example")
        dialog.socket.setblocking(False)
        batch = b"EHLO client.example\r\n" * 500

        def push() -> bool:
            try:
                dialog.socket.send(batch)
            except BlockingIOError:
                pass
            except OSError:
                return True
            return found.sessions[0].reason is not None

        until(push, 30)
        assert found.ended() == ["timeout"]
        dialog.close()


def test_a_bug_costs_one_session_and_one_line(tmp_path: Path) -> None:
    class Broken(Answers):
        def answer(self, event: Event) -> Reply | None:
            if isinstance(event, MailFrom):
                raise ZeroDivisionError("two\nlines")
            return super().answer(event)

    with place(tmp_path, answers=Broken) as found:
        with found.dial() as dialog:
            dialog.reply()
            dialog.ask("EHLO client.example")
            assert dialog.ask("MAIL FROM:<a@client.example>").startswith("421 4.3.0")
            assert dialog.ended()
        assert found.ended() == ["internal error"]
        until(lambda: "internal error" in found.log())
        line = next(line for line in found.log().splitlines() if "internal error" in line)
        assert "ZeroDivisionError: two\\x0alines at " in line
        assert "test_connection.py" in line
        with found.dial() as dialog:
            assert dialog.reply().startswith("220")


def test_a_connection_is_logged_with_the_name_of_its_client(tmp_path: Path) -> None:
    with place(tmp_path) as found, found.dial() as dialog:
        dialog.reply()
        assert "smtpd-classic/smtpd[" in found.log()
        assert "connect from localhost[127.0.0.1]" in found.log()
