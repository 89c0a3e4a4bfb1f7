"""sendmail, mailq and newaliases as pip installs them, for an instance of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.forking import run_forked_sendmail
from tests.instance import Instance

__all__ = ["Programs"]

_ROOT = Path(__file__).parents[2]
_SCRIPT = f"""\
#!{sys.executable}
import sys
sys.path.insert(0, {str(_ROOT)!r})
from smtpd_classic.sendmail import main
sys.exit(main())
"""


class Programs:
    """`folder` holds them; `public` is a configuration that every user may read, and that says where the server is."""

    def __init__(self, server: Instance) -> None:
        self.server = server
        self.folder = server.folder / "bin"
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        for name in ("sendmail", "mailq", "newaliases"):
            path = self.folder / name
            path.write_text(_SCRIPT)
            path.chmod(0o755)
        self.public = self.folder / "public.conf"
        self.public.write_text(
            f"[server]\nrun_folder = {server.folder}/run\nspool_folder = {server.folder}/spool\n", encoding="utf-8"
        )

    @property
    def sendmail(self) -> str:
        return str(self.folder / "sendmail")

    @property
    def maildrop(self) -> Path:
        return self.server.folder / "spool" / "maildrop"

    def environment(self, *, public: bool = False) -> dict[str, str]:
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        config = self.public if public else self.server.file
        kept = {name: value for name, value in os.environ.items() if name != "NAME"}
        return kept | {"PATH": path, "SMTPD_CLASSIC_CONFIG": str(config), "LC_ALL": "C.UTF-8"}

    def run(
        self, *words: str | bytes, message: bytes = b"", user: str = "", timeout_s: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """`words` begin with the program's name. As `user`, only the public configuration can be read."""
        assert not user or os.geteuid() == 0, "as a user needs root"
        program, *rest = map(os.fsdecode, words)
        environment = self.environment(public=bool(user))
        return run_forked_sendmail(program, rest, message, environment, user=user, timeout_s=timeout_s)
