"""The process ends, or the disk fails, at every system call of a delivery: acknowledged means one whole copy for each,
always."""

import contextlib
import errno
import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smtpd_classic.mailstore.folders import make_maildir
from smtpd_classic.mailstore.store import MailStore, MailStoreBroken, MailStoreFull
from tests.spool.faults import crashing, descriptors, failing

ENVELOPE = b"Return-Path: <a@example.org>\nEnvelope-To: <u@example.net>\n"
HEAD = b"Return-Path: <a@example.org>\nReceived: from mx\n"
BODIES = {"small": b"\nbody\n", "large": b"\n" + b"0123456789abcdef" * 12_000}
USERS = ("u", "v", "w")
ERRORS = {"no space": errno.ENOSPC, "no descriptor left": errno.EMFILE}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: here only the order of the calls counts, and there are thousands of syncs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        yield Path(place)


@pytest.fixture(autouse=True, params=[False, True], ids=["known file system", "unknown file system"])
def names_need_sync(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpd_classic.mailstore.store.names_need_sync", lambda _path: request.param)


def opened(tmp_path: Path) -> tuple[MailStore, list[str]]:
    store = MailStore(str(tmp_path / "mail"), "mx")
    return store, [str(tmp_path / "mail" / user) for user in USERS]


def deliver(store: MailStore, content: bytes, folders: list[str]) -> list[str]:
    with store.incoming() as message:
        for start in range(0, len(content), 50_000):
            message.write(content[start : start + 50_000])
        return message.deliver(folders)


def copies(folder: str, content: bytes, modes: tuple[int, ...] = (0o600,)) -> int:
    """How many the user sees; each must be whole and say its size."""
    new = Path(folder, "new")
    paths = list(new.iterdir()) if new.exists() else []
    for path in paths:
        assert path.read_bytes() == content
        assert path.name.endswith(f",S={len(content)}")
        assert path.stat().st_mode & 0o777 in modes
    return len(paths)


ROOM = b" " * 59 + b"\n"
RESULTS = b"Authentication-Results: mx; dmarc=fail".ljust(len(ROOM) - 1) + b"\n"


JUNK_MODES = (0o640, 0o600)  # a copy on another file system needs no mark


def deliver_with_results(store: MailStore, head: bytes, body: bytes, folders: list[str]) -> list[str]:
    """Deliver junk as reception does: room for the results is kept on top, and filled when the body has been read."""
    with store.incoming() as message:
        message.write(head + ROOM)
        for start in range(0, len(body), 50_000):
            message.write(body[start : start + 50_000])
        message.overwrite(len(head), RESULTS)
        return message.deliver([f"{folder}/.Junk" for folder in folders], is_junk=True)


def points() -> Iterator[tuple[int, bool]]:
    return ((at, torn) for at in itertools.count(1) for torn in (False, True))


@pytest.fixture(params=[True, False], ids=["Maildirs there", "Maildirs new"])
def there(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=[False, True], ids=["same file system", "other file system"])
def far(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a rename or link out of .incoming/ meets another file system."""
    if request.param:
        for name in ("rename", "link"):
            monkeypatch.setattr(os, name, _refusing(getattr(os, name)))
    return bool(request.param)


def _refusing(real: Callable[[str, str], None]) -> Callable[[str, str], None]:
    def move(source: str, target: str) -> None:
        if "/.incoming/" in source:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target)

    return move


@pytest.mark.parametrize("count", [1, 3], ids=["one", "three"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_crash_while_delivering(tmp_path: Path, body: bytes, count: int, there: bool, far: bool) -> None:
    content = (ENVELOPE if count == 1 else HEAD) + body
    name = ""
    gc.collect()  # what earlier tests have left must not be closed in the middle of this one
    for at, torn in points():
        if torn and name != "write":
            continue
        store, folders = opened(tmp_path)
        store.make()
        for folder in folders if there else ():
            make_maildir(folder)
        done = False
        with crashing(at, torn) as faults:
            deliver(store, content, folders[:count])
            done = True
        name = "".join(faults.names[at - 1 : at])
        try:
            MailStore(store.mail_folder, "mx").sweep({"u@example.net": folders[0]}.get)
            for folder in folders[:count]:
                assert copies(folder, content) in ({1} if done else {0, 1, 2} if far else {0, 1})
            assert os.listdir(f"{store.mail_folder}/.incoming") == []
        except BaseException as error:
            error.add_note(f"died at call {at} {name} (torn: {torn}) of {faults.names}")
            raise
        shutil.rmtree(store.mail_folder)
        if done:
            assert at > 6
            return


@pytest.mark.parametrize("count", [1, 3], ids=["one", "three"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_crash_between_the_room_for_results_and_the_rename(tmp_path: Path, body: bytes, count: int, far: bool) -> None:
    """Every copy that a user sees is in the junk folder, with its results: never without, never with half of them."""
    head = ENVELOPE if count == 1 else HEAD
    content = head + RESULTS + body
    name = ""
    gc.collect()  # what earlier tests have left must not be closed in the middle of this one
    for at, torn in points():
        if torn and name not in {"write", "pwrite"}:
            continue
        store, folders = opened(tmp_path)
        store.make()
        done = False
        with crashing(at, torn) as faults:
            deliver_with_results(store, head, body, folders[:count])
            done = True
        name = "".join(faults.names[at - 1 : at])
        try:
            MailStore(store.mail_folder, "mx").sweep(lambda _: None, {"u@example.net": f"{folders[0]}/.Junk"}.get)
            for folder in folders[:count]:
                assert copies(f"{folder}/.Junk", content, JUNK_MODES) in ({1} if done else {0, 1, 2} if far else {0, 1})
                assert copies(folder, content) == 0
            assert os.listdir(f"{store.mail_folder}/.incoming") == []
        except BaseException as error:
            error.add_note(f"died at call {at} {name} (torn: {torn}) of {faults.names}")
            raise
        shutil.rmtree(store.mail_folder)
        if done:
            assert "pwrite" in faults.names
            return


@pytest.mark.parametrize("number", ERRORS.values(), ids=ERRORS)
def test_failure_of_the_room_for_results_leaves_no_copy_without_them(tmp_path: Path, number: int) -> None:
    content = ENVELOPE + RESULTS + BODIES["large"]
    name = ""
    gc.collect()  # what earlier tests have left must not be closed in the middle of this one
    for at, torn in points():
        if torn and name not in {"write", "pwrite"}:
            continue
        store, folders = opened(tmp_path)
        store.make()
        left: list[str] | None = None
        with failing(at, number, torn=torn) as faults, contextlib.suppress(MailStoreFull, MailStoreBroken):
            left = deliver_with_results(store, ENVELOPE, BODIES["large"], folders[:1])
        name = "".join(faults.names[at - 1 : at])
        assert copies(f"{folders[0]}/.Junk", content, JUNK_MODES) == (1 if left == [] else 0), faults.names
        assert os.listdir(f"{store.mail_folder}/.incoming") == [], faults.names
        shutil.rmtree(store.mail_folder)
        if not faults.happened:
            assert left == []
            return


def test_junk_of_a_dead_process_is_swept_into_the_junk_folder_or_the_inbox(tmp_path: Path) -> None:
    for place in ("/.Junk", ""):
        store, folders = opened(tmp_path)
        store.make()
        left = Path(store.mail_folder, ".incoming", "1.M1P1Q1.mx")
        left.write_bytes(ENVELOPE + BODIES["small"])
        left.chmod(0o640)
        swept = MailStore(store.mail_folder, "mx").sweep(lambda _: None, {"u@example.net": f"{folders[0]}{place}"}.get)
        assert swept == 1
        (there,) = Path(f"{folders[0]}{place}", "new").iterdir()
        assert there.read_bytes() == ENVELOPE + BODIES["small"]
        shutil.rmtree(store.mail_folder)


@pytest.mark.parametrize("number", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("count", [1, 3], ids=["one", "three"])
@pytest.mark.parametrize("stays", [False, True], ids=["once", "for good"])
def test_failure_while_delivering(tmp_path: Path, number: int, count: int, stays: bool, far: bool) -> None:
    there = not far
    content = (ENVELOPE if count == 1 else HEAD) + BODIES["large"]
    name = ""
    gc.collect()  # what earlier tests have left must not be closed in the middle of this one
    for at, torn in points():
        if torn and name != "write":
            continue
        store, folders = opened(tmp_path)
        store.make()
        for folder in folders if there else ():
            make_maildir(folder)
        left = folders[:count]
        raised: BaseException | None = None
        before = descriptors()
        with failing(at, number, stays=stays, torn=torn) as faults:
            try:
                left = deliver(store, content, left)
            except (MailStoreFull, MailStoreBroken) as error:
                raised = error
        name = "".join(faults.names[at - 1 : at])
        try:
            assert descriptors() == before, "a descriptor was left open"
            assert raised is None or isinstance(raised, MailStoreFull) == (number == errno.ENOSPC)
            if not (stays and name == "unlink"):  # then nothing can be removed for good
                assert os.listdir(f"{store.mail_folder}/.incoming") == []
                for folder in folders[:count]:
                    assert copies(folder, content) == (0 if folder in left else 1)
        except BaseException as error:
            error.add_note(f"call {at} {name} failed (torn: {torn}) of {faults.names}: {raised!r}")
            raise
        shutil.rmtree(store.mail_folder)
        if not faults.happened:
            assert not left
            return


def test_crash_while_sweeping_is_mended_by_the_next_sweep(tmp_path: Path, far: bool) -> None:
    content = ENVELOPE + BODIES["small"]
    for at in itertools.count(1):
        store, folders = opened(tmp_path)
        store.make()
        root = Path(store.mail_folder, ".incoming")
        (root / "1.M1P1Q1.mx").write_bytes(content)
        (root / "1.M1P1Q1.mx").chmod(0o600)
        (root / "1.M1P1Q2.mx").write_bytes(HEAD)
        (root / "1.M1P1Q3.mx").write_bytes(content)
        (root / "1.M1P1Q3.mx").chmod(0o200)
        done = False
        with crashing(at):
            store.sweep({"u@example.net": folders[0]}.get)
            done = True
        MailStore(store.mail_folder, "mx").sweep({"u@example.net": folders[0]}.get)
        assert copies(folders[0], content) in ({1, 2} if far and not done else {1})
        assert os.listdir(root) == []
        shutil.rmtree(store.mail_folder)
        if done:
            assert at > 10
            return


@pytest.mark.parametrize("number", ERRORS.values(), ids=ERRORS)
def test_failure_while_sweeping_leaves_the_message_for_the_next(tmp_path: Path, number: int, far: bool) -> None:
    content = ENVELOPE + BODIES["small"]
    gc.collect()  # what earlier tests have left must not be closed in the middle of this one
    for at in itertools.count(1):
        complaints: list[str] = []
        _, folders = opened(tmp_path)
        store = MailStore(str(tmp_path / "mail"), "mx", complaints.append)
        store.make()
        root = Path(store.mail_folder, ".incoming")
        (root / "1.M1P1Q1.mx").write_bytes(content)
        (root / "1.M1P1Q1.mx").chmod(0o600)
        before = descriptors()
        failed = False
        with failing(at, number, stays=True) as faults:
            try:
                store.sweep({"u@example.net": folders[0]}.get)
            except (MailStoreFull, MailStoreBroken):
                failed = True
        try:
            assert descriptors() == before, "a descriptor was left open"
            assert failed or complaints or copies(folders[0], content) == 1
            assert copies(folders[0], content) in ({0, 1} if failed or complaints else {1})
            store.sweep({"u@example.net": folders[0]}.get)
            assert copies(folders[0], content) in ({1, 2} if far else {1})
            assert os.listdir(root) == []
        except BaseException as error:
            error.add_note(f"call {at} {faults.names[at - 1 : at]} failed of {faults.names}")
            raise
        shutil.rmtree(store.mail_folder)
        if not faults.happened:
            return


@pytest.mark.parametrize("number", ERRORS.values(), ids=ERRORS)
def test_quota_that_cannot_be_read_is_told(tmp_path: Path, number: int) -> None:
    store, folders = opened(tmp_path)
    deliver(store, ENVELOPE, folders[:1])
    with failing(1, number, stays=True), pytest.raises(MailStoreFull if number == errno.ENOSPC else MailStoreBroken):
        store.quota_used(folders[0])
