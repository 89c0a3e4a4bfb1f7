"""The death of programs, as by a loss of power: without a last word, and with all of their processes."""

import os
import signal
import subprocess
from contextlib import suppress

from tests.bench.processes import tree
from tests.forking import ForkedProgram

__all__ = ["crash"]


def crash(program: subprocess.Popen[bytes] | subprocess.Popen[str] | ForkedProgram | None) -> None:
    """Kill a program and its descendants, and wait for its end; None: it does not run."""
    if program is None:
        return
    for pid in tree([program.pid]):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    program.wait(30)
