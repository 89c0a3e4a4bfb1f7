"""A PostgreSQL of a test's own, on a socket in a folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import until

__all__ = ["Database", "accounts_in", "postgresql"]

_SCHEMA = Path(__file__).parents[1] / "conf" / "examples" / "postgresql-schema.sql"


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        pytest.fail(f"{name} is missing: “make tools” installs it.", pytrace=False)
    return str(found[-1])


class Database:
    """PostgreSQL refuses to run as root, so all of it runs as another user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.must(_program("initdb"), "-D", f"{folder}/data", "-A", "trust", "-U", "admin", "--no-sync", "-E", "UTF8")
        where = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        self.process = subprocess.Popen(
            [_program("postgres"), "-D", f"{folder}/data", *where], user=self._as(), stderr=subprocess.DEVNULL
        )
        until(lambda: self.psql("postgres", "SELECT 1").returncode == 0, 30, lambda: "PostgreSQL does not start")

    def _as(self) -> str | None:
        return self.user if os.geteuid() == 0 else None

    def must(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, user=self._as(), cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def psql(self, database: str, query: str, role: str = "admin") -> subprocess.CompletedProcess[str]:
        where = ["-h", str(self.folder), "-U", role, "-d", database]
        command = [_program("psql"), *where, "-XAtq", "-v", "ON_ERROR_STOP=1"]
        return subprocess.run(command, input=query, capture_output=True, text=True, timeout=60)


def accounts_in(made: Database, rows: str) -> None:
    """Fill a database “mail” with the tables of the shipped schema, and these rows of accounts of example domains."""
    assert made.psql("postgres", "CREATE DATABASE mail").returncode == 0
    query = (
        f"{_SCHEMA.read_text(encoding='utf-8')}INSERT INTO domains VALUES ('example.org'), ('example.test');"
        f"INSERT INTO accounts (address, password, quota_mb, login) VALUES {rows};"
    )
    loaded = made.psql("mail", query)
    assert loaded.returncode == 0, loaded.stderr


@contextmanager
def postgresql() -> Iterator[Database]:
    """A running PostgreSQL that lets in each role without a password."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    folder.chmod(0o755)  # for the users of the programs that connect
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
    made = Database(folder)
    try:
        yield made
    finally:
        made.process.terminate()
        made.process.wait(30)
        shutil.rmtree(folder)
