"""A real Dovecot on our users file: the same people get in, the same stay out."""

import grp
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.accounts import add_account, change_account, hash_password, scram_hash
from tests.accounts.place import PASSWORD, Place
from tests.tools import need
from tests.waiting import until


def configuration(folder: Path, users: Path) -> str:
    me, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    return f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols =
ssl = no
auth_failure_delay = 0
default_internal_user = {me}
default_login_user = {me}
default_internal_group = {group}
mail_uid = {os.geteuid()}
mail_gid = {os.getegid()}
first_valid_uid = 0
mail_location = maildir:{folder}/mail/%d/%n
passdb {{
  driver = passwd-file
  args = username_format=%u {users}
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {users}
}}
service stats {{
  chroot =
}}
"""


class Dovecot:
    def __init__(self, folder: Path, file: Path) -> None:
        self.folder, self.file = folder, file

    def lets_in(self, login: str, password: str) -> bool:
        command = [need("doveadm"), "-c", str(self.file), "auth", "test", "-x", "no-penalty", login, password]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert "auth succeeded" in done.stdout or "auth failed" in done.stdout, done
        assert "nologin" not in done.stdout
        return done.returncode == 0

    def userdb(self, login: str) -> dict[str, str]:
        command = [need("doveadm"), "-c", str(self.file), "user", "-u", login]
        lines = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
        return {key.strip(): value for key, _, value in (line.partition(": ") for line in lines[1:])}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Everything written by our own edits."""
    place = Place(tmp_path_factory.mktemp("place"), "# the users\n")
    config = place.config
    stored = hash_password(PASSWORD)
    add_account(config, "joe", stored, full_name="Joe Döe", quota=12345, may_send_as=["*@shop.example", "b@c.example"])
    add_account(config, "Big.Ann@example.org", stored)
    for name, status in (("off", "disabled"), ("held", "suspended"), ("back", "suspended")):
        add_account(config, name, stored)
        change_account(config, name, status=status)
    change_account(config, "back", status="normal")
    add_account(config, "scram", scram_hash(PASSWORD))
    return place


@pytest.fixture(scope="module")
def dovecot(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    folder = tmp_path_factory.mktemp("dovecot")
    file = folder / "dovecot.conf"
    file.write_text(configuration(folder, place.users_file), encoding="utf-8")
    process = subprocess.Popen([need("dovecot"), "-F", "-c", str(file)])
    try:
        until((folder / "run" / "auth-client").exists, 20)
        yield Dovecot(folder, file)
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize(
    ("login", "welcome"),
    [
        ("joe", True),
        ("big.ann", True),
        ("scram", True),
        ("back", True),
        ("off", False),
        ("held", False),
        ("nobody", False),
    ],
)
def test_dovecot_and_we_let_in_the_same(place: Place, dovecot: Dovecot, login: str, *, welcome: bool) -> None:
    address = f"{login}@example.org"
    accounts = place.accounts()
    assert dovecot.lets_in(address, PASSWORD) is welcome
    assert (accounts.authenticate(address, PASSWORD) is not None) is welcome
    assert not dovecot.lets_in(address, "wrong")
    assert accounts.authenticate(address, "wrong") is None


def test_dovecot_sees_the_quota(dovecot: Dovecot) -> None:
    assert dovecot.userdb("joe@example.org")["quota_rule"] == "*:bytes=12345"
    assert "quota_rule" not in dovecot.userdb("big.ann@example.org")


def test_dovecot_finds_nothing_to_complain_about(dovecot: Dovecot) -> None:
    assert dovecot.lets_in("joe@example.org", PASSWORD)
    log = (dovecot.folder / "log").read_text(encoding="utf-8")
    assert not [line for line in log.splitlines() if "Error" in line or "Warning" in line]


def test_the_file_that_is_shipped_for_this_dovecot_is_accepted(tmp_path: Path) -> None:
    """Debian 12 has Dovecot 2.3, and Debian 13 has 2.4, which refuses a file for 2.3."""
    version = subprocess.run([need("dovecot"), "--version"], capture_output=True, text=True, check=True).stdout
    new = version.startswith("2.4")
    shipped = Path(__file__).parents[2] / "conf/dovecot" / f"smtpd-classic-{'2.4' if new else '2.3'}.conf"
    number = version.split()[0].split("-")[0]
    head = f"dovecot_config_version = {number}\ndovecot_storage_version = {number}\n" if new else ""
    me, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    text = shipped.read_text(encoding="utf-8").replace("mail_gid = smtpdc", f"mail_gid = {group}")
    file = tmp_path / "dovecot.conf"
    file.write_text(f"{head}protocols = imap\nssl = no\n{text.replace('smtpdc', me)}", encoding="utf-8")
    done = subprocess.run([need("doveconf"), "-n", "-c", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "rror" in line or "obsolete" in line.lower()]
    assert f"mail_uid = {me}" in done.stdout
