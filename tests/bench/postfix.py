"""Postfix as Debian sets it up, into Maildirs, with Dovecot for its logins."""

import os
import pwd
import subprocess
from pathlib import Path
from typing import ClassVar

from tests.bench.logins import Logins, make_certificate
from tests.bench.peer import DOMAIN, USERS, Login, answers, count_new
from tests.instance import free_port
from tests.tools import need
from tests.waiting import until

__all__ = ["Postfix"]


class Postfix:
    name = "Postfix"
    can: ClassVar[frozenset[str]] = frozenset({"local", "several", "kept", "relay", "login"})
    share: ClassVar[float] = 1.0
    most_sessions: ClassVar[int] = 1000
    login: Login | None = None
    more = ""  # of main.cf

    def start(self, folder: Path, relay: int) -> None:
        self.port = free_port()
        self.folder = folder
        for each in ("config", "queue", "data", "mail"):
            (folder / each).mkdir(parents=True)
        owner = pwd.getpwnam("nobody")
        os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
        os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
        make_certificate(folder / "config")
        self._logins = Logins(folder / "dovecot")
        self._logins.start()
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
smtpd_tls_cert_file = {folder}/config/certificate.pem
smtpd_tls_key_file = {folder}/config/key.pem
smtpd_tls_security_level = may
smtpd_tls_session_cache_database =
smtpd_sasl_type = dovecot
smtpd_sasl_path = {self._logins.socket}
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
alias_maps =
{self.more}""",
            encoding="utf-8",
        )
        lines = [f"{user}@{DOMAIN} {user}/" for user in USERS]
        (folder / "config" / "users").write_text("\n".join(lines) + "\n", encoding="utf-8")
        services = Path("/usr/share/postfix/master.cf.dist").read_text(encoding="utf-8")
        lines = [line for line in services.splitlines() if not line.startswith("smtp      inet")]
        submission = free_port()
        self.login = Login(submission, self._logins.name, self._logins.password)
        lines.append(f"127.0.0.1:{self.port} inet n - n - - smtpd")
        lines.append(f"127.0.0.1:{submission} inet n - n - - smtpd")
        lines += ["  -o smtpd_tls_security_level=encrypt", "  -o smtpd_sasl_auth_enable=yes"]
        lines += ["  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject"]
        text = "\n".join(lines).replace("  y   ", "  n   ") + "\n"
        (folder / "config" / "master.cf").write_text(text, encoding="utf-8")
        subprocess.run([need("postfix"), "-c", folder / "config", "start"], check=True, capture_output=True)
        until(lambda: answers(self.port), 20, (folder / "log").read_text)

    def stop(self) -> None:
        subprocess.run([need("postfix"), "-c", self.folder / "config", "stop"], check=True, capture_output=True)
        self._logins.stop()

    def roots(self) -> list[int]:
        return [int((self.folder / "queue" / "pid" / "master.pid").read_text()), self._logins.pid]

    def delivered(self) -> int:
        return count_new(self.folder / "mail")
