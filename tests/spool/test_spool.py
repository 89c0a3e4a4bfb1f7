"""What is committed can be read, claimed by one at a time, tried, held, released and removed."""

import errno
import itertools
import os
import stat
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from smtpd_classic.durable import names_need_sync
from spool import (
    DELIVERED,
    WAITING,
    Claim,
    Envelope,
    Hold,
    NoSuchEntry,
    NotClaimed,
    Recipient,
    Spool,
    SpoolBroken,
    SpoolFull,
    new_queue_id,
)
from spool.disk import failure
from spool.rows import rows
from tests.spool.faults import descriptors, failing, settled_descriptors
from tests.spool.messages import LARGE, NOW, ONE, SMALL, TWO, check_order, commit, found, made

# Python 3.12 warns of forking a process that has threads, as pytest's workers do; the children only do file work.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def spool(tmp_path: Path, complaints: list[str]) -> Spool:
    return made(tmp_path / "spool", complaints.append)


def claimed(spool: Spool, queue_id: str) -> Claim:
    claim = spool.claim(queue_id)
    assert claim is not None
    return claim


def tried(spool: Spool, queue_id: str, *, next_attempt: float = NOW + 900, **changes: object) -> None:
    with claimed(spool, queue_id) as claim:
        state = claim.state._replace(attempts=claim.state.attempts + 1, next_attempt=next_attempt)
        claim.record(state._replace(**changes))  # type: ignore[arg-type]


def place(spool: Spool, queue_id: str) -> Path:
    for folder in (spool.folders.new, spool.folders.cur):
        if Path(folder, queue_id).exists():
            return Path(folder, queue_id)
    raise AssertionError(f"{queue_id} is gone")


@pytest.mark.parametrize("content", [b"", b"x", SMALL, LARGE], ids=["empty", "one octet", "small", "large"])
@pytest.mark.parametrize(
    "envelope", [ONE, TWO, Envelope("", (Recipient("b@example.net"),))], ids=["one", "two", "null sender"]
)
def test_committed_message_comes_back(spool: Spool, content: bytes, envelope: Envelope) -> None:
    before = settled_descriptors()
    queue_id = commit(spool, content, envelope)
    assert found(spool, queue_id) == (content, envelope)
    with claimed(spool, queue_id) as claim:
        assert claim.entry == (queue_id, NOW, envelope, len(content))
        assert claim.state.next_attempt == 0.0
        assert [each.address for each in claim.state.recipients] == [each.address for each in envelope.recipients]
        assert not claim.state.done
    assert descriptors() == before


def test_envelope_of_many_recipients_comes_back(spool: Spool) -> None:
    envelope = Envelope("a@example.org", tuple(Recipient(f"user{number}@example.net") for number in range(5000)))
    queue_id = commit(spool, SMALL, envelope)
    assert found(spool, queue_id) == (SMALL, envelope)


def test_left_without_commit_nothing_remains(spool: Spool) -> None:
    before = settled_descriptors()
    for content in (SMALL, LARGE):
        with spool.draft(new_queue_id(NOW)) as draft:
            draft.write(content)
            assert draft.size == len(content)
    assert os.listdir(spool.folders.new) == []
    assert descriptors() == before


def test_draft_is_of_no_use_after_its_end(spool: Spool) -> None:
    with spool.draft(new_queue_id(NOW)) as draft:
        draft.write(SMALL)
        draft.commit(ONE, NOW)
        for use in (lambda: draft.write(b"more"), lambda: draft.commit(ONE, NOW)):
            with pytest.raises(ValueError, match="committed or given up"):
                use()
    assert len(check_order(spool)) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE])
def test_failed_write_of_a_large_message_gives_it_up(spool: Spool, number: int) -> None:
    with spool.draft(new_queue_id(NOW)) as draft:
        with (
            failing(1, number, stays=True),
            pytest.raises(SpoolBroken if number in {errno.EIO, errno.EMFILE} else SpoolFull),
        ):
            draft.write(LARGE)
        with pytest.raises(ValueError, match="given up"):
            draft.write(b"the rest must not pass for a message")
    assert check_order(spool) == {}


