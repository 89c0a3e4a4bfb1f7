"""The example of a Dovecot with its accounts in an LDAP directory: OpenLDAP, which is killed and comes back."""

import shutil
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conf.test_postgresql import ACCOUNTS, DELIVERY, EXAMPLES, PASSWORD, SCRIPT, mail_server
from tests.dovecot import SHIPPED, DebianDovecot
from tests.instance import Instance
from tests.slapd import Directory, slapd
from tests.tools import need
from tests.waiting import until

pytestmark = pytest.mark.peers
JOE, ANN = "joe@example.org", "ann@example.org"
QUERIES = "dovecot-ldap.conf.ext"
BACK_S = 5.0
ENTRIES = (
    "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
    + "".join(
        f"dn: uid={name},dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n"
        f"mail: {name}@example.org\nuserPassword: {PASSWORD}\n\n"
        for name in ("joe", "ann", "fresh1", "fresh2")
    )
)


@pytest.fixture(scope="module")
def directory() -> Iterator[Directory]:
    with slapd(ENTRIES) as made:
        yield made


def files_of(directory: Directory, base: Path, owner: str) -> dict[str, str]:
    """The files that the first lines of the example name, with the places and users of the test."""
    texts = {
        ACCOUNTS: (EXAMPLES / "dovecot-2.3.conf").read_text(encoding="utf-8"),
        QUERIES: (EXAMPLES / "dovecot-2.3-ldap.conf.ext").read_text(encoding="utf-8"),
        DELIVERY: (SHIPPED / "smtpd-classic-lmtp-2.3.conf").read_text(encoding="utf-8"),
        SCRIPT: (SHIPPED / SCRIPT).read_text(encoding="utf-8"),
    }
    places = {
        "driver = sql": "driver = ldap",
        "dovecot-sql.conf.ext": QUERIES,
        "/etc/dovecot/sieve": f"{base}/etc",
        "/etc/dovecot": f"{base}/etc",
        "/var/mail/dovecot": f"{base}/mail",
        "ldap://10.0.0.40": f"ldap://127.0.0.1:{directory.port}",
        "CHANGE-ME": "secret",
        "mail_gid = vmail": f"mail_gid = {(base / 'mail').stat().st_gid}",
        "= vmail": f"= {owner}",
        "smtpdc\n": f"{owner}\n",
    }
    for before, after in places.items():
        texts = {name: text.replace(before, after) for name, text in texts.items()}
    return texts


@pytest.fixture(scope="module")
def pair(directory: Directory) -> Iterator[tuple[DebianDovecot, Instance]]:
    version = subprocess.run([need("dovecot"), "--version"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("2.3"):
        pytest.skip(f"the example is for Dovecot 2.3, and this is {version}")
    base = Path(tempfile.mkdtemp(prefix="dovecot-"))
    base.chmod(0o755)
    try:
        with mail_server(base) as instance:
            owner = (instance.folder / "mail").owner()
            (base / "mail").mkdir()
            shutil.chown(base / "mail", owner, (instance.folder / "mail").group())
            dovecot = DebianDovecot(base, None, base)
            for name, text in files_of(directory, base, owner).items():
                dovecot.add(name, text, 0o644 if name == SCRIPT else 0o600)
            assert dovecot.run("sievec", str(dovecot.folder / SCRIPT)).returncode == 0
            with dovecot.running():
                yield dovecot, instance
    finally:
        shutil.rmtree(base)


def rcpt(instance: Instance, address: str) -> int:
    with smtplib.SMTP("127.0.0.1", instance.ports["smtp"], timeout=30) as client:
        client.ehlo()
        client.mail("eve@away.example")
        return client.rcpt(address)[0]


def login(instance: Instance, user: str, password: str = PASSWORD) -> int:
    with smtplib.SMTP("127.0.0.1", instance.ports["submission"], timeout=60) as client:
        client.starttls(context=instance.tls())
        try:
            return client.login(user, password)[0]
        except smtplib.SMTPAuthenticationError as refused:
            return refused.smtp_code


def test_a_user_of_the_directory_logs_in_and_gets_mail(pair: tuple[DebianDovecot, Instance]) -> None:
    dovecot, instance = pair
    assert (login(instance, JOE), login(instance, JOE, "wrong")) == (235, 535)
    assert (rcpt(instance, ANN), rcpt(instance, "unknown@example.org")) == (250, 550)
    with smtplib.SMTP("127.0.0.1", instance.ports["smtp"]) as client:
        client.sendmail("eve@away.example", [ANN], "Subject: hello\r\n\r\ntext\r\n")
    new = dovecot.base / "mail" / "example.org" / "ann" / "mail" / "new"
    until(lambda: new.is_dir() and list(new.iterdir()), 30, lambda: dovecot.log() + instance.log())
    assert dovecot.doveadm("user", "*").stdout.split()[:2] == [JOE, ANN]


def test_while_the_directory_is_dead_clients_come_back(
    pair: tuple[DebianDovecot, Instance], directory: Directory
) -> None:
    """451 and 454, never “unknown” or “wrong”; when it is back, so are its users, within seconds."""
    _, instance = pair
    directory.kill()
    try:
        assert rcpt(instance, "fresh1@example.org") == 451
        assert rcpt(instance, "nobody@example.org") == 451
        assert login(instance, ANN) == 454
    finally:
        directory.start()
    began = time.monotonic()
    until(lambda: rcpt(instance, "fresh2@example.org") == 250, 30, instance.log)
    until(lambda: login(instance, ANN) == 235, 30, instance.log)
    took_s = time.monotonic() - began
    print(f"back after {took_s:.1f} s")
    assert took_s < BACK_S + 2.0  # a busy machine
    assert rcpt(instance, "nobody@example.org") == 550
    assert "status=bounced" not in instance.log()
