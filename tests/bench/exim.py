"""Exim as Debian builds it, into Maildirs."""

import os
import pwd
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

from tests.bench.peer import DOMAIN, USERS, Login, answers, count_new
from tests.instance import free_port
from tests.tools import TOOLS
from tests.waiting import until

__all__ = ["Exim"]


class Exim:
    name = "Exim"
    can: ClassVar[frozenset[str]] = frozenset({"local", "several", "kept", "relay"})
    share: ClassVar[float] = 0.1
    most_sessions: ClassVar[int] = 1000
    login: Login | None = None

    def start(self, folder: Path, relay: int) -> None:
        self.port = free_port()
        self.folder = folder
        subprocess.run(["useradd", "--system", "--user-group", "Debian-exim"], check=False, capture_output=True)
        owner = pwd.getpwnam("Debian-exim")
        for each in ("spool", "mail", "log"):
            (folder / each).mkdir(parents=True)
            os.chown(folder / each, owner.pw_uid, owner.pw_gid)
        folder.chmod(0o755)
        (folder / "users").write_text("".join(f"{user}: {user}\n" for user in USERS), encoding="utf-8")
        binary = TOOLS / "exim4-daemon-light" / "usr" / "sbin" / "exim4"
        (folder / "exim.conf").write_text(
            f"""spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
exim_path = {binary}
primary_hostname = mx.{DOMAIN}
domainlist local_domains = {DOMAIN}
daemon_smtp_ports = {self.port}
local_interfaces = 127.0.0.1
smtp_accept_max = 1500
smtp_accept_queue_per_connection = 0
queue_run_in_order = false
host_lookup =
rfc1413_query_timeout = 0s
acl_smtp_rcpt = accept
acl_smtp_data = accept
tls_advertise_hosts =
never_users =
begin routers
local:
  driver = accept
  domains = +local_domains
  local_parts = lsearch;{folder}/users
  transport = maildir
relay:
  driver = manualroute
  route_list = * 127.0.0.1
  transport = smtp
  self = send
begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = {folder}/mail/$local_part_data
  create_directory
  user = Debian-exim
  group = Debian-exim
smtp:
  driver = smtp
  port = {relay}
  allow_localhost
""",
            encoding="utf-8",
        )
        os.chown(folder / "exim.conf", 0, 0)
        self.process = subprocess.Popen([binary, "-C", folder / "exim.conf", "-bdf", "-q1m"], stderr=subprocess.DEVNULL)
        until(lambda: answers(self.port), 20, lambda: "Exim gives no banner")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def roots(self) -> list[int]:
        return [self.process.pid]

    def delivered(self) -> int:
        return count_new(self.folder / "mail")
