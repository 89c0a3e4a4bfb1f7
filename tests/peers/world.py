"""A network with a name server and our own server in it, as us.test; other servers are put beside it."""

import re
import shutil
import smtplib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from contextlib import ExitStack, contextmanager
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from flufl.bounce import all_failures

from tests.instance import Instance
from tests.peers.name_server import name_server
from tests.peers.namespace import own_network
from tests.waiting import until

__all__ = ["JOE", "Net", "content", "failures", "network", "network_of", "parts", "send", "trace_of"]

JOE = "joe@us.test"
ON_INTERFACE = ("127.0.0.2", "127.0.0.3")
_TRACE = re.compile(rb"(?:(?:Return-Path|Envelope-To|Received|Delivered-To|X-Original-To):.*\n(?:[ \t].*\n)*)*")
_MX = {"us.test": [(10, "mail.us.test")], "plain.us.test": [(10, "mail.us.test")]}
_ADDRESSES = {"mail.us.test": "127.0.0.1"}


def content(tag: str, sender: str = JOE) -> bytes:
    """With what transport damages: dots, eight bits, long lines, white space at line ends, empty lines at the end."""
    return (
        f"Date: Sun, 22 Nov 2026 10:00:00 +0000\nMessage-ID: <{tag}@client.test>\nFrom: Joe <{sender}>\n"
        f"To: somebody\n  <somebody@far.test>\nSubject:  {tag}  \nX-odd:no blank\nMIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
        ".\n..\n.dot\nGrüße  \n\t\n" + "x" * 997 + "\nFrom here\n>From there\n.\n\n\n"
    ).encode()


def trace_of(stored: bytes) -> bytes:
    """The trace header fields on top of a message."""
    found = _TRACE.match(stored)
    assert found is not None
    return found[0]


class Net:
    def __init__(self, folder: Path, us: Instance) -> None:
        self.folder = folder
        self.us = us

    def submit(
        self,
        content: bytes,
        *recipients: str,
        mail: Sequence[str] = (),
        rcpt: Sequence[str] = (),
    ) -> str:
        """Send as Joe, who logs in; the queue id."""
        with smtplib.SMTP("127.0.0.1", self.us.ports["submission"], timeout=20) as client:
            client.starttls(context=self.us.tls())
            client.login(self.us.login, self.us.password)
            return send(client, JOE, content, *recipients, mail=mail, rcpt=rcpt)

    def bounces(self, queue_id: str) -> list[bytes]:
        """The notifications about a message in Joe's mailbox."""
        about = f"\nX-Queue-ID: {queue_id}\n".encode()
        return [each for path in self.us.mail() if about in (each := path.read_bytes())]

    def bounce(self, queue_id: str) -> bytes:
        """The only notification about a message that is no longer in the queue."""
        self.gone(queue_id)
        found = until(lambda: self.bounces(queue_id), 20, self.us.log)
        assert len(found) == 1
        return found[0]

    def gone(self, queue_id: str) -> None:
        until(lambda: f"{queue_id}: removed" in self.us.log(), 20, self.us.log)

    def waiting(self, queue_id: str) -> bool:
        return any(self.us.folder.joinpath("spool").rglob(f"{queue_id}*"))

    def outcomes(self, queue_id: str) -> list[tuple[str, str, str]]:
        """Recipient, code and status of every line of the log about an attempt with the message."""
        found = re.findall(rf" {queue_id}: to=<([^>]*)>,.* dsn=([\d.]+), status=(\w+) ", self.us.log())
        return [(str(to), str(dsn), str(status)) for to, dsn, status in found]

    def settled(self, queue_id: str, number: int = 1) -> list[tuple[str, str, str]]:
        """The outcomes, as soon as there are so many."""
        return until(lambda: found if len(found := self.outcomes(queue_id)) >= number else [], 20, self.us.log)

    def retry(self, queue_id: str) -> None:
        """As a person does it; while the attempt before is being written down, it is refused."""
        until(lambda: self.us.run("queue", "retry", queue_id).returncode == 0, 20, self.us.log)

    def mail_with(self, text: bytes) -> bytes:
        """The only message in Joe's mailbox that holds the text."""
        found = until(lambda: [e for path in self.us.mail() if text in (e := path.read_bytes())], 20, self.us.log)
        assert len(found) == 1
        return found[0]


