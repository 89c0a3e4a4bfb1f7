"""The package in a clean Debian: installed, used, upgraded, purged, installed again."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package.debian import Debian, bootstrap, build, clean_debian, version_changed
from tests.tools import need

pytestmark = pytest.mark.torture

BOX = "/var/mail/smtpd-classic/example.org/postmaster/new"

INIT = "/etc/init.d/smtpd-classic"
CONF = "/etc/smtpd-classic/smtpd-classic.conf"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bootstrap(tmp_path_factory.mktemp("debian") / "base")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("package"))


@pytest.fixture
def debian(base: Path, package: Path) -> Iterator[Debian]:
    """With the package installed, and its server running."""
    with clean_debian(base) as made:
        made.install(package)
        yield made


def status(debian: Debian, action: str) -> int:
    return debian.run(f"{INIT} {action}").returncode


def queued(debian: Debian) -> set[str]:
    return {str(json.loads(line)["queue_id"]) for line in debian.must("smtpd-classic queue list --json").splitlines()}


def fill(debian: Debian, number: int) -> set[str]:
    """Messages for a host that is down."""
    debian.must('smtpd-classic config set "direct elsewhere.example" hosts 127.0.0.1:1 && smtpd-classic reload')
    letter = "printf 'Subject: waits\\n\\nHello.\\n' | sendmail friend@elsewhere.example"
    debian.must(f"for number in $(seq {number}); do {letter} || exit; done")
    found = queued(debian)
    assert len(found) == number
    return found


def until_there(debian: Debian, test: str) -> None:
    debian.must(f"for i in $(seq 100); do {test} && exit; sleep 0.1; done; exit 1")


def test_a_fresh_one_runs_and_is_right(debian: Debian) -> None:
    assert debian.must("smtpd-classic config get server primary_domain") == "example.org\n"
    assert status(debian, "status") == 0
    assert "no errors" in debian.run("smtpd-classic check").stderr
    debian.must("printf 'Subject: for root\\n\\nHello.\\n' | sendmail -i -t root")
    until_there(debian, f"ls {BOX}/*")
    assert "is empty" in debian.must("mailq")


def test_no_root_holds_a_clients_socket(debian: Debian) -> None:
    talk = "import socket, time; s = socket.create_connection(('127.0.0.1', 25)); s.recv(99); print(flush=True)"
    debian.must(f'python3 -c "{talk}; time.sleep(99)" >/tmp/connected 2>&1 &')
    until_there(debian, "[ -s /tmp/connected ]")
    opened = debian.beside(need("lsof"), "-nP", "-l", "-iTCP:25", "-F", "pLuT").stdout
    holders = {
        int(found[1])
        for record in re.split(r"^p", opened, flags=re.M)
        if "TST=ESTABLISHED" in record and (found := re.search(r"^u(\d+)$", record, re.M))
    }
    assert holders == {0, int(debian.must("id -u smtpdc"))}, "0 is the client itself"
    pids = re.findall(r"^p(\d+)\nu0$", opened, re.M)
    assert len(pids) == 1, opened
    assert set(debian.must("ps -C smtpd-classic -o user=").split()) == {"smtpdc"}


def test_the_service_cannot_write_its_configuration(debian: Debian) -> None:
    paths = debian.must("find /etc/smtpd-classic").split()
    assert {CONF, "/etc/smtpd-classic/users", "/etc/smtpd-classic/tls/key.pem"} <= set(paths)
    tried = "; ".join(f'[ ! -w "{path}" ] || echo {path}' for path in paths)
    assert debian.must(f"su smtpdc -s /bin/sh -c '{tried}'") == "/etc/smtpd-classic/tls\n", "to renew its certificate"
    assert debian.run(f"su nobody -s /bin/sh -c 'cat {CONF} /etc/smtpd-classic/users'").stdout == ""


def test_the_init_script_does_as_lsb_says(debian: Debian) -> None:
    assert [status(debian, action) for action in ("status", "start", "reload", "force-reload", "restart")] == [0] * 5
    pid = debian.must("cat /run/smtpd-classic/smtpd-classic.pid")
    assert status(debian, "try-restart") == 0
    assert debian.must("cat /run/smtpd-classic/smtpd-classic.pid") != pid
    debian.must(f"cp -p {CONF} /root/good && echo nonsense = 1 >>{CONF}")
    assert [status(debian, action) for action in ("restart", "try-restart", "reload")] == [6, 6, 6]
    assert status(debian, "status") == 0, "a bad file stops nothing"
    assert [status(debian, action) for action in ("stop", "start", "status")] == [0, 6, 3]
    debian.must(f"cat /root/good >{CONF}")
    assert [status(debian, action) for action in ("stop", "reload", "try-restart", "status")] == [0, 7, 0, 3]
    assert status(debian, "start") == 0
    debian.must("kill -9 $(cat /run/smtpd-classic/smtpd-classic.pid); sleep 1")
    assert status(debian, "status") == 1
    assert [status(debian, action) for action in ("start", "status", "nonsense")] == [0, 0, 2]


def test_mail_waits_for_a_server_that_is_down(debian: Debian) -> None:
    assert status(debian, "stop") == 0
    debian.must("printf 'Subject: early\\n\\nHello.\\n' | su nobody -s /bin/sh -c '/usr/sbin/sendmail root'")
    assert status(debian, "start") == 0
    until_there(debian, f"ls {BOX}/*")


def test_nothing_is_lost_by_an_upgrade_a_purge_and_what_follows(debian: Debian, package: Path, tmp_path: Path) -> None:
    waiting = fill(debian, 40)
    debian.must("smtpd-classic config set basic max_recipients 77")
    later = version_changed(package, "9.9", tmp_path)
    debian.install(later)
    assert debian.must("dpkg-query -W -f '${Version}' smtpd-classic") == "9.9"
    assert status(debian, "status") == 0
    assert queued(debian) == waiting
    assert debian.must("smtpd-classic config get basic max_recipients") == "77\n"
    said = debian.run("dpkg --purge smtpd-classic")
    assert said.returncode == 0, said.stderr
    assert "Mail is left in /var/spool/smtpd-classic" in said.stderr
    assert not (debian.root / "etc/smtpd-classic").exists()
    assert debian.run("pgrep -u smtpdc").returncode == 1
    debian.install(later)
    assert queued(debian) == waiting


def test_a_purge_that_is_told_to_takes_the_mail(debian: Debian) -> None:
    fill(debian, 1)
    debian.must("touch /var/spool/smtpd-classic/remove-on-purge && dpkg --purge smtpd-classic")
    left = debian.must("find / -xdev -name '*smtpd-classic*' ! -path '/root/*' ! -path '/proc/*' ! -path '/var/log/*'")
    assert left == ""


def test_an_unused_one_leaves_nothing(base: Path, package: Path) -> None:
    with clean_debian(base) as debian:
        before = set(debian.must("find /etc /usr /var/spool /var/mail -xdev").split("\n"))
        debian.install(package)
        debian.must("dpkg --purge smtpd-classic")
        after = set(debian.must("find /etc /usr /var/spool /var/mail -xdev").split("\n"))
        # Names that end so are the versions of /etc/passwd and its like before the user was added.
        assert {path for path in after - before if "__pycache__" not in path and not path.endswith("-")} == set()
