"""Files in maildrop/: what is left there is found again, and what others put there is not believed."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smtpd_classic.submission import maildrop
from smtpd_classic.submission.maildrop import CorruptMaildropFile, MaildropMessage
from smtpd_classic.submission.message import HeaderTooLong, SubmittedMessage
from tests.submission.test_message import letter

PLAIN = letter(b"Subject: x\n\ntext\n")


def folder(tmp_path: Path) -> str:
    """An open maildrop/ in a spool folder, as the server makes it."""
    (tmp_path / "maildrop").mkdir(mode=0o700, exist_ok=True)
    maildrop.make(str(tmp_path))
    return str(tmp_path / "maildrop")


def found_in(path: str) -> tuple[MaildropMessage, bytes]:
    """What is in a file, and the octets of the message."""
    fd = os.open(path, os.O_RDONLY)
    try:
        found = maildrop.read(fd)
        text = found.message.body.read(found.message.text, 10_000_000)
        return found, found.message.header + b"\n" + text
    finally:
        os.close(fd)


LETTERS = {
    "plain": PLAIN,
    "the null sender": PLAIN._replace(sender=""),
    "many recipients": PLAIN._replace(recipients=tuple(f"r{number}@example.org" for number in range(1000))),
    "everything": PLAIN._replace(
        sender="jörg@exämple.org", name="Jörg", notify="NEVER", ret="FULL", envid="a+20b", eight_bit=True
    ),
    "nothing in it": letter(b""),
    "a text that looks like a header": letter(b"\nsize 5\n\nTo: x\n"),
}


@pytest.mark.parametrize("left", LETTERS.values(), ids=LETTERS)
def test_what_is_left_is_found_again(left: SubmittedMessage, tmp_path: Path) -> None:
    place = folder(tmp_path)
    name = maildrop.leave(place, left)
    assert maildrop.is_name(name)
    found, message = found_in(f"{place}/{name}")
    assert found.uid == -1
    assert found.message._replace(body=left.body, text=left.text) == left
    assert message == left.header + b"\n" + left.body.read(left.text, 1000)


def test_the_folder_takes_letters_of_everybody_and_shows_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    place = Path(folder(tmp_path))
    assert stat.S_IMODE(place.stat().st_mode) == 0o3733
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o711
    name = maildrop.leave(str(place), PLAIN)
    assert stat.S_IMODE((place / name).stat().st_mode) == 0o640


def test_without_the_bit_of_the_group_the_name_alone_guards_a_letter(tmp_path: Path) -> None:
    place = Path(folder(tmp_path))
    place.chmod(0o1733)
    assert stat.S_IMODE((place / maildrop.leave(str(place), PLAIN)).stat().st_mode) == 0o644


def test_an_older_folder_is_opened(tmp_path: Path) -> None:
    place = Path(folder(tmp_path))
    place.chmod(0o1733)
    maildrop.make(str(tmp_path))
    assert stat.S_IMODE(place.stat().st_mode) == 0o3733


class _Unreadable:
    size = 10

    def read(self, offset: int, size: int) -> bytes:
        raise OSError(5, "the disk fails")


def test_nothing_stays_of_what_could_not_be_left(tmp_path: Path) -> None:
    place = folder(tmp_path)
    with pytest.raises(OSError, match="disk fails"):
        maildrop.leave(place, PLAIN._replace(body=_Unreadable()))
    assert os.listdir(place) == []


SYNC_FAILS = """
import os, sys
from smtpd_classic.submission import maildrop
from tests.submission.test_message import letter
try:
    maildrop.leave(sys.argv[1], letter(b"x\\n"))
except OSError as problem:
    print(problem.strerror, os.listdir(sys.argv[1]))
