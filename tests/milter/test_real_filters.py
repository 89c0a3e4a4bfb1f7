"""Real filters: OpenDKIM and OpenDMARC in a chain, rspamd, SpamAssassin, and ClamAV with a signature of one line."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.mailauth.dkim_sign import SigningKey, sign
from tests.mailauth.messages import key_record, rsa_key
from tests.milter.fake import FakeFilter, options
from tests.milter.programs import rspamd, spamassassin, started
from tests.milter.test_milters import sent, stored
from tests.reception.world import World, world

HEADER = (
    b"From: x@elsewhere.example\nTo: joe@example.org\nSubject: hello\nDate: Mon, 01 Jan 2024 00:00:00 +0000\n"
    b"Message-ID: <1@elsewhere.example>\nMIME-Version: 1.0\nContent-Type: text/plain\n"
)
BODY = b"A line of text.\n"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that the users of the filters may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


def milters(**sockets: Path) -> str:
    return "".join(f"[milter {name}]\naddress = unix:{socket}\n" for name, socket in sockets.items())


def signed(subject: bytes = b"hello") -> tuple[bytes, bytes]:
    """A message with a signature, and the line for OpenDKIM's file of keys."""
    private = rsa_key()
    header = HEADER.replace(b"hello", subject)
    field = sign(header, [BODY], [SigningKey("elsewhere.example", "sel", private)], now=int(time.time()))
    return field + header + b"\n" + BODY, b"sel._domainkey.elsewhere.example " + key_record(private) + b"\n"


def test_opendkim_and_opendmarc_in_a_chain(tmp_path: Path, place: Path) -> None:
    message, key = signed()
    (place / "keys").write_bytes(key)
    dkim, dmarc, third = place / "dkim", place / "dmarc", FakeFilter().listen()
    (place / "dkim.conf").write_text(
        f"Mode v\nSyslog no\nAuthservID mx.example.org\nTestPublicKeys {place}/keys\nSocket local:{dkim}\n"
        "Background no\nUMask 000\n"
    )
    (place / "dmarc.conf").write_text(
        f"Syslog no\nAuthservID mx.example.org\nTrustedAuthservIDs mx.example.org\nSocket local:{dmarc}\n"
        "Background false\nUMask 000\nSPFIgnoreResults true\n"
    )
    with (
        started(dkim, "opendkim", "-f", "-x", place / "dkim.conf"),
        started(dmarc, "opendmarc", "-f", "-c", place / "dmarc.conf"),
    ):
        here = world(tmp_path, milters(dkim=dkim, dmarc=dmarc) + options(third))
        assert sent(here, message).startswith("250"), here.log()
        found = stored(here)
        assert b"Authentication-Results: mx.example.org" in found
        assert b"dkim=pass" in found, found.decode()
        assert b"dmarc=" in found
        assert found.index(b"dkim=pass") < found.index(b"DKIM-Signature:")
        shown = [each for each in third.data("L") if each.startswith(b"Authentication-Results")]
        assert ["dmarc=" in str(each) for each in shown] == [True, False]
        third.close()


@pytest.fixture(scope="module", name="rspamd")
def rspamd_socket(place: Path) -> Iterator[Path]:
    with rspamd(place) as socket:
        yield socket


def junk(here: World) -> int:
    folder = here.folder / "mail/example.org/joe/.Junk/new"
    return len(list(folder.iterdir())) if folder.exists() else 0


@pytest.mark.parametrize(
    ("subject", "reply", "in_junk"),
    [(b"hello", "250", 0), (b"junk", "250", 1), (b"refuse", "554 5.7.1 ", 0), (b"greylist", "451 4.7.1", 0)],
)
def test_rspamd(tmp_path: Path, rspamd: Path, subject: bytes, reply: str, in_junk: int) -> None:
    here = world(tmp_path, milters(rspamd=rspamd))
    said = sent(here, HEADER.replace(b"hello", subject) + b"\n" + BODY)
    assert said.startswith(reply), (said, here.log())
    assert junk(here) == in_junk
    assert len(here.mailbox("joe@example.org")) == (reply == "250") - in_junk
    if in_junk:
        [path] = (tmp_path / "mail/example.org/joe/.Junk/new").iterdir()
        assert b"X-Spam: Yes\n" in path.read_bytes()


