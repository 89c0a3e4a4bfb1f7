"""When the server says that it runs with a new file, nobody serves by the old one any more."""

import os
import signal
import socket
import threading
from pathlib import Path

from smtpd_classic.runtime import Runtime
from tests.instance import running
from tests.waiting import until

GRACE_S = 1.0


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_a_reload_is_told_when_the_old_processes_have_let_go() -> None:
    with running() as instance:
        status = Runtime(str(instance.folder / "run")).status

        def state() -> str:
            found = status.read()
            return found.state if found is not None else ""

        before = until(lambda: status.read() if state() == "running" else None)
        assert before is not None
        receivers = [pid for name, pid in before.children.items() if name.startswith("receiver")]
        assert receivers
        for pid in receivers:
            os.kill(pid, signal.SIGSTOP)
        try:
            instance.reload()
            until(lambda: len(children(before.pid)) >= 2 * len(before.children), 20)
            threading.Event().wait(GRACE_S)
            assert state() == "reloading"
        finally:
            for pid in receivers:
                os.kill(pid, signal.SIGCONT)
        until(lambda: state() == "running")


def threads(pid: str) -> set[str]:
    try:
        return set(os.listdir(f"/proc/{pid}/task")) - {pid}
    except FileNotFoundError:
        return set()


def test_a_receiver_that_finishes_a_session_tests_no_lists_any_more() -> None:
    """Before the first client it has one thread besides the main one: that which tests the DNS lists."""
    with running() as instance:
        instance.set("server", "name_servers", "127.0.0.1:9")
        instance.set("server", "workers", "2")
        instance.set("filter", "blocklists", "list.test")
        instance.reload()
        status = Runtime(str(instance.folder / "run")).status

        def receivers() -> dict[str, set[str]]:
            found = status.read()
            assert found is not None
            return {str(pid): threads(str(pid)) for name, pid in found.children.items() if name.startswith("receiver")}

        def only_watched() -> dict[str, set[str]] | None:
            found = receivers()
            return found if all(len(each) == 1 for each in found.values()) else None

        watches = until(only_watched, 20)
        assert watches
        with socket.create_connection(("127.0.0.1", instance.ports["smtp"]), 20) as client:
            say = client.makefile("rwb", buffering=0)

            def command(line: bytes) -> bytes:
                say.write(line + b"\r\n")
                return say.readline()

            say.readline()
            assert command(b"HELO client.test").startswith(b"250")
            assert command(b"MAIL FROM:<>").startswith(b"250")
            assert command(b"RCPT TO:<postmaster>").startswith(b"250")
            assert command(b"DATA").startswith(b"354")
            (pid,) = (each for each, found in receivers().items() if len(found) > 1)
            instance.set("filter", "blocklists", "")
            instance.reload()
            until(lambda: not threads(pid) & watches[pid], 10)
            assert threads(pid), "the session goes on"
            assert command(b"Subject: x\r\n\r\n.").startswith(b"250")
