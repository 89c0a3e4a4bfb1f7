"""A Postfix of a test's own: takes mail for its domains into Maildirs, sends other mail where MX records say."""

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from smtpd_classic.server.self_signed import make_self_signed
from tests.peers.name_server import resolving
from tests.peers.smtp import answers, new_mail
from tests.tools import need
from tests.waiting import until

__all__ = ["Postfix"]

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = {ip}, {plain_ip}
inet_protocols = ipv4
smtp_bind_address = {ip}
myhostname = mx.postfix.test
mydestination =
mynetworks = 127.0.0.1
local_transport = error:nobody lives here
local_recipient_maps =
alias_maps =
notify_classes =
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{folder}/config/users
virtual_alias_maps = texthash:{folder}/config/aliases
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {folder}/certificate.pem
smtpd_tls_key_file = {folder}/key.pem
smtpd_tls_received_header = yes
smtp_tls_policy_maps = inline:{{ {{plain.us.test=none}}, {{us.test=encrypt}} }}
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
bounce_size_limit = 1000000
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
{options}
"""

_LOGIN = """\
{ip}:{port} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_type=dovecot
  -o smtpd_sasl_path=private/logins
  -o smtpd_sasl_mechanism_filter={mechanism}
  -o smtpd_sasl_authenticated_header=yes
  -o smtpd_tls_security_level=encrypt
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject"""


class Postfix:
    """Listens on port 25 of two addresses, on `plain_ip` without TLS. `aliases` lead from address to address; on the
    ports of `logins` only who has logged in by this mechanism may send, and a socket of Dovecot's knows who that is.
    """

    ip, plain_ip = "127.0.0.2", "127.0.0.3"

    def __init__(
        self,
        folder: Path,
        domains: Sequence[str] = ("postfix.test", "plain.postfix.test"),
        *,
        users: Sequence[str] = ("ann",),
        aliases: Sequence[tuple[str, str]] = (),
        options: str = "",
        logins: Mapping[int, str] | None = None,
    ) -> None:
        self.folder = folder / "postfix"
        self._names = folder
        self.logins = self.folder / "queue" / "private" / "logins"
        self._make(domains, users, aliases, options)
        self._make_services(logins or {})

    def _make(
        self, domains: Sequence[str], users: Sequence[str], aliases: Sequence[tuple[str, str]], options: str
    ) -> None:
        folder, nobody = self.folder, pwd.getpwnam("nobody")
        need("postfix")
        for each in ("config", "queue", "data", "mail"):
            (folder / each).mkdir(parents=True)
        os.chown(folder / "mail", nobody.pw_uid, nobody.pw_gid)
        os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
        make_self_signed(str(folder / "certificate.pem"), str(folder / "key.pem"), ("mx.postfix.test",))
        boxes = [f"{user}@{domain} {domain}/{user}/" for domain in domains for user in users]
        (folder / "config" / "users").write_text("\n".join(boxes) + "\n")
        (folder / "config" / "aliases").write_text("".join(f"{alias} {target}\n" for alias, target in aliases))
        main = _MAIN.format(
            folder=folder,
            ip=self.ip,
            plain_ip=self.plain_ip,
            domains=", ".join(domains),
            uid=nobody.pw_uid,
            gid=nobody.pw_gid,
            options=options,
        )
        (folder / "config" / "main.cf").write_text(main)

    def _make_services(self, logins: Mapping[int, str]) -> None:
        services = Path("/usr/share/postfix/master.cf.dist").read_text()
        lines = [line for line in services.splitlines() if not line.startswith("smtp      inet")]
        lines.append(f"{self.ip}:25 inet n - n - - smtpd")
        lines.append(f"{self.plain_ip}:25 inet n - n - - smtpd\n  -o smtpd_tls_security_level=none")
        for port, mechanism in logins.items():
            lines.append(_LOGIN.format(ip=self.ip, port=port, mechanism=mechanism))
        text = "\n".join(lines).replace("  y   ", "  n   ") + "\n"
        (self.folder / "config" / "master.cf").write_text(text)

    def start(self) -> None:
        command = resolving(self._names, need("postfix"), "-c", self.folder / "config", "start")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr + self.log()
        until(lambda: answers(self.ip) and answers(self.plain_ip), 20, self.log)

    def stop(self) -> None:
        subprocess.run([need("postfix"), "-c", self.folder / "config", "stop"], check=True, capture_output=True)

    def queued(self, queue_id: str) -> str:
        """The envelope of a message in its queue, as postcat shows it; blank while it is on its way between two."""
        words = [need("postcat"), "-c", str(self.folder / "config"), "-e", "-q", queue_id]
        done = subprocess.run(words, capture_output=True, text=True)
        return "" if done.returncode else done.stdout

    def mail(self, address: str) -> list[bytes]:
        user, _, domain = address.partition("@")
        return new_mail(self.folder / "mail" / domain / user)

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else "no log"
