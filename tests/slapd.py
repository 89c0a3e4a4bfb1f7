"""An OpenLDAP server of a test's own, at a port of its own, which is killed and started as a test wants."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.crash import crash
from tests.instance import free_port
from tests.tools import need
from tests.waiting import until

__all__ = ["Directory", "slapd"]

CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {folder}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix "dc=example,dc=org"
rootdn "cn=dovecot,dc=example,dc=org"
rootpw secret
directory {folder}/data
index mail eq
"""


class Directory:
    def __init__(self, folder: Path, entries: str) -> None:
        self.port = free_port()
        self._file = folder / "slapd.conf"
        self._file.write_text(CONFIG.format(folder=folder), encoding="utf-8")
        (folder / "data").mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        command = [need("slapadd"), "-f", str(self._file)]
        added = subprocess.run(command, input=entries, capture_output=True, text=True, timeout=60)
        assert added.returncode == 0, added.stderr

    def start(self) -> None:
        command = [need("slapd"), "-d", "0", "-f", str(self._file), "-h", f"ldap://127.0.0.1:{self.port}"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until(self._answers, 20, lambda: "slapd does not start")

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        crash(self._process)
        self._process = None


@contextmanager
def slapd(entries: str) -> Iterator[Directory]:
    """A running server with these entries, as LDIF."""
    folder = Path(tempfile.mkdtemp(prefix="slapd-"))
    made = Directory(folder, entries)
    made.start()
    try:
        yield made
    finally:
        made.kill()
        shutil.rmtree(folder)