@pytest.fixture(scope="module")
def clamav(place: Path) -> Iterator[Path]:
    database = place / "database"
    database.mkdir()
    (database / "test.ndb").write_text(f"Test.Virus:0:*:{b'one-line-test-virus'.hex()}\n")
    clamd, milter = place / "clamd", place / "clamav"
    (place / "clamd.conf").write_text(
        f"LocalSocket {clamd}\nLocalSocketMode 666\nDatabaseDirectory {database}\nForeground yes\nUser root\n"
        f"TemporaryDirectory {place}\n"
    )
    (place / "milter.conf").write_text(
        f"MilterSocket {milter}\nMilterSocketMode 666\nClamdSocket unix:{clamd}\nForeground yes\nUser root\n"
        f"OnInfected Quarantine\nTemporaryDirectory {place}\nAddHeader Replace\n"
    )
    with (
        started(clamd, "clamd", "-c", place / "clamd.conf", within_s=60),
        started(milter, "clamav-milter", "-c", place / "milter.conf"),
    ):
        yield milter


@pytest.mark.parametrize("large", [False, True])
def test_clamav_puts_a_virus_into_quarantine(tmp_path: Path, clamav: Path, large: bool) -> None:
    here = world(tmp_path, milters(clamav=clamav))
    filling = (b"x" * 70 + b"\n") * (3000 if large else 1)
    assert sent(here, HEADER + b"\n" + BODY + filling).startswith("250"), here.log()
    assert b"X-Virus-Status: Clean" in stored(here)
    assert sent(here, HEADER + b"\n" + filling + b"one-line-test-virus\n").startswith("250"), here.log()
    held = [here.services.spool.read(row.queue_id)[1].hold for row in here.services.spool.list() if row.held]
    assert [each.reason for each in held if each is not None] == ["quarantine"]


@pytest.fixture(scope="module", name="spamassassin")
def spamassassin_socket(place: Path) -> Iterator[Path]:
    with spamassassin(place) as socket:
        yield socket


@pytest.mark.parametrize(
    ("subject", "reply", "in_junk"), [(b"hello", "250", 0), (b"junk", "250", 1), (b"refuse", "550 5.7.1", 0)]
)
def test_spamassassin(tmp_path: Path, spamassassin: Path, subject: bytes, reply: str, in_junk: int) -> None:
    here = world(tmp_path, milters(spamassassin=spamassassin) + "spam_header = X-Spam-Flag\n")
    said = sent(here, HEADER.replace(b"hello", subject) + b"\n" + BODY)
    assert said.startswith(reply), (said, here.log())
    assert junk(here) == in_junk
    assert len(here.mailbox("joe@example.org")) == (reply == "250") - in_junk
    if reply == "250":
        [path] = (tmp_path / "mail/example.org/joe" / (".Junk" if in_junk else "") / "new").iterdir()
        assert b"\nX-Spam-Status: " in path.read_bytes()


def test_clamav_rspamd_and_spamassassin_in_a_chain(
    tmp_path: Path, clamav: Path, rspamd: Path, spamassassin: Path
) -> None:
    here = world(tmp_path, milters(clamav=clamav, rspamd=rspamd, spamassassin=spamassassin))
    assert sent(here, HEADER + b"\n" + BODY).startswith("250"), here.log()
    found = stored(here)
    fields = (b"X-Virus-Status: Clean", b"X-Spam-Checker-Version: SpamAssassin")
    assert [found.count(each) for each in fields] == [1, 1], found.decode()
    [line] = [each for each in here.log() if "milter: " in each]
    assert [each in line for each in ("clamav=accept", "rspamd=accept", "spamassassin=accept")] == [True] * 3, line
    assert sent(here, HEADER.replace(b"hello", b"refuse") + b"\n" + BODY).startswith("554 5.7.1")
    [line] = [each for each in here.log() if "rspamd=554" in each]
    assert "spamassassin" not in line
