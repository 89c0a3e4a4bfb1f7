"""An Exim of a test's own: takes mail for its domains into Maildirs, sends other mail where MX records say."""

import os
import pwd
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from smtpd_classic.server.self_signed import make_self_signed
from tests.peers.name_server import resolving
from tests.peers.smtp import answers, new_mail
from tests.tools import TOOLS, need
from tests.waiting import until

__all__ = ["Exim"]

_USER = "Debian-exim"  # compiled into Debian's binary
_CONFIG = """\
exim_path = {binary}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
primary_hostname = mx.exim.test
domainlist local_domains = exim.test : plain.exim.test
hostlist relay_from = 127.0.0.1
daemon_smtp_ports = 25
local_interfaces = {ip} : {plain_ip}
host_lookup =
rfc1413_query_timeout = 0s
dns_ipv4_lookup = *
disable_ipv6
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = accept
tls_advertise_hosts = ${{if eq{{$received_ip_address}}{{{ip}}}{{*}}}}
tls_certificate = {folder}/certificate.pem
tls_privatekey = {folder}/key.pem
accept_8bitmime
deliver_drop_privilege
keep_environment =
never_users =
begin acl
acl_rcpt:
  accept domains = +local_domains
         verify = recipient
  deny   domains = +local_domains
         message = no such user here
  accept hosts = +relay_from
  deny   message = relay not permitted
begin routers
box:
  driver = accept
  domains = +local_domains
  local_parts = ann
  transport = maildir
nobody:
  driver = redirect
  domains = +local_domains
  allow_fail
  data = :fail: no such user here
us:
  driver = dnslookup
  domains = us.test
  transport = encrypted
  self = send
  no_more
others:
  driver = dnslookup
  transport = plain
  self = send
  no_more
begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = {folder}/mail/$domain_data/$local_part_data
  create_directory
  user = {user}
  group = {user}
encrypted:
  driver = smtp
  allow_localhost
  interface = {ip}
  hosts_require_tls = *
plain:
  driver = smtp
  allow_localhost
  interface = {ip}
  hosts_avoid_tls = *
begin retry
*  *  F,1h,5m
"""


class Exim:
    """Listens on port 25 of two addresses, on `plain_ip` without TLS; sends with TLS only to us.test."""

    ip, plain_ip = "127.0.0.4", "127.0.0.5"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "exim"
        self._names = folder
        self._binary = TOOLS / "exim4-daemon-light" / "usr" / "sbin" / "exim4"
        if not self._binary.exists():
            pytest.fail("Exim is missing: “make tools” unpacks it.", pytrace=False)
        owner = _service_user()
        for each in ("spool", "mail", "log"):
            (self.folder / each).mkdir(parents=True)
        make_self_signed(str(self.folder / "certificate.pem"), str(self.folder / "key.pem"), ("mx.exim.test",))
        for each in ("spool", "mail", "log", "certificate.pem", "key.pem"):
            os.chown(self.folder / each, owner.pw_uid, owner.pw_gid)
        text = _CONFIG.format(
            binary=self._binary, folder=self.folder, ip=self.ip, plain_ip=self.plain_ip, user=owner.pw_name
        )
        (self.folder / "exim.conf").write_text(text)

    def start(self) -> None:
        words = resolving(self._names, self._binary, "-C", self.folder / "exim.conf", "-bdf", "-q1m")
        with (self.folder / "stderr").open("w") as errors:
            self.process = subprocess.Popen(words, stderr=errors)
        until(lambda: answers(self.ip) and answers(self.plain_ip), 20, self.log)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def mail(self, address: str) -> list[bytes]:
        user, _, domain = address.partition("@")
        return new_mail(self.folder / "mail" / domain / user)

    def log(self) -> str:
        paths = [self.folder / "stderr", *(self.folder / "log").iterdir()]
        return "".join(path.read_text(errors="replace") for path in paths)


def _service_user() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam(_USER)
    command = [need("useradd"), "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", _USER]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        return pwd.getpwnam(_USER)  # another test process may have been first
    except KeyError:
        pytest.fail(f"Exim needs the system user {_USER}: {done.stderr}", pytrace=False)
