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

__all__ = ["dovecot"]


SHIPPED = Path(__file__).parent.parent / "conf" / "dovecot" / "smtpd-classic-2.3.conf"


def _shipped(folder: Path, owner: str) -> str:
    """The file that is shipped for Dovecot 2.3, with the places and the user of an instance."""
    text = SHIPPED.read_text(encoding="utf-8")
    text = text.replace("/var/mail/smtpd-classic", f"{folder}/mail").replace("/etc/smtpd-classic", str(folder))
    text = text.replace("mail_gid = smtpdc", f"mail_gid = {pwd.getpwnam(owner).pw_gid}").replace("smtpdc", owner)
    return text.replace("first_valid_uid = 100", "first_valid_uid = 1")


@contextmanager
def dovecot(instance: Instance) -> Iterator[int]:
    """The port of a running IMAP server on 127.0.0.1. Dovecot itself wants root."""
    port = free_port()
    owner = pwd.getpwuid((instance.folder / "mail").stat().st_uid).pw_name
    base = Path(tempfile.mkdtemp(prefix="dovecot-"))
    base.chmod(0o755)
    file = base / "dovecot.conf"
    file.write_text(
        f"""
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
{_shipped(instance.folder, owner)}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
""",
        encoding="utf-8",
    )
    (base / "log").touch()
    os.chmod(base / "log", 0o666)
    process = subprocess.Popen([need("dovecot"), "-F", "-c", str(file)])
    try:
        until(lambda: b"starting up" in (base / "log").read_bytes(), 20, (base / "log").read_text)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(base)
