"""A real Dovecot with the file that we ship: every kind of name logs in, and both count a mailbox alike."""

import imaplib
import re
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.mailstore.quota import QuotaCache
from tests.dovecot import dovecot, lmtp_text
from tests.instance import Instance, free_port, running
from tests.package.debian import debian_13
from tests.tools import need
from tests.waiting import until

NAMES = [
    "a.b",
    "x_y-z",
    "a&b",
    "a=b",
    "müller",
    "a!b",
    "a#b",
    "a$b",
    "a%b",
    "a*b",
    "a?b",
    "a^b",
    "a`b",
    "a{b}",
    "a|b",
    "a~b",
]
PASSWORD = "secret word"
LIMIT = 100_000


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    with running(domain="bücher.example") as instance:
        for name in NAMES:
            made = instance.run("user", "add", name, "--quota", str(LIMIT), "--password-stdin", input=PASSWORD)
            assert made.returncode == 0, made.stderr
        yield instance


@pytest.fixture(scope="module", params=["of this machine", pytest.param("of Debian 13", marks=pytest.mark.peers)])
def peer(request: pytest.FixtureRequest) -> tuple[str, Path | None]:
    """The version of a Dovecot, and the tree in which it is installed; None for this machine."""
    if request.param == "of this machine":
        said = subprocess.run([need("dovecot"), "--version"], capture_output=True, text=True, check=True).stdout
        return ".".join(said.split()[0].split(".")[:2]), None
    return "2.4", debian_13()


def test_every_kind_of_name_logs_in_by_imap_and_the_quota_is_one(
    server: Instance, peer: tuple[str, Path | None]
) -> None:
    address = f"a=b@{server.domain}"
    folder = str(server.folder / "mail" / server.domain / "a=b")
    _send(server, 3)
    with dovecot(server, *peer) as port:
        for name in NAMES:
            with imaplib.IMAP4("127.0.0.1", port, timeout=20) as client:
                login = f"\0{name}@{server.domain}\0{PASSWORD}".encode()
                status, _ = client.authenticate("PLAIN", lambda _, login=login: login)  # type: ignore[misc]
                assert status == "OK", name
                assert client.select("INBOX")[0] == "OK", name
        used, limit = _quota(port, address)
        assert used * 1024 == pytest.approx(QuotaCache().used(folder, f"{folder}/.Junk"), abs=1024)
        assert limit in {LIMIT // 1024, LIMIT // 1024 + 1}
        # Dovecot keeps its sum in a file, which a delivery by another program would make wrong.
        _send(server, 2)
        with imaplib.IMAP4("127.0.0.1", port, timeout=20) as client:
            login = f"\0{address}\0{PASSWORD}".encode()
            client.authenticate("PLAIN", lambda _: login)
            client.create("Junk")
            client.append("Junk", "", "", b"Subject: junk\r\n\r\n" + b"0123456789\r\n" * 2000)
        used, _ = _quota(port, address)
        assert QuotaCache().used(folder, f"{folder}/.Junk") > 50_000
        assert used * 1024 == pytest.approx(QuotaCache().used(folder, f"{folder}/.Junk"), abs=1024)


def _send(server: Instance, number: int) -> None:
    before = len(list((server.folder / "mail" / server.domain / "a=b").rglob("*,S=*")))
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"]) as client:
        client.ehlo()
        for each in range(number):
            text = f"From: x@remote.example\r\nSubject: {each}\r\n\r\n" + "line\r\n" * 2000
            client.sendmail("x@remote.example", "a=b@xn--bcher-kva.example", text)
    folder = server.folder / "mail" / server.domain / "a=b"
    until(lambda: len(list(folder.rglob("*,S=*"))) == before + number)


def _quota(port: int, address: str) -> tuple[int, int]:
    """The KiB that Dovecot counts, and its limit."""
    with imaplib.IMAP4("127.0.0.1", port, timeout=20) as client:
        client.authenticate("PLAIN", lambda _: f"\0{address}\0{PASSWORD}".encode())
        client.select("INBOX")
        _, (_, found) = client.getquotaroot("INBOX")
    numbers = re.search(rb"STORAGE (\d+) (\d+)", found[0] or b"")
    assert numbers is not None, found
    return int(numbers[1]), int(numbers[2])


def test_a_name_that_dovecot_cannot_look_up_is_refused_in_words(server: Instance) -> None:
    refused = server.run("user", "add", "o'brien", "--password-stdin", input=PASSWORD)
    assert refused.returncode == 65
    assert "Dovecot" in refused.stderr
    assert "obrien" in refused.stderr


def _fill(client: smtplib.LMTP, address: str) -> None:
    for _ in range(20):
        client.sendmail("x@remote.example", [address], "\r\n" + f"{'x' * 70}\r\n" * 30)


@pytest.mark.peers
def test_mail_by_lmtp_finds_its_mailbox_and_junk_its_folder(peer: tuple[str, Path | None]) -> None:
    with running(domain="example.test") as instance:
        mail = instance.folder / "mail"
        made = instance.run("user", "add", "small", "--quota", "10000", "--password-stdin", input=PASSWORD)
        assert made.returncode == 0, made.stderr
        port = free_port()
        text = lmtp_text(instance.folder, mail.owner(), peer[0], port)
        with dovecot(instance, *peer, more=text), smtplib.LMTP("127.0.0.1", port) as client:
            client.sendmail("x@remote.example", ["joe+tag@example.test"], "Subject: good\r\n\r\ntext\r\n")
            marked = "Subject: junk\r\nX-Spam-Flag: YES\r\n\r\ntext\r\n"
            client.sendmail("x@remote.example", ["joe@example.test"], marked)
            with pytest.raises((smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError), match=r"[Qq]uota|full"):
                _fill(client, "small@example.test")
            client.rset()
            client.mail("x@remote.example")
            assert client.rcpt("unknown@example.test")[0] == 550
        found = {path.parent.relative_to(mail / "example.test"): path.read_text() for path in mail.rglob("*,S=*")}
    assert "Subject: good" in found[Path("joe/new")]
    assert "Subject: junk" in found[Path("joe/.Junk/new")]
