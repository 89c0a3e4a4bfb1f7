"""sendmail while there is no server, or one that takes nothing; and who may see what at that time."""

import os
import pwd
import shutil
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.instance import running
from tests.submission.programs import Programs
from tests.tools import need
from tests.waiting import until

MESSAGE = b"Subject: x\n\ntext\n"


@pytest.fixture
def programs() -> Iterator[Programs]:
    """A server that has run before, and does not now."""
    with running(domain="example.org", basic__copy_bounces="none") as server:
        server.stop()
        yield Programs(server)


@pytest.fixture(scope="module")
def _never_started() -> Iterator[Programs]:
    with running(domain="example.org") as server:
        server.stop()
        yield Programs(server)


@pytest.fixture
def down(_never_started: Programs) -> Programs:
    """The same for tests that do not start it; its maildrop/ is empty."""
    for path in _never_started.maildrop.iterdir():
        path.unlink()
    return _never_started


def user_and_name(name: str) -> tuple[int, str]:
    return pwd.getpwnam(name).pw_uid, name


def test_a_message_waits_and_arrives_after_the_start(programs: Programs) -> None:
    uid, name = user_and_name("games")
    done = programs.run("sendmail", "-t", message=b"To: joe\nSubject: x\n\ntext\n", user=name)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (path,) = programs.maildrop.iterdir()
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (uid, 0o640)
    programs.server.start()
    (message,) = programs.server.wait_for_mail()
    text = message.read_text()
    assert f"(smtpd-classic, from userid {uid})" in text
    assert "\nTo: joe@example.org\n" in text
    assert f"\nFrom: games <{name}@example.org>\n" in text
    assert f": uid={uid} from=<{name}@example.org>" in programs.server.log()
    until(lambda: not list(programs.maildrop.iterdir()))


def test_very_many_recipients_wait_in_several_files(down: Programs) -> None:
    words = [f"u{number}@elsewhere.example" for number in range(2100)]
    assert down.run("sendmail", *words, message=b"Subject: x\n\ntext\n").returncode == 0
    counts = [path.read_bytes().count(b"\nrecipient ") for path in down.maildrop.iterdir()]
    assert sorted(counts) == [100, 1000, 1000]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_is_fetched_while_the_server_runs_too(workers: str) -> None:
    """However the message came there; also after a reload."""
    with running(domain="example.org", server__workers=workers) as server:
        programs = Programs(server)
        private = programs.folder / "elsewhere.conf"
        private.write_text(f"[server]\nrun_folder = /nowhere\nspool_folder = {server.folder}/spool\n")
        assert programs.run("sendmail", "-C", str(private), "joe", message=MESSAGE).returncode == 0
        server.wait_for_mail(1)
        server.reload()
        until(lambda: "reload --" in server.log())
        assert programs.run("sendmail", "-C", str(private), "joe", message=MESSAGE).returncode == 0
        server.wait_for_mail(2)
        assert programs.run("sendmail", "joe", message=MESSAGE).returncode == 0
        server.wait_for_mail(3)
        server.stop()
        assert not (server.folder / "run" / "submit").exists()
        assert programs.run("sendmail", "joe", message=MESSAGE).returncode == 0
        server.start()
        server.wait_for_mail(4)


def test_what_cannot_be_delivered_comes_back(programs: Programs) -> None:
    assert programs.run("sendmail", "-f", "joe", "nobody", message=MESSAGE).returncode == 0
    programs.server.start()
    (message,) = programs.server.wait_for_mail()
    text = message.read_text()
    assert text.startswith("Return-Path: <>\n")
    assert "nobody@example.org" in text
    assert "Status: 5.1.1" in text


def test_a_server_that_was_killed_leaves_a_socket_behind(programs: Programs) -> None:
    server = programs.server
    server.start()
    server.kill()
    socket_file = server.folder / "run" / "submit"
    until(lambda: not _answers(socket_file))
    assert socket_file.exists()
    assert programs.run("sendmail", "joe", message=MESSAGE).returncode == 0
    assert len(list(programs.maildrop.iterdir())) == 1
    server.start()
    server.wait_for_mail(1)
    assert programs.run("sendmail", "joe", message=MESSAGE).returncode == 0
    server.wait_for_mail(2)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def test_what_can_nowhere_be_put_has_to_be_sent_again(programs: Programs) -> None:
    programs.maildrop.chmod(0o700)
    done = programs.run("sendmail", "joe", message=MESSAGE, user="games")
    assert done.returncode == os.EX_TEMPFAIL
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("sendmail: The message was not taken: 421 4.3.2 The server does not answer at ")
    assert line.endswith(f"nor can it wait for the server: {programs.maildrop}: Permission denied.")
    assert list(programs.maildrop.iterdir()) == []


def test_a_folder_that_is_missing(programs: Programs) -> None:
    shutil.rmtree(programs.maildrop)
    assert programs.run("sendmail", "joe", message=MESSAGE).returncode == os.EX_TEMPFAIL
    programs.server.start()
    assert stat.S_IMODE(programs.maildrop.stat().st_mode) == 0o3733


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod"])
def test_a_disk_that_fails(down: Programs, call: str) -> None:
    """At every call of that kind; at writing, standard error fails too."""
    trace = down.folder / "trace"
    command = [
        need("strace"),
        "-f",
        "-o",
        str(trace),
        f"--inject={call}:error=ENOSPC:when=1+",
        down.sendmail,
        "joe",
    ]
    done = subprocess.run(command, input=MESSAGE, capture_output=True, env=down.environment(), timeout=60)
    assert done.returncode == os.EX_TEMPFAIL
    if call != "write":
        assert done.stderr.endswith(b": No space left on device.\n")
    assert list(down.maildrop.iterdir()) == []


