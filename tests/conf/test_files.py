"""The files beside the server, read by the programs that they are for."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.instance import Instance
from tests.reception.test_log_readers import written
from tests.server.certificates import put_pair
from tests.tools import need

CONF = Path(__file__).parents[2] / "conf"
SCRIPTS = sorted(path for path in CONF.rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh"))


def run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | environ)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(CONF)))
def test_a_script_is_one(path: Path) -> None:
    assert run("sh", "-n", str(path)).returncode == 0
    assert os.access(path, os.X_OK)
    found = run(need("shellcheck"), "-s", "sh", str(path))
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(("mode", "matched"), [("auth", 3), ("normal", 5), ("aggressive", 5)])
def test_fail2ban_finds_who_guesses_and_who_tries_to_relay(mode: str, matched: int, tmp_path: Path) -> None:
    """Where a log holds two refused recipients and three failed logins."""
    shutil.copytree("/etc/fail2ban", tmp_path / "fail2ban")
    shutil.copytree(CONF / "fail2ban", tmp_path / "fail2ban", dirs_exist_ok=True)
    (tmp_path / "world").mkdir()
    log = written(tmp_path / "world")
    program = (need("fail2ban-regex"), "-c", str(tmp_path / "fail2ban"))
    found = run(*program, str(log), f"smtpd-classic[mode={mode}]")
    assert re.search(rf"^Lines: \d+ lines, 0 ignored, {matched} matched", found.stdout, re.M), found.stdout


def test_fail2ban_takes_the_jail(tmp_path: Path) -> None:
    shutil.copytree("/etc/fail2ban", tmp_path / "fail2ban")
    shutil.copytree(CONF / "fail2ban", tmp_path / "fail2ban", dirs_exist_ok=True)
    log = tmp_path / "mail.log"
    log.touch()
    switched = f"[sshd]\nenabled = false\n[smtpd-classic]\nenabled = true\nlogpath = {log}\n"
    (tmp_path / "fail2ban" / "jail.d" / "zz.local").write_text(switched)
    found = run(need("fail2ban-client"), "-c", str(tmp_path / "fail2ban"), "-d")
    assert found.returncode == 0, found.stderr
    assert "['set', 'smtpd-classic', 'maxretry', 6]" in found.stdout
    assert "failed:" in found.stdout


def test_logrotate_takes_its_file() -> None:
    text = (CONF / "logrotate").read_text()
    for name in ("su smtpdc smtpdc", "create 0640 smtpdc smtpdc"):
        assert name in text
    copy = text.replace("su smtpdc smtpdc", "").replace("0640 smtpdc smtpdc", "0640")
    found = subprocess.run(
        [need("logrotate"), "--debug", "/dev/stdin"], input=copy, capture_output=True, text=True, timeout=30
    )
    assert found.returncode == 0, found.stderr
    assert "error" not in found.stderr


def test_ufw_knows_the_ports() -> None:
    text = (CONF / "ufw").read_text()
    assert set(re.findall(r"^ports=(.*)$", text, re.M)) == {"25,465,587/tcp", "25/tcp", "465,587/tcp"}


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Without its manuals and its program, which are not installed here."""
    text = (CONF / "smtpd-classic.service").read_text()
    unit = tmp_path / "smtpd-classic.service"
    unit.write_text(
        re.sub(r"^Documentation=.*\n", "", text, flags=re.M).replace("/usr/sbin/smtpd-classic", "/bin/true")
    )
    found = run(need("systemd-analyze"), "verify", str(unit))
    assert (found.returncode, found.stderr) == (0, "")


class TestCertbotHook:
    @pytest.fixture
    def instance(self) -> Iterator[Instance]:
        # Not below pytest's folder, which only its owner may enter: “init” wants one for a server that is not root.
        folder = Path(tempfile.mkdtemp(prefix="smtpd-classic-"))
        folder.chmod(0o755)
        yield Instance(folder / "instance")
        shutil.rmtree(folder)

    def renewed(self, instance: Instance, *names: str) -> subprocess.CompletedProcess[str]:
        """certbot has got a certificate for these names."""
        lineage = instance.folder.parent / "live"
        put_pair(lineage / "fullchain.pem", lineage / "privkey.pem", *names)
        return run(
            str(CONF / "certbot-deploy-hook"),
            RENEWED_LINEAGE=str(lineage),
            SMTPD_CLASSIC_CONFIG=str(instance.file),
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        )

    def test_what_names_the_server_is_put_in_place(self, instance: Instance) -> None:
        done = self.renewed(instance, instance.domain, "www.example.test")
        assert done.returncode == 0, done.stderr
        live, tls = instance.folder.parent / "live", instance.folder / "tls"
        assert (tls / "certificate.pem").read_text() == (live / "fullchain.pem").read_text()
        assert (tls / "key.pem").read_text() == (live / "privkey.pem").read_text()
        assert oct((tls / "key.pem").stat().st_mode & 0o777) == "0o640"
        assert sorted(path.name for path in tls.iterdir()) == ["certificate.pem", "key.pem"]

    def test_what_names_another_is_left_alone(self, instance: Instance) -> None:
        before = (instance.folder / "tls" / "certificate.pem").read_text()
        assert self.renewed(instance, "www.elsewhere.example").returncode == 0
        assert (instance.folder / "tls" / "certificate.pem").read_text() == before


def test_the_lock_names_every_bundled_library_with_its_hash() -> None:
    """“conf/debian/lock” writes it."""
    required = re.findall(r'^    "([\w-]+)[<>=]', (CONF.parent / "setup.py").read_text(), re.M)
    lines = (CONF / "debian" / "requirements.lock").read_text().splitlines()
    locked = {line.partition("==")[0].lower() for line in lines if not line.startswith("#")}
    assert {name.lower() for name in required} - {"argon2-cffi", "cryptography"} <= locked
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"\w+==[\d.]+ --hash=sha256:[0-9a-f]{64}", line)
