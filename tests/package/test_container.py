"""The steps of the Containerfile in a clean Debian, and the server of that image with the rights of compose.yaml."""

import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.package.containerfile import ROOT, Image
from tests.package.debian import Debian, bare_debian, clean_debian
from tests.waiting import until

pytestmark = pytest.mark.peers

BOX = "/var/mail/smtpd-classic/example.org/joe/new"
SEND = (
    "import smtplib; c = smtplib.SMTP('127.0.0.1', 25, timeout=20); "
    "c.sendmail('a@client.test', ['joe@example.org'], 'Subject: in a container\\r\\n\\r\\nHello.\\r\\n'); c.quit()"
)


def download_wheels(folder: Path) -> None:
    """Download the packages of the image here, because a clean Debian may not reach the package index."""
    command = [sys.executable, "-m", "pip", "download", "-q", "-d", str(folder), f"{ROOT}[cluster,metrics]"]
    done = subprocess.run([*command, "setuptools>=61", "wheel"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    folder = Path(tempfile.mkdtemp(prefix="smtpd-classic-container-"))
    folder.chmod(0o755)
    try:
        tree = bare_debian(folder / "tree")
        download_wheels(tree / "wheels")
        made = Image(tree, PIP_NO_INDEX="1", PIP_FIND_LINKS="/wheels")
        shutil.rmtree(tree / "wheels")
        yield made
    finally:
        shutil.rmtree(folder)


def with_rights(command: list[str]) -> str:
    """Return the command with no more rights than compose.yaml gives."""
    service = yaml.safe_load((ROOT / "conf/examples/compose.yaml").read_text())["services"]["mail"]
    kept = ",".join(f"+{each.lower()}" for each in service["cap_add"])
    return f"setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,{kept} {shlex.join(command)}"


def healthy(debian: Debian, image: Image) -> bool:
    return debian.run(image.health).returncode == 0


def test_the_server_of_the_image_takes_mail_and_tells_its_health(image: Image) -> None:
    with clean_debian(image.tree) as debian:
        debian.must("printf 'secret word 4 joe\\n' | smtpd-classic user add joe@example.org --password-stdin")
        debian.must("smtpd-classic config set authentication check no")  # there is no DNS here
        assert not healthy(debian, image)
        debian.must(f"{with_rights(image.command)} >/tmp/out 2>/tmp/log & echo $! >/tmp/pid")
        until(lambda: healthy(debian, image), 60, lambda: debian.run("cat /tmp/log").stdout)
        debian.must(f'/opt/smtpd-classic/bin/python -c "{SEND}"')
        until(lambda: debian.run(f"ls {BOX}").stdout, 20, lambda: debian.run("cat /tmp/log").stdout)
        assert debian.must(f"stat -c %u {BOX}") == "812\n"
        assert "to=<joe@example.org>" in debian.must("cat /tmp/log")
        debian.must(with_rights(["sh", "-c", "kill $(cat /tmp/pid)"]))  # as “init” does
        until(lambda: debian.run("kill -0 $(cat /tmp/pid)").returncode != 0, 45)
        assert not healthy(debian, image)


def test_the_volumes_are_ready_and_the_assistant_comes_first(image: Image) -> None:
    owners = {each: (image.tree / each.lstrip("/")).stat() for each in image.volumes}
    assert {name: (found.st_uid, oct(found.st_mode & 0o777)) for name, found in owners.items()} == {
        "/etc/smtpd-classic": (0, "0o750"),
        "/var/spool/smtpd-classic": (812, "0o711"),
        "/var/mail/smtpd-classic": (812, "0o700"),
    }
    code = "from smtpd_classic.config import is_untouched; print(is_untouched('/etc/smtpd-classic/smtpd-classic.conf'))"
    assert image.run(f'/opt/smtpd-classic/bin/python -c "{code}"').stdout == "True\n"
    assert image.run("smtpd-classic config get server log").stdout == "stderr\n"
