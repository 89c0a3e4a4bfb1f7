"""What is in the Debian package."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.package.debian import build, debian_13
from tests.tools import need


class Member(NamedTuple):
    mode: str
    owner: str
    path: str
    target: str


class Package(NamedTuple):
    file: Path
    members: dict[str, Member]
    control: Path
    tree: Path


def out(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("package")
    file = build(folder)
    members = {}
    for line in out("dpkg-deb", "-c", str(file)).splitlines():
        mode, owner, _, _, _, name = line.split(maxsplit=5)
        path, _, target = name.partition(" -> ")
        members[path[1:]] = Member(mode, owner, path[1:], target)
    out("dpkg-deb", "-e", str(file), str(folder / "control"))
    out("dpkg-deb", "-x", str(file), str(folder / "tree"))
    return Package(file, members, folder / "control", folder / "tree")


@pytest.mark.peers
@pytest.mark.parametrize("where", ["on this machine", "on Debian 13"])
def test_lintian_finds_no_error_and_no_warning(package: Package, where: str) -> None:
    command, file = [need("lintian")], package.file
    if where == "on Debian 13":
        tree = debian_13()
        file = Path(shutil.copy(package.file, tree / "root"))
        command, file = ["chroot", str(tree), "lintian"], Path("/root", file.name)
    command += ["--allow-root", "--fail-on", "error,warning", str(file)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stdout


def test_it_is_the_one_mail_server_of_a_machine(package: Package) -> None:
    control = dict(re.findall(r"^([\w-]+): (.*)$", (package.control / "control").read_text(), re.M))
    assert control["Architecture"] == "all"
    for field in ("Provides", "Conflicts", "Replaces"):
        assert control[field] == "mail-transport-agent"


def test_everything_is_roots_and_nobody_else_writes(package: Package) -> None:
    for each in package.members.values():
        assert each.owner == "root/root", each
        assert each.mode[0] == "l" or (each.mode[5], each.mode[8]) == ("-", "-"), each
        assert "s" not in each.mode[1:], each


def test_nothing_in_it_is_for_one_kind_of_machine(package: Package) -> None:
    assert not [path for path in package.members if path.endswith((".so", ".pyc", ".pyd", ".exe"))]


def test_every_program_is_there_with_a_manual(package: Package) -> None:
    programs = {"/usr/sbin/smtpd-classic": 8, "/usr/sbin/smtpd-classic-tui": 8, "/usr/sbin/sendmail": 1}
    programs |= {"/usr/bin/mailq": 1, "/usr/bin/newaliases": 1}
    for path, section in programs.items():
        assert path in package.members
        assert f"/usr/share/man/man{section}/{Path(path).name}.{section}.gz" in package.members
    for path in ("/usr/bin/mailq", "/usr/bin/newaliases", "/usr/lib/sendmail"):
        assert package.members[path].target == "../sbin/sendmail"


def test_every_library_is_there(package: Package) -> None:
    """But for those with native code, which Debian has."""
    modules = "/usr/lib/smtpd-classic/modules"
    for name in ("smtpd_classic", "spool", "tui", "dns", "urwid", "configupdater", "filelock", "idna", "tnefparse"):
        assert f"{modules}/{name}/__init__.py" in package.members
    for part in ("accounts", "commands", "reception", "retry", "submission", "tnef"):
        assert f"{modules}/smtpd_classic/{part}/__init__.py" in package.members
    for name in ("argon2", "cryptography"):
        assert f"{modules}/{name}/__init__.py" not in package.members
    assert f"{modules}/tests/__init__.py" not in package.members


def test_what_is_in_etc_is_the_administrators(package: Package) -> None:
    inside = {path for path, each in package.members.items() if path.startswith("/etc/") and each.mode[0] == "-"}
    assert set((package.control / "conffiles").read_text().split()) == inside
    assert "/etc/init.d/smtpd-classic" in inside
    assert not [path for path in inside if path.startswith("/etc/smtpd-classic/")], "made by the first installation"


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm"])
def test_a_script_is_one(name: str, package: Package) -> None:
    script = package.control / name
    assert script.stat().st_mode & 0o777 == 0o755
    out("sh", "-n", str(script))
    out(need("shellcheck"), "-s", "sh", str(script))


def test_the_links_to_the_libraries_lead_there(package: Package) -> None:
    """For each Python that there may be."""
    private = package.tree / "usr/lib/smtpd-classic"
    links = sorted(private.glob("lib/python3.*/site-packages"))
    assert len(links) >= 4
    for link in links:
        assert link.resolve() == (private / "modules").resolve()
