"""Giving up root. What needs root to be tried is tried in a child that is root; elsewhere the refusals are."""

import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from smtpd_classic.daemon.privileges import PrivilegeProblem, drop, give, make_folder, service_user, unreachable_for
from tests.server.daemons import daemon

ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")


def as_root(script: str) -> str:
    """Run in a process of its own, because there is no way back."""
    assert ROOT, "these tests are run as root, whose privileges they are about"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_root_cannot_be_regained() -> None:
    said = as_root(
        """
import os
from smtpd_classic.daemon.privileges import drop, service_user
drop(service_user("nobody"))
tried = []
for what in (lambda: os.setuid(0), lambda: os.seteuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgid(0),
             lambda: os.setgroups([0]), lambda: os.open("/etc/shadow", os.O_RDONLY), lambda: os.chown("/", 0, 0)):
    try:
        what()
        tried.append("done")
    except PermissionError:
        tried.append("refused")
print(os.getresuid(), os.getresgid(), 0 in os.getgroups(), set(tried), oct(os.umask(0)))
"""
    )
    uid, gid = NOBODY.pw_uid, NOBODY.pw_gid
    assert said == f"{(uid,) * 3} {(gid,) * 3} False {{'refused'}} 0o77"


def test_capabilities_are_gone() -> None:
    said = as_root(
        """
from smtpd_classic.daemon.privileges import drop, service_user
drop(service_user("nobody"))
print([line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapPrm"))])
"""
    )
    assert said == "['0000000000000000', '0000000000000000']"


def test_who_is_not_root_stays_who_it_is() -> None:
    said = as_root(
        """
import os
from smtpd_classic.daemon.privileges import drop, service_user
os.setresuid(65534, 65534, 65534)
drop(service_user("whoever"))
print(os.getuid())
"""
    )
    assert said == "65534"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("root", "[server] user is “root”, which is root; name a user without privileges."),
        (
            "no-such-user",
            "There is no user “no-such-user”, which [server] user names; make it with “useradd --system no-such-user”.",
        ),
    ],
)
def test_users_that_are_refused(name: str, sentence: str) -> None:
    assert ROOT, "a server that was not started as root needs no user"
    with pytest.raises(PrivilegeProblem) as caught:
        service_user(name)
    assert str(caught.value) == sentence


def test_a_server_that_would_stay_root_does_not_start() -> None:
    with daemon() as found:
        found.file.write_text(found.file.read_text().replace("user = nobody", "user = root"))
        done = found.command("serve")
        assert done.returncode == 77
        assert "which is root" in done.stderr


def test_all_of_a_running_server_has_given_up_root() -> None:
    with daemon("workers = 2") as found:
        found.start()
        assert found.process is not None
        pids = [found.process.pid, *found.children().values()]
        assert len(pids) == 4
        for pid in pids:
            status = Path(f"/proc/{pid}/status").read_text()
            uids = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
            assert set(uids) == {str(NOBODY.pw_uid if ROOT else os.getuid())}


def test_a_folder_is_made_for_the_user(tmp_path: Path) -> None:
    assert ROOT, "only root can give folders away"
    path = tmp_path / "a" / "b"
    make_folder(str(path), NOBODY, 0o700)
    found = path.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (NOBODY.pw_uid, 0o700)
    assert path.parent.stat().st_uid == 0
    make_folder(str(path), NOBODY, 0o755)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_what_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    assert ROOT, "only root can give folders away"
    daemon_user = pwd.getpwnam("daemon")
    folder = tmp_path / "folder"
    folder.mkdir()
    os.chown(folder, daemon_user.pw_uid, -1)
    with pytest.raises(PrivilegeProblem, match="belongs to user daemon and not to nobody"):
        make_folder(str(folder), NOBODY, 0o700)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PrivilegeProblem, match="cannot be made"):
        make_folder(str(tmp_path / "link"), NOBODY, 0o700)
    assert tmp_path.stat().st_uid == 0


def test_a_file_with_two_names_is_not_given_away(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.link(tmp_path / "file", tmp_path / "other name")
    give(str(tmp_path / "file"), NOBODY)
    assert (tmp_path / "file").stat().st_uid == os.getuid()


def test_a_folder_in_a_place_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PrivilegeProblem, match="cannot be made"):
        make_folder(str(tmp_path / "file" / "folder"), None, 0o700)


def test_the_way_to_a_place(tmp_path: Path) -> None:
    place = tmp_path / "open" / "closed" / "x"
    place.mkdir(parents=True)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            assert unreachable_for(NOBODY, str(place)) != ""
            break
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "open" / "closed").chmod(0o700)
    assert unreachable_for(NOBODY, str(place)) != ""
    assert unreachable_for(NOBODY, "/usr/bin/env") == ""
    assert unreachable_for(NOBODY, "/no/such/place") == ""


def test_nothing_is_dropped_without_a_user() -> None:
    before = os.getresuid()
    mask = os.umask(0o022)
    try:
        drop(None)
        assert os.getresuid() == before
        assert os.umask(0o022) == 0o077
    finally:
        os.umask(mask)
