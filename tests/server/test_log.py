"""The log: a form that programs read, and nothing that stops mail."""

import gc
import os
import re
import resource
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.log import WARNING, Log, delay_text, printable
from tests.waiting import until

LINE = re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [^ .]+ smtpd-classic/smtpd\[\d+\]: (.*)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("joe@example.org", "joe@example.org"),
        ("", ""),
        ("a\r\nb\0", "a\\x0d\\x0ab\\x00"),
        ("\x1b[31m", "\\x1b[31m"),
        ("to\tabs", "to abs"),
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("jürgen", "jürgen"),
        ("jürgen".encode(), "jürgen"),
        ("\u202egnp.exe\u200b", "\\u202egnp.exe\\u200b"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("😀", "😀"),
        ("\udcff", "\\udcff"),
        (b"\xff\n", "\\xff\\x0a"),
    ],
)
def test_printable(text: str | bytes, expected: str) -> None:
    assert printable(text) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "0"),
        (0.000012, "0"),
        (0.00016, "0.0002"),
        (0.01234, "0.012"),
        (9.96, "10"),
        (125.4, "125"),
        (14_400.0, "14400"),
        (4_320_000.0, "4320000"),
        (-3600.0, "0"),
    ],
)
def test_delays_have_no_exponent_and_no_sign(seconds: float, expected: str) -> None:
    assert delay_text(seconds) == expected


