"""The log is found: a file, a file of syslog, or the journal, read by a journalctl of the test's own on PATH."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from smtpd_classic.log_source import _PARTS, FileLog, JournalLog, NoLog, log_source
from tests.forking import run_forked
from tests.tools import need
from tests.waiting import until

STAMP = "Nov 29 00:00:0"
LINES = [
    f"{STAMP}1 host smtpd-classic/smtpd[7]: ABC1: client=x",
    f"{STAMP}2 host other[8]: ABC1 of another program",
    f"{STAMP}3 host smtpd-classic[9]: smtpd-classic/qmgr[9]: ABC1: removed",
    f"{STAMP}4 host smtpd-classic/smtpd[7]: XYZ2: client=y",
]
OWN = [LINES[0], f"{STAMP}3 host smtpd-classic/qmgr[9]: ABC1: removed", LINES[3]]
# Prints the lines of the file beside it, in reverse or as they come, as journalctl does.
FAKE = """#!{python}
import os, sys, time
folder = os.path.dirname(os.path.abspath(__file__))
with open(folder + "/asked", "a") as asked:
    print(*sys.argv[1:], file=asked)
if os.path.exists(folder + "/broken"):
    sys.exit("No journal files were opened due to insufficient permissions.")
path = folder + "/lines"
if "--follow" in sys.argv:
    at = os.path.getsize(path)
    while os.getppid() != 1:
        with open(path) as file:
            file.seek(at)
            print(file.read(), end="", flush=True)
            at = file.tell()
        time.sleep(0.02)
found = open(path).read().splitlines()
print("\\n".join(reversed(found) if "--reverse" in sys.argv else found))
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "journalctl").write_text(FAKE.format(python=sys.executable))
    (folder / "journalctl").chmod(0o755)
    (folder / "lines").write_text("\n".join(LINES) + "\n")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def ours(line: str) -> bool:
    return " smtpd-classic/" in line


def test_the_journal_has_the_last_lines_all_lines_and_those_that_come(programs: Path) -> None:
    journal = JournalLog(str(programs / "journalctl"))
    assert journal.last(2, ours) == OWN[1:]
    assert journal.last(10, ours) == OWN
    assert journal.last(0, ours) == []
    assert list(journal.every(lambda line: "ABC1" in line and ours(line))) == OWN[:2]
    following = journal.follow()
    until(lambda: "--follow" in (programs / "asked").read_text())
    with (programs / "lines").open("a") as file:
        file.write(f"{STAMP}5 host smtpd-classic/smtpd[7]: late\n")
    assert following.wait() == [f"{STAMP}5 host smtpd-classic/smtpd[7]: late"]
    assert following.read() == []
    following.close()
    asked = (programs / "asked").read_text()
    assert "_SYSTEMD_UNIT=smtpd-classic.service" in asked
    assert "SYSLOG_IDENTIFIER=smtpd-classic/smtpd" in asked


def test_a_line_that_comes_while_journalctl_starts_is_followed(tmp_path: Path) -> None:
    command = [need("unshare"), "--mount", sys.executable, "-m", "tests.server.journal", str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60)
    assert not done.returncode, done.stderr
    read = [line.rpartition("]: ")[2] for line in done.stdout.splitlines()]
    assert read == ["came", "at once", "last", "before", "every", "before"]


def test_what_is_followed_is_not_read_back(tmp_path: Path) -> None:
    file = tmp_path / "mail.log"
    file.write_text(f"{LINES[0]}\n{LINES[1]}\n")
    log = FileLog(str(file))
    following = log.follow()
    with file.open("a") as more:
        more.write(f"{LINES[2]}\n")
    assert following.read() == [LINES[2]]
    following.close()
    log = FileLog(str(file))
    following = log.follow()
    with file.open("a") as more:
        more.write(f"{LINES[3]}\n")
    assert (list(log.every(bool)), log.last(1, bool)) == (LINES[:3], LINES[2:3])
    assert following.read() == LINES[3:]
    following.close()


def test_a_follower_that_is_forgotten_leaves_no_process(programs: Path) -> None:
    following = JournalLog(str(programs / "journalctl")).follow()
    pid = following._process.pid
    assert Path(f"/proc/{pid}").exists()
    del following
    assert not Path(f"/proc/{pid}").exists()


def test_a_journal_that_cannot_be_read_says_why(programs: Path) -> None:
    (programs / "broken").touch()
    with pytest.raises(NoLog, match="insufficient permissions"):
        JournalLog(str(programs / "journalctl")).last(5, ours)


@pytest.mark.usefixtures("programs")
def test_a_file_of_syslog_comes_first_while_a_syslog_daemon_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, socket, journal = tmp_path / "mail.log", tmp_path / "syslog", tmp_path / "journal"
    file.touch()

    def found(target: str = "syslog") -> str:
        logs = (str(tmp_path / "none"), str(file))
        return log_source(target, system_logs=logs, to_syslog=str(socket), journal=str(journal)).place

    assert found() == str(file), "no systemd at all"
    journal.mkdir()
    assert found() == "the journal", "a file that was left behind when rsyslog was removed"
    socket.touch()
    assert found() == str(file)
    file.unlink()
    assert found() == "the journal"
    assert found("stderr") == "the journal"
    assert found(str(file)) == str(file)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(NoLog, match="no journal and none of"):
        found()
    with pytest.raises(NoLog, match="standard error"):
        found("stderr")


def test_a_file_is_read_up_to_where_following_begins(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("one\ntwo\n")
    source = FileLog(str(file))
    following = source.follow()
    with file.open("a") as more:
        more.write("three\n")
    assert source.last(5, lambda line: True) == ["one", "two"]
    assert following.wait() == ["three"]
    (tmp_path / "log.1").write_text("zero\n")
    assert list(source.every(lambda line: True)) == ["zero", "one", "two", "three"]


def test_the_command_reads_the_journal(programs: Path, tmp_path: Path) -> None:
    config = tmp_path / "smtpd-classic.conf"
    config.write_text(
        "[server]\nprimary_domain = example.org\nlog = stderr\n[listener smtp]\nport = 2525\naddress = 127.0.0.1\n"
    )

    def log(*words: str) -> "subprocess.CompletedProcess[str]":
        return run_forked(["--config", str(config), "log", *words])

    shown = log("--id", "ABC1")
    assert (shown.returncode, shown.stdout.splitlines()) == (0, OWN[:2]), shown.stderr
    assert log("-n", "1").stdout.splitlines() == OWN[2:]
    assert log("--id", "NONE").returncode == os.EX_DATAERR
    (programs / "lines").write_text("")
    empty = log()
    assert (empty.returncode, empty.stdout) == (os.EX_NOINPUT, "")
    assert "sudo journalctl -u smtpd-classic" in empty.stderr
    (programs / "broken").touch()
    broken = log()
    assert broken.returncode == os.EX_NOINPUT
    assert "insufficient permissions" in broken.stderr


def test_the_journal_is_asked_for_every_part_that_writes_to_the_log() -> None:
    source = Path(__file__).parents[2] / "smtpd_classic"
    text = "".join(path.read_text() for path in source.rglob("*.py"))
    written = re.findall(r'(?:\blog\.(?:write|warning|error)|\bcomplain|\bcomplaint)\(\s*"([a-z]+)"', text)
    assert len(written) > 30
    assert set(written) <= set(_PARTS)
