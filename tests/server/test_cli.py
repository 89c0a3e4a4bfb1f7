"""The commands as they are typed: what they print where, and with which status they end."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic import __version__
from smtpd_classic.cli import COMMANDS, main
from tests.forking import run_forked
from tests.server.daemons import USER, Daemon, daemon
from tests.waiting import until


def installed(*words: str) -> subprocess.CompletedProcess[str]:
    """Start the program as it is installed."""
    line = [sys.executable, "-m", "smtpd_classic", *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


def command(*words: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return run_forked(words, given, environment=os.environ | environment)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that a server without privileges may enter."""
    made = Path(tempfile.mkdtemp(prefix="smtpd-classic-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def running() -> Iterator[Daemon]:
    with daemon("workers = 2") as found:
        yield found.start()


def test_every_command_says_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"^    {name} +\w", said, re.MULTILINE), name
        assert main([name, "--help"]) == 0
        assert name in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"smtpd-classic {__version__}\n"
    assert f'version="{__version__}"' in (Path(__file__).parents[2] / "setup.py").read_text()


@pytest.mark.parametrize("words", [[], ["wrong"], ["status", "--wrong"], ["block", "add", "no address"], ["init"]])
def test_what_is_typed_wrong_is_64(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 64
    said = capsys.readouterr()
    assert said.out == ""
    assert "usage: smtpd-classic" in said.err


def test_the_file_can_be_named_by_the_environment(folder: Path) -> None:
    done = command("status", SMTPD_CLASSIC_CONFIG=str(folder / "none.conf"))
    assert (done.returncode, done.stderr) == (78, f"{folder}/none.conf: cannot be read: No such file or directory.\n")


def test_no_traceback_reaches_a_person(folder: Path) -> None:
    """Whatever the file holds, with --debug the place is shown, and without it is not."""
    (folder / "x.conf").write_bytes(b"\xff\x00[")
    done = command("--config", str(folder / "x.conf"), "status")
    assert done.returncode == 78
    assert "Traceback" not in done.stderr


def test_somebody_who_has_read_enough_is_no_error(running: Daemon) -> None:
    line = f"{sys.executable} -m smtpd_classic --config {running.file} status --json | head -c 1"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("{", "")


# status ----------------------------------------------------------------------------------------------------------


def test_status_of_a_running_server(running: Daemon) -> None:
    done = running.command("status", "--json")
    found = json.loads(done.stdout)
    assert running.process is not None
    assert (done.returncode, done.stderr) == (0, "")
    assert (found["running"], found["pid"], found["state"]) == (True, running.process.pid, "running")
    assert found["listening"][0]["port"] == running.port
    assert found["queue"] == {"new": 0, "due": 0, "waiting": 0, "held": 0}
    assert found["configuration_in_force"] is True
    text = running.command("status").stdout
    assert f"smtp on 127.0.0.1:{running.port}, TLS none" in text
    assert f"running, process {running.process.pid}, since 20" in text


def test_status_of_a_server_that_is_down() -> None:
    with daemon() as found:
        done = found.command("status", "--json")
        assert done.returncode == 3
        said = json.loads(done.stdout)
        assert (said["running"], said["state"], sum(said["queue"].values())) == (False, "down", 0)
        text = found.command("status")
        assert (text.returncode, text.stderr) == (3, "")
        assert text.stdout.startswith("server         down\n")


# reload and stop -------------------------------------------------------------------------------------------------


def test_reload_says_what_came_of_it() -> None:
    with daemon("workers = 2") as found:
        assert found.command("reload").returncode == 69
        assert found.command("stop").stderr == "The server is not running.\n"
        found.start()
        done = found.command("reload")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        found.write("workers = 3")
        done = found.command("reload")
        assert done.returncode == 0
        assert "workers in [server] takes effect after a restart." in done.stderr
        (found.folder / "tls/key.pem").write_text("no key")
        found.write("workers = 3", listener="tls = starttls")
        done = found.command("reload")
        assert done.returncode == 78
        assert "tls/certificate.pem cannot be read" in done.stderr
        assert "reload refused" in json.dumps(found.log())
        assert "last reload    refused: " in found.command("status").stdout
        assert found.command("stop").returncode == 0
        assert found.wait() == 0


# log -------------------------------------------------------------------------------------------------------------


def test_log_shows_the_last_lines_and_those_of_one_message(folder: Path) -> None:
    with daemon() as found:
        stamp = "Nov 22 09:00:00 host smtpd-classic/"
        lines = [f"{stamp}smtpd[1]: ID{number}: client=h[192.0.2.1]" for number in range(40)]
        lines += [f"{stamp}qmgr[1]: ID7: removed", "Nov 22 09:00:00 host other[1]: ID7", f"{stamp}smtpd[1]: \x1b[2J"]
        path = found.folder / "log/smtpd-classic.log"
        path.write_text("\n".join(lines) + "\n")
        assert found.command("log", "-n", "2").stdout == f"{stamp}qmgr[1]: ID7: removed\n{stamp}smtpd[1]: \\x1b[2J\n"
        assert len(found.command("log").stdout.splitlines()) == 20
        (found.folder / "log/smtpd-classic.log.1").write_text(f"{stamp}smtpd[1]: ID7: earlier\n{stamp}x[1]: ID77\n")
        shown = found.command("log", "--id", "ID7")
        assert shown.stdout.splitlines() == [f"{stamp}smtpd[1]: ID7: earlier", lines[7], lines[40]]
        assert found.command("log", "--id", "NONE").returncode == 65
        path.unlink()
        gone = found.command("log")
        assert (gone.returncode, gone.stdout) == (66, "")
        assert gone.stderr == f"{path}: No such file or directory.\n"


def test_log_follows(folder: Path) -> None:
    with daemon() as found:
        path = found.folder / "log/smtpd-classic.log"
        path.write_text("Nov 22 09:00:00 host smtpd-classic/smtpd[1]: first\n")
        line = [sys.executable, "-m", "smtpd_classic", "--config", str(found.file), "log", "-f"]
        shown = found.folder / "shown"
        with shown.open("w") as output:
            process = subprocess.Popen(line, stdout=output)
        until(lambda: shown.read_text().endswith("first\n"))
        with path.open("a") as log:
            log.write("Nov 22 09:00:01 host smtpd-classic/smtpd[1]: second\n")
        until(lambda: shown.read_text().endswith("second\n"))
        process.terminate()
        process.wait(20)


# block -----------------------------------------------------------------------------------------------------------


def test_block_and_back(running: Daemon) -> None:
    assert running.command("block", "add", "192.0.2.7", "--for", "30m", "--reason", "spam").returncode == 0
    assert running.command("block", "add", "2001:db8::5").returncode == 0
    found = json.loads(running.command("block", "list", "--json").stdout)
    assert [block["ip"] for block in found] == ["2001:db8::", "192.0.2.7"]
    text = running.command("block", "list").stdout
    assert re.search(r"^2001:db8::/64 +until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  by hand$", text, re.MULTILINE)
    assert re.search(r"^192\.0\.2\.7 .* spam$", text, re.MULTILINE)
    assert running.command("block", "remove", "192.0.2.7").returncode == 0
    done = running.command("block", "remove", "192.0.2.7")
    assert (done.returncode, done.stderr) == (65, "192.0.2.7 is not blocked.\n")
    assert running.command("block", "remove", "2001:db8::6").returncode == 0
    assert running.command("block", "list").stdout == ""


def test_a_block_keeps_a_client_out_of_a_running_server(running: Daemon) -> None:
    running.command("block", "add", "127.0.0.1")
    with running.dial() as dialog:
        assert dialog.reply().startswith("421 4.7.0")
    running.command("block", "remove", "127.0.0.1")
    with running.dial() as dialog:
        assert dialog.reply().startswith("220")


# init ------------------------------------------------------------------------------------------------------------


def test_init_makes_what_check_and_serve_take(folder: Path) -> None:
    done = installed("init", str(folder / "mine"), "--domain", "Mine.Example", "--user", "joe")
    assert done.returncode == 0, done.stderr
    login, password = (line.split()[1] for line in done.stdout.splitlines())
    assert login == "joe@mine.example"
    assert len(password) >= 12
    assert password not in "".join(p.read_text() for p in (folder / "mine").rglob("*") if p.is_file())
    checked = installed("--config", str(folder / "mine/smtpd-classic.conf"), "check")
    assert checked.returncode == 0, checked.stderr
    for name in ("smtpd-classic.conf", "users", "tls/key.pem"):
        assert (folder / "mine" / name).stat().st_mode & 0o077 == 0
    text = (folder / "mine/smtpd-classic.conf").read_text()
    assert re.findall(r"^port = (\d+)$", text, re.MULTILINE) == ["2525", "2587", "2465"]
    aliases = command("--config", str(folder / "mine/smtpd-classic.conf"), "alias", "list").stdout
    assert aliases == "postmaster@mine.example: joe@mine.example\n"


def test_init_takes_a_password_from_stdin(folder: Path) -> None:
    done = command("init", str(folder / "mine"), "--user", "joe", "--password-stdin", given="of my own\n")
    assert (done.returncode, done.stdout) == (0, "login:    joe@example.test\n")


def test_init_takes_a_weak_password_only_by_force(folder: Path) -> None:
    line = ["init", str(folder / "mine"), "--user", "joe", "--password-stdin"]
    done = command(*line, given="joe12345\n")
    assert (done.returncode, done.stdout) == (65, "")
    assert "the name of the account" in done.stderr
    assert not (folder / "mine").exists()
    assert command(*line, "--force", given="joe12345\n").returncode == 0


def test_init_overwrites_nothing(folder: Path) -> None:
    (folder / "precious").write_text("data")
    done = command("init", str(folder))
    assert (done.returncode, done.stdout) == (73, "")
    assert done.stderr == f"{folder} is not empty; nothing in it has been touched.\n"
    assert [path.name for path in folder.iterdir()] == ["precious"]


@pytest.mark.parametrize("words", [["--domain", "not a domain"], ["--user", "a b"], ["--user", "../x"]])
def test_init_refuses_names_that_are_none(folder: Path, words: list[str]) -> None:
    done = command("init", str(folder / "mine"), *words)
    assert done.returncode in {64, 65}
    assert "Traceback" not in done.stderr
    assert not (folder / "mine").exists()


def test_init_as_root_says_where_the_server_could_not_go(folder: Path) -> None:
    assert os.geteuid() == 0, "as an ordinary user one is one's own service user"
    (folder / "closed").mkdir(mode=0o700)
    done = command("init", str(folder / "closed" / "mine"))
    assert done.returncode == 77
    assert f"becomes nobody, who cannot enter {folder}/closed" in done.stderr
    assert not (folder / "closed" / "mine").exists()


def test_hints_are_true(folder: Path) -> None:
    """What `serve --hints` tells a person to type does what it says."""
    with daemon("workers = 2") as found:
        line = [sys.executable, "-m", "smtpd_classic", "--config", str(found.file), "serve", "--hints"]
        with (found.folder / "stderr").open("w") as errors:
            found.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=errors, text=True)
        until(lambda: "End it with Ctrl-C." in found.said(), 30)
        said = found.said()
        assert f"Mail for {USER} will be in {found.folder}/mail/test.example/joe/new" in said
        typed = re.search(r"^  (printf .*\\\n.*)$", said, re.MULTILINE)
        assert typed
        done = subprocess.run(["/bin/sh", "-c", typed[1]], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "Hello." in found.mail()[0].read_text()
        found.process.send_signal(signal.SIGINT)
        assert found.wait() == 0


CLOSED = {
    "queue list": "spool/new",
    "queue hosts": "spool/new",
    "queue retry --all": "spool/new",
    "status": "run/status.json",
    "reload": "run/status.json",
    "stop": "run/status.json",
    "block list": "run/blocked",
    "user list": "users",
    "user show joe": "users",
    "alias list": "aliases",
    "domain list": "users",
    "dkim list": "dkim",
    "dns records test.example": "dkim",
    "explain --ip 192.0.2.1 --from a@b.example --to joe@test.example": "users",
}


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("words", CLOSED)
def test_another_user_is_told_what_may_not_be_read_and_nothing_else(running: Daemon, words: str) -> None:
    running.file.chmod(0o644)
    for name in ("users", "aliases"):
        (running.folder / name).touch()
        (running.folder / name).chmod(0o600)
    if not (running.folder / "dkim").exists():
        (running.folder / "dkim").mkdir(mode=0o700)
        shutil.chown(running.folder / "dkim", "nobody")
    line = [sys.executable, "-m", "smtpd_classic", "--config", str(running.file), *words.split()]
    done = subprocess.run(
        line, capture_output=True, text=True, timeout=60, user="games", group="games", extra_groups=[]
    )
    assert (done.returncode, done.stdout) == (os.EX_NOPERM, "")
    assert done.stderr == f"{running.folder}/{CLOSED[words]}: Permission denied.\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_configuration_that_may_not_be_read_takes_other_rights(folder: Path) -> None:
    made = folder / "smtpd-classic.conf"
    made.write_text("[server]\nprimary_domain = test.example\n")
    made.chmod(0o600)
    line = [sys.executable, "-m", "smtpd_classic", "--config", str(made)]
    for words in (["queue", "list"], ["status"], ["user", "list"]):
        done = subprocess.run([*line, *words], capture_output=True, timeout=60, user="games", extra_groups=[])
        assert (done.returncode, done.stdout) == (os.EX_NOPERM, b"")


def test_the_hosts_of_the_direct_domain_that_covers_a_domain_are_tried(folder: Path) -> None:
    file = folder / "smtpd-classic.conf"
    file.write_text(
        "[server]\nprimary_domain = test.example\n[listener smtp]\nport = 25\n"
        "[direct .covered.example]\nhosts = 127.0.0.1:9\n[direct bücher.example]\nhosts = 127.0.0.1:9\n"
    )
    for domain in ("sub.covered.example", "xn--bcher-kva.example"):
        done = command("--config", str(file), "test", "direct", domain)
        assert (done.returncode, done.stdout.splitlines()[0]) == (1, "127.0.0.1:9")


def test_init_that_fails_leaves_nothing_in_the_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_path: str) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as without:
        without.setattr("smtpd_classic.server.self_signed.draft_of", full)
        assert main(["init", str(folder / "mine")]) == 69
    assert "A self-signed certificate cannot be made" in capsys.readouterr().err
    assert list((folder / "mine").iterdir()) == []
    assert main(["init", str(folder / "mine")]) == 0


# exit statuses that scripts read --------------------------------------------------------------------------------------


def test_explain_exits_1_when_it_is_refused(folder: Path) -> None:
    assert command("init", str(folder / "mine"), "--user", "joe").returncode == 0
    file = folder / "mine/smtpd-classic.conf"
    file.write_text(file.read_text() + "[filter]\nsender_domain = no\n")  # it would be looked up in DNS

    def explain(recipient: str, *words: str) -> tuple[int, str]:
        words = ("--ip", "203.0.113.9", "--from", "x@remote.example", "--to", recipient, *words)
        done = command("--config", str(file), "explain", *words)
        return done.returncode, done.stdout

    assert explain("joe@example.test", "--quiet") == (0, "")
    assert explain("nobody@example.test", "--quiet") == (1, "")
    assert explain("y@elsewhere.example")[0] == 1
    assert explain("y@elsewhere.example", "--json")[0] == 1
    assert explain("joe@example.test")[1].startswith("accepted")


def test_status_before_the_first_start_has_an_empty_queue(folder: Path) -> None:
    config = folder / "smtpd-classic.conf"
    config.write_text(
        "[server]\nprimary_domain = example.org\nspool_folder = none/spool\nrun_folder = none/run\n"
        "mail_folder = none/mail\n[listener smtp]\nport = 2525\naddress = 127.0.0.1\n"
    )
    done = command("--config", str(config), "status", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["queue"] == {"new": 0, "due": 0, "waiting": 0, "held": 0}
    assert "cannot be read" not in command("--config", str(config), "status").stdout
    (folder / "none" / "spool").mkdir(parents=True)
    assert "cannot be read" not in command("--config", str(config), "status").stdout


def in_shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"SMTPD_CLASSIC_CONFIG": str(folder / "smtpd-classic.conf")}
    words = ["sh", "-c", line.replace("PROGRAM", f"{sys.executable} -m smtpd_classic")]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("PROGRAM user list >&-", 0, ""),
        ("PROGRAM user list >&- 2>&- <&-", 0, ""),
        ("PROGRAM user password joe@example.test --password-stdin <&-", 65, "The password is empty."),
        ("PROGRAM user list >/dev/full", 74, "No space left on device"),
        ("PROGRAM --help >/dev/full", 74, "No space left on device"),
        ("PROGRAM --help | true", 0, ""),
    ],
)
def test_output_that_cannot_be_written_is_one_sentence(folder: Path, line: str, status: int, said: str) -> None:
    made(folder / "here")
    done = in_shell(line, folder / "here")
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["filter", "test", "/nowhere.eml"], 66, "/nowhere.eml: No such file or directory.\n"),
        (["restore", "/nowhere.tar"], 66, "/nowhere.tar: No such file or directory.\n"),
        (["backup", "/nowhere/x.tar"], 73, "/nowhere/x.tar cannot be made: No such file or directory.\n"),
        (["log"], 66, "here/log/smtpd-classic.log: No such file or directory.\n"),
        (["log", "-n", "-5"], 64, "“-5” is not a number of lines.\n"),
        (["dmarc", "nosuch.test"], 65, "nosuch.test is not a domain of this server; add it first.\n"),
    ],
)
def test_what_is_missing_is_named_with_its_exit_status(folder: Path, words: list[str], status: int, said: str) -> None:
    made(folder / "here")
    done = command("--config", str(folder / "here" / "smtpd-classic.conf"), *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.endswith(said)


def made(folder: Path) -> None:
    done = command("init", "--domain", "example.test", "--user", "joe", "--no-hint", str(folder))
    assert done.returncode == 0, done.stderr
