"""The schema of accounts in a PostgreSQL, and the files of a Dovecot that asks it."""

import smtplib
from collections.abc import Iterator

import pytest

from tests.conf.example_dovecot import ACCOUNTS, PASSWORD, VERSIONS, Pair, example_of, pair_with
from tests.postgresql import Database, accounts_in, postgresql
from tests.waiting import until


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with postgresql() as made:
        accounts_in(
            made,
            f"('joe@example.org', '{{PLAIN}}{PASSWORD}', 500, true),"
            f" ('away@example.org', '{{PLAIN}}{PASSWORD}', 0, false)",
        )
        yield made


@pytest.mark.parametrize(
    "values", ["'Joe@example.org', '{PLAIN}x'", "'joe@other.example', '{PLAIN}x'", "'ann@example.org', 'plain'"]
)
def test_an_account_needs_its_domain_and_a_scheme(database: Database, values: str) -> None:
    assert database.psql("mail", f"INSERT INTO accounts (address, password) VALUES ({values})").returncode != 0


def test_the_role_of_dovecot_sees_no_table(database: Database) -> None:
    assert database.psql("mail", "SELECT count(*) FROM dovecot_passdb", role="dovecot").stdout == "1\n"
    assert database.psql("mail", "SELECT password FROM accounts", role="dovecot").returncode != 0


@pytest.fixture(scope="module", params=VERSIONS)
def pair(request: pytest.FixtureRequest, database: Database) -> Iterator[Pair]:
    files = {ACCOUNTS: example_of(request.param, ".conf")}
    if request.param == "2.3":
        files["dovecot-sql.conf.ext"] = example_of("2.3", "-sql.conf.ext")
    with pair_with(request.param, files, {"10.0.0.40": str(database.folder)}, database.folder) as made:
        yield made


def test_dovecot_finds_the_accounts_of_the_tables(pair: Pair) -> None:
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
def test_the_limit_of_a_mailbox_is_that_of_its_row(pair: Pair, user: str, limit: str) -> None:
    done = pair[0].doveadm("-f", "tab", "quota", "get", "-u", f"{user}@example.org")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[3] for row in rows if row[1] == "STORAGE"] == [limit], done


def test_a_user_of_the_tables_logs_in_here_and_gets_mail(pair: Pair) -> None:
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
