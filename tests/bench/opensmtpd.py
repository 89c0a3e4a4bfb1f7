"""OpenSMTPD as Debian builds it, into Maildirs. Its paths are compiled in, so it runs in a mount namespace of its own
in which the unpacked package lies over /usr and /var."""

import os
import pwd
import shlex
import subprocess
from pathlib import Path
from typing import ClassVar

from tests.bench.peer import DOMAIN, USERS, Login, answers, count_new
from tests.bench.processes import tree
from tests.instance import free_port
from tests.tools import TOOLS
from tests.waiting import until

__all__ = ["OpenSmtpd"]

_NAMESPACE = """set -e
mount -t overlay overlay -o lowerdir={package}/usr:/usr /usr
mount -t overlay overlay -o lowerdir={package}/var:/var,upperdir={folder}/upper,workdir={folder}/work /var
mount -t tmpfs tmpfs /run
mount --bind {folder}/resolv.conf /etc/resolv.conf
mkdir -p /var/spool/smtpd
chmod 711 /var/spool/smtpd
exec /usr/sbin/smtpd -d -f {folder}/smtpd.conf
"""


class OpenSmtpd:
    """It relays, too, but opens its connections to one host so slowly that there is nothing to compare."""

    name = "OpenSMTPD"
    can: ClassVar[frozenset[str]] = frozenset({"local", "several", "kept"})
    share: ClassVar[float] = 0.1
    most_sessions: ClassVar[int] = 5  # with ten, a new connection waits for seconds, and nothing is busy
    login: Login | None = None

    def start(self, folder: Path, relay: int) -> None:
        self.port = free_port()
        self.folder = folder
        for each in ("mail", "upper", "work"):
            (folder / each).mkdir(parents=True)
        for user in ("opensmtpd", "opensmtpq"):
            subprocess.run(["useradd", "--system", "--user-group", user], check=False, capture_output=True)
        owner = pwd.getpwnam("nobody")
        os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
        ids = f"{owner.pw_uid}:{owner.pw_gid}:{folder}/mail"
        (folder / "users").write_text("".join(f"{user} {ids}\n" for user in USERS), encoding="utf-8")
        # Every client is looked up by its address, and there may be no DNS here.
        (folder / "resolv.conf").write_text("lookup file\n", encoding="utf-8")
        file = folder / "smtpd.conf"
        file.write_text(
            f"""table users file:{folder}/users
listen on 127.0.0.1 port {self.port} hostname mx.{DOMAIN}
smtp max-message-size 35M
smtp limit max-mails 100000
action "here" maildir "{folder}/mail/%{{dest.user}}" userbase <users>
action "away" relay host smtp://127.0.0.1:{relay}
match from any for domain "{DOMAIN}" action "here"
match from local for any action "away"
""",
            encoding="utf-8",
        )
        file.chmod(0o644)
        script = _NAMESPACE.format(package=shlex.quote(str(TOOLS / "opensmtpd")), folder=shlex.quote(str(folder)))
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=log, stderr=log)
        until(lambda: answers(self.port), 20, (folder / "log").read_text)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def roots(self) -> list[int]:
        return tree([self._process.pid])

    def delivered(self) -> int:
        return count_new(self.folder / "mail")
