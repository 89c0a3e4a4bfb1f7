"""The dialect LMTP over a Unix socket: one reply for each recipient behind the final dot (RFC 2033)."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smtpd_classic.client.batches import transact
from smtpd_classic.client.dialect import Dialect
from smtpd_classic.client.network import Encryption, Target
from smtpd_classic.client.not_ready import NotReady
from smtpd_classic.client.session import Session, open_session
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.transport import Outcome, Peer
from tests.client.world import PATIENT, config_of, job_for, network_of

ANN, BOB, EVE = "ann@us.test", "bob@us.test", "eve@us.test"


class LmtpServer:
    """A server of final delivery; `verdicts` are its replies to the content, by recipient."""

    def __init__(self, path: Path, verdicts: dict[str, bytes], *, pipelining: bool) -> None:
        self.verdicts = verdicts
        self.got: list[tuple[tuple[str, ...], bytes]] = []
        self.commands: list[bytes] = []
        self.writes: list[int] = []  # of the client
        self._pipelining = pipelining
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._thread.join(10)
        self._listening.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection, connection.makefile("rb") as file:
            connection.sendall(b"220 lmtp.test LMTP\r\n")
            recipients: list[str] = []
            for line in file:
                self.commands.append(line.rstrip())
                verb, address = line[:4].upper(), line.partition(b"<")[2].partition(b">")[0].decode()
                match verb:
                    case b"LHLO":
                        connection.sendall(
                            b"250-lmtp.test\r\n" + b"250-PIPELINING\r\n" * self._pipelining + b"250 8BITMIME\r\n"
                        )
                    case b"MAIL":
                        recipients = []
                        connection.sendall(b"250 ok\r\n")
                    case b"RCPT" if address.startswith("nobody"):
                        connection.sendall(b"550 5.1.1 no such user\r\n")
                    case b"RCPT":
                        recipients.append(address)
                        connection.sendall(b"250 ok\r\n")
                    case b"DATA" if not recipients:
                        connection.sendall(b"503 5.5.1 no valid recipients\r\n")
                    case b"DATA":
                        connection.sendall(b"354 go\r\n")
                        content = b"".join(iter(file.readline, b".\r\n"))
                        self.got.append((tuple(recipients), content))
                        for recipient in recipients:
                            reply = self.verdicts.get(recipient, b"250 2.0.0 delivered")
                            if not reply:
                                return
                            connection.sendall(reply + b"\r\n")
                    case b"QUIT":
                        return
                    case _:
                        connection.sendall(b"250 ok\r\n")


class CountingSocket(socket.socket):
    """A socket that notes the length of each write."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(fileno=connection.detach())
        self.settimeout(5.0)
        self.writes: list[int] = []

    def send(self, data: memoryview, flags: int = 0, /) -> int:  # type: ignore[override]
        self.writes.append(len(data))
        return super().send(data, flags)


@contextmanager
def lmtp(folder: Path, verdicts: dict[str, bytes], *, pipelining: bool = True) -> Iterator[tuple[LmtpServer, Session]]:
    path = folder / "lmtp.sock"
    server = LmtpServer(path, verdicts, pipelining=pipelining)
    target = Target(Peer("lmtp.test"), Encryption.NEVER, dialect=Dialect.LMTP, socket_path=str(path))
    session = open_session(target, network_of(config_of()), Transcript(), lambda sentence: None)
    connection = CountingSocket(session.wire._socket)
    session.wire._socket = connection
    server.writes = connection.writes
    try:
        yield server, session
    finally:
        session.quit()
        server.close()


