"""When the server says that it runs with a new file, nobody serves by the old one any more."""

import os
import signal
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