@given(st.text() | st.binary(), st.integers(0, 50))
def test_printable_is_one_bounded_line(text: str | bytes, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= 10 * max(limit, 3)


def test_a_line_has_the_traditional_form(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    log.write("smtpd", "connect from localhost[127.0.0.1]")
    log.warning("smtpd", "two\nlines")
    first, second = (tmp_path / "log").read_text().splitlines()
    match = LINE.fullmatch(first)
    assert match
    assert match[1] == "connect from localhost[127.0.0.1]"
    stamp = f"{time.localtime().tm_year} {first[:15]}"
    assert abs(time.mktime(time.strptime(stamp, "%Y %b %d %H:%M:%S")) - time.time()) < 5
    assert f"[{os.getpid()}]: " in first
    assert second.endswith("]: warning: two\\x0alines")
    assert (tmp_path / "log").stat().st_mode & 0o007 == 0
    log.close()


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8", "jürgen@müller.example"), ("ascii", "j\\xfcrgen@m\\xfcller.example")]
)
def test_addresses_stand_in_the_log_as_typed_where_it_is_utf8(tmp_path: Path, encoding: str, shown: str) -> None:
    log = Log(str(tmp_path / "log"))
    log.write("smtpd", "from=<jürgen@müller.example>")
    assert (tmp_path / "log").read_bytes().rstrip().endswith("from=<jürgen@müller.example>".encode())
    program = "from smtpd_classic.log import Log; Log('stderr').write('smtpd', 'from=<jürgen@müller.example>')"
    ran = subprocess.run(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, env={"PYTHONIOENCODING": encoding}, check=True
    )
    assert ran.stderr.decode(encoding).endswith(f"from=<{shown}>\n")


def test_several_lines_are_as_single_ones(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    log.write_lines([("smtpd", "first"), ("smtpd", "se\ncond"), ("smtpd", "third")])
    lines = [LINE.fullmatch(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [match and match[1] for match in lines] == ["first", "se\\x0acond", "third"]
    log.write_lines([])
    log.write_lines([("smtpd", "alone")])
    assert (tmp_path / "log").read_text().endswith("alone\n")
    log.close()


def test_a_rotated_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = Log(str(path))
    log.write("smtpd", "before")
    path.rename(tmp_path / "log.1")

    def in_the_new_one() -> bool:
        log.write("smtpd", "after")
        return path.exists()

    until(in_the_new_one)
    assert "before" in (tmp_path / "log.1").read_text()
    assert "before" not in path.read_text()
    log.close()


def test_processes_and_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    script = f"""
import threading
from smtpd_classic.log import Log
log = Log({str(path)!r})
def write(): [log.write("smtpd", "x" * 300) for _ in range(300)]
threads = [threading.Thread(target=write) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    children = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    lines = path.read_text().splitlines()
    assert len(lines) == 3 * 4 * 300
    matches = [LINE.fullmatch(line) for line in lines]
    assert all(match and match[1] == "x" * 300 for match in matches)


def test_a_full_disk_loses_lines_and_says_how_many(tmp_path: Path) -> None:
    path = tmp_path / "log"
    script = f"""
import resource, signal
from smtpd_classic.log import Log
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = Log({str(path)!r})
log.write("smtpd", "first")
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
for number in range(10):
    log.write("smtpd", "lost " + "x" * 200)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.write("smtpd", "there is room again")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    lines = path.read_text().splitlines()
    assert LINE.fullmatch(lines[0])
    told, last = (LINE.fullmatch(line) for line in lines[-2:])
    assert told
    assert last
    assert told[1] == "warning: 10 log lines were lost"
    assert last[1] == "there is room again"


@pytest.mark.parametrize("where", ["missing/log", "folder"])
def test_a_log_that_cannot_be_written_is_no_problem_of_a_session(tmp_path: Path, where: str) -> None:
    (tmp_path / "folder").mkdir()
    log = Log(str(tmp_path / where))
    for _ in range(3):
        log.write("smtpd", "nobody reads this")
    log.write_lines([("smtpd", "a"), ("smtpd", "b")])
    log.close()


def test_syslog(tmp_path: Path) -> None:
    path = tmp_path / "dev-log"
    log = Log("syslog", syslog_socket=str(path))
    log.write("smtpd", "nobody is there yet")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslogd:
        syslogd.bind(str(path))
        syslogd.settimeout(10)

        def heard() -> bool:
            log.write("smtpd", "now")
            return bool(select.select([syslogd], [], [], 0)[0])

        until(heard)
        told = syslogd.recv(4096).decode()
        assert re.fullmatch(
            r"<20>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d smtpd-classic/smtpd\[\d+\]: warning: \d+ log lines were lost",
            told,
        )
        assert re.fullmatch(r"<22>.{15} smtpd-classic/smtpd\[\d+\]: now", syslogd.recv(4096).decode())
        log.write("smtpd", "x", WARNING)
        assert syslogd.recv(4096).startswith(b"<20>")
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as restarted:
        restarted.bind(str(path))
        log.write("smtpd", "to nobody")

        def heard_again() -> bool:
            log.write("smtpd", "again")
            return bool(select.select([restarted], [], [], 0)[0])

        until(heard_again)
    log.close()


def test_a_syslog_that_does_not_read_holds_nobody(tmp_path: Path) -> None:
    path = tmp_path / "dev-log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslogd:
        syslogd.bind(str(path))
        log = Log("syslog", syslog_socket=str(path))

        def write() -> None:
            for _ in range(5000):
                log.write("smtpd", "x" * 1000)

        thread = threading.Thread(target=write)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
        log.close()


def to_stderr(environment: dict[str, str], script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"from smtpd_classic.log import Log\nlog = Log('stderr')\n{script}"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return done.stderr


def test_stderr_has_a_stamp() -> None:
    assert re.fullmatch(
        r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d smtpd-classic/smtpd\[\d+\]: hello\n",
        to_stderr({}, "log.write('smtpd', 'hello')"),
    )


def test_stderr_that_is_the_journal_has_a_level_instead() -> None:
    reader, writer = os.pipe()
    found = os.fstat(writer)
    script = "from smtpd_classic.log import Log\nlog = Log('stderr')\nlog.warning('smtpd', 'hello')"
    environment = os.environ | {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
    subprocess.run([sys.executable, "-c", script], stderr=writer, check=True, env=environment)
    os.close(writer)
    with open(reader) as pipe:
        assert re.fullmatch(r"<4>smtpd-classic/smtpd\[\d+\]: warning: hello\n", pipe.read())


def test_a_stderr_that_nobody_reads_holds_nobody() -> None:
    reader, writer = os.pipe()
    script = (
        "from smtpd_classic.log import Log\nlog = Log('stderr')\nfor _ in range(2000): log.write('smtpd', 'x' * 500)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stderr=writer)
    assert child.wait(30) == 0
    os.close(writer)
    os.close(reader)


def test_descriptors_are_not_left_behind(tmp_path: Path) -> None:
    gc.collect()  # what earlier tests have left must not be closed meanwhile
    before = len(os.listdir("/proc/self/fd"))
    log = Log(str(tmp_path / "log"))
    for number in range(5):
        log.write("smtpd", "x")
        (tmp_path / "log").rename(tmp_path / f"log.{number}")
        log._sink._looked = 0.0  # type: ignore[union-attr]
    log.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert resource.getrlimit(resource.RLIMIT_NOFILE)
