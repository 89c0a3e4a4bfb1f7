"""Start the server: with the service manager or init script if the system has one, else as a separate process."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

from smtpd_classic.config import Config
from smtpd_classic.runtime import Runtime
from tui.widgets.text import clean

__all__ = ["ServerDidNotStart", "start_server"]

_PATIENCE_S = 20.0
_LOOK_S = 0.2


def start_server(config: Config) -> str:
    """Start the server, wait until it runs, and return a sentence. Raises ServerDidNotStart."""
    runtime = Runtime(config.server.run_folder)
    if runtime.status.running() is not None:
        return "The server runs already."
    command = _system_command()
    if command:
        result = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
        said = result.stderr if result.returncode else ""
    else:
        command = [sys.executable, "-m", "smtpd_classic", "--config", config.path, "serve"]
        said = _run_alone(command, runtime)
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and not said:
        status = runtime.status.running()
        if status is not None and status.state == "running":
            return f"The server runs, started by “{clean(' '.join(command), 200)}”."
        time.sleep(_LOOK_S)
    raise ServerDidNotStart(clean(said, 600) or "it did not say within 20 seconds that it runs; its log tells more")


class ServerDidNotStart(Exception):
    """The failure of a start; `str()` gives the output of the command, or says that the time is over."""


def _system_command() -> list[str]:
    if os.geteuid() != 0:
        return []
    if os.path.isdir("/run/systemd/system") and shutil.which("systemctl"):
        known = subprocess.run(["systemctl", "cat", "smtpd-classic"], capture_output=True, check=False)
        if known.returncode == 0:
            return ["systemctl", "start", "smtpd-classic"]
    if os.access("/etc/init.d/smtpd-classic", os.X_OK):
        return ["/etc/init.d/smtpd-classic", "start"]
    return []


def _run_alone(command: list[str], runtime: Runtime) -> str:
    """Start a process that outlives this program. Return its output if it ends at once; blank if it keeps running."""
    with tempfile.TemporaryFile() as words:  # not a pipe: it would break when this program ends
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True, cwd="/"
        )
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and runtime.status.running() is None:
            if process.poll() is not None:
                words.seek(0)
                return words.read(4096).decode("utf-8", "replace") or f"it ended with code {process.returncode}"
            time.sleep(_LOOK_S)
    return ""
