"""A Debian of its own in a folder, with its own processes and network, to install the package into."""

import atexit
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.tools import need
from tests.waiting import until

__all__ = ["Debian", "bare_debian", "build", "clean_debian", "debian_13", "version_changed"]

ROOT = Path(__file__).parents[2]
_NEEDS = "python3 python3-argon2 python3-cryptography openssl adduser procps"
# The first process of the namespace; as such it has to look after the children of others.
_BEGIN = """
ip link set lo up
mount -t proc proc {0}/proc
mount -t tmpfs -o mode=755 tmpfs {0}/run
exec chroot {0} sh -c 'while sleep 0.2; do :; done'
"""


def build(target: Path) -> Path:
    """The package as “make deb” builds it."""
    done = _run(str(ROOT / "conf" / "debian" / "build"), sys.executable, str(target))
    assert done.returncode == 0, done.stdout + done.stderr
    return next(target.glob("smtpd-classic_*_all.deb"))


def version_changed(package: Path, version: str, folder: Path) -> Path:
    """The same package as a later version."""
    tree = folder / "tree"
    assert _run("dpkg-deb", "-R", str(package), str(tree)).returncode == 0
    control = tree / "DEBIAN" / "control"
    lines = control.read_text().splitlines()
    control.write_text(
        "".join(f"Version: {version}\n" if each.startswith("Version:") else f"{each}\n" for each in lines)
    )
    later = folder / f"smtpd-classic_{version}_all.deb"
    assert _run("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", str(tree), str(later)).returncode == 0
    return later


def _run(*command: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def bare_debian(folder: Path, codename: str = "") -> Path:
    """The smallest Debian, of the release of this machine or another."""
    codename = codename or next(
        line.partition("=")[2].strip('"')
        for line in Path("/etc/os-release").read_text().splitlines()
        if line.startswith("VERSION_CODENAME=")
    )
    made = _run(need("debootstrap"), "--variant=minbase", codename, str(folder), timeout=1200)
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    for name in ("resolv.conf", "hosts"):
        shutil.copyfile(f"/etc/{name}", folder / "etc" / name)
    return folder


def bootstrap(folder: Path, codename: str = "", packages: str = _NEEDS) -> Path:
    """A Debian with these packages: those that ours depends on."""
    bare_debian(folder, codename)
    policy = folder / "usr" / "sbin" / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")  # nothing starts while it is installed, in the network of this machine
    policy.chmod(0o755)
    install = (
        f"apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends {packages}"
    )
    done = _run("chroot", str(folder), "sh", "-c", install, timeout=1200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (folder / "etc" / "mailname").write_text("example.org\n")
    # There is no init process that would tell whether services may be started: they may.
    policy.write_text("#!/bin/sh\nexit 0\n")
    return folder


@cache
def debian_13() -> Path:
    """A tree of Debian 13 with the programs that are tried there, once for all tests of a process."""
    folder = Path(tempfile.mkdtemp(prefix="smtpd-classic-trixie-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    programs = "dovecot-imapd dovecot-ldap dovecot-lmtpd dovecot-pgsql dovecot-sieve lintian valkey-server"
    return bootstrap(folder, "trixie", programs)


class Debian:
    def __init__(self, root: Path, first_process: int) -> None:
        self.root = root
        self._enter = ("nsenter", f"--target={first_process}", "--net", "--pid", "--mount")

    def run(self, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a line of shell in it, as root."""
        return _run(*self._enter, "chroot", str(self.root), "sh", "-c", command, timeout=timeout)

    def beside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this machine among its processes and in its network."""
        return _run(*self._enter, *command)

    def must(self, command: str) -> str:
        done = self.run(command)
        assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def install(self, package: Path) -> str:
        shutil.copy(package, self.root / "root")
        done = self.run(f"DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i /root/{package.name}")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@contextmanager
def clean_debian(base: Path) -> Iterator[Debian]:
    """A copy of `base` that runs until the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="smtpd-classic-debian-"))
    root = folder / "root"
    done = _run("cp", "-a", "--reflink=auto", str(base), str(root))
    assert done.returncode == 0, done.stderr
    isolated = (need("unshare"), "--net", "--pid", "--mount", "--fork", "--kill-child")
    with subprocess.Popen([*isolated, "sh", "-c", _BEGIN.format(root)]) as process:
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            first = until(lambda: children.read_text().split(), 10)[0]
            until(lambda: Path(f"/proc/{first}/root").resolve() == root, 10)
            yield Debian(root, int(first))
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(folder)
