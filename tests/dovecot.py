"""A Dovecot of a test's own, over an instance's users file and Maildirs, without a second list of users."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.instance import Instance, free_port
from tests.tools import need
from tests.waiting import until

__all__ = ["SHIPPED", "DebianDovecot", "dovecot", "lmtp_text"]

SHIPPED = Path(__file__).parent.parent / "conf" / "dovecot"
# What differs between the versions outside of the file that is shipped for each.
BEGINNINGS = {
    "2.3": "protocols = imap\ndisable_plaintext_auth = no\n",
    "2.4": (
        "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n!include_try /etc/dovecot/conf.d/*.conf\n"
        "protocols {\n  imap = yes\n  lmtp = yes\n}\nauth_allow_cleartext = yes\n"
    ),
}
# In a mount namespace of its own: the folders of the test at the same places in the other tree.
ENTER = """
set -e
tree=$1; shift
for folder in "$1" "$2"; do mkdir -p "$tree$folder"; mount --bind "$folder" "$tree$folder"; done
shift 2
mount --bind /dev "$tree/dev"
mount -t proc proc "$tree/proc"
exec chroot "$tree" "$@"
"""


def _in_tree(tree: Path | None, folders: tuple[Path, Path], program: str, *words: str) -> list[str]:
    """The command of a program of this machine, or of one in the tree that sees these folders."""
    if tree is None:
        return [need(program), *words]
    names = [str(each) for each in (tree, *folders)]
    return [need("unshare"), "--mount", "sh", "-c", ENTER, "sh", *names, program, *words]


def _shipped(folder: Path, owner: str, version: str) -> str:
    """The file that is shipped for this version, with the places and the user of an instance."""
    text = (SHIPPED / f"smtpd-classic-{version}.conf").read_text(encoding="utf-8")
    text = text.replace("/var/mail/smtpd-classic", f"{folder}/mail").replace("/etc/smtpd-classic", str(folder))
    text = text.replace("mail_gid = smtpdc", f"mail_gid = {pwd.getpwnam(owner).pw_gid}").replace("smtpdc", owner)
    return text.replace("first_valid_uid = 100", "first_valid_uid = 1")


def lmtp_text(folder: Path, owner: str, version: str, port: int) -> str:
    """The file that is shipped for delivery by LMTP, with a port, and its script in the folder."""
    shutil.copy(SHIPPED / "smtpd-classic-junk.sieve", folder)
    text = (SHIPPED / f"smtpd-classic-lmtp-{version}.conf").read_text(encoding="utf-8")
    text = text.replace("/etc/dovecot/sieve", str(folder)).replace("smtpdc", owner)
    return f"{text}\nservice lmtp {{\n  inet_listener lmtp {{\n    port = {port}\n  }}\n}}\n"


@contextmanager
def dovecot(instance: Instance, version: str = "2.3", tree: Path | None = None, more: str = "") -> Iterator[int]:
    """The port of a running IMAP server on 127.0.0.1: that of this machine, or that in the tree of another Debian.
    Dovecot itself wants root. `more` is added to its configuration."""
    port = free_port()
    owner = pwd.getpwuid((instance.folder / "mail").stat().st_uid).pw_name
    base = Path(tempfile.mkdtemp(prefix="dovecot-"))
    base.chmod(0o755)
    file = base / "dovecot.conf"
    file.write_text(
        f"""
{BEGINNINGS[version]}
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
listen = 127.0.0.1
ssl = no
auth_mechanisms = plain login
{_shipped(instance.folder, owner, version)}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
{more}
""",
        encoding="utf-8",
    )
    (base / "log").touch()
    os.chmod(base / "log", 0o666)
    words = ["-F", "-c", str(file)]
    process = subprocess.Popen(_in_tree(tree, (instance.folder, base), "dovecot", *words))
    try:
        until(lambda: b"starting up" in (base / "log").read_bytes(), 20, (base / "log").read_text)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(base)


class DebianDovecot:
    """A Dovecot with Debian's own configuration, to which files were added as an administrator adds them."""

    def __init__(self, base: Path, tree: Path | None, neighbour: Path) -> None:
        """`base` gets all its files. `neighbour` is the folder of another program that it talks to."""
        self.base = base
        self.folder = base / "etc"
        self._tree = tree
        self._neighbour = neighbour
        shutil.copytree((tree or Path("/")) / "etc/dovecot", self.folder, symlinks=True)
        file = self.folder / "conf.d" / "10-auth.conf"
        text = file.read_text(encoding="utf-8")
        assert "\n!include auth-system.conf.ext\n" in text
        file.write_text(text.replace("\n!include auth-system.conf.ext\n", "\n"), encoding="utf-8")

        (self.folder / "conf.d" / "10-ssl.conf").unlink()  # its certificate is not on every machine
        (self.folder / "conf.d" / "99-test.conf").write_text(
            f"base_dir = {base}/run\nstate_dir = {base}/state\nlog_path = {base}/log\nauth_failure_delay = 0\n"
            "protocols = lmtp\nssl = no\nfirst_valid_uid = 1\n"
        )
        (base / "log").touch()
        (base / "log").chmod(0o666)

    def add(self, name: str, text: str, mode: int) -> None:
        """Write a file, named from /etc/dovecot."""
        (self.folder / name).write_text(text, encoding="utf-8")
        (self.folder / name).chmod(mode)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start it. It opens no port."""
        process = subprocess.Popen(self._command("dovecot", "-F", "-c", str(self.folder / "dovecot.conf")))
        try:
            until(lambda: "starting up" in self.log(), 20, self.log)
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)

    def _command(self, program: str, *words: str) -> list[str]:
        return _in_tree(self._tree, (self._neighbour, self.base), program, *words)

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._command(program, *words), capture_output=True, text=True, timeout=60)

    def doveadm(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("doveadm", "-c", str(self.folder / "dovecot.conf"), *words)

    def log(self) -> str:
        return (self.base / "log").read_text(encoding="utf-8", errors="replace")
