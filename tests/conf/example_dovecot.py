"""A Dovecot with the example files of its version, and a server that asks it for its accounts."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.dovecot import SHIPPED, DebianDovecot
from tests.instance import Instance, running
from tests.package.debian import debian_13
from tests.tools import need

__all__ = ["ACCOUNTS", "PASSWORD", "VERSIONS", "Pair", "example_of", "pair_with"]

Pair = tuple[DebianDovecot, Instance]
_EXAMPLES = Path(__file__).parents[2] / "conf" / "examples"
ACCOUNTS = "conf.d/98-accounts.conf"
DELIVERY, SCRIPT = "conf.d/99-smtpd-classic-lmtp.conf", "smtpd-classic-junk.sieve"
PASSWORD = "secret word"
VERSIONS = ["2.3", pytest.param("2.4", marks=pytest.mark.peers)]  # that of this machine, and that of Debian 13


def example_of(version: str, name: str = "") -> str:
    return (_EXAMPLES / f"dovecot-{version}{name}").read_text(encoding="utf-8")


@contextmanager
def pair_with(
    version: str, files: Mapping[str, str], places: Mapping[str, str], neighbour: Path | None = None
) -> Iterator[Pair]:
    """Run both. `files` are those of the example by their names under /etc/dovecot; `places` replace texts in them.
    `neighbour` is the folder of the program with the accounts, if it is reached by a file."""
    tree = debian_13() if version == "2.4" else None
    if tree is None:
        found = subprocess.run([need("dovecot"), "--version"], capture_output=True, text=True, check=True).stdout
        if not found.startswith(version):
            pytest.skip(f"the example is for Dovecot {version}, and this is {found}")
    base = Path(tempfile.mkdtemp(prefix="dovecot-"))
    base.chmod(0o755)
    try:
        with _mail_server(base) as instance:
            owner = (instance.folder / "mail").owner()
            (base / "mail").mkdir()
            shutil.chown(base / "mail", owner, (instance.folder / "mail").group())
            dovecot = DebianDovecot(base, tree, neighbour or base)
            for name, text in {**files, **_shipped(version)}.items():
                dovecot.add(name, _placed(text, places, base, owner), 0o644 if name == SCRIPT else 0o600)
            compiled = dovecot.run("sievec", str(dovecot.folder / SCRIPT))
            assert compiled.returncode == 0, compiled.stderr
            with dovecot.running():
                yield dovecot, instance
    finally:
        shutil.rmtree(base)


@contextmanager
def _mail_server(base: Path) -> Iterator[Instance]:
    """A server with the mailboxes and accounts of a Dovecot, which has its sockets in this folder."""
    with running(
        domain="example.org",
        server__mailbox=f"lmtp:unix:{base}/run/lmtp",
        server__accounts="dovecot",
        server__dovecot_auth=f"{base}/run/auth-client",
        server__dovecot_userdb=f"{base}/run/auth-userdb",
    ) as instance:
        yield instance


def _shipped(version: str) -> dict[str, str]:
    names = {DELIVERY: f"smtpd-classic-lmtp-{version}.conf", SCRIPT: SCRIPT}
    return {name: (SHIPPED / source).read_text(encoding="utf-8") for name, source in names.items()}


def _placed(text: str, places: Mapping[str, str], base: Path, owner: str) -> str:
    """The text with the places and users of the test."""
    own = {
        "/etc/dovecot/sieve": f"{base}/etc",
        "/etc/dovecot": f"{base}/etc",
        "/var/mail/dovecot": f"{base}/mail",
        "mail_gid = vmail": f"mail_gid = {(base / 'mail').stat().st_gid}",
        "= vmail": f"= {owner}",
        "smtpdc\n": f"{owner}\n",
    }
    for before, after in {**places, **own}.items():
        text = text.replace(before, after)
    return text
