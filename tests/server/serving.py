"""A receiving process in this one: real sockets, real threads, and an answerer that is eight lines long."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from smtpd_classic.config import Config, Listener, parse
from smtpd_classic.daemon.lifecycle import Draining
from smtpd_classic.log import Log
from smtpd_classic.reception import Client
from smtpd_classic.runtime import Runtime
from smtpd_classic.server.acceptor import Acceptor
from smtpd_classic.server.context import ListenerContext, SessionHandler
from smtpd_classic.server.listener_server import Receiver
from smtpd_classic.server.tls import Certificate
from smtpd_classic.smtp import replies
from smtpd_classic.smtp.events import (
    Connected,
    Content,
    EndContent,
    Event,
    Hello,
    MailFrom,
    Quit,
    StartContent,
    StartTls,
)
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import ServerSession
from tests.waiting import until

__all__ = ["Answers", "Dialog", "Place", "place", "text_of"]

_REPLIES: dict[type, Reply] = {
    Connected: replies.banner("test.example"),
    Hello: replies.hello("test.example"),
    StartTls: replies.READY_FOR_TLS,
    MailFrom: replies.SENDER_OK,
    StartContent: replies.START_CONTENT,
    EndContent: replies.accepted("ID"),
    Quit: replies.GOODBYE,
}


class Answers:
    """Says yes to everything, and remembers in which thread and how each session ended."""

    def __init__(self, sessions: list["Answers"], client: Client, session: ServerSession) -> None:
        self.client, self.session = client, session
        self.thread = threading.get_ident()
        self.reason: str | None = None
        self.received = 0
        sessions.append(self)

    def answer(self, event: Event) -> Reply | None:
        if isinstance(event, Content):
            self.received += len(event.data)
            return None
        return _REPLIES.get(type(event), replies.RECIPIENT_OK)

    def closed(self, reason: str) -> None:
        self.reason = reason


class Place:
    """`ports` are by the listener's name; `sessions` those that have begun."""

    def __init__(self, receiver: Receiver, acceptor: Acceptor, ports: dict[str, int], log: Path) -> None:
        self.receiver, self.acceptor, self.ports = receiver, acceptor, ports
        self.log_file = log
        self.sessions: list[Answers] = []
        self.runtime = receiver.terms.runtime

    def dial(self, listener: str = "smtp", timeout_s: float = 10.0) -> "Dialog":
        return Dialog(self.ports[listener], timeout_s)

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8") if self.log_file.exists() else ""

    def ended(self, number: int = 1) -> list[str]:
        """How the sessions ended, as soon as so many have."""
        until(lambda: sum(each.reason is not None for each in self.sessions) >= number)
        return [each.reason for each in self.sessions if each.reason is not None]


class Dialog:
    """A client that reads whole replies."""

    def __init__(self, port: int, timeout_s: float = 10.0, host: str = "127.0.0.1") -> None:
        self.socket: socket.socket = socket.create_connection((host, port), timeout_s)
        self._rest = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> str:
        """The next reply, its lines parted by LF; blank at the end of the connection."""
        lines: list[str] = []
        while True:
            while b"\r\n" not in self._rest:
                try:
                    more = self.socket.recv(65536)
                except ConnectionResetError:
                    more = b""
                if not more:
                    return "\n".join(lines)
                self._rest += more
            line, _, self._rest = self._rest.partition(b"\r\n")
            lines.append(line.decode())
            if line[3:4] != b"-":
                return "\n".join(lines)

    def ask(self, command: str) -> str:
        self.send(command.encode() + b"\r\n")
        return self.reply()

    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.reply() == ""

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Dialog":
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()


def text_of(folder: Path, listeners: str = "", **sections: str) -> str:
    """A configuration; `sections` hold lines, such as access="idle_timeout = 1s"."""
    listeners = listeners or "[listener smtp]\naddress = 127.0.0.1\nport = 1\n"
    others = "".join(f"[{name.replace('_', '-')}]\n{lines}\n" for name, lines in sections.items())
    return (
        f"[server]\nprimary_domain = test.example\nrun_folder = {folder}/run\nlog = {folder}/log\n"
        f"certificate = {folder}/tls/certificate.pem\nprivate_key = {folder}/tls/key.pem\n{listeners}\n{others}"
        "[filter]\nsender_domain = no\n"
    )


def _listening(listener: Listener) -> socket.socket:
    found = socket.create_server(("127.0.0.1", 0), backlog=1023)
    found.setblocking(False)
    return found


@contextmanager
def place(
    folder: Path,
    listeners: str = "",
    *,
    answers: Callable[[list[Answers], Client, ServerSession], SessionHandler] = Answers,
    certificate: Certificate | None = None,
    columns: int = 3,
    **sections: str,
) -> Iterator[Place]:
    """A receiver that runs until the block ends; the ports in `listeners` are replaced by free ones."""
    config: Config = parse(text_of(folder, listeners, **sections), folder / "smtpd-classic.conf")
    log = Log(config.server.log)
    runtime = Runtime(config.server.run_folder, config.access)
    runtime.make(columns)
    runtime.counters.attach(1)
    listening = [(listener, _listening(listener)) for listener in config.listeners]
    found: list[Place] = []
    terms = ListenerContext(
        config=config,
        runtime=runtime,
        log=log,
        reception=lambda session, client: answers(found[0].sessions, client, session),
        host_name=lambda ip: "localhost",
        mechanisms=lambda: ("PLAIN",),
        certificate=certificate,
    )
    receiver = Receiver(terms, listening)
    told, teller = socket.socketpair()
    acceptor = Acceptor((told.fileno(),), log)
    acceptor.serve(receiver.servers)
    ports = {listener.name: each.getsockname()[1] for listener, each in listening}
    found.append(Place(receiver, acceptor, ports, folder / "log"))
    thread = threading.Thread(target=lambda: acceptor.run(3600))
    thread.start()
    try:
        yield found[0]
    finally:
        teller.send(b"x")
        thread.join()
        acceptor.serve(())
        receiver.close()
        draining = Draining(receiver, stop=True)
        until(draining.done)
        acceptor.close()
        told.close()
        teller.close()
        log.close()
        runtime.counters.close()
