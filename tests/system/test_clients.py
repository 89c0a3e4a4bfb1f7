"""Mail from the clients that people use, over every way in, lies in the Maildir as it was written; IMAP reads it."""

import imaplib
import json
import os
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dovecot import dovecot
from tests.instance import Instance, running
from tests.tools import TOOLS, need

WAYS = ("plain", "starttls", "implicit")
TRACE = ("Return-Path:", "Envelope-To:", "Received:", " ", "\t")


@pytest.fixture(scope="module")
def server() -> Iterator[Instance]:
    with running() as instance:
        yield instance


def message(server: Instance, tag: str) -> bytes:
    """LF line ends; with what transport damages: dots, long lines, eight bits, white space at line ends."""
    return (
        f"Date: Sun, 22 Nov 2026 10:00:00 +0000\nMessage-ID: <{tag}@client.test>\nFrom: Joe <{server.login}>\n"
        f"To: {server.login}\nSubject: {tag}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
        "Content-Transfer-Encoding: 8bit\n\n.\n..\n.dot\nGrüße  \n\n" + "x" * 900 + "\nFrom here\nend\n"
    ).encode()


def port(server: Instance, way: str) -> int:
    return server.ports[{"plain": "smtp", "starttls": "submission", "implicit": "submissions"}[way]]


def sender(server: Instance, way: str) -> str:
    """On the port for other servers nobody may claim to be local without a login."""
    return "stranger@client.test" if way == "plain" else server.login


def by_smtplib(server: Instance, way: str, content: bytes, _folder: Path) -> None:
    if way == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", port(server, way), timeout=20, context=server.tls())
    else:
        client = smtplib.SMTP("127.0.0.1", port(server, way), timeout=20)
    with client:
        if way == "starttls":
            client.starttls(context=server.tls())
        if way != "plain":
            client.login(server.login, server.password)
        client.sendmail(sender(server, way), [server.login], content.replace(b"\n", b"\r\n"), ["BODY=8BITMIME"])


def by_swaks(server: Instance, way: str, content: bytes, folder: Path) -> None:
    (folder / "message").write_bytes(content)
    words = ["--server", "127.0.0.1", "--port", str(port(server, way)), "--data", f"@{folder / 'message'}"]
    words += ["--from", sender(server, way), "--to", server.login, "--no-data-fixup", "--timeout", "20"]
    if way != "plain":
        words += ["--tls" if way == "starttls" else "--tlsc", "--auth", "--auth-user", server.login]
        words += ["--auth-password", server.password]
    (folder / "message").write_bytes(
        content.replace(b"\n..\n", b"\n...\n")
        .replace(b"\n.\n", b"\n..\n")
        .replace(b"\n.dot", b"\n..dot")
        .replace(b"\n", b"\r\n")
        + b".\r\n"
    )
    run(need("swaks"), *words)


def by_curl(server: Instance, way: str, content: bytes, folder: Path) -> None:
    (folder / "message").write_bytes(content.replace(b"\n", b"\r\n"))
    words = [
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--mail-from",
        sender(server, way),
        "--mail-rcpt",
        server.login,
    ]
    words += [
        "--upload-file",
        str(folder / "message"),
        "--cacert",
        str(server.folder / "tls" / "certificate.pem"),
        "-k",
    ]
    if way != "plain":
        words += ["--user", f"{server.login}:{server.password}"]
    if way == "starttls":
        words.append("--ssl-reqd")
    run(need("curl"), *words, f"{'smtps' if way == 'implicit' else 'smtp'}://127.0.0.1:{port(server, way)}/client.test")


def by_msmtp(server: Instance, way: str, content: bytes, folder: Path) -> None:
    words = ["--host=127.0.0.1", f"--port={port(server, way)}", f"--from={sender(server, way)}", "--timeout=20"]
    words += ["--file=/dev/null"] if os.path.exists("/dev/null") else []
    if way != "plain":
        words += ["--tls=on", "--tls-certcheck=off", f"--tls-starttls={'on' if way == 'starttls' else 'off'}"]
        words += ["--auth=on", f"--user={server.login}", f"--passwordeval=echo '{server.password}'"]
    run(need("msmtp"), *words, server.login, input=content)


NODE = """
const nodemailer = require('nodemailer');
const o = JSON.parse(process.argv[1]);
nodemailer.createTransport({host: '127.0.0.1', port: o.port, secure: o.way === 'implicit', ignoreTLS: o.way === 'plain',
  requireTLS: o.way === 'starttls', auth: o.way === 'plain' ? undefined : {user: o.user, pass: o.password},
  tls: {rejectUnauthorized: false}})
.sendMail({envelope: {from: o.from, to: [o.to]}, raw: require('fs').readFileSync(o.file)})
.then(() => process.exit(0), problem => { console.error(problem); process.exit(1); });
"""


def by_nodemailer(server: Instance, way: str, content: bytes, folder: Path) -> None:
    (folder / "message").write_bytes(content.replace(b"\n", b"\r\n"))
    options = {
        "port": port(server, way), "way": way, "user": server.login, "password": server.password,
        "from": sender(server, way), "to": server.login, "file": str(folder / "message"),
    }  # fmt: skip
    run(need("node"), "-e", NODE, json.dumps(options), cwd=TOOLS)


def run(*words: str, input: bytes | None = None, cwd: Path | None = None) -> None:  # noqa: A002
    done = subprocess.run(words, input=input, capture_output=True, timeout=60, cwd=cwd)
    assert done.returncode == 0, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


Client = Callable[[Instance, str, bytes, Path], None]
CLIENTS: dict[str, Client] = {
    "smtplib": by_smtplib,
    "swaks": by_swaks,
    "curl": by_curl,
    "msmtp": by_msmtp,
    "nodemailer": by_nodemailer,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CLIENTS)
def test_message_arrives_as_it_was_written(server: Instance, name: str, way: str, tmp_path: Path) -> None:
    content = message(server, f"{name}-{way}")
    CLIENTS[name](server, way, content, tmp_path)
    stored = [path.read_bytes() for path in server.wait_for_mail()]
    mine = [each for each in stored if f"<{name}-{way}@client.test>".encode() in each]
    assert len(mine) == 1
    assert mine[0].endswith(content)
    trace = mine[0].removesuffix(content).decode()
    assert all(line.startswith(TRACE) for line in trace.splitlines()), trace
    protocol = {"plain": "ESMTP", "starttls": "ESMTPSA", "implicit": "ESMTPSA"}[way]
    assert f"with {protocol}" in trace
    assert ("TLSv1." in trace) == (way != "plain")


def test_dovecot_reads_the_mailbox_with_the_same_users_file(server: Instance, tmp_path: Path) -> None:
    content = message(server, "imap")
    by_smtplib(server, "implicit", content, tmp_path)
    with dovecot(server) as imap_port:
        with imaplib.IMAP4("127.0.0.1", imap_port, timeout=20) as client:
            client.login(server.login, server.password)
            client.select("INBOX", readonly=True)
            _, found = client.search(None, "SUBJECT", "imap")
            number = found[0].split()[-1].decode()
            _, fetched = client.fetch(number, "(BODY.PEEK[])")
            assert isinstance(fetched[0], tuple)
            assert fetched[0][1].replace(b"\r\n", b"\n").endswith(content)
        with imaplib.IMAP4("127.0.0.1", imap_port, timeout=20) as client, pytest.raises(imaplib.IMAP4.error):
            client.login(server.login, "wrong")