def test_large_draft_is_neither_listed_nor_claimed_nor_read_nor_swept(spool: Spool) -> None:
    with spool.draft(new_queue_id(NOW)) as draft:
        draft.write(LARGE)
        assert os.listdir(spool.folders.new) == [draft.queue_id]
        assert list(spool.list()) == []
        assert spool.claim(draft.queue_id) is None
        with pytest.raises(NoSuchEntry):
            spool.read(draft.queue_id)
        with pytest.raises(NoSuchEntry):
            spool.hold(draft.queue_id)
        assert spool.sweep(NOW) == 0
        draft.commit(ONE, NOW)
    assert found(spool, draft.queue_id) == (LARGE, ONE)


def test_name_taken_already_is_refused_and_kept(spool: Spool) -> None:
    queue_id = commit(spool)
    with spool.draft(queue_id) as draft, pytest.raises(SpoolBroken):
        draft.commit(TWO, NOW)
    assert found(spool, queue_id) == (SMALL, ONE)


def test_files_are_for_the_service_user_alone(spool: Spool) -> None:
    old_mask = os.umask(0)
    try:
        queue_id = commit(spool)
        tried(spool, queue_id)
    finally:
        os.umask(old_mask)
    for path in (Path(spool.folders.cur, queue_id), Path(spool.folders.state, queue_id)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in spool.folders:
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_entry_has_one_claim_at_a_time(spool: Spool) -> None:
    queue_id = commit(spool)
    with claimed(spool, queue_id):
        assert spool.claim(queue_id) is None
        for act in (spool.hold, partial(spool.release, now=NOW), spool.retry_now, spool.delete):
            with pytest.raises(NotClaimed):
                act(queue_id)
        tried_by_another_thread: list[Claim | None] = []
        thread = threading.Thread(target=lambda: tried_by_another_thread.append(spool.claim(queue_id)))
        thread.start()
        thread.join()
        assert tried_by_another_thread == [None]
    with claimed(spool, queue_id):
        pass


def test_claim_is_free_the_instant_its_process_dies(spool: Spool) -> None:
    queue_id = commit(spool)
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        spool.claim(queue_id)
        os.write(tell, b"x")
        threading.Event().wait(60)
        os._exit(1)
    assert os.read(ready, 1) == b"x"
    assert spool.claim(queue_id) is None
    os.kill(child, 9)
    os.waitpid(child, 0)
    claimed(spool, queue_id).release()
    os.close(ready)
    os.close(tell)


def test_claim_is_free_although_a_child_has_inherited_its_descriptor(spool: Spool) -> None:
    queue_id = commit(spool)
    with claimed(spool, queue_id):
        ready, go = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(ready, 1)
            os._exit(0)
    claimed(spool, queue_id).release()
    os.write(go, b"x")
    os.waitpid(child, 0)
    os.close(ready)
    os.close(go)


@pytest.mark.parametrize("queue_id", ["", "../../etc/passwd", "0" * 20, "x"])
def test_what_is_not_there_is_said_to_be_so(spool: Spool, queue_id: str) -> None:
    assert spool.claim(queue_id) is None
    release = partial(spool.release, now=NOW)
    for act in (spool.read, spool.open_content, spool.hold, release, spool.retry_now, spool.delete):
        with pytest.raises(NoSuchEntry):
            act(queue_id)


def test_content_is_read_like_a_file_by_several_at_once(spool: Spool) -> None:
    queue_id = commit(spool, LARGE)
    with claimed(spool, queue_id) as claim:
        with claim.open_content() as one, claim.open_content() as other:
            assert one.size == len(LARGE)
            assert one.read(10) == LARGE[:10]
            assert other.read() == LARGE
            assert one.tell() == 10
            assert b"".join(one.chunks(7000)) == LARGE[10:]
            assert one.read() == one.read(5) == b""
            one.seek(3)
            assert one.read(0) == b""
            assert one.read(4) == LARGE[3:7]
            one.seek(10**9)
            assert one.tell() == len(LARGE)
        one.close()
        one.seek(0)
        with pytest.raises(SpoolBroken):
            one.read()


def test_content_cut_off_on_disk_is_never_passed_on_as_whole(spool: Spool) -> None:
    queue_id = commit(spool, LARGE)
    with claimed(spool, queue_id) as claim, claim.open_content() as content:
        os.truncate(place(spool, queue_id), 100_000)
        with pytest.raises(SpoolBroken, match="cut off"):
            content.read()


def test_first_attempt_moves_the_entry_and_keeps_what_it_learnt(spool: Spool) -> None:
    queue_id = commit(spool, SMALL, TWO)
    with claimed(spool, queue_id) as claim:
        first, second = claim.state.recipients
        first = first._replace(state=DELIVERED, attempts=1, last_reply="250 2.0.0 Ok", host="mx", at=NOW)
        second = second._replace(attempts=1, last_reply="451 4.3.0 Later", enhanced="4.3.0", host="my", at=NOW)
        state = claim.state._replace(recipients=(first, second), attempts=1, first_attempt=NOW, last_attempt=NOW)
        claim.record(state._replace(next_attempt=NOW + 900.5, transcript="S: 451 4.3.0 Later"))
        again = claim.state._replace(attempts=2, delay_notified=True)
        claim.record(again)
        assert claim.state == again
    assert place(spool, queue_id) == Path(spool.folders.cur, queue_id)
    assert spool.read(queue_id) == ((queue_id, NOW, TWO, len(SMALL)), again)
    with claimed(spool, queue_id) as claim:
        assert claim.state == again
        claim.remove()
        for use in (claim.remove, lambda: claim.record(again)):
            with pytest.raises(ValueError, match="removed"):
                use()
    assert check_order(spool) == {}
    assert os.listdir(spool.folders.state) == []


def test_claim_given_back_can_do_no_more(spool: Spool) -> None:
    queue_id = commit(spool)
    with claimed(spool, queue_id) as claim:
        state = claim.state
    for use in (claim.remove, lambda: claim.record(state)):
        with pytest.raises(ValueError, match="given back"):
            use()
    claim.release()
    assert found(spool, queue_id) == (SMALL, ONE)


def test_state_of_other_recipients_is_refused(spool: Spool) -> None:
    first, second = commit(spool, SMALL, ONE), commit(spool, SMALL, TWO)
    with claimed(spool, first) as claim, pytest.raises(ValueError, match="not those of the envelope"):
        claim.record(spool.read(second)[1])
    assert os.listdir(spool.folders.state) == []


def test_entry_stays_in_new_when_it_cannot_be_moved(spool: Spool) -> None:
    queue_id = commit(spool)
    os.rmdir(spool.folders.cur)
    Path(spool.folders.cur).write_bytes(b"")
    tried(spool, queue_id)
    assert place(spool, queue_id) == Path(spool.folders.new, queue_id)
    os.unlink(spool.folders.cur)
    os.mkdir(spool.folders.cur)
    assert spool.read(queue_id)[1].attempts == 1
    tried(spool, queue_id)
    assert place(spool, queue_id) == Path(spool.folders.cur, queue_id)
    assert spool.read(queue_id)[1].attempts == 2


@pytest.mark.parametrize("attempted", [False, True], ids=["new", "tried"])
def test_held_entry_is_not_due_until_released(spool: Spool, attempted: bool) -> None:
    queue_id = commit(spool)
    if attempted:
        tried(spool, queue_id, next_attempt=NOW - 5)
    assert list(spool.due(NOW)) == [queue_id]
    spool.hold(queue_id)
    spool.hold(queue_id)
    spool.retry_now(queue_id)
    assert list(spool.due(NOW)) == []
    [listed] = spool.list()
    assert (listed.held, listed.attempted) == (True, attempted)
    assert spool.read(queue_id)[1].held
    with claimed(spool, queue_id) as claim:
        assert claim.state.held
    spool.release(queue_id, now=NOW)
    spool.release(queue_id, now=NOW)
    assert list(spool.due(NOW)) == [queue_id]
    assert spool.read(queue_id)[1].attempts == attempted


def test_entry_committed_on_hold_is_never_due(spool: Spool) -> None:
    queue_id = commit(spool, hold=True)
    assert list(spool.due(NOW)) == []
    assert next(spool.list()).held
    spool.release(queue_id, now=NOW)
    assert list(spool.due(NOW)) == [queue_id]


def test_retry_now_makes_due_at_once_and_keeps_the_state(spool: Spool) -> None:
    new, old = commit(spool), commit(spool)
    tried(spool, old, transcript="before")
    assert list(spool.due(NOW)) == [new]
    for queue_id in (new, old):
        spool.retry_now(queue_id)
    assert sorted(spool.due(0.0)) == sorted([new, old])
    assert spool.read(old)[1].transcript == "before"


def test_deleted_entry_is_gone_with_its_state(spool: Spool) -> None:
    new, old = commit(spool), commit(spool)
    tried(spool, old)
    for queue_id in (new, old):
        spool.delete(queue_id)
    assert check_order(spool) == {}


@pytest.mark.parametrize(
    ("next_attempt", "kept"),
    [(-1.0, 0.0), (float("inf"), float(2**33)), (NOW + 0.123456, NOW + 0.123456)],
    ids=["before 1970", "never", "fraction"],
)
def test_any_next_attempt_can_be_kept(spool: Spool, next_attempt: float, kept: float) -> None:
    queue_id = commit(spool)
    tried(spool, queue_id, next_attempt=next_attempt)
    assert spool.read(queue_id)[1].next_attempt == pytest.approx(kept, abs=1e-6)
    assert next(spool.list()).next_attempt == pytest.approx(kept, abs=1e-6)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"?"),
        lambda path: path.write_bytes(b"Subject: restored from somewhere\n\nbody\n"),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"recipients", b"recipient5")),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
        lambda path: path.unlink() or os.mkfifo(path),  # type: ignore[func-returns-value]
    ],
    ids=["one octet", "no trailer", "cut", "changed", "folder", "link", "pipe"],
)
@pytest.mark.parametrize("attempted", [False, True], ids=["new", "tried"])
def test_damaged_entry_is_set_aside_and_told(
    spool: Spool, complaints: list[str], damage: Callable[[Path], object], attempted: bool
) -> None:
    queue_id, good = commit(spool), commit(spool)
    if attempted:
        tried(spool, queue_id)
    path = place(spool, queue_id)
    before = settled_descriptors()
    damage(path)
    with pytest.raises(SpoolBroken):
        spool.read(queue_id)
    assert spool.claim(queue_id) is None
    assert spool.claim(queue_id) is None
    assert not os.path.lexists(path)
    assert os.path.lexists(f"{spool.folders.quarantine}/{path.parent.name}.{queue_id}")
    assert str(path) in complaints[0]
    spool.sweep(NOW)
    assert [item.queue_id for item in spool.list()] == [good]
    assert len(os.listdir(spool.folders.quarantine)) == len(complaints)
    assert descriptors() == before


