"""The schema of accounts in a PostgreSQL, and the files of a Dovecot that asks it."""

import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.dovecot import SHIPPED, DebianDovecot
from tests.instance import Instance, running
from tests.package.debian import debian_13
from tests.postgresql import Database, postgresql
from tests.tools import need
from tests.waiting import until

EXAMPLES = Path(__file__).parents[2] / "conf" / "examples"
ACCOUNTS, QUERIES = "conf.d/98-accounts.conf", "dovecot-sql.conf.ext"
DELIVERY, SCRIPT = "conf.d/99-smtpd-classic-lmtp.conf", "smtpd-classic-junk.sieve"
PASSWORD = "secret word"


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with postgresql() as made:
        assert made.psql("postgres", "CREATE DATABASE mail").returncode == 0
        rows = (
            "INSERT INTO domains VALUES ('example.org');"
            "INSERT INTO accounts (address, password, quota_mb, login) VALUES"
            f" ('joe@example.org', '{{PLAIN}}{PASSWORD}', 500, true),"
            f" ('away@example.org', '{{PLAIN}}{PASSWORD}', 0, false);"
        )
        loaded = made.psql("mail", (EXAMPLES / "postgresql-schema.sql").read_text(encoding="utf-8") + rows)
        assert loaded.returncode == 0, loaded.stderr
        yield made


@pytest.mark.parametrize(
    "values", ["'Joe@example.org', '{PLAIN}x'", "'joe@other.example', '{PLAIN}x'", "'ann@example.org', 'plain'"]
)
def test_an_account_needs_its_domain_and_a_scheme(database: Database, values: str) -> None:
    assert database.psql("mail", f"INSERT INTO accounts (address, password) VALUES ({values})").returncode != 0


def test_the_role_of_dovecot_sees_no_table(database: Database) -> None:
    assert database.psql("mail", "SELECT count(*) FROM dovecot_passdb", role="dovecot").stdout == "1\n"
    assert database.psql("mail", "SELECT password FROM accounts", role="dovecot").returncode != 0


@contextmanager
def mail_server(base: Path) -> Iterator[Instance]:
    """A server with the mailboxes and accounts of a Dovecot, which has its sockets in this folder."""
    with running(
        domain="example.org",
        server__mailbox=f"lmtp:unix:{base}/run/lmtp",
        server__accounts="dovecot",
        server__dovecot_auth=f"{base}/run/auth-client",
        server__dovecot_userdb=f"{base}/run/auth-userdb",
    ) as instance:
        yield instance


def files_of(version: str, database: Database, base: Path, owner: str) -> dict[str, str]:
    """The files that the first lines of the example name, with the places and users of the test."""
    found = {
        ACCOUNTS: EXAMPLES / f"dovecot-{version}.conf",
        DELIVERY: SHIPPED / f"smtpd-classic-lmtp-{version}.conf",
        SCRIPT: SHIPPED / SCRIPT,
    }
    if version == "2.3":
        found[QUERIES] = EXAMPLES / "dovecot-2.3-sql.conf.ext"
    places = {
        "/etc/dovecot/sieve": f"{base}/etc",
        "/etc/dovecot": f"{base}/etc",
        "/var/mail/dovecot": f"{base}/mail",
        "10.0.0.40": str(database.folder),
        "mail_gid = vmail": f"mail_gid = {(base / 'mail').stat().st_gid}",
        "= vmail": f"= {owner}",
        "smtpdc\n": f"{owner}\n",
    }
    texts = {name: path.read_text(encoding="utf-8") for name, path in found.items()}
    for before, after in places.items():
        texts = {name: text.replace(before, after) for name, text in texts.items()}
    return texts


@pytest.fixture(scope="module", params=["2.3", pytest.param("2.4", marks=pytest.mark.peers)])
def pair(request: pytest.FixtureRequest, database: Database) -> Iterator[tuple[DebianDovecot, Instance]]:
    """A Dovecot with the example of its version, and a server that asks it: of this machine, or of Debian 13."""
    tree = debian_13() if request.param == "2.4" else None
    version = subprocess.run([need("dovecot"), "--version"], capture_output=True, text=True, check=True).stdout
    if tree is None and not version.startswith("2.3"):
        pytest.skip(f"the example is for Dovecot 2.3, and this is {version}")
    base = Path(tempfile.mkdtemp(prefix="dovecot-"))
    base.chmod(0o755)
    try:
        with mail_server(base) as instance:
            owner = (instance.folder / "mail").owner()
            (base / "mail").mkdir()
            shutil.chown(base / "mail", owner, (instance.folder / "mail").group())
            dovecot = DebianDovecot(base, tree, database.folder)
            for name, text in files_of(request.param, database, base, owner).items():
                dovecot.add(name, text, 0o644 if name == SCRIPT else 0o600)
            compiled = dovecot.run("sievec", str(dovecot.folder / SCRIPT))
            assert compiled.returncode == 0, compiled.stderr
            with dovecot.running():
                yield dovecot, instance
    finally:
        shutil.rmtree(base)


def test_dovecot_finds_the_accounts_of_the_tables(pair: tuple[DebianDovecot, Instance]) -> None:
    dovecot, _ = pair

    def lets_in(user: str, password: str) -> bool:
        done = dovecot.doveadm("auth", "test", "-x", "no-penalty", user, password)
        assert "auth succeeded" in done.stdout or "auth failed" in done.stdout, done
        return done.returncode == 0

    assert lets_in("Joe@Example.org", PASSWORD)
    assert not lets_in("joe@example.org", "wrong")
    assert not lets_in("away@example.org", PASSWORD)
    assert not lets_in("unknown@example.org", PASSWORD)
    home = f"{dovecot.base}/mail/example.org/away/home"
    assert dovecot.doveadm("user", "-f", "home", "away@example.org").stdout == f"{home}\n"
    assert dovecot.doveadm("user", "unknown@example.org").returncode != 0
    assert dovecot.doveadm("user", "*").stdout.split() == ["joe@example.org", "away@example.org"]


@pytest.mark.parametrize(("user", "limit"), [("joe", str(500 * 1024)), ("away", "-")])
def test_the_limit_of_a_mailbox_is_that_of_its_row(pair: tuple[DebianDovecot, Instance], user: str, limit: str) -> None:
    done = pair[0].doveadm("-f", "tab", "quota", "get", "-u", f"{user}@example.org")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[3] for row in rows if row[1] == "STORAGE"] == [limit], done


def test_a_user_of_the_tables_logs_in_here_and_gets_mail(pair: tuple[DebianDovecot, Instance]) -> None:
    dovecot, instance = pair
    with smtplib.SMTP("127.0.0.1", instance.ports["submission"]) as client:
        client.starttls(context=instance.tls())
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("away@example.org", PASSWORD)
        client.login("joe@example.org", PASSWORD)
        client.sendmail("joe@example.org", ["away@example.org"], "Subject: hello\r\n\r\ntext\r\n")
        client.mail("joe@example.org")
        assert client.rcpt("unknown@example.org")[0] == 550
    new = dovecot.base / "mail" / "example.org" / "away" / "mail" / "new"
    until(lambda: new.is_dir() and list(new.iterdir()), 30, lambda: dovecot.log() + instance.log())
    assert not [line for line in dovecot.log().splitlines() if "Error" in line or "Warning" in line]
