"""The servers that are measured, each set up to take mail for bench.test into Maildirs, as durable as it comes.

A peer is given a folder of its own on the common disk. `relay` is the port of a sink: mail for anybody else goes there.
"""

import contextlib
import grp
import os
import pwd
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from tests.instance import Instance, free_port
from tests.tools import TOOLS, need
from tests.waiting import until

__all__ = ["PEERS", "Peer"]

DOMAIN = "bench.test"
# smtp-source counts the recipients of one message down to the bare one.
USERS = ("joe", "u", *(f"{number}u" for number in range(2, 51)))


class Peer(Protocol):
    name: str
    port: int

    def start(self, folder: Path, relay: int) -> None: ...
    def stop(self) -> None: ...
    def roots(self) -> list[int]: ...
    def delivered(self) -> int: ...


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            return connection.recv(200).startswith(b"220")
    except OSError:
        return False


def count_new(mail: Path) -> int:
    """Messages in all Maildirs below a folder."""
    total = 0
    with contextlib.suppress(FileNotFoundError):
        for user in os.scandir(mail):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                total += sum(1 for _ in os.scandir(f"{user.path}/new"))
    return total


class Ours:
    name = "smtpd-classic"

    def start(self, folder: Path, relay: int) -> None:
        self.server = Instance(folder / "instance", DOMAIN)
        for user in USERS[1:]:
            made = self.server.run("user", "add", f"{user}@{DOMAIN}", "--password-stdin", input="secret word")
            assert made.returncode == 0, made.stderr
        for section, option, value in (
            ("trusted", "hosts", "127.0.0.0/8"),
            ("remote", "look_up_mx", "no"),
            ("remote", "relay_always", "yes"),
            ("remote", "relay_hosts", f"127.0.0.1:{relay}"),
            ("access", "max_connections", "4000"),
        ):
            self.server.set(section, option, value)
        self.server.start()
        self.port = self.server.ports["smtp"]

    def stop(self) -> None:
        self.server.stop()

    def roots(self) -> list[int]:
        assert self.server.process is not None
        return [self.server.process.pid]

    def delivered(self) -> int:
        return count_new(self.server.folder / "mail" / DOMAIN)


class Postfix:
    name = "Postfix"

    def start(self, folder: Path, relay: int) -> None:
        self.port = free_port()
        self.folder = folder
        for each in ("config", "queue", "data", "mail"):
            (folder / each).mkdir(parents=True)
        owner = pwd.getpwnam("nobody")
        os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
        os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
        (folder / "config" / "main.cf").write_text(
            f"""compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.{DOMAIN}
mydestination =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{folder}/config/users
virtual_minimum_uid = 1
virtual_uid_maps = static:{owner.pw_uid}
virtual_gid_maps = static:{owner.pw_gid}
relayhost = [127.0.0.1]:{relay}
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_client_connection_count_limit = 0
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
alias_maps =
""",
            encoding="utf-8",
        )
        lines = [f"{user}@{DOMAIN} {user}/" for user in USERS]
        (folder / "config" / "users").write_text("\n".join(lines) + "\n", encoding="utf-8")
        services = Path("/usr/share/postfix/master.cf.dist").read_text(encoding="utf-8")
        lines = [line for line in services.splitlines() if not line.startswith("smtp      inet")]
        lines.append(f"127.0.0.1:{self.port} inet n - n - - smtpd")
        text = "\n".join(lines).replace("  y   ", "  n   ") + "\n"
        (folder / "config" / "master.cf").write_text(text, encoding="utf-8")
        subprocess.run([need("postfix"), "-c", folder / "config", "start"], check=True, capture_output=True)
        until(lambda: answers(self.port), 20, (folder / "log").read_text)

    def stop(self) -> None:
        subprocess.run([need("postfix"), "-c", self.folder / "config", "stop"], check=True, capture_output=True)

    def roots(self) -> list[int]:
        return [int((self.folder / "queue" / "pid" / "master.pid").read_text())]

    def delivered(self) -> int:
        return count_new(self.folder / "mail")


class Exim:
    name = "Exim"

    def start(self, folder: Path, relay: int) -> None:
        self.port = free_port()
        self.folder = folder
        with contextlib.suppress(KeyError):
            pwd.getpwnam("Debian-exim")
            grp.getgrnam("Debian-exim")
        subprocess.run(["adduser", "--system", "--group", "--no-create-home", "--quiet", "Debian-exim"], check=False)
        owner = pwd.getpwnam("Debian-exim")
        for each in ("spool", "mail", "log"):
            (folder / each).mkdir(parents=True)
            os.chown(folder / each, owner.pw_uid, owner.pw_gid)
        folder.chmod(0o755)
        (folder / "exim.conf").write_text(
            f"""spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
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
  directory = {folder}/mail/$local_part
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
        binary = TOOLS / "exim4-daemon-light" / "usr" / "sbin" / "exim4"
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


AIOSMTPD = """
import mailbox, sys, threading
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
Controller(Mailbox(sys.argv[1]), hostname="127.0.0.1", port=int(sys.argv[2])).start()
threading.Event().wait()
"""


class Aiosmtpd:
    """Its own handler for Maildirs; it does not relay."""

    name = "aiosmtpd"

    def start(self, folder: Path, relay: int) -> None:
        self.port = free_port()
        self.folder = folder
        folder.mkdir(parents=True)
        self.process = subprocess.Popen([sys.executable, "-c", AIOSMTPD, str(folder / "all"), str(self.port)])
        until(lambda: answers(self.port), 20, lambda: "aiosmtpd gives no banner")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(20)

    def roots(self) -> list[int]:
        return [self.process.pid]

    def delivered(self) -> int:
        return count_new(self.folder)


PEERS: tuple[type[Peer], ...] = (Ours, Postfix, Exim, Aiosmtpd)
