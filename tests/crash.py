"""The death of programs, as by a loss of power: without a last word, and with all of their processes."""

import os
import select
import signal
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.bench.processes import tree
from tests.forking import ForkedProgram
from tests.waiting import until

__all__ = ["crash"]


def crash(program: subprocess.Popen[bytes] | subprocess.Popen[str] | ForkedProgram | None) -> None:
    """Kill a program and its descendants, and wait for the end of each: then none has a socket open any more. None: it
    does not run.
    """
    if program is None:
        return
    handles = []
    try:
        for pid in _stopped(program.pid):
            with suppress(ProcessLookupError):
                handles.append(os.pidfd_open(pid))
                os.kill(pid, signal.SIGKILL)
        for handle in handles:
            until(partial(_has_ended, handle), 30)
    finally:
        for handle in handles:
            os.close(handle)
    program.wait(30)


def _stopped(first: int) -> list[int]:
    """Stop a program and its descendants, so that none starts another one; they."""
    stopped: list[int] = []
    while fresh := [pid for pid in tree([first]) if pid not in stopped]:
        for pid in fresh:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
            until(partial(_is_still, pid), 30)
        stopped += fresh
    return stopped


def _is_still(pid: int) -> bool:
    """Whether it is stopped, dead or gone, see proc(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TtZX"
    except OSError:
        return True


def _has_ended(handle: int) -> bool:
    return bool(select.select([handle], [], [], 0)[0])