@pytest.mark.parametrize("size", [0, 1, 17, 4096, 100_000], ids=lambda size: f"{size} NULs")
@pytest.mark.parametrize("kept", [b"", b"From: ann@example.org\n\nHello\n"], ids=["all", "at the end"])
def test_file_that_the_power_cut_left_empty_or_full_of_nul_is_removed_as_a_draft(
    spool: Spool, complaints: list[str], size: int, kept: bytes
) -> None:
    queue_id, good = commit(spool), commit(spool)
    path = place(spool, queue_id)
    path.write_bytes(kept + bytes(size) if size >= 17 else bytes(size))
    assert spool.claim(queue_id) is None
    assert not os.path.lexists(path)
    assert os.listdir(spool.folders.quarantine) == []
    assert "before it was acknowledged" in complaints[0]
    assert [item.queue_id for item in spool.list()] == [good]


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b'{"recipients":[{"address":"b@example.net"}'], ids=["empty", "text", "cut"]
)
def test_damaged_state_is_set_aside_and_the_entry_starts_anew(spool: Spool, complaints: list[str], data: bytes) -> None:
    queue_id = commit(spool)
    tried(spool, queue_id)
    path = Path(spool.folders.state, queue_id)
    path.write_bytes(data)
    assert spool.read(queue_id)[1].attempts == 0
    with claimed(spool, queue_id) as claim:
        assert claim.state.attempts == 0
        assert claim.state.recipients[0].state == WAITING
    assert Path(spool.folders.quarantine, f"state.{queue_id}").read_bytes() == data
    assert len(complaints) == 1
    assert found(spool, queue_id) == (SMALL, ONE)


