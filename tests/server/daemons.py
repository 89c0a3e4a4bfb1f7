"""A daemon as it is started by an administrator, with a configuration that the test writes."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smtpd_classic.runtime import DaemonStatus, Runtime
from tests.forking import ForkedProgram, run_forked
from tests.instance import free_port
from tests.no_names import no_names
from tests.once import quick_hash
from tests.server.certificates import make_pair
from tests.server.serving import Dialog
from tests.waiting import until

__all__ = ["PASSWORD", "USER", "Daemon", "daemon"]

USER, PASSWORD = "joe@test.example", "secret word"
_START_S = 30.0
_FOLDERS = ("spool", "mail", "run", "log", "tls")


class Daemon:
    """`options` are lines for [server]; `rest` is everything behind the one listener, or instead of it."""

    def __init__(self, folder: Path, *, tls: bool) -> None:
        self.folder = folder
        self.file = folder / "smtpd-classic.conf"
        self.port = free_port()
        self.environment = dict(os.environ)
        for name in _FOLDERS:
            (folder / name).mkdir()
        if tls:
            make_pair(folder / "tls")
        (folder / "users").write_text(f"{USER}:{quick_hash(PASSWORD)}\n")
        (folder / "aliases").write_text(f"postmaster@test.example: {USER}\n")
        self.runtime = Runtime(str(folder / "run"))
        self.process: subprocess.Popen[str] | ForkedProgram | None = None

    def write(self, options: str = "", rest: str = "", listener: str = "tls = none") -> None:
        self.file.write_text(
            f"[server]\nprimary_domain = test.example\nuser = nobody\nspool_folder = spool\nmail_folder = mail\n"
            f"run_folder = run\nlog = {self.folder}/log/smtpd-classic.log\ncertificate = tls/certificate.pem\n"
            f"private_key = tls/key.pem\nname_servers = {no_names()}\n{options}\n"
            f"[listener smtp]\naddress = 127.0.0.1\nport = {self.port}\n{listener}\n{rest}\n"
            "[filter]\nsender_domain = no\n"
        )
        self.give()

    def give(self) -> None:
        """What root has written is to be the service user's."""
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (self.folder, *self.folder.rglob("*")):
                if path.lstat().st_uid == 0:
                    os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run_forked(["--config", str(self.file), *words], environment=self.environment)

    def start(self, *prefix: str) -> "Daemon":
        """`prefix` is a command that runs another."""
        words = ["--config", str(self.file), "serve"]
        with (self.folder / "stderr").open("w") as errors, open(os.devnull, "rb") as nothing:
            if prefix:
                line = [*prefix, sys.executable, "-m", "smtpd_classic", *words]
                self.process = subprocess.Popen(
                    line, stdin=nothing, stderr=errors, text=True, env=self.environment, start_new_session=True
                )
            else:
                files = (nothing.fileno(), 1, errors.fileno())
                self.process = ForkedProgram(words, *files, environment=self.environment)
        until(self._running, _START_S, lambda: f"it does not run: {self.said()}{self.log()}")
        return self

    def _running(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said() + self.log()
        status = self.status()
        return status is not None and status.pid == self.process.pid and status.state == "running"

    def status(self) -> DaemonStatus | None:
        return self.runtime.status.read()

    def children(self) -> dict[str, int]:
        status = self.status()
        assert status is not None
        return status.children

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def reload(self) -> DaemonStatus:
        """Send SIGHUP and wait for what comes of it."""
        before = self.status()
        assert before is not None
        self.signal(signal.SIGHUP)

        def answered() -> DaemonStatus | None:
            status = self.status()
            new = status is not None and status.generation > before.generation and status.state == "running"
            return status if new else None

        found = until(answered, _START_S, self.log)
        assert found is not None
        return found

    def wait(self, timeout_s: float = 20.0) -> int:
        assert self.process is not None
        return self.process.wait(timeout_s)

    def dial(self, port: int = 0) -> Dialog:
        return Dialog(port or self.port, 20.0)

    def log(self) -> str:
        path = self.folder / "log/smtpd-classic.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def said(self) -> str:
        path = self.folder / "stderr"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def mail(self) -> list[Path]:
        return sorted((self.folder / "mail/test.example/joe/new").glob("*"))


@contextmanager
def daemon(options: str = "", rest: str = "", listener: str = "tls = none", *, tls: bool = False) -> Iterator[Daemon]:
    """A daemon that is not started yet, below /tmp: the server gives up root and could not enter pytest's folder."""
    folder = Path(tempfile.mkdtemp(prefix="smtpd-classic-test-"))
    folder.chmod(0o755)
    found = Daemon(folder, tls=tls)
    found.write(options, rest, listener)
    try:
        yield found
    finally:
        if found.process is not None and found.process.poll() is None:
            found.process.kill()
            found.process.wait()
        shutil.rmtree(folder, ignore_errors=True)
