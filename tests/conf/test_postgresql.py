"""The schema of accounts, in a PostgreSQL of the test's own, with the queries that it names for Dovecot."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import until

SCHEMA = Path(__file__).parents[2] / "conf" / "examples" / "postgresql-schema.sql"


def program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        pytest.fail(f"{name} is missing: “make tools” installs it.", pytrace=False)
    return str(found[-1])


class Database:
    """PostgreSQL refuses to run as root, so all of it runs as another user, on a socket in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.must(program("initdb"), "-D", f"{folder}/data", "-A", "trust", "-U", "admin", "--no-sync", "-E", "UTF8")
        where = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        self.process = subprocess.Popen(
            [program("postgres"), "-D", f"{folder}/data", *where], user=self._as(), stderr=subprocess.DEVNULL
        )
        until(lambda: self.psql("postgres", "SELECT 1").returncode == 0, 30, lambda: "PostgreSQL does not start")

    def _as(self) -> str | None:
        return self.user if os.geteuid() == 0 else None

    def must(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, user=self._as(), cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def psql(self, database: str, query: str, role: str = "admin") -> subprocess.CompletedProcess[str]:
        command = [
            program("psql"),
            "-h",
            str(self.folder),
            "-U",
            role,
            "-d",
            database,
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
        ]
        return subprocess.run(command, input=query, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
    made = Database(folder)
    try:
        assert made.psql("postgres", "CREATE DATABASE mail").returncode == 0
        loaded = made.psql("mail", SCHEMA.read_text(encoding="utf-8"))
        assert loaded.returncode == 0, loaded.stderr
        yield made
    finally:
        made.process.terminate()
        made.process.wait(30)
        shutil.rmtree(folder)


def test_dovecot_finds_accounts_by_the_queries_of_the_schema(database: Database) -> None:
    filled = database.psql(
        "mail",
        "INSERT INTO domains VALUES ('example.org');"
        "INSERT INTO accounts (address, password, quota_mb) VALUES ('joe@example.org', '{PLAIN}secret', 500);"
        "INSERT INTO accounts (address, password, login) VALUES ('away@example.org', '{PLAIN}secret', false);",
    )
    assert filled.returncode == 0, filled.stderr
    queries = dict(re.findall(r"^--   (\w+_query) = (.*)$", SCHEMA.read_text(encoding="utf-8"), re.M))
    assert len(queries) == 3

    def ask(name: str, user: str = "") -> str:
        done = database.psql("mail", queries[name].replace("%u", user), role="dovecot")
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert ask("password_query", "Joe@Example.org") == "joe@example.org|{PLAIN}secret\n"
    assert ask("password_query", "away@example.org") == ""
    assert ask("user_query", "joe@example.org") == "*:storage=500M\n"
    assert ask("user_query", "away@example.org") == "*:storage=0M\n"
    assert ask("user_query", "nobody@example.org") == ""
    assert ask("iterate_query").split() == ["joe@example.org", "away@example.org"]
    assert database.psql("mail", "SELECT password FROM accounts", role="dovecot").returncode != 0


@pytest.mark.parametrize(
    "values", ["'Joe@example.org', '{PLAIN}x'", "'joe@other.example', '{PLAIN}x'", "'ann@example.org', 'plain'"]
)
def test_an_account_needs_its_domain_and_a_scheme(database: Database, values: str) -> None:
    assert database.psql("mail", f"INSERT INTO accounts (address, password) VALUES ({values})").returncode != 0
