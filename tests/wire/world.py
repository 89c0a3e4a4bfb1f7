"""A server, a person at its screen, a name server, and other people's mail servers around it."""

import itertools
import json
import smtplib
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smtpd_classic import atomic_file
from smtpd_classic.config.editing import Edited
from smtpd_classic.config.option import Option
from smtpd_classic.config.schema import SECTIONS
from smtpd_classic.runtime import Runtime
from smtpd_classic.runtime.control import reload
from tests.client.fake_host import FakeHost, own_ip
from tests.instance import Instance, running
from tests.mailauth.messages import ed25519_key, key_record
from tests.test_dns import name_server
from tests.waiting import until
from tests.wire.panel import Panel

__all__ = ["ANN", "AWAY", "BOTH_IPV4", "DEAD_MX", "JOE", "Client", "Sections", "World", "to", "world"]

JOE, ANN = "joe@example.test", "ann@example.test"
AWAY = "bob@away.test"
DEAD_MX, BOTH_IPV4 = own_ip(), own_ip()
ZONE = [
    "mx-host=mx.test,mail.mx.test,10",
    f"host-record=mail.mx.test,{DEAD_MX}",
    "host-record=there.test,127.0.0.1",
    f"host-record=both.test,{BOTH_IPV4},::1",
    "dns-rr=null.test,15,000000",
    'txt-record=closed.test,"v=spf1 -all"',
    'txt-record=_dmarc.quarantine.test,"v=DMARC1; p=quarantine"',
    'txt-record=_dmarc.reject.test,"v=DMARC1; p=reject"',
    "host-record=pass.test,127.0.0.1",
    'txt-record=pass.test,"v=spf1 ip4:127.0.0.0/8 -all"',
    'txt-record=_dmarc.pass.test,"v=DMARC1; p=none"',
    'txt-record=own.test,"v=spf1 -all"',
    "host-record=signed.test,127.0.0.1",
    f'txt-record=sel._domainkey.signed.test,"{key_record(ed25519_key()).decode()}"',
    'txt-record=_dmarc.signed.test,"v=DMARC1; p=none"',
    # Lists: one that works, one that refuses to answer, one that has every address, one of good clients.
    "host-record=2.0.0.127.list.test,127.0.0.2",
    "host-record=1.10.77.127.list.test,127.0.0.4",
    'txt-record=1.10.77.127.list.test,"See http://list.test/1"',
    "host-record=2.10.77.127.list.test,127.0.0.10",
    "host-record=2.0.0.127.closed.list.test,127.255.255.254",
    "host-record=1.10.77.127.closed.list.test,127.255.255.254",
    "address=/all.list.test/127.0.0.2",
    "host-record=2.0.0.127.good.test,127.0.0.2",
    "host-record=1.10.77.127.good.test,127.0.5.1",
    "host-record=1.2.0.192.good.test,127.0.5.1",
    "ptr-record=2.2.0.192.in-addr.arpa,missing.test",
    "host-record=named.test,192.0.2.3",
]
Sections = Mapping[str, Mapping[str, str]]
PATIENCE_S = 60.0  # on a machine that does much else
_numbers = itertools.count(1)


class Client(smtplib.SMTP):
    """Every client has an address of its own, so that no test meets a limit because of another."""

    def say(self, line: str) -> str:
        """The reply to a command: `250 2.1.5 …`."""
        code, text = self.docmd(line)
        return f"{code} {text.decode()}"

    def keywords(self) -> dict[str, str]:
        self.ehlo()
        return dict(self.esmtp_features)

    def content(self, content: str) -> str:
        """The reply to the end of the data, or to DATA when that is refused."""
        begun = self.say("DATA")
        if not begun.startswith("354"):
            return begun
        self.send(content.replace("\n", "\r\n").encode() + b"\r\n.\r\n")
        code, text = self.getreply()
        return f"{code} {text.decode()}"

    def envelope(self, sender: str, *recipients: str, parameters: str = "") -> str:
        """The first reply of MAIL and RCPT that is no 2xx, else the last."""
        answer = ""
        for line in (f"MAIL FROM:<{sender}>{parameters}", *(f"RCPT TO:<{each}>" for each in recipients)):
            answer = self.say(line)
            if not answer.startswith("2"):
                break
        return answer


