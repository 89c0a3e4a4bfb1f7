"""Dovecot as the one that knows the passwords of a Postfix."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools import need
from tests.waiting import until

__all__ = ["logins"]


@contextmanager
def logins(folder: Path, socket: Path, user: str, password: str) -> Iterator[None]:
    """Answers at the socket, in the order of Postfix's `smtpd_sasl_type = dovecot`."""
    folder.mkdir()
    (folder / "users").write_text(f"{user}:{{PLAIN}}{password}\n")
    (folder / "dovecot.conf").write_text(
        f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols =
ssl = no
auth_mechanisms = plain login scram-sha-256
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
service auth {{
  user = root
  unix_listener {socket} {{
    mode = 0666
  }}
}}
"""
    )
    (folder / "log").touch()
    process = subprocess.Popen([need("dovecot"), "-F", "-c", folder / "dovecot.conf"])
    try:
        until(
            lambda: b"starting up" in (folder / "log").read_bytes() and socket.exists(), 20, (folder / "log").read_text
        )
        yield
    finally:
        process.terminate()
        process.wait(60)
