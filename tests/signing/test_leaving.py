"""Copies that leave a running server: signed, above everything else, as they are on the wire."""

import base64
import itertools
import json
import shutil
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.runtime import Runtime
from smtpd_classic.runtime.control import reload
from smtpd_classic.smtp import replies
from smtpd_classic.smtp.events import RcptTo
from tests.client.fake_host import FakeHost
from tests.instance import NAME, Instance, running
from tests.keys.name_server import zone_server
from tests.mailauth.messages import only, verify
from tests.mailauth.test_dkimpy import accepted_by_dkimpy
from tests.tnef.test_convert import SAMPLES
from tests.waiting import until

DOMAIN = "example.test"
KEPT = (NAME, "aliases", "dkim")
TEXT = "From: Joe <joe@example.test>\nTo: bob@away.test\nSubject: Hello\n\nA line.\n..\n\n\n"


class Sender:
    """A server with a key in use, and a host that all mail for away.test goes to."""

    def __init__(self, instance: Instance, peer: FakeHost) -> None:
        self.instance = instance
        self.peer = peer
        (key,) = json.loads(instance.run("dkim", "list", "--json").stdout)
        self.selector = key["selector"]
        self.txt: dict[str, tuple[bytes, ...]] = {key["name"]: (key["record"].encode(),)}
        self._told = len(instance.log())

    def log(self) -> str:
        """What the server has logged since this test began."""
        return self.instance.log()[self._told :]

    def submit(self, text: str, *, options: tuple[str, ...] = (), to: str = "bob@away.test") -> None:
        with smtplib.SMTP("127.0.0.1", self.instance.ports["submission"], timeout=20) as client:
            client.starttls(context=self.instance.tls())
            client.login(self.instance.login, self.instance.password)
            client.sendmail(self.instance.login, [to], text.encode(), mail_options=options)

    def left(self, count: int = 1) -> bytes:
        """The message that the host got last, with LF line ends."""
        until(lambda: len(self.peer.got) >= count, 20, self.log)
        return self.peer.got[-1].content.replace(b"\r\n", b"\n")

    def reload(self) -> None:
        status = reload(Runtime(str(self.instance.folder / "run")).status)
        assert not status.error, status.error


@pytest.fixture
def peer() -> Iterator[FakeHost]:
    host = FakeHost()
    yield host
    host.close()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Instance, Path]]:
    """A server with a key in use, and a copy of its folder's files as they were then."""
    with running(DOMAIN) as instance:
        (key,) = json.loads(instance.run("dkim", "list", "--json").stdout)
        assert instance.run("dkim", "use", key["selector"], "--force").returncode == 0
        kept = instance.folder.parent / "kept"
        kept.mkdir()
        subprocess.run(["cp", "-a", *(instance.folder / name for name in KEPT), kept], check=True)
        yield instance, kept


@pytest.fixture
def sender(server: tuple[Instance, Path], peer: FakeHost) -> Iterator[Sender]:
    """The server as it was before the first test, with an empty queue and an empty mailbox."""
    instance, kept = server
    shutil.rmtree(instance.folder / "dkim")
    subprocess.run(["cp", "-a", *(kept / name for name in KEPT), instance.folder], check=True)
    instance.set("direct away.test", "hosts", f"{peer.ip}:{peer.port}")
    found = Sender(instance, peer)
    found.reload()
    yield found
    until(lambda: instance.run("queue", "delete", "--all").returncode in {0, 1}, 30)  # not while it is being delivered
    for path in instance.mail():
        path.unlink()


def test_submitted_mail_is_signed_on_top(sender: Sender) -> None:
    sender.submit(TEXT)
    message = sender.left()
    assert message.startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.test;")
    assert only(verify(message, sender.txt, author=DOMAIN, now=0)).word is ResultWord.PASS
    assert accepted_by_dkimpy(message, sender.txt)
    assert f"signed d=example.test s={sender.selector}" in sender.log()