class World:
    def __init__(self, instance: Instance, name_server_port: int) -> None:
        self.instance = instance
        self._set_up(name_server_port)
        self._base = instance.file.read_text()
        self._panel: Panel | None = None
        self.by_screen = False  # whether `set` types into the screen
        self.runtime = Runtime(str(instance.folder / "run"))

    def _set_up(self, name_server_port: int) -> None:
        instance = self.instance
        made = instance.run("user", "add", ANN, "--password-stdin", input="secret word")
        assert made.returncode == 0, made.stderr
        instance.set("server", "name_servers", f"127.0.0.1:{name_server_port}")

    # --- the screen and the file

    @property
    def panel(self) -> Panel:
        if self._panel is None:
            self._panel = Panel(self.instance.file)
        return self._panel

    def close_panel(self) -> None:
        if self._panel is not None:
            self._panel.close()
        self._panel = None

    def given(self, sections: Sections) -> None:
        """Begin with the file as `init` made it and these options; the server and the screen know it then."""
        self._put(self._composed(sections, self._base))

    def set(self, page: str, option: Option, value: str) -> None:
        """Set an option of a page that is one section: on the screen, or in the file with a reload."""
        if self.by_screen:
            self.panel.set(page, option, value)
        else:
            word = next(each.word for each in SECTIONS if not each.is_table and option in each.options())
            self._put(self._composed({word: {option.name: value}}, self.instance.file.read_text()))

    def _put(self, text: str) -> None:
        """Put a text in force, unless it is."""
        if text == self.instance.file.read_text():
            return
        if self._panel is None:
            self._write(text)
        else:
            self._panel.notice(lambda: self._write(text))
        self.reload()

    def _composed(self, sections: Sections, base: str) -> str:
        edited = Edited(self.instance.file)
        edited._now = base
        for title, values in sections.items():
            if not edited.has(title):
                edited.add(title)
            for name, value in values.items():
                edited.set(title, name, value)
        errors = [str(each) for each in edited.problems() if each.is_error]
        assert not errors, errors
        return edited.file_text

    def _write(self, text: str) -> None:
        atomic_file.replace(str(self.instance.file), text.encode())

    def reload(self) -> None:
        status = reload(self.runtime.status)
        assert not status.error, status.error

    def restart(self) -> None:
        self.instance.stop()
        self.instance.start()

    # --- the wire

    @contextmanager
    def client(
        self, login: str = "", *, listener: str = "", tls: bool | None = None, to: str = "127.0.0.1", ip: str = ""
    ) -> Iterator[Client]:
        """A connection that has said EHLO; on the submission port under TLS and logged in when `login` is given."""
        port = self.instance.ports[listener or ("submission" if login else "smtp")]
        source = (ip or (own_ip() if to == "127.0.0.1" else to), 0)
        client = Client(to, port, local_hostname="client.test", timeout=20, source_address=source)
        try:
            client.ehlo()
            if tls if tls is not None else bool(login):
                client.starttls(context=self.instance.tls())
                client.ehlo()
            if login:
                client.login(login, "secret word")
            yield client
        finally:
            client.close()

    def banner(self) -> str:
        with socket.create_connection(("127.0.0.1", self.instance.ports["smtp"]), 10) as connection:
            return connection.recv(500).decode()

    def tag(self) -> str:
        """A word that no other message has."""
        return f"tag{next(_numbers)}x{time.monotonic_ns()}"

    def text(self, tag: str, sender: str = JOE, *headers: str, body: str = "A line.") -> str:
        more = "".join(f"{each}\n" for each in headers)
        who = "" if any(each.startswith("From:") for each in headers) else f"From: {sender}\n"
        return f"{more}{who}To: somebody@client.test\nSubject: {tag}\n\n{body}"

    def send(self, *recipients: str, sender: str = JOE, login: str = JOE, text: str = "", tag: str = "") -> str:
        """Submit a message; its queue id."""
        with self.client(login) as client:
            answer = client.envelope(sender, *recipients)
            assert answer.startswith("250"), answer
            answer = client.content(text or self.text(tag or self.tag(), sender))
        assert answer.startswith("250"), answer
        return answer.split()[-1].strip(".")

    # --- what became of it

    def mail(self, user: str, *words: str) -> list[str]:
        """The messages of a mailbox that hold all these words."""
        found = [path.read_text(errors="replace") for path in self.instance.mail(user)]
        return [text for text in found if all(word in text for word in words)]

    def arrives(self, user: str, *words: str) -> str:
        return until(lambda: self.mail(user, *words), PATIENCE_S, lambda: f"no {words} for {user}:\n{self.log()}")[0]

    def log(self, words: str = "") -> str:
        return "\n".join(line for line in self.instance.log().split("\n") if words in line)

    def logged(self, *words: str) -> str:
        """The first line of the log with all these words, once it is there."""

        def found() -> list[str]:
            return [line for line in self.log().split("\n") if all(word in line for word in words)]

        return until(found, PATIENCE_S, lambda: f"{words} was never logged:\n{self.log()}")[0]

    def queued(self, queue_id: str) -> dict[str, Any] | None:
        """What `queue list --json` says of a message."""
        listed = self.command("queue", "list", "--json", queue_id).stdout.splitlines()
        return json.loads(listed[0]) if listed else None

    def deferred(self, queue_id: str, attempts: int = 1) -> dict[str, Any]:
        """The row of a message once so many attempts have ended."""

        def row() -> dict[str, Any] | None:
            if self.log(f"{queue_id}: to=").count("status=deferred") < attempts:
                return None
            found = self.queued(queue_id)
            return found if found is not None and found["attempts"] >= attempts else None

        found = until(row, PATIENCE_S, lambda: f"{queue_id} is not deferred:\n{self.log()}")
        assert found is not None
        return found

    def wait(self, queue_id: str, attempts: int = 1) -> float:
        """How long a message waits between the last attempt and the next."""
        row = self.deferred(queue_id, attempts)
        return float(row["next_attempt"] - row["last_attempt"])

    def retry(self, *queue_ids: str) -> None:
        self.command("queue", "retry", *(queue_ids or ("--all",)))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.instance.run(*words)

    def waiting(self) -> bool:
        """Whether anything is in the queue."""
        spool = self.instance.folder / "spool"
        return any(path for name in ("new", "cur") for path in (spool / name).iterdir())

    def empty_queue(self) -> None:
        if self.waiting():
            self.command("queue", "delete", "--all")


def to(*peers: FakeHost, **options: str) -> dict[str, str]:
    """The options of a direct domain with these hosts."""
    return {"hosts": "\n".join(f"{peer.ip}:{peer.port}" for peer in peers), **options}


@contextmanager
def world(folder: Path) -> Iterator[World]:
    server, port = name_server(folder, ZONE)
    try:
        with running() as instance:
            found = World(instance, port)
            found.reload()
            try:
                yield found
            finally:
                found.close_panel()
    finally:
        server.terminate()
        server.wait(10)
