"""Other people's mail servers, made of our own session over real sockets, each with the faults that a test gives it."""

import itertools
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache

from smtpd_classic.smtp import events, replies, sasl
from smtpd_classic.smtp.events import Event, Pause
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import Extensions, ServerSession, SessionLimits
from tests.server.certificates import kept_pair

__all__ = [
    "DROP",
    "SILENCE",
    "Answer",
    "FakeHost",
    "Got",
    "RawHost",
    "Script",
    "Talk",
    "certificate",
    "hosts",
    "own_ip",
    "trusting",
]

DROP, SILENCE = "drop the connection", "say nothing for ever"
_numbers = itertools.count(1)


def own_ip() -> str:
    """A loopback address that no other test process uses."""
    number, process = next(_numbers), os.getpid() % 60000
    return f"127.{1 + process // 250}.{process % 250}.{1 + number % 250}"


def certificate(*names: str) -> tuple[str, str]:
    """A certificate for these names, and its key."""
    return kept_pair(*names)


@cache
def trusting(*certificates: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for each in certificates:
        context.load_verify_locations(each)
    return context


@dataclass(frozen=True)
class Got:
    """A message that a host has taken."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    encrypted: bool
    login: str
    mail: events.MailFrom
    rcpts: tuple[events.RcptTo, ...]
    connection: int


Answer = Reply | str
Mechanism = sasl.PlainMechanism | sasl.LoginMechanism | sasl.ScramSha256
Script = Callable[[Event, "Talk"], Answer | None]


@dataclass
class Talk:
    """What one connection has come to; a script may look at it."""

    number: int
    mail: events.MailFrom | None = None
    rcpts: list[events.RcptTo] = field(default_factory=list)
    content: bytearray = field(default_factory=bytearray)
    login: str = ""
    mechanism: "Mechanism | None" = None


class FakeHost:
    """`script` may answer any event, DROP it or be SILENT; `hidden` keywords are not announced, `lies` are on top.
    One that `stays_open` goes on after its 421."""

    def __init__(
        self,
        name: str = "mx.example.org",
        ip: str = "",
        port: int = 0,
        *,
        script: Script = lambda event, talk: None,
        tls: tuple[str, str] | None = None,
        implicit_tls: bool = False,
        broken_tls: bool = False,
        auth: tuple[str, ...] = (),
        password: str = "",
        token: str = "",
        scram: "sasl.ScramKeys | None" = None,
        auth_without_tls: bool = False,
        hidden: tuple[str, ...] = (),
        lies: tuple[str, ...] = (),
        size: int = 0,
        most_recipients: int = 0,
        wait: Callable[[], None] = lambda: None,
        stays_open: bool = False,
    ) -> None:
        self.name = name
        self.got: list[Got] = []
        self.connections = 0
        self.commands: list[str] = []
        self._script = script
        self._extensions = Extensions(
            name,
            size,
            most_recipients,
            tls is not None or broken_tls,
            auth,
            auth_without_tls,
            vrfy=False,
            dsn_for_everyone=True,
        )
        self._tls = tls
        self._implicit_tls = implicit_tls
        self._password, self._token, self._scram = password, token, scram
        self._broken_tls = broken_tls
        self._hidden, self._lies = hidden, lies
        self._wait = wait
        self._stays_open = stays_open
        self._listening = socket.create_server((ip or own_ip(), port), backlog=100)
        self.ip, self.port = self._listening.getsockname()[:2]
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        for each in (self._listening, *list(self._sockets)):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in list(self._threads):
            thread.join(10)
            assert not thread.is_alive()

    @property
    def envelopes(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(each.sender, each.recipients) for each in self.got]

    def _start(self, task: Callable[[], None]) -> None:
        thread = threading.Thread(target=task, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._sockets.add(connection)
            self.connections += 1
            number = self.connections
            self._start(lambda connection=connection, number=number: self._serve(connection, number))  # type: ignore[misc]

    def _serve(self, connection: socket.socket, number: int) -> None:
        with ExitStack() as ends, suppress(OSError):
            ends.callback(connection.close)
            self._converse(connection, number, ends)

    def _converse(self, connection: socket.socket, number: int, ends: ExitStack) -> None:
        limits = SessionLimits(0, 0, 0)
        session, talk = ServerSession(self._extensions, limits), Talk(number)
        if self._implicit_tls:
            connection = self._wrapped(connection, ends)
            session = ServerSession(self._extensions, limits, tls=_info(connection))
        while True:
            event = session.next_event()
            match event:
                case Pause():
                    self._wait()
                    connection.sendall(self._said(session))
                    if event is Pause.CLOSED:
                        connection.shutdown(socket.SHUT_RDWR)
                        return
                    data = connection.recv(65536)
                    if not data:
                        return
                    session.receive_data(data)
                    self.commands += data.decode("latin-1").split("\r\n")[:-1]
                case events.Content(data):
                    talk.content += data
                    if self._script(event, talk) == DROP:
                        connection.shutdown(socket.SHUT_RDWR)
                        return
                case events.AuthAbandoned():
                    pass
                case _:
                    answer = self._script(event, talk) or self._answer(event, talk, session)
                    if isinstance(answer, str):
                        connection.sendall(self._said(session))
                        if answer == SILENCE:
                            while connection.recv(65536):
                                pass
                        connection.shutdown(socket.SHUT_RDWR)
                        return
                    if self._stays_open and answer.code == 421:  # our session would close
                        connection.sendall(self._said(session))
                        connection.sendall(answer.wire)
                        answer = Reply(450, "4.3.2", "")
                        session.answer(answer)
                        session.data_to_send()
                        continue
                    session.answer(answer)
                    if isinstance(event, events.StartTls) and answer.positive:
                        connection.sendall(self._said(session))
                        connection = self._wrapped(connection, ends)
                        session.tls_started(_info(connection))

    def _said(self, session: ServerSession) -> bytes:
        out = session.data_to_send()
        for keyword in self._hidden:
            out = b"".join(line for line in out.splitlines(True) if not line[4:].startswith(keyword.encode()))
        for keyword in self._lies:
            out = out.replace(b"250-ENHANCED", f"250-{keyword}\r\n250-ENHANCED".encode())
        return out

    def _wrapped(self, connection: socket.socket, ends: ExitStack) -> ssl.SSLSocket:
        if self._broken_tls or self._tls is None:
            connection.sendall(b"this is no TLS\r\n")
            raise OSError("no TLS")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._tls)
        wrapped = context.wrap_socket(connection, server_side=True)
        ends.callback(wrapped.close)
        self._sockets.add(wrapped)
        return wrapped

    def _answer(self, event: Event, talk: Talk, session: ServerSession) -> Answer:
        match event:
            case events.Connected():
                return replies.banner(self.name)
            case events.Hello():
                return replies.hello(self.name)
            case events.StartTls():
                return replies.READY_FOR_TLS
            case events.Auth() | events.AuthResponse():
                return self._authenticate(event, talk)
            case events.MailFrom():
                talk.mail, talk.rcpts, talk.content = event, [], bytearray()
                return replies.SENDER_OK
            case events.RcptTo():
                talk.rcpts.append(event)
                return replies.RECIPIENT_OK
            case events.StartContent():
                return replies.START_CONTENT
            case events.EndContent():
                assert talk.mail is not None
                rcpts = tuple(talk.rcpts)
                paths = tuple(rcpt.forward_path for rcpt in rcpts)
                encrypted = session.tls is not None
                content = bytes(talk.content)
                got = Got(talk.mail.reverse_path, paths, content, encrypted, talk.login, talk.mail, rcpts, talk.number)
                self.got.append(got)
                return replies.accepted(f"fake{len(self.got)}")
            case events.Quit():
                return replies.GOODBYE
            case _:
                return replies.RESET_OK

    def _authenticate(self, event: events.Auth | events.AuthResponse, talk: Talk) -> Reply:
        if isinstance(event, events.Auth):
            if event.mechanism == "XOAUTH2":
                right = f"auth=Bearer {self._token}\x01".encode() in (event.initial_response or b"")
                talk.login = "by token" if right else ""
                return replies.AUTHENTICATED if right else replies.LOGIN_FAILED
            kinds: dict[str, Callable[[], Mechanism]] = {
                "PLAIN": sasl.PlainMechanism,
                "LOGIN": sasl.LoginMechanism,
                "SCRAM-SHA-256": lambda: sasl.ScramSha256(lambda login: self._scram),
            }
            talk.mechanism = kinds[event.mechanism]()
        assert talk.mechanism is not None
        match talk.mechanism.step(event.initial_response if isinstance(event, events.Auth) else event.response):
            case sasl.Challenge(text):
                return replies.challenge(text.decode())
            case sasl.Credentials(login, password) if password == self._password:
                talk.login = login
                return replies.AUTHENTICATED
            case sasl.Success(login):
                talk.login = login
                return replies.AUTHENTICATED
            case _:
                return replies.LOGIN_FAILED


def _info(connection: socket.socket) -> events.TlsInfo:
    assert isinstance(connection, ssl.SSLSocket)
    cipher, _, bits = connection.cipher() or ("", "", 0)
    return events.TlsInfo(connection.version() or "", cipher, bits)


class RawHost:
    """A host that speaks no SMTP that we know: `serve` is given each connection."""

    def __init__(self, serve: Callable[[socket.socket], None], ip: str = "", port: int = 0) -> None:
        self.connections = 0
        self._serve = serve
        self._listening = socket.create_server((ip or own_ip(), port))
        self.ip, self.port = self._listening.getsockname()[:2]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        for each in (self._listening, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        assert not self._thread.is_alive()
        for each in (self._listening, *self._open):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            self.connections += 1
            with suppress(OSError):
                self._serve(connection)
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def hosts(*made: FakeHost | RawHost) -> Iterator[None]:
    try:
        yield
    finally:
        for each in made:
            each.close()