"""


def test_a_letter_that_cannot_be_synced_is_not_left(tmp_path: Path) -> None:
    place = folder(tmp_path)
    command = ["strace", "-f", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", sys.executable, "-c", SYNC_FAILS]
    root = Path(__file__).parents[2]
    done = subprocess.run([*command, place], capture_output=True, text=True, cwd=root, timeout=60)
    assert done.stdout == "Input/output error []\n", done.stderr


def test_it_can_be_read_only_when_it_is_complete_and_then_it_is_synced(tmp_path: Path) -> None:
    place, trace = folder(tmp_path), tmp_path / "trace"
    command = [
        "strace",
        "-o",
        str(trace),
        "-e",
        "trace=openat,write,fchmod,fsync",
        sys.executable,
        "-c",
        SYNC_FAILS,
        place,
    ]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], timeout=60)
    lines = trace.read_text().splitlines()
    opened = next(number for number, line in enumerate(lines) if place in line and "O_CREAT" in line)
    assert "O_EXCL" in lines[opened]
    assert "0200)" in lines[opened]
    assert [line.partition("(")[0] for line in lines[opened + 1 :]][:3] == ["write", "fchmod", "fsync"]


GARBAGE = {
    "nothing": b"",
    "something else": b"Subject: x\n\ntext\n",
    "another version": b"smtpd-classic maildrop 2\nrecipient a\nsize 0\n\n",
    "no recipient": b"smtpd-classic maildrop 1\nsender a\nsize 1\n\n\n",
    "no size": b"smtpd-classic maildrop 1\nrecipient a\n\n\n",
    "a wrong size": b"smtpd-classic maildrop 1\nrecipient a\nsize 5\n\n\n",
    "a size of letters": b"smtpd-classic maildrop 1\nrecipient a\nsize x\n\n\n",
    "an endless size": b"smtpd-classic maildrop 1\nrecipient a\nsize " + b"9" * 900 + b"\n\n\n",
    "an unknown line": b"smtpd-classic maildrop 1\ncommand rm\nrecipient a\nsize 1\n\n\n",
    "a line without a value": b"smtpd-classic maildrop 1\nrecipient\nsize 1\n\n\n",
    "no end of the lines": b"smtpd-classic maildrop 1\nrecipient a\nsize 1",
    "a line that is too long": b"smtpd-classic maildrop 1\nrecipient " + b"a" * 3000 + b"\nsize 1\n\n\n",
    "no UTF-8": b"smtpd-classic maildrop 1\nrecipient \xff\nsize 1\n\n\n",
    "control characters": b"smtpd-classic maildrop 1\nrecipient a\rb\nsize 1\n\n\n",
    "NUL": b"smtpd-classic maildrop 1\nrecipient a\0b\nsize 1\n\n\n",
    "too many recipients": b"smtpd-classic maildrop 1\n" + b"recipient a\n" * 200_001 + b"size 1\n\n\n",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_called_so(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(CorruptMaildropFile) as told:
        found_in(str(path))
    assert str(told.value).isprintable()


WHOLE = b"smtpd-classic maildrop 1\nsender a\nrecipient b@c\nname N\nuid 7\nsize 12\n\nA: b\n\ntext\n\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 3), st.binary(max_size=6)), max_size=4))
def test_whatever_is_in_a_file_is_a_letter_or_garbage(tmp_path: Path, edits: list[tuple[int, int, bytes]]) -> None:
    data = WHOLE
    for place, removed, added in edits:
        data = data[:place] + added + data[place + removed :]
    path = tmp_path / "file"
    path.write_bytes(data)
    try:
        found, message = found_in(str(path))
    except (CorruptMaildropFile, HeaderTooLong):
        return
    assert found.message.recipients
    assert data.endswith(message[-3:])


def test_a_file_that_is_cut_off_while_it_is_read_is_garbage(tmp_path: Path) -> None:
    place = folder(tmp_path)
    path = f"{place}/{maildrop.leave(place, letter(b'A: b' + bytes([10, 10]) + b'x' * 200_000))}"
    fd = os.open(path, os.O_RDONLY)
    try:
        found = maildrop.read(fd)
        os.truncate(path, 1000)
        with pytest.raises(CorruptMaildropFile, match="cut off"):
            found.message.body.read(0, 200_000)
    finally:
        os.close(fd)
