"""A Dovecot of a test's own that stores mail by LMTP: a passwd-file of its own, the shipped files, an auth socket."""

import base64
import hmac
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.crash import crash
from tests.instance import free_port
from tests.tools import need
from tests.waiting import until

__all__ = ["MailStoreServer", "mail_store_server"]

SHIPPED = Path(__file__).parent.parent / "conf" / "dovecot"


class MailStoreServer:
    """A running Dovecot. `users`: the limit of each address in octets, 0 for none. The password is “secret word”."""

    _TOKEN_KEY = b"a key of the test's own, long enough"

    def __init__(self, base: Path, users: Mapping[str, int], owner: str, queries: str = "") -> None:
        """`queries` are those of Dovecot's SQL driver to a database that has the users in place of the file."""
        self.base = base
        self.owner = owner
        self._queries = queries
        self.port = free_port()
        self.socket = base / "run" / "lmtp"
        self.auth = base / "run" / "auth-client"
        self.userdb = base / "run" / "auth-userdb"
        self._process: subprocess.Popen[bytes] | None = None
        self._users: tuple[str, ...] = ()
        self.sender_log: Callable[[], str] = lambda: ""  # that of the server that sends to it
        self.set_users(users)
        (base / "log").touch()
        os.chmod(base / "log", 0o666)
        (base / "mail").mkdir()
        shutil.chown(base / "mail", owner)
        for name in ("smtpd-classic-junk.sieve",):
            shutil.copy(SHIPPED / name, base / name)
        subprocess.run([need("sievec"), base / "smtpd-classic-junk.sieve"], check=True)
        (base / "sql.conf").write_text(queries, encoding="utf-8")
        (base / "dovecot.conf").write_text(self._configuration(), encoding="utf-8")
        key = base / "keys" / "default" / "HS256" / "default"
        key.parent.mkdir(parents=True)
        key.write_bytes(base64.b64encode(self._TOKEN_KEY))
        (base / "oauth2.conf").write_text(
            f"introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={base}/keys/\n"
            "username_attribute = sub\n"
        )

    def token(self, user: str) -> str:
        """A token (RFC 7519) that lets the user in by OAUTHBEARER and XOAUTH2."""
        now = int(time.time())
        parts = [
            {"alg": "HS256", "typ": "JWT", "kid": "default"},
            {"sub": user, "iat": now, "nbf": now, "exp": now + 3600},
        ]
        text = b".".join(_base64url(json.dumps(each).encode()) for each in parts)
        return (text + b"." + _base64url(hmac.digest(self._TOKEN_KEY, text, "sha256"))).decode()

    def set_users(self, users: Mapping[str, int]) -> None:
        lines = [
            f"{name}:{{PLAIN}}secret word:::::: userdb_quota_rule=*:bytes={limit}" for name, limit in users.items()
        ]
        file = self.base / "users"
        before = file.stat().st_mtime if file.exists() else time.time()
        gone = [name for name in self._users if name not in users]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.utime(file, (before + 2, before + 2))  # Dovecot compares whole seconds
        self._users = tuple(users)
        if self._process is not None:  # it looks at the file once a second at most
            wanted = dict.fromkeys(gone, "") | {name: f"*:bytes={limit}" for name, limit in users.items()}
            until(lambda: all(self._rule(name) == rule for name, rule in wanted.items()), 20)

    def _rule(self, name: str) -> str:
        """The limit of a user as Dovecot knows it; blank for no user."""
        command = [need("doveadm"), "-c", str(self.base / "dovecot.conf"), "user", "-f", "quota_rule", name]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def _configuration(self) -> str:
        shipped = (SHIPPED / "smtpd-classic-lmtp-2.3.conf").read_text(encoding="utf-8")
        shipped = shipped.replace("/etc/dovecot/sieve", str(self.base)).replace("smtpdc", self.owner)
        return f"""
base_dir = {self.base}/run
state_dir = {self.base}/state
log_path = {self.base}/log
protocols =
listen = 127.0.0.1
ssl = no
auth_failure_delay = 0
mail_home = {self.base}/mail/%d/home/%n
mail_location = maildir:{self.base}/mail/%d/%n
mail_uid = {self.owner}
mail_gid = {pwd.getpwnam(self.owner).pw_gid}
first_valid_uid = 1
auth_username_chars =
{self._accounts()}
mail_plugins = $mail_plugins quota
plugin {{
  quota = maildir:User quota
}}
service lmtp {{
  inet_listener lmtp {{
    port = {self.port}
  }}
}}
{shipped}
"""

    def _accounts(self) -> str:
        if self._queries:  # oauth2 beside them is the end of Dovecot 2.3
            lookup = f"driver = sql\n  args = {self.base}/sql.conf"
            return f"auth_mechanisms = plain login\npassdb {{\n  {lookup}\n}}\nuserdb {{\n  {lookup}\n}}"
        return f"""
auth_mechanisms = plain login scram-sha-256 oauthbearer xoauth2
passdb {{
  driver = passwd-file
  args = username_format=%u {self.base}/users
}}
passdb {{
  driver = oauth2
  mechanisms = oauthbearer xoauth2
  args = {self.base}/oauth2.conf
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {self.base}/users
}}
"""

    def start(self) -> None:
        before = self.log().count("starting up")
        self._process = subprocess.Popen([need("dovecot"), "-F", "-c", str(self.base / "dovecot.conf")])
        until(lambda: self.log().count("starting up") > before, 20, self.log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)
        self._process = None

    def kill(self) -> None:
        """End all its processes at once, as a crash does."""
        crash(self._process)
        self._process = None

    def processes(self, name: str = "") -> list[int]:
        """The processes of Dovecot beside the first one; those with this name, if one is given."""
        assert self._process is not None
        first = self._process.pid
        numbers = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [int(each) for each in numbers if not name or Path(f"/proc/{each}/comm").read_text().strip() == name]

    def log(self) -> str:
        return (self.base / "log").read_text(errors="replace")

    def mail(self, address: str, folder: str = "") -> list[str]:
        user, domain = address.split("@")
        files = (self.base / "mail" / domain / user / folder / "new").glob("*")
        return [path.read_text(errors="replace") for path in files]

    def arrives(self, address: str, *words: str, folder: str = "") -> str:
        """Return the message with these words, once it is there."""

        def found() -> list[str]:
            return [text for text in self.mail(address, folder) if all(word in text for word in words)]

        return until(found, 60, lambda: f"no {words} for {address}:\n{self.log()}\n{self.sender_log()}")[0]


def _base64url(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


@contextmanager
def mail_store_server(users: Mapping[str, int], owner: str, queries: str = "") -> Iterator[MailStoreServer]:
    """A running Dovecot 2.3; it wants root. `owner` is the system user of the mail and of the socket."""
    base = Path(tempfile.mkdtemp(prefix="dovecot-"))
    base.chmod(0o755)
    server = MailStoreServer(base, users, owner, queries)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(base)