def test_a_server_whose_disk_is_full_is_not_left_more() -> None:
    with running(domain="example.org", basic__min_free_space="1000000G") as server:
        programs = Programs(server)
        done = programs.run("sendmail", "joe", message=MESSAGE)
        assert done.returncode == os.EX_TEMPFAIL
        assert done.stderr.startswith(b"sendmail: The message was not taken: 452 4.3.1 ")
        assert list(programs.maildrop.iterdir()) == []


def test_a_server_without_room_for_another_connection(programs: Programs) -> None:
    server = programs.server
    server.start()
    path = str(server.folder / "run" / "submit")
    with ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(path)
            assert connection.recv(4)
        done = programs.run("sendmail", "-v", "joe", message=MESSAGE)
        assert done.returncode == 0
        assert b"421 4.7.0 Too many connections from your address" in done.stderr
        assert b"the message waits as" in done.stderr
        # Another user has room, and so have strangers at the ports.
        assert b"waits" not in programs.run("sendmail", "-v", "joe", message=MESSAGE, user="games").stderr
        assert server._answers()
    server.wait_for_mail(2)
    assert "reject: CONNECT from localhost[uid=0]: 421 4.7.0" in server.log()


def test_smtp_on_standard_input_says_that_there_is_no_server(down: Programs) -> None:
    done = down.run("sendmail", "-bs", message=b"QUIT\r\n")
    assert done.returncode == os.EX_TEMPFAIL
    assert done.stdout == b"421 4.3.2 The server does not run; try again later.\r\n"


def test_mailq_counts_what_waits_for_the_server(down: Programs) -> None:
    for _ in range(2):
        down.run("sendmail", "joe", message=MESSAGE)
    done = down.run("mailq")
    assert (done.returncode, done.stdout) == (0, b"Mail queue is empty\n")
    assert done.stderr.decode() == f"2 messages wait in {down.maildrop} for the server.\n"


@pytest.mark.parametrize(
    "command",
    [
        "ls {maildrop}",
        "cat {letter}",
        "echo x > {letter}",
        "echo x >> {letter}",
        "rm -f {letter}; test ! -e {letter}",
        "mv {letter} {maildrop}/mine",
        "ln {letter} {maildrop}/0123456789abcdef0123456789abcdef",
        "ls {spool}",
        "ls {spool}/new",
        "echo x > {spool}/new/x",
        "echo x > {spool}/x",
        "rmdir {maildrop}",
        "chmod 777 {maildrop}",
    ],
)
def test_nobody_can_touch_what_others_have_left(down: Programs, command: str) -> None:
    """Not even by its name, which nobody else can know."""
    assert down.run("sendmail", "joe", message=MESSAGE, user="games").returncode == 0
    (letter,) = down.maildrop.iterdir()
    before = letter.read_bytes()
    line = command.format(maildrop=down.maildrop, letter=letter, spool=down.maildrop.parent)
    user = pwd.getpwnam("daemon").pw_uid
    done = subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, user=user, group=user, extra_groups=[], timeout=60, check=False
    )
    assert done.returncode != 0
    assert letter.read_bytes() == before
    assert [path.name for path in down.maildrop.iterdir()] == [letter.name]


def test_a_configuration_that_is_named_must_be_there(down: Programs) -> None:
    done = down.run("sendmail", "-C", "/nowhere.conf", "joe", message=MESSAGE)
    assert done.returncode == os.EX_CONFIG
    assert done.stderr == b"sendmail: /nowhere.conf cannot be read: No such file or directory.\n"
    done = down.run("sendmail", "-C", str(down.server.file), "joe", message=MESSAGE, user="games")
    assert done.returncode == os.EX_NOPERM


def test_nothing_is_lost_when_the_server_is_killed_again_and_again(programs: Programs) -> None:
    """What sendmail said 0 to arrives, whatever happened to the server meanwhile; a crash may repeat it."""
    server = programs.server
    server.start()
    accepted: list[int] = []
    numbers = iter(range(10_000))
    ending = threading.Event()

    def submit() -> None:
        while not ending.is_set():
            number = next(numbers)
            done = programs.run("sendmail", "joe", message=b"X-Number: %d\n\n" % number)
            if done.returncode == 0:
                accepted.append(number)

    threads = [threading.Thread(target=submit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        before = len(accepted)
        until(lambda: len(accepted) > before + 3, 30)  # noqa: B023  until() is called here
        server.kill()
        until(lambda: not _answers(server.folder / "run" / "submit"))
        before = len(accepted)
        until(lambda: len(accepted) > before + 3, 30)  # noqa: B023  until() is called here
        server.start()
    ending.set()
    for thread in threads:
        thread.join()

    def missing() -> set[int]:
        found = {int(path.read_bytes().partition(b"X-Number: ")[2].split(b"\n")[0]) for path in server.mail()}
        return set(accepted) - found

    until(lambda: not missing(), 30, lambda: f"lost: {missing()} of {len(accepted)}: {server.log()}")
    until(lambda: not list(programs.maildrop.iterdir()), 30)
