"""A file is replaced whole or not at all, whatever fails on the way."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from smtpd_classic.atomic_file import replace
from tests.tools import need

OLD, NEW = b"old\n" * 100, b"new\n" * 100_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    return path


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_new_file_is_readable_by_nobody_else(tmp_path: Path) -> None:
    replace(tmp_path / "file", NEW)
    assert (tmp_path / "file").read_bytes() == NEW
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert names(tmp_path) == ["file"]


def test_replaced_file_keeps_owner_and_mode(file: Path) -> None:
    if os.getuid() == 0:
        os.chown(file, 65534, 65533)
    file.chmod(0o4642)
    before = file.stat()
    replace(str(file), NEW)
    after = file.stat()
    assert file.read_bytes() == NEW
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert after.st_ino != before.st_ino


def test_old_content_stays_whole_for_who_reads_it(file: Path) -> None:
    with file.open("rb") as reader:
        replace(file, NEW)
        assert reader.read() == OLD


def test_empty_content_is_content_too(file: Path) -> None:
    replace(file, b"")
    assert file.read_bytes() == b""


def test_link_is_followed(file: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "folder" / "link"
    link.symlink_to("../file")
    replace(link, NEW)
    assert file.read_bytes() == NEW
    assert link.is_symlink()
    assert names(tmp_path / "folder") == ["link"]


def test_name_of_the_greatest_length_is_possible(tmp_path: Path) -> None:
    replace(tmp_path / ("x" * 255), NEW)
    assert names(tmp_path) == ["x" * 255]


def test_folder_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace(tmp_path / "file", NEW)
    assert names(tmp_path) == ["file"]


def test_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "folder" / "file", NEW)


REPLACE = """
import resource, sys
sys.path.insert(0, sys.argv[3])
from smtpd_classic.atomic_file import replace
if sys.argv[2] == "limited":
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    replace(sys.argv[1], b"new\\n" * 100_000)
except OSError as problem:
    print(problem.strerror)
else:
    print("replaced")
"""
ROOT = str(Path(__file__).parents[2])


def command(file: Path, limit: str = "") -> list[str]:
    return [os.path.realpath(sys.executable), "-I", "-c", REPLACE, str(file), limit, ROOT]


def test_content_that_does_not_fit_leaves_the_old_file(file: Path) -> None:
    result = subprocess.run(command(file, "limited"), capture_output=True, text=True, check=True)
    assert result.stdout == "File too large\n"
    assert file.read_bytes() == OLD
    assert names(file.parent) == ["file"]


def calls(file: Path) -> list[str]:
    """The system calls of one replacement from the first open of the new file on, as `name`."""
    strace = [need("strace"), "-qq", "-y", "-o", str(file.parent.parent / "trace")]
    subprocess.run([*strace, *command(file)], check=True, capture_output=True)
    lines = (file.parent.parent / "trace").read_text().splitlines()
    own = [line for line in lines if str(file.parent) in line]
    start = next(number for number, line in enumerate(own) if "O_EXCL" in line)
    return [line.partition("(")[0] for line in own[start:]]


def test_content_is_synced_before_the_rename_and_the_folder_after(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(OLD)
    found = [
        call for call in calls(folder / "file") if call in {"write", "fsync", "rename", "fchmod", "openat", "unlink"}
    ]
    assert re.fullmatch("openat (write )+fchmod fsync rename openat fsync openat", " ".join(found))


# The calls that may fail; the program makes none of them elsewhere.
FAULTS = [
    ("fsync", 1, "Input/output error", OLD),
    ("fchmod", 1, "Input/output error", OLD),
    ("rename", 1, "Input/output error", OLD),
    ("fsync", 2, "Input/output error", NEW),  # the folder's: the new file is in place, but perhaps not for good
]


@pytest.mark.parametrize(("call", "number", "said", "content"), FAULTS)
def test_failing_call_is_told_and_leaves_no_half_file(
    tmp_path: Path, call: str, number: int, said: str, content: bytes
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "file"
    file.write_bytes(OLD)
    strace = [need("strace"), "-qq", "-o", str(tmp_path / "trace"), "-e", f"trace={call}"]
    inject = ["-e", f"inject={call}:error=EIO:when={number}"]
    result = subprocess.run([*strace, *inject, *command(file)], capture_output=True, text=True, check=True)
    assert result.stdout == f"{said}\n"
    assert file.read_bytes() == content
    assert names(folder) == ["file"]


@pytest.mark.parametrize(("call", "number"), [("fchmod", 1), ("fsync", 1), ("rename", 1), ("fsync", 2)])
def test_killed_process_leaves_a_whole_file(tmp_path: Path, call: str, number: int) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "file"
    file.write_bytes(OLD)
    strace = [need("strace"), "-qq", "-o", str(tmp_path / "trace"), "-e", f"trace={call}"]
    inject = ["-e", f"inject={call}:signal=SIGKILL:when={number}"]
    result = subprocess.run([*strace, *inject, *command(file)], capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert file.read_bytes() in {OLD, NEW}


def test_drafts_of_killed_processes_are_swept(file: Path) -> None:
    """Of any file in the folder; what is younger, or only looks like a draft, stays."""
    folder = file.parent
    old = [folder / f".{name}.{'0123456789abcdef'}" for name in ("file", "other.conf")]
    young = folder / f".file.{'f' * 16}"
    others = [folder / ".hidden", folder / ".file.notahexnumber000", folder / "file.0123456789abcdef"]
    for path in (*old, young, *others):
        path.write_bytes(b"half")
    for path in (*old, *others):
        os.utime(path, (1000, 1000))
    (folder / f".folder.{'a' * 16}").mkdir()
    os.utime(folder / f".folder.{'a' * 16}", (1000, 1000))
    replace(file, NEW)
    assert not any(path.exists() for path in old)
    assert young.exists()
    assert all(path.exists() for path in others)
    assert (folder / f".folder.{'a' * 16}").is_dir()
    assert file.read_bytes() == NEW


def test_a_process_killed_in_the_middle_leaves_a_draft_that_the_next_one_sweeps(file: Path) -> None:
    code = (
        "import os, signal, sys; from smtpd_classic import atomic_file;"
        "atomic_file.os.rename = lambda *names: os.kill(os.getpid(), signal.SIGKILL);"
        "atomic_file.replace(sys.argv[1], b'x')"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=False)
    (draft,) = set(names(file.parent)) - {"file"}
    os.utime(file.parent / draft, (1000, 1000))
    replace(file, NEW)
    assert names(file.parent) == ["file"]
