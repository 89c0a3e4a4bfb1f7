"""The program, run by a process that has imported it once and forks for each run: to import it takes half a second.

A run is a process of its own, with its own environment, standard files and exit status. tests/server and tests/package
start the program as it is installed.
"""

import atexit
import gc
import json
import os
import pwd
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, NoReturn

from smtpd_classic import sendmail
from smtpd_classic.cli import COMMANDS, main

__all__ = ["ForkedProgram", "forking_program", "run_forked", "run_forked_sendmail"]

_LONGEST, _LONGEST_S = 1 << 17, 60.0
_MODULES = (
    *("smtpd_classic.daemon.sending", "smtpd_classic.daemon.single", "smtpd_classic.completion"),
    *("smtpd_classic.server.self_signed", "smtpd_classic.client.verifier", "smtpd_classic.commands.sendmail_modes"),
    *("cryptography.x509", "encodings.utf_8_sig"),
)


class _Request(NamedTuple):
    words: list[str]
    environment: dict[str, str]
    folder: str
    name: str = "smtpd-classic"  # or one of those of sendmail(1), or a module of the tests with a function main
    user: str = ""


class _Server:
    """The process that forks, as the tests see it. Thread-safe."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.forking", str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self.pid = process.pid
        self._socket = ours
        self._lock = threading.Lock()
        self._statuses: dict[int, int] = {}
        weakref.finalize(self, _end, ours, process)

    def fork(self, request: "_Request", files: Sequence[int]) -> int:
        """Start the program with these standard files. Return its process id."""
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(request).encode()], list(files))
            while (pid := self._hear()) is None:
                pass
            return pid

    def status(self, pid: int, timeout_s: float) -> int | None:
        """Return the exit status, and forget it; None if the program has not ended after the timeout."""
        deadline = time.monotonic() + timeout_s
        while True:
            with self._lock:
                while pid not in self._statuses and select.select((self._socket,), (), (), 0)[0]:
                    self._hear()
                if pid in self._statuses:
                    return self._statuses.pop(pid)
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            select.select((self._socket,), (), (), min(left_s, 0.05))  # another thread may read it

    def _hear(self) -> int | None:
        """Read one message. Return the process id if it is about a new process."""
        said = self._socket.recv(_LONGEST)
        assert said, "the process that forks has ended"
        pid, status = json.loads(said)
        if status is None:
            return int(pid)
        self._statuses[pid] = status
        return None


def _end(link: socket.socket, process: subprocess.Popen[bytes]) -> None:
    link.close()
    process.wait(10)


def _server() -> _Server:
    """The process that forks in the network of this thread."""
    return _server_in(os.readlink("/proc/thread-self/ns/net"))


@lru_cache(maxsize=2)
def _server_in(_network: str) -> _Server:
    return _Server()


class ForkedProgram:
    """A run of the program in a session of its own, with the methods of Popen that tests call.

    `files` are its standard files, `name` and `user` those of a _Request.
    """

    def __init__(
        self,
        words: Sequence[str],
        *files: int,
        environment: Mapping[str, str] = os.environ,
        folder: str = "",
        name: str = "smtpd-classic",
        user: str = "",
    ) -> None:
        self.returncode: int | None = None
        self._server = _server()
        request = _Request(list(words), dict(environment), folder or os.getcwd(), name, user)
        self.pid = self._server.fork(request, files)

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.status(self.pid, 0.0)
        return self.returncode

    def wait(self, timeout: float = 3600.0) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self.returncode = self._server.status(self.pid, timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_forked(
    words: Sequence[str], given: str | None = None, *, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, as subprocess.run does."""
    done = _run_to_its_end(
        lambda *files: ForkedProgram(words, *files, environment=environment), (given or "").encode(), _LONGEST_S
    )
    return subprocess.CompletedProcess(list(words), done.returncode, done.stdout.decode(), done.stderr.decode())