def test_state_that_is_no_file_is_set_aside_too(spool: Spool, complaints: list[str]) -> None:
    queue_id = commit(spool)
    os.mkdir(f"{spool.folders.state}/{queue_id}")
    claimed(spool, queue_id).release()
    assert len(complaints) == 1
    assert os.listdir(spool.folders.state) == []


def test_second_thing_of_one_name_is_set_aside_beside_the_first(spool: Spool, complaints: list[str]) -> None:
    for _ in range(3):
        Path(spool.folders.cur, "what is this").write_bytes(b"")
        spool.sweep(NOW)
    assert sorted(os.listdir(spool.folders.quarantine)) == [
        "cur.what is this",
        "cur.what is this.1",
        "cur.what is this.2",
    ]
    assert len(complaints) == 3


def test_what_cannot_be_set_aside_stays_and_is_told(spool: Spool, complaints: list[str]) -> None:
    queue_id = commit(spool)
    place(spool, queue_id).write_bytes(b"garbage")
    os.rmdir(spool.folders.quarantine)
    Path(spool.folders.quarantine).write_bytes(b"")
    assert spool.claim(queue_id) is None
    assert "could not be moved" in complaints[0]
    assert place(spool, queue_id).read_bytes() == b"garbage"


def test_spool_that_nobody_listens_to_works_as_well(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    queue_id = commit(spool)
    place(spool, queue_id).write_bytes(b"garbage")
    assert spool.claim(queue_id) is None


def test_entry_that_moves_while_it_is_claimed_is_found(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    queue_id = commit(spool)
    real, moved = os.open, itertools.count()

    def open_and_move(path: str, flags: int, mode: int = 0o777) -> int:
        descriptor = real(path, flags, mode)
        if path.endswith(f"/new/{queue_id}") and next(moved) == 0:
            os.rename(path, f"{spool.folders.cur}/{queue_id}")
        return descriptor

    monkeypatch.setattr(os, "open", open_and_move)
    with claimed(spool, queue_id) as claim:
        assert claim.entry.queue_id == queue_id


def test_entry_that_goes_while_it_is_claimed_is_nobodys(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    queue_id = commit(spool)
    real = os.open

    def open_and_remove(path: str, flags: int, mode: int = 0o777) -> int:
        descriptor = real(path, flags, mode)
        if path.endswith(f"/new/{queue_id}"):
            os.unlink(path)
        return descriptor

    monkeypatch.setattr(os, "open", open_and_remove)
    assert spool.claim(queue_id) is None


def test_draft_taken_for_abandoned_before_its_lock_is_made_again(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open
    swept: Iterator[int] = itertools.count()

    def open_and_sweep(path: str, flags: int, mode: int = 0o777) -> int:
        descriptor = real(path, flags, mode)
        if flags & os.O_EXCL and next(swept) == 0:
            assert spool.sweep(NOW) == 1
        return descriptor

    monkeypatch.setattr(os, "open", open_and_sweep)
    queue_id = commit(spool)
    assert found(spool, queue_id) == (SMALL, ONE)


def test_file_that_may_not_be_opened_is_a_draft_or_a_complaint(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, gone = commit(spool), new_queue_id(NOW)
    with spool.draft(new_queue_id(NOW)) as draft:
        draft.write(LARGE)

        def refuse(path: str, _flags: int) -> int:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            assert spool.claim(draft.queue_id) is None
            assert spool.claim(gone) is None
            with pytest.raises(SpoolBroken, match="permission denied for the service user"):
                spool.claim(whole)


def test_disk_that_takes_a_little_at_a_time_gets_it_all(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7777]))
    for content in (SMALL, LARGE):
        assert found(spool, commit(spool, content)) == (content, ONE)


def test_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    for name, spoil in (
        ("foreign", lambda path: os.chown(path, 65534, 65534)),
        ("link", lambda path: (path.rmdir(), path.symlink_to(tmp_path))),
        ("file", lambda path: (path.rmdir(), path.write_bytes(b""))),
    ):
        spool = made(tmp_path / name)
        spoil(Path(spool.folders.state))
        with pytest.raises(SpoolBroken, match="state: it must be a folder of user"):
            spool.make()


def test_spool_folder_itself_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "spool").symlink_to(tmp_path / "far")
    spool = made(tmp_path / "spool")
    assert found(spool, commit(spool)) == (SMALL, ONE)
    assert (tmp_path / "far" / "new").is_dir()


def test_missing_spool_is_said_to_be_missing(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "none"))
    for act in (
        lambda: commit(spool),
        lambda: list(spool.list()),
        spool.schedule,
        spool.free_bytes,
        lambda: spool.sweep(NOW),
    ):
        with pytest.raises(SpoolBroken, match="missing or incomplete"):
            act()
    assert spool.claim(new_queue_id(NOW)) is None


def test_free_bytes_are_those_of_the_file_system(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    status = os.statvfs(spool.path)
    assert spool.free_bytes() == pytest.approx(status.f_bavail * status.f_frsize, rel=0.1)
    without_inodes = os.statvfs_result((4096, 4096, 100, 50, 50, 1000, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: without_inodes)
    assert spool.free_bytes() == 0
    uncounted = os.statvfs_result((4096, 4096, 100, 50, 50, 0, 0, 0, 0, 255))  # as btrfs
    monkeypatch.setattr(os, "statvfs", lambda _path: uncounted)
    assert spool.free_bytes() == 50 * 4096


def test_file_systems_that_are_not_known_get_their_folder_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place_in_memory:
        assert names_need_sync(place_in_memory)
        spool = made(f"{place_in_memory}/spool")
        synced: list[str] = []
        real = os.fsync

        def fsync(descriptor: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        queue_id = commit(spool)
    assert synced == [f"{spool.folders.new}/{queue_id}", spool.folders.new]


@pytest.mark.parametrize(
    ("mounts", "answer"),
    [
        ("25 1 {} / / rw,relatime shared:1 - ext4 /dev/vda rw\n", False),
        ("25 1 {} / / rw - xfs /dev/vda rw\n", False),
        ("25 1 {} / / rw shared:1 - btrfs /dev/vda rw\n", True),
        ("25 1 99:99 / / rw - ext4 /dev/vda rw\n", True),
        (None, True),
    ],
    ids=["ext4", "xfs", "another", "not listed", "no /proc"],
)
def test_known_file_systems_are_told_by_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str | None, answer: bool
) -> None:
    device = tmp_path.stat().st_dev
    listing = tmp_path / "mountinfo"
    if mounts is not None:
        listing.write_text(mounts.format(f"{os.major(device)}:{os.minor(device)}"))
    monkeypatch.setattr("builtins.open", lambda _path, **how: Path.open(listing, **how))
    assert names_need_sync(str(tmp_path)) is answer


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, SpoolFull, "No space left"),
        (errno.EDQUOT, SpoolFull, "quota"),
        (errno.EFBIG, SpoolFull, "too large"),
        (errno.EMFILE, SpoolBroken, "ulimit -n"),
        (errno.EACCES, SpoolBroken, "permission denied for the service user"),
        (errno.EROFS, SpoolBroken, "read-only"),
        (errno.EBADF, SpoolBroken, "Bad file descriptor"),
        (None, SpoolBroken, "Success"),
    ],
)
def test_failure_says_what_to_look_at(number: int | None, kind: type[Exception], words: str) -> None:
    problem = failure(OSError(number, "") if number else OSError(), "/spool/new/ID")
    assert type(problem) is kind
    assert str(problem).startswith("/spool/new/ID: ")
    assert words in str(problem)