def test_mail_of_several_authors_is_not_signed_and_the_log_says_why(sender: Sender) -> None:
    (own,) = (line for line in TEXT.splitlines() if line.startswith("From:"))
    sender.submit(TEXT.replace(own, f"From: joe@{DOMAIN}, joe+work@{DOMAIN}"))
    assert b"\nDKIM-Signature" not in b"\n" + sender.left()
    assert "not signed: the From field has several addresses" in sender.log()


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("Hello", "Hello\n\t" + " ".join(f"word{n}" for n in range(200))),
        TEXT.partition("\n\n")[0] + "\n\n",
        TEXT.partition("\n\n")[0] + "\n\n\n\n\n",
        TEXT + "0123456789 abcdef  \n" * 50_000,
        TEXT.replace("A line.", "Grüße"),
    ],
    ids=["long header", "no body", "empty lines", "1 MB", "8-bit"],
)
def test_every_kind_of_content_verifies(sender: Sender, text: str) -> None:
    sender.submit(text, options=("body=8bitmime",))
    assert only(verify(sender.left(), sender.txt, author=DOMAIN, now=0)).word is ResultWord.PASS


def test_mail_of_sendmail_and_of_the_mailer_itself_is_signed(sender: Sender) -> None:
    run = subprocess.run(
        ["sh", "-c", f"{Path(__file__).parents[2]}/.venv/bin/sendmail -f joe@{DOMAIN} bob@away.test"],
        input=TEXT.encode(),
        env={"SMTPD_CLASSIC_CONFIG": str(sender.instance.file), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert only(verify(sender.left(), sender.txt, author=DOMAIN, now=0)).word is ResultWord.PASS


def test_seven_bit_and_replaced_copies_verify(sender: Sender) -> None:
    sender.instance.set(f"replace news@{DOMAIN}", "addresses", f"joe@{DOMAIN}")
    sender.peer.close()
    narrow = FakeHost(hidden=("8BITMIME",))
    sender.instance.set("direct away.test", "hosts", f"{narrow.ip}:{narrow.port}")
    sender.reload()
    sender.peer = narrow
    sender.submit(TEXT.replace("A line.", "Grüße"), options=("body=8bitmime",))
    message = sender.left()
    narrow.close()
    assert message.isascii()
    assert b"From: Joe <news@example.test>" in message
    assert only(verify(message, sender.txt, author=DOMAIN, now=0)).word is ResultWord.PASS


def trusted(sender: Sender, header: str = "") -> bytes:
    before = len(sender.peer.got)
    with smtplib.SMTP("127.0.0.1", sender.instance.ports["smtp"], timeout=20) as client:
        client.sendmail("app@example.test", ["bob@away.test"], header + TEXT)
    return sender.left(before + 1)


def test_what_a_trusted_host_passes_on_is_not_made_ours(sender: Sender) -> None:
    sender.instance.set("trusted", "hosts", "127.0.0.1")
    sender.reload()
    assert trusted(sender).startswith(b"DKIM-Signature")
    assert not trusted(sender, "Received: from a by b; Fri, 11 Jul 2025 21:00:37 +0000\n").startswith(b"DKIM")
    assert b"d=example.test; s=2" not in trusted(sender, "DKIM-Signature: v=1; d=x.test\n")
    sender.instance.set("signing", "sign_for_hosts", "127.0.0.0/8")
    sender.reload()
    assert trusted(sender, "Received: from a by b; Fri, 11 Jul 2025 21:00:37 +0000\n").startswith(b"DKIM-Signature")


def test_forwarded_mail_of_strangers_and_unsigned_domains_stay_as_they_are(sender: Sender) -> None:
    instance = sender.instance
    assert instance.run("alias", "set", "away@example.test", "bob@away.test").returncode == 0
    with smtplib.SMTP("127.0.0.1", instance.ports["smtp"], timeout=20) as client:
        client.sendmail("x@stranger.test", ["away@example.test"], TEXT.replace("joe@example", "x@stranger"))
    assert b"DKIM-Signature" not in sender.left(1)
    instance.set("domain example.test", "sign", "no")
    sender.reload()
    sender.submit(TEXT)
    assert b"DKIM-Signature" not in sender.left(2)
    # Else the key that the next test puts in use is taken out of use.
    until(lambda: "does not sign here" in sender.log(), 20, sender.log)


def test_a_bounce_to_elsewhere_is_signed(sender: Sender) -> None:
    instance = sender.instance
    instance.set("direct stranger.test", "hosts", f"{sender.peer.ip}:{sender.peer.port}")
    refusing = FakeHost(script=lambda event, talk: replies.NO_SUCH_USER if isinstance(event, RcptTo) else None)
    instance.set("direct away.test", "hosts", f"{refusing.ip}:{refusing.port}")
    sender.reload()
    assert instance.run("alias", "set", "away@example.test", "bob@away.test").returncode == 0
    with smtplib.SMTP("127.0.0.1", instance.ports["smtp"], timeout=20) as client:
        client.sendmail("x@stranger.test", ["away@example.test"], TEXT.replace("joe@example", "x@stranger"))
    bounce = sender.left(1)
    refusing.close()
    assert sender.peer.got[0].sender == ""
    assert b"multipart/report" in bounce
    assert only(verify(bounce, sender.txt, author=DOMAIN, now=0)).word is ResultWord.PASS
    assert accepted_by_dkimpy(bounce, sender.txt)


TNEF = (
    b'MIME-Version: 1.0\nContent-Type: application/ms-tnef; name="winmail.dat"\nContent-Transfer-Encoding: base64\n\n'
)


def outlook(more: bytes = b"") -> bytes:
    """A message with a winmail.dat that has one attachment."""
    sample = (SAMPLES / "one-file.tnef").read_bytes()
    return more + TEXT.partition("\n\n")[0].encode() + b"\n" + TNEF + base64.encodebytes(sample)


def test_a_converted_copy_is_signed_as_it_leaves_and_signed_mail_keeps_its_tnef_here_and_there(sender: Sender) -> None:
    sender.instance.set("basic", "convert_tnef", "yes")
    sender.reload()
    sender.submit(outlook().decode())
    message = sender.left(1)
    assert b"ms-tnef" not in message
    assert only(verify(message, sender.txt, author=DOMAIN, now=0)).word is ResultWord.PASS
    before = outlook(b"DKIM-Signature: v=1; d=other.example\n")
    sender.submit(before.decode())
    assert b"ms-tnef" in sender.left(2)
    for count, more in enumerate((b"", b"DKIM-Signature: v=1; d=other.example\n"), 1):
        with smtplib.SMTP("127.0.0.1", sender.instance.ports["smtp"], timeout=20) as client:
            client.sendmail("x@stranger.test", [sender.instance.login], outlook(more))
        assert (b"ms-tnef" in sender.instance.wait_for_mail(count)[-1].read_bytes()) == bool(more)


def test_a_filter_of_ours_that_passes_on_a_forged_author_does_not_make_it_ours(sender: Sender) -> None:
    """The spam appliance is a trusted host: what it passes on has the Received field of its own reception."""
    sender.instance.set("trusted", "hosts", "127.0.0.1")
    sender.instance.run("alias", "set", "away@example.test", "bob@away.test")
    sender.reload()
    forged = "Received: from forger.example by filter.test; Fri, 11 Jul 2025 21:00:37 +0000\n" + TEXT
    for count, sender_address in enumerate(("x@stranger.test", "joe@example.test"), 1):
        with smtplib.SMTP("127.0.0.1", sender.instance.ports["smtp"], timeout=20) as client:
            client.sendmail(sender_address, ["away@example.test"], forged)
        assert b"DKIM-Signature" not in sender.left(count)
    assert "left unsigned: localhost[127.0.0.1] passes it on" in sender.log()


def test_a_key_that_cannot_be_read_makes_the_mail_wait(sender: Sender) -> None:
    pem = sender.instance.folder / "dkim" / DOMAIN / f"{sender.selector}.pem"
    good = pem.read_bytes()
    pem.write_bytes(b"nonsense")
    sender.submit(TEXT)
    until(lambda: "the message cannot be signed" in sender.log(), 20, sender.log)
    assert "status=deferred" in sender.log()
    assert not sender.peer.got
    pem.write_bytes(good)
    until(lambda: sender.instance.run("queue", "retry", "--all").returncode == 0, 20)
    sender.left(1)


def test_a_key_is_used_when_dns_shows_it_and_not_before(sender: Sender, tmp_path: Path) -> None:
    instance = sender.instance
    assert instance.run("dkim", "retire", sender.selector).returncode == 0
    assert instance.run("dkim", "add", DOMAIN, "--algorithm", "ed25519").returncode == 0
    sender.submit(TEXT)
    assert b"DKIM-Signature" not in sender.left(1)
    zone = instance.run("dns", "records", DOMAIN, "--zone").stdout
    sent = itertools.count(2)

    def is_signed() -> bool:
        sender.submit(TEXT)
        return b" a=ed25519-sha256;" in sender.left(next(sent))

    with zone_server(tmp_path / "nsd", DOMAIN, zone) as port:
        # The name server is the zone's only one, and is asked at the port of the settings.
        instance.set("server", "name_servers", f"127.0.0.1:{port}")
        sender.reload()
        until(lambda: "DNS shows" in sender.log(), 30, sender.log)
        until(is_signed, 20, sender.log)  # the process that delivers looks at the keys once a second