def run_forked_sendmail(
    name: str, words: Sequence[str], given: bytes, environment: Mapping[str, str], *, user: str, timeout_s: float
) -> subprocess.CompletedProcess[bytes]:
    """Run sendmail, mailq or newaliases to its end, as a user if one is named."""
    where = {"folder": "/", "user": user} if user else {}
    return _run_to_its_end(
        lambda *files: ForkedProgram(words, *files, environment=environment, name=name, **where), given, timeout_s
    )


def _run_to_its_end(
    start: Callable[..., ForkedProgram], given: bytes, timeout_s: float
) -> subprocess.CompletedProcess[bytes]:
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(given)
        stdin.seek(0)
        program = start(stdin.fileno(), stdout.fileno(), stderr.fileno())
        try:
            status = program.wait(timeout_s)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait(10)
            raise
        for file in (stdout, stderr):
            file.seek(0)
        return subprocess.CompletedProcess([], status, stdout.read(), stderr.read())


@contextmanager
def forking_program(path: Path) -> Iterator[None]:
    """Make a program that a shell may call as it calls smtpd-classic. It has its run forked, and waits for the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(f"{path}.socket")
        listening.listen()
        path.write_text(_PROGRAM.format(python=sys.executable, socket=f"{path}.socket"), encoding="utf-8")
        path.chmod(0o755)
        thread = threading.Thread(target=_fork_for_programs, args=(listening,))
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


_PROGRAM = """\
#!{python} -IS
import json, os, socket, sys
link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
link.connect({socket!r})
request = [sys.argv[1:], dict(os.environ), os.getcwd()]
socket.send_fds(link, [json.dumps(request).encode()], [0, 1, 2])
sys.exit(int(link.recv(20)))
"""


def _fork_for_programs(listening: socket.socket) -> None:
    """Serve one program after the other until the socket is shut down."""
    while True:
        try:
            link, _ = listening.accept()
        except OSError:
            return
        with link:
            said, files, _, _ = socket.recv_fds(link, _LONGEST, 3)
            request = _Request(*json.loads(said))
            program = ForkedProgram(request.words, *files, environment=request.environment, folder=request.folder)
            for each in files:
                os.close(each)
            link.send(str(program.wait(_LONGEST_S)).encode())


# The process that forks ---------------------------------------------------------------------------------------------


def _serve(link: socket.socket) -> _Request | None:
    """Fork for each request, until the tests end. Return the request in a child, None in this process."""
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    while True:
        ready, _, _ = select.select((link.fileno(), wake), (), ())
        if wake in ready:
            os.read(wake, 4096)
            _tell_ends(link)
        if link.fileno() in ready:
            said, files, _, _ = socket.recv_fds(link, _LONGEST, 3)
            if not said:
                return None
            request = _Request(*json.loads(said))
            if "." in request.name:
                import_module(request.name)  # once, for all children
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (wake, woken):
                    os.close(each)
                link.close()
                return _become(request, files)
            link.send(json.dumps([pid, None]).encode())
            for each in files:
                os.close(each)


def _tell_ends(link: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        link.send(json.dumps([pid, os.waitstatus_to_exitcode(status)]).encode())


def _become(request: _Request, files: Sequence[int]) -> _Request:
    """Take the environment, the standard files and the user of a run."""
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace", buffering=1)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    sys.argv = [request.name, *request.words]
    if request.user:
        who = pwd.getpwnam(request.user)
        os.setgroups([])
        os.setgid(who.pw_gid)
        os.setuid(who.pw_uid)
    return request


def _fork_for_tests() -> None:
    for name in (*_MODULES, *(f"smtpd_classic.commands.{each}" for each in COMMANDS if each != "import")):
        import_module(name)
    gc.freeze()  # the modules stay shared with the children
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    if request is not None:
        _run(request)


def _main(request: _Request) -> int:
    if request.name == "smtpd-classic":
        return main(request.words)
    if "." in request.name:
        return int(import_module(request.name).main(*request.words))
    return sendmail.main(sys.argv)


def _run(request: _Request) -> NoReturn:
    """Run the program, and end as the interpreter does, but leave the memory to the kernel: that saves much time."""
    status = 1
    try:
        status = _main(request)
    except Exception:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for file in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                file.flush()
        os._exit(status)


if __name__ == "__main__":
    _fork_for_tests()