def outcomes(session: Session, *recipients: str) -> dict[str, Outcome]:
    found: list[Outcome] = []
    transact(session, job_for(*recipients), found.extend, PATIENT)
    assert len(found) == len({outcome.recipient for outcome in found}) == len(recipients)
    return {outcome.recipient: outcome for outcome in found}


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one by one"])
def test_each_recipient_has_its_own_reply_behind_the_final_dot(tmp_path: Path, *, pipelining: bool) -> None:
    verdicts = {BOB: b"452 4.2.2 mailbox full", EVE: b"554-5.7.1 no\r\n554 5.7.1 spam"}
    with lmtp(tmp_path, verdicts, pipelining=pipelining) as (server, session):
        found = outcomes(session, ANN, "nobody@us.test", BOB, EVE)
        again = outcomes(session, ANN)
    assert [(name, each.action.value, each.reply.enhanced) for name, each in found.items()] == [
        ("nobody@us.test", "failed", "5.1.1"),
        (ANN, "delivered", "2.0.0"),
        (BOB, "delayed", "4.2.2"),
        (EVE, "failed", "5.7.1"),
    ]
    assert again[ANN].action.value == "delivered"
    assert [recipients for recipients, _ in server.got] == [(ANN, BOB, EVE), (ANN,)]
    assert server.commands[0] == b"LHLO us.test"


def test_a_server_that_dies_between_two_replies_leaves_only_the_rest_uncertain(tmp_path: Path) -> None:
    with lmtp(tmp_path, {BOB: b""}) as (_, session):
        found = outcomes(session, ANN, BOB, EVE)
        assert not session.usable
    assert found[ANN].action.value == "delivered"
    for name in (BOB, EVE):
        assert (found[name].action.value, found[name].soft) == ("delayed", False)
        assert "may be delivered twice" in found[name].reply.text


def test_with_every_recipient_refused_no_reply_is_left_over(tmp_path: Path) -> None:
    with lmtp(tmp_path, {}) as (server, session):
        assert outcomes(session, "nobody@us.test")["nobody@us.test"].action.value == "failed"
        assert outcomes(session, ANN)[ANN].action.value == "delivered"
    assert [recipients for recipients, _ in server.got] == [(ANN,)]


def test_421_to_a_recipient_ends_the_session_behind_its_replies(tmp_path: Path) -> None:
    with lmtp(tmp_path, {ANN: b"421 4.3.2 going down", BOB: b"250 2.0.0 delivered"}) as (_, session):
        found = outcomes(session, ANN, BOB)
        assert not session.usable
    assert (found[ANN].action.value, found[BOB].action.value) == ("delayed", "delivered")


def test_a_message_leaves_in_few_large_writes(tmp_path: Path) -> None:
    with lmtp(tmp_path, {}) as (server, session):
        del server.writes[:]
        outcomes(session, ANN, BOB)
        assert len(server.writes) == 2  # the commands, and the content with its final dot
        del server.writes[:]
        large = b"Subject: x\n\n" + b"a line of text\n" * 70_000
        found: list[Outcome] = []
        transact(session, job_for(ANN, content=large), found.extend, PATIENT)
        assert len(server.writes) <= 2 + len(large) / (32 * 1024)
        assert sum(server.writes) > len(large)
    assert len(server.got[1][1]) == len(large) + large.count(b"\n")


@pytest.mark.parametrize("reply", [b"500 5.5.1 no LHLO here", b""], ids=["refused", "closed"])
def test_a_greeting_that_lmtp_refuses_is_not_tried_as_helo(tmp_path: Path, reply: bytes) -> None:
    path, commands = tmp_path / "lmtp.sock", list[bytes]()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as file:
                connection.sendall(b"220 hello\r\n")
                commands.append(file.readline())
                connection.sendall(reply + b"\r\n" if reply else b"")

        thread = threading.Thread(target=serve)
        thread.start()
        target = Target(Peer("lmtp.test"), Encryption.NEVER, dialect=Dialect.LMTP, socket_path=str(path))
        with pytest.raises(NotReady):
            open_session(target, network_of(config_of()), Transcript(), lambda sentence: None)
        thread.join(10)
    assert commands == [b"LHLO us.test\r\n"]


def test_a_socket_that_is_not_there_defers(tmp_path: Path) -> None:
    target = Target(Peer("lmtp.test"), Encryption.NEVER, dialect=Dialect.LMTP, socket_path=str(tmp_path / "none"))
    with pytest.raises(NotReady, match=r"connect to lmtp\.test: no such file or directory"):
        open_session(target, network_of(config_of()), Transcript(), lambda sentence: None)
