"""After a death, a sweep leaves no litter, loses nothing and disturbs nobody."""

import os
import threading
from pathlib import Path

import pytest

from spool import Spool, new_queue_id
from spool import sweep as module
from tests.spool.faults import crashing
from tests.spool.messages import LARGE, NOW, SMALL, check_order, commit, found, made


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def spool(tmp_path: Path, complaints: list[str]) -> Spool:
    return made(tmp_path / "spool", complaints.append)


def abandon(spool: Spool) -> None:
    with crashing(4):
        commit(spool, LARGE)


def test_abandoned_drafts_are_removed_and_counted(spool: Spool) -> None:
    for _ in range(3):
        abandon(spool)
    kept = commit(spool)
    assert len(os.listdir(spool.folders.new)) == 4
    assert [queue_id for queue_id in os.listdir(spool.folders.new) if spool.claim(queue_id)] == [kept]
    assert spool.sweep(NOW) == 3
    assert os.listdir(spool.folders.new) == [kept]
    assert spool.sweep(NOW) == 0


def test_draft_completed_while_it_was_looked_at_is_kept(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    abandon(spool)
    [queue_id] = os.listdir(spool.folders.new)
    real = os.open

    def complete_and_open(path: str, flags: int, mode: int = 0o777) -> int:
        os.chmod(path, 0o600)
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", complete_and_open)
    assert spool.sweep(NOW) == 0
    assert os.listdir(spool.folders.new) == [queue_id]


def test_state_without_an_entry_goes(spool: Spool) -> None:
    kept = commit(spool, hold=True)
    Path(spool.folders.state, new_queue_id(NOW)).write_bytes(b"{}")
    spool.sweep(NOW)
    assert os.listdir(spool.folders.state) == [kept]


def test_state_of_an_entry_that_came_since_stays(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    queue_id = commit(spool, hold=True)
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [] if path == spool.folders.new else real(path))
    spool.sweep(NOW)
    assert real(spool.folders.state) == [queue_id]


@pytest.mark.parametrize("place", ["new", "cur"])
def test_temporary_state_goes_unless_it_is_being_written(spool: Spool, place: str) -> None:
    queue_id, gone = commit(spool), new_queue_id(NOW)
    os.rename(f"{spool.folders.new}/{queue_id}", f"{spool.path}/{place}/{queue_id}")
    for name in (queue_id, gone):
        Path(spool.folders.tmp, name).write_bytes(b"half")
    with spool.claim(queue_id):  # type: ignore[union-attr]
        spool.sweep(NOW)
        assert os.listdir(spool.folders.tmp) == [queue_id]
    spool.sweep(NOW)
    assert os.listdir(spool.folders.tmp) == []


def test_mail_readers_file_in_tmp_has_36_hours(spool: Spool) -> None:
    foreign = Path(spool.folders.tmp, "1800000000.M1P1.mx")
    foreign.write_bytes(b"")
    written = foreign.stat().st_ctime
    spool.sweep(written + 35 * 3600)
    assert foreign.exists()
    spool.sweep(written + 37 * 3600)
    assert not foreign.exists()


@pytest.mark.parametrize("place", ["new", "cur"])
def test_entry_that_a_mail_reader_has_renamed_gets_its_name_back(
    spool: Spool, complaints: list[str], place: str
) -> None:
    queue_id = commit(spool)
    os.rename(f"{spool.folders.new}/{queue_id}", f"{spool.path}/{place}/{queue_id}:2,S")
    assert list(spool.list()) == []
    spool.sweep(NOW)
    assert found(spool, queue_id) is not None
    assert len(complaints) == 1
    Path(spool.folders.cur, f"{queue_id}:2,RS").write_bytes(SMALL)
    spool.sweep(NOW)
    assert os.listdir(spool.folders.quarantine) == [f"cur.{queue_id}:2,RS"]
    assert len(complaints) == 2


def test_what_does_not_belong_there_is_set_aside(spool: Spool, complaints: list[str]) -> None:
    kept = commit(spool)
    for folder in ("new", "cur", "state"):
        Path(spool.path, folder, "README").write_bytes(b"notes")
    os.mkdir(f"{spool.folders.new}/{new_queue_id(NOW)}")
    os.symlink("/etc/passwd", f"{spool.folders.cur}/{new_queue_id(NOW)}")
    spool.sweep(NOW)
    assert os.listdir(spool.folders.new) == [kept]
    assert os.listdir(spool.folders.cur) == os.listdir(spool.folders.state) == []
    assert len(os.listdir(spool.folders.quarantine)) == len(complaints) == 5


def test_entry_that_lost_its_mode_is_readable_again(spool: Spool) -> None:
    queue_id = commit(spool)
    path = f"{spool.folders.cur}/{queue_id}"
    os.rename(f"{spool.folders.new}/{queue_id}", path)
    os.chmod(path, 0o200)
    assert list(spool.list()) == []
    spool.sweep(NOW)
    assert [item.queue_id for item in spool.list()] == [queue_id]


def test_one_thing_that_cannot_be_dealt_with_does_not_stop_the_rest(
    spool: Spool, complaints: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        abandon(spool)
    stubborn = f"{spool.folders.new}/{os.listdir(spool.folders.new)[1]}"
    real = os.unlink

    def unlink(path: str) -> None:
        if path == stubborn:
            raise PermissionError(1, "Operation not permitted", path)
        real(path)

    monkeypatch.setattr(os, "unlink", unlink)
    assert spool.sweep(NOW) == 2
    assert complaints == [f"{stubborn}: Operation not permitted; it is left as it is"]


def test_file_that_goes_while_it_is_swept_is_no_matter(
    spool: Spool, complaints: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    abandon(spool)
    real = os.open

    def remove_and_open(path: str, flags: int, mode: int = 0o777) -> int:
        if "/new/" in path:
            os.unlink(path)
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", remove_and_open)
    assert spool.sweep(NOW) == 0
    monkeypatch.undo()
    Path(spool.folders.cur, "README").write_bytes(b"")
    monkeypatch.setattr(os, "rename", lambda *_paths: (_ for _ in ()).throw(FileNotFoundError()))
    spool.sweep(NOW)
    assert complaints == []


def test_sweeps_run_beside_work_and_one_another(spool: Spool) -> None:
    committed: list[str] = []
    working = threading.Event()

    def work() -> None:
        committed.extend(
            commit(spool, LARGE if number % 5 == 0 else SMALL, hold=number % 3 == 0) for number in range(60)
        )
        working.set()

    def sweep() -> None:
        while not working.is_set():
            module.sweep(spool.folders, NOW, pytest.fail)

    threads = [threading.Thread(target=target) for target in (work, sweep, sweep)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(check_order(spool)) == sorted(committed)
    assert len(os.listdir(spool.folders.state)) == 20
