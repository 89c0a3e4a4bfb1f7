"""Logins for Postfix: Dovecot's authentication server, with the same kind of hash as ours and its cache switched on."""

import subprocess
from pathlib import Path

from argon2 import PasswordHasher

from tests.bench.peer import DOMAIN
from tests.tools import need
from tests.waiting import until

__all__ = ["Logins", "make_certificate"]


def make_certificate(folder: Path) -> None:
    """Of the kind that `init` makes, as certificate.pem and key.pem."""
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN=mx.{DOMAIN}", "-newkey", "ec"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(command, check=True, capture_output=True)


class Logins:
    name = f"joe@{DOMAIN}"
    password = "secret word"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "run" / "bench-auth"

    def start(self) -> None:
        self.folder.mkdir()
        hashed = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(self.password)
        users, file, log = self.folder / "users", self.folder / "dovecot.conf", self.folder / "log"
        users.write_text(f"{self.name}:{{ARGON2ID}}{hashed}::::::\n", encoding="utf-8")
        log.touch()
        log.chmod(0o666)
        file.write_text(
            f"""base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = {log}
protocols =
ssl = no
auth_mechanisms = plain login
auth_cache_size = 1M
passdb {{
  driver = passwd-file
  args = username_format=%u {users}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/
}}
service auth {{
  user = root
  vsz_limit = 1G
  unix_listener bench-auth {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
""",
            encoding="utf-8",
        )
        self._process = subprocess.Popen([need("dovecot"), "-F", "-c", str(file)])
        until(self.socket.exists, 20, lambda: log.read_text(encoding="utf-8"))

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
