"""A whole server of its own for a test: made by `init`, on free ports, started and stopped as a person would."""

import fcntl
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from smtpd_classic.config.editing import Edited
from tests.forking import ForkedProgram, run_forked
from tests.once import made_once, quick_hash
from tests.waiting import until

__all__ = ["Instance", "free_port", "running"]

START_S = 60.0  # on a machine that does much else
NAME, PASSWORD = "smtpd-classic.conf", "secret word"


_RANGE = 400
_given: deque[int] = deque(maxlen=_RANGE * 3 // 4)  # the last ones, which may not be bound yet


def free_port() -> int:
    """A port that is free on both loopback addresses now."""
    for port in _own_ports():
        if port not in _given and _is_free(port):
            _given.append(port)
            return port
    raise AssertionError(f"no free port in {_own_ports()}")


def _is_free(port: int) -> bool:
    try:
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
    except OSError:
        return False
    return True


@cache
def _own_ports() -> range:
    """The ports of this process: as long as it lives, no other test process of this machine takes one of them."""
    for start in range(12000, 32000, _RANGE):  # below those that the kernel gives to clients
        with suppress(OSError):
            lock = os.open(f"/tmp/smtpd-classic-tests-{start}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                raise
            return range(start, start + _RANGE)
    raise AssertionError("too many test processes run on this machine")


def _run(file: Path, *words: str, given: str | None, code: Path | None) -> subprocess.CompletedProcess[str]:
    if code is None:
        return run_forked(["--config", str(file), *words], given)
    command = [sys.executable, "-m", "smtpd_classic", "--config", str(file), *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, cwd=code)


def _init(folder: Path, domain: str, code: Path | None = None) -> None:
    words = ("init", str(folder), "--domain", domain, "--user", "joe", "--password-stdin")
    made = _run(folder / NAME, *words, given=PASSWORD, code=code)
    assert made.returncode == 0, made.stderr


def _copy(domain: str, folder: Path) -> None:
    """Make the folder as `init` would; only the name of the log holds the folder's path."""
    pattern = made_once(f"instance-{domain}", lambda folder: _make_pattern(folder, domain))
    subprocess.run(["cp", "-a", pattern, folder], check=True)
    file = folder / NAME
    log = re.compile(r"^log = .*/log/", re.MULTILINE)
    file.write_text(log.sub(f"log = {folder}/log/", file.read_text(encoding="utf-8")), encoding="utf-8")


def _make_pattern(folder: Path, domain: str) -> None:
    """Run `init`, and take a hash that is verified at once."""
    _init(folder, domain)
    users = folder / "users"
    text = re.sub(r"\{ARGON2ID\}[^:\n]*", lambda _: quick_hash(PASSWORD), users.read_text(encoding="utf-8"))
    users.write_text(text, encoding="utf-8")


class Instance:
    """`login` and `password` are those of the first account; `ports` those of smtp, submission and submissions.
    `code` is the folder of the program, when it is another one than that of the tests."""

    def __init__(self, folder: Path, domain: str = "example.test", code: Path | None = None) -> None:
        self.folder = folder
        self.code = code
        self.domain = domain
        self.file = folder / NAME
        if code is None:
            _copy(domain, folder)
        else:
            _init(folder, domain, code)
        self.login, self.password = f"joe@{domain}", PASSWORD
        self.ports = {name: free_port() for name in ("smtp", "submission", "submissions")}
        options = {(f"listener {name}", "port"): str(port) for name, port in self.ports.items()}
        # The tests of these switch them on; no other depends on DNS.
        self.set_all(options | {("authentication", "check"): "no", ("filter", "sender_domain"): "no"})
        self.process: subprocess.Popen[str] | ForkedProgram | None = None

    def run(self, *words: str, input: str | None = None) -> subprocess.CompletedProcess[str]:  # noqa: A002
        """Run `smtpd-classic` on this instance's file."""
        return _run(self.file, *words, given=input, code=self.code)

    def set(self, section: str, option: str, value: str) -> None:
        self.set_all({(section, option): value})

    def set_all(self, values: Mapping[tuple[str, str], str]) -> None:
        """Set options by section and name, in this process: a command for each would take a third of a second."""
        edited = Edited(self.file)
        for (section, option), value in values.items():
            edited.set(section, option, value)
        edited.apply()

    def start(self, *prefix: str) -> None:
        """`prefix` is a command that runs another, such as prlimit with its options."""
        words = ["--config", str(self.file), "serve"]
        with (self.folder / "stderr").open("a") as errors, open(os.devnull, "rb") as nothing:
            if self.code is None and not prefix:
                self.process = ForkedProgram(words, nothing.fileno(), 1, errors.fileno())
            else:
                command = [*prefix, sys.executable, "-m", "smtpd_classic", *words]
                self.process = subprocess.Popen(command, stdin=nothing, stderr=errors, text=True, cwd=self.code)
        until(self._answers, START_S, lambda: f"no banner: {self.said()}{self.log()}")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said() + self.log()
        try:
            with socket.create_connection(("127.0.0.1", self.ports["smtp"]), 5) as connection:
                return connection.recv(200).startswith(b"220")
        except OSError:
            return False

    def stop(self) -> int:
        """End it by SIGTERM; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self.process = None
        return status

    def kill(self) -> None:
        """Kill the first process, and wait until no process has the ports any more."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        until(lambda: all(map(_is_free, self.ports.values())), 30)

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def said(self) -> str:
        return (self.folder / "stderr").read_text(encoding="utf-8", errors="replace")

    def log(self) -> str:
        paths = [path for path in self.folder.rglob("*.log") if path.is_file()]
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)

    def mail(self, user: str = "joe", domain: str | None = None) -> list[Path]:
        """The new messages of a mailbox, oldest first."""
        folder = self.folder / "mail" / (domain or self.domain) / user / "new"
        return sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns) if folder.is_dir() else []

    def wait_for_mail(self, count: int = 1, user: str = "joe", timeout_s: float = 20.0) -> list[Path]:
        until(
            lambda: len(self.mail(user)) >= count, timeout_s, lambda: f"{len(self.mail(user))} of {count}: {self.log()}"
        )
        return self.mail(user)

    def tls(self) -> ssl.SSLContext:
        """A context that takes this instance's self-made certificate and no other."""
        context = ssl.create_default_context(cafile=str(self.folder / "tls" / "certificate.pem"))
        context.check_hostname = False
        return context


@contextmanager
def running(domain: str = "example.test", **options: str) -> Iterator[Instance]:
    """A started instance; `options` are SECTION__OPTION="value" pairs set before the start."""
    # Not below pytest's folder, which only its owner may enter: the server gives up root.
    folder = Path(tempfile.mkdtemp(prefix="smtpd-classic-"))
    folder.chmod(0o755)
    instance = Instance(folder / "instance", domain)
    try:
        split = [(name.partition("__"), value) for name, value in options.items()]
        instance.set_all({(section.replace("_", "-"), option): value for (section, _, option), value in split})
        instance.start()
        yield instance
    finally:
        if instance.process is not None:
            instance.stop()
        shutil.rmtree(folder, ignore_errors=True)