def test_service_user_can_do_it_all_without_the_rights_of_root() -> None:
    with tempfile.TemporaryDirectory() as there:
        os.chmod(there, 0o777)
        child = os.fork()
        if child == 0:
            try:
                _as_service_user(there)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def _as_service_user(there: str) -> None:
    foreign = new_queue_id(NOW)
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    spool = made(f"{there}/spool")
    with spool.draft(new_queue_id(NOW)) as draft:
        draft.write(LARGE)
        assert spool.claim(draft.queue_id) is None  # it may not even be opened
        with pytest.raises(NoSuchEntry):
            spool.read(draft.queue_id)
        assert spool.sweep(NOW) == 0
        os.close(draft._descriptor)
        assert spool.sweep(NOW) == 1
    locked_away = Path(spool.folders.new, foreign)
    commit(spool)
    [queue_id] = spool.schedule()
    tried(spool, queue_id)
    os.chmod(spool.folders.cur, 0)
    with pytest.raises(SpoolBroken, match="permission denied for the service user"):
        spool.claim(queue_id)
    os.chmod(spool.folders.cur, 0o700)
    assert not locked_away.exists()
    assert list(check_order(spool)) == [queue_id]


def test_draft_that_can_be_neither_synced_nor_removed_is_no_message(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is whole and was marked as complete; once given up, it must never be delivered."""

    def refuse(*_args: object, **_keywords: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", refuse)
        broken.setattr(os, "fdatasync", refuse)
        broken.setattr(os, "unlink", refuse)
        with pytest.raises(SpoolBroken):
            commit(spool)
    [queue_id] = os.listdir(spool.folders.new)
    assert spool.claim(queue_id) is None
    assert spool.sweep(NOW) == 1
    assert os.listdir(spool.folders.new) == []


def test_a_hold_keeps_its_reason_and_its_beginning_until_it_is_released(spool: Spool) -> None:
    queue_id = commit(spool)
    spool.hold(queue_id, Hold("quarantine", "virus: Eicar", NOW))
    spool.hold(queue_id, Hold(since=NOW + 60))
    state = spool.read(queue_id)[1]
    assert (state.held, state.hold_reason, state.hold_text, state.held_since) == (True, "by hand", "", NOW)
    spool.release(queue_id, now=NOW + 90)
    state = spool.read(queue_id)[1]
    assert (state.held, state.hold_reason, state.hold_text, state.held_since) == (False, "", "", 0.0)


def test_a_message_held_by_an_older_version_is_shown_as_held_by_hand(spool: Spool) -> None:
    queue_id = commit(spool)
    path = Path(spool.folders.state, queue_id)
    path.write_text('{"version":1,"recipients":[{"address":"b@example.net"}]}\n')
    path.chmod(0o700)
    (row,) = rows(spool, spool.list())
    assert (row.state, row.hold_reason) == ("held", "by hand")