def send(
    client: smtplib.SMTP,
    sender: str,
    content: bytes,
    *recipients: str,
    mail: Sequence[str] = (),
    rcpt: Sequence[str] = (),
) -> str:
    """The queue id, which is the last word of the reply."""
    client.ehlo_or_helo_if_needed()
    code, said = client.mail(sender, ["BODY=8BITMIME", *mail])
    assert code == 250, said
    for recipient in recipients:
        code, said = client.rcpt(recipient, list(rcpt))
        assert code == 250, said
    code, said = client.data(content.replace(b"\n", b"\r\n"))
    assert code == 250, said
    return said.decode().split()[-1]


def failures(notification: bytes) -> set[bytes]:
    """Who will not get the message, as another program understands it."""
    later, never = all_failures(message_from_bytes(notification))
    assert not later
    return set(never)


def parts(notification: bytes) -> tuple[Message, list[Message]]:
    """The fields about the message and those about each recipient, of a notification without defects."""
    report = message_from_bytes(notification)
    assert report.get_content_type() == "multipart/report"
    words, status, original = _within(report)
    assert not any(each.defects for each in (report, words, status, original))
    assert original.get_content_type() in {"text/rfc822-headers", "message/rfc822"}
    about, *recipients = _within(status)
    return about, recipients


def _within(message: Message) -> list[Message]:
    found = message.get_payload()
    assert isinstance(found, list)
    return [each for each in found if isinstance(each, Message)]


def _set(file: Path, chosen: Mapping[str, Mapping[str, str]]) -> None:
    """All at once; a command for each would take most of the time."""
    text = ConfigParser(interpolation=None)
    text.read(file)
    for section, options in chosen.items():
        text.read_dict({section: options})
    with file.open("w") as out:
        text.write(out)


@contextmanager
def network(
    mx: Mapping[str, Sequence[tuple[int, str]]],
    addresses: Mapping[str, str],
    *prefix: str,
    **options: str,
) -> Iterator[Net]:
    """`options` are SECTION__OPTION="value" pairs; `prefix` is a command that starts our server."""
    with network_of(mx, addresses, options, prefix) as net:
        yield net


@contextmanager
def network_of(
    mx: Mapping[str, Sequence[tuple[int, str]]],
    addresses: Mapping[str, str],
    options: Mapping[str, str],
    prefix: Sequence[str] = (),
    *,
    records: Callable[[Instance], Sequence[str]] = lambda us: (),
    interfaces: Sequence[str] = ON_INTERFACE,
) -> Iterator[Net]:
    """The same with further lines for the name server, which may be about our keys, and with other addresses."""
    folder = Path(tempfile.mkdtemp(prefix="peers-"))
    folder.chmod(0o755)
    try:
        with ExitStack() as stack:
            stack.enter_context(own_network(*interfaces))
            us = Instance(folder / "us", "us.test")
            us.ports["smtp"] = 25
            known = _MX | dict(mx), _ADDRESSES | dict(addresses)
            ip, port = stack.enter_context(name_server(folder, *known, records(us)))
            chosen = {f"listener {name}": {"address": "127.0.0.1", "port": str(at)} for name, at in us.ports.items()}
            chosen |= {"server": {"name_servers": f"{ip}:{port}"}, "domain us.test": {"aliases": "plain.us.test"}}
            for name, value in options.items():
                section, _, option = name.partition("__")
                chosen.setdefault(section, {})[option] = value
            _set(us.file, chosen)
            us.start(*prefix)
            try:
                yield Net(folder, us)
            finally:
                if us.process is not None:
                    us.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
