"""The queue is listed without opening a file, however long it is."""

import os
import resource
import time
import tracemalloc
from pathlib import Path

import pytest

from spool import Envelope, Hold, Listed, Recipient, RecipientState, Spool, State, new_queue_id
from spool.form import encode_state, encode_trailer
from spool.rows import row_of, rows
from tests.spool.messages import NOW, commit, made


def fill(spool: Spool, count: int) -> list[str]:
    """Entries that were tried, as they stand on disk, without the syncs."""
    trailer = encode_trailer(Envelope("a@example.org", (Recipient("b@example.net"),)), NOW, 0)
    state = encode_state(State((RecipientState("b@example.net", attempts=1),), attempts=1), {})
    ids = [new_queue_id(NOW + number) for number in range(count)]
    for number, queue_id in enumerate(ids):
        for path, data in ((f"{spool.folders.cur}/{queue_id}", trailer), (f"{spool.folders.state}/{queue_id}", state)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(descriptor, data)
            os.close(descriptor)
        os.utime(path, (NOW + number, NOW + number))
    return ids


def test_rows_tell_all_that_stat_knows(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    [tried] = fill(spool, 1)
    new = commit(spool, now=NOW - 60)
    held = commit(spool, now=NOW - 30, hold=True)
    size = {queue_id: os.stat(f"{spool.folders.new}/{queue_id}").st_size for queue_id in (new, held)}
    size[tried] = os.stat(f"{spool.folders.cur}/{tried}").st_size
    inode = {queue_id: os.stat(f"{spool.folders.new}/{queue_id}").st_ino for queue_id in (new, held)}
    inode[tried] = os.stat(f"{spool.folders.cur}/{tried}").st_ino
    rows = {item.queue_id: item for item in spool.list()}
    assert rows == {
        tried: Listed(tried, rows[tried].arrival, size[tried], NOW, attempted=True, held=False, inode=inode[tried]),
        new: Listed(new, rows[new].arrival, size[new], 0.0, attempted=False, held=False, inode=inode[new]),
        held: Listed(held, rows[held].arrival, size[held], 0.0, attempted=False, held=True, inode=inode[held]),
    }
    assert [rows[queue_id].arrival for queue_id in (new, held, tried)] == pytest.approx(
        [NOW - 60, NOW - 30, NOW], abs=1e-5
    )


def test_rows_by_arrival_come_one_at_a_time_and_without_what_is_gone(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    tried = fill(spool, 3)
    new, old = commit(spool, now=NOW + 9), commit(spool, now=NOW - 9)
    with spool.draft(new_queue_id(NOW)) as draft:
        assert [each.queue_id for each in spool.list_by_arrival()] == [old, *tried, new]
        assert set(spool.list_by_arrival()) == set(spool.list())
        assert spool.count() == 5
        draft.write(b"not yet complete")
    rows = spool.list_by_arrival()
    assert next(rows).queue_id == old
    spool.delete(tried[0])
    os.rename(f"{spool.folders.new}/{new}", f"{spool.folders.cur}/{new}")
    left = list(rows)
    assert [each.queue_id for each in left] == [*tried[1:], new]
    assert left[-1].attempted


def test_due_ones_come_longest_due_first(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    tried = fill(spool, 5)
    second, first = commit(spool, now=NOW + 1), commit(spool, now=NOW)
    assert list(spool.due(NOW + 2)) == [first, second, *tried[:3]]
    assert spool.schedule() == {first: 0.0, second: 0.0} | {
        queue_id: NOW + number for number, queue_id in enumerate(tried)
    }


def test_what_is_no_entry_is_not_listed(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    for folder in (spool.folders.new, spool.folders.cur, spool.folders.state):
        Path(folder, "README").write_bytes(b"")
    Path(spool.folders.cur, f"{new_queue_id(NOW)}:2,S").write_bytes(b"")
    assert list(spool.list()) == []
    assert spool.schedule() == {}


def test_entries_that_move_or_go_meanwhile_are_listed_once_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = made(tmp_path / "spool")
    moves, goes = commit(spool), commit(spool)
    [tried] = fill(spool, 1)
    rows = spool.list()
    seen = [next(rows)]
    other = goes if seen[0].queue_id == moves else moves
    os.rename(f"{spool.folders.new}/{seen[0].queue_id}", f"{spool.folders.cur}/{seen[0].queue_id}")
    os.unlink(f"{spool.folders.new}/{other}")
    seen += rows
    assert [item.queue_id for item in seen] == [seen[0].queue_id, tried]

    real = os.listdir

    def listdir(path: str) -> list[str]:
        names = real(path)
        return [*names, tried] if path == spool.folders.new else names  # it has just moved on

    monkeypatch.setattr(os, "listdir", listdir)
    assert spool.schedule()[tried] == NOW


def test_state_written_since_the_states_were_read_is_looked_up(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    late = commit(spool)
    os.rename(f"{spool.folders.new}/{late}", f"{spool.folders.cur}/{late}")
    [other] = fill(spool, 1)
    states = spool.folders.state
    os.rename(states, f"{states}.aside")
    os.mkdir(states)
    rows = spool.list()
    first = next(rows)  # the states have been read
    os.rmdir(states)
    os.rename(f"{states}.aside", states)
    found = {item.queue_id: item.next_attempt for item in (first, *rows)}
    assert found.keys() == {late, other}
    assert found[late] == 0.0
    assert found[other] in (NOW, 0.0)
    assert spool.schedule() == {late: 0.0, other: NOW}


def test_state_that_goes_while_it_is_listed_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = made(tmp_path / "spool")
    ids = fill(spool, 2)
    real = os.scandir

    def scandir(path: str) -> object:
        items = list(real(path))
        if path == spool.folders.state:
            os.unlink(items[0].path)
        return _Closing(items)

    monkeypatch.setattr(os, "scandir", scandir)
    times = spool.schedule()
    assert times.keys() == set(ids)
    assert 0.0 in times.values()


class _Closing:
    def __init__(self, items: list["os.DirEntry[str]"]) -> None:
        self._items = items

    def __enter__(self) -> list["os.DirEntry[str]"]:
        return self._items

    def __exit__(self, *_how: object) -> None:
        return


def test_ten_thousand_entries_are_listed_quickly_and_in_little_room(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    fill(spool, 10_000)
    tracemalloc.start()
    count = sum(1 for _ in spool.list())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    before = resource.getrusage(resource.RUSAGE_SELF)
    assert count == sum(1 for _ in spool.list()) == len(list(spool.due(NOW + 20_000))) == 10_000
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert peak < 4_000_000
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0  # 0.1 s on a machine of 2025


@pytest.mark.torture
def test_hundred_thousand_entries(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    ids = fill(spool, 100_000)
    began = time.monotonic()
    rows = sum(1 for _ in spool.list())
    listed = time.monotonic()
    due = len(list(spool.due(NOW + 50_000 - 0.5)))
    ended = time.monotonic()
    print(f"100,000 entries: listed in {listed - began:.2f} s, due ones found in {ended - listed:.2f} s")
    assert (rows, due) == (len(ids), 50_000)
    assert listed - began < 3.0
    assert ended - listed < 2.0


STATES = ("waiting", "failed", "delivered")


def test_a_row_that_is_read_quickly_says_what_the_thorough_reading_says(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    commit(spool, now=NOW)
    held = commit(spool, now=NOW + 1, hold=True)
    everyone = tuple(Recipient(f"user{number}@example.org", original="ünï@example.org") for number in range(90))
    with spool.draft(new_queue_id(NOW + 2)) as draft:
        long = draft.commit(Envelope("", everyone), NOW + 2)
    for number, queue_id in enumerate([held, long]):
        claim = spool.claim(queue_id)
        assert claim is not None
        with claim:
            states = tuple(
                each._replace(
                    state=("waiting", "failed", "delivered")[place % 3], last_reply="451 no", host="h[::1]:25"
                )
                for place, each in enumerate(claim.state.recipients)
            )
            claim.record(claim.state._replace(attempts=3, recipients=states, next_attempt=NOW + number))
    thorough = [row_of(*spool.read(each.queue_id)) for each in spool.list_by_arrival()]
    assert list(rows(spool, spool.list_by_arrival())) == thorough
    Path(spool.folders.state, long).write_bytes(b"[]")
    assert [row.queue_id for row in rows(spool, spool.list_by_arrival())] == [row.queue_id for row in thorough]
    Path(spool.folders.cur, long).write_bytes(b"damaged")
    assert [row.queue_id for row in rows(spool, spool.list_by_arrival())] == [row.queue_id for row in thorough[:-1]]


def test_a_row_tells_one_state_of_a_message_that_changes_behind_the_listing(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    tried, held = fill(spool, 2)
    spool.retry_now(tried)
    spool.hold(held, Hold(since=NOW))
    listed = list(spool.list_by_arrival())
    claim = spool.claim(tried)
    assert claim is not None
    with claim:
        claim.record(claim.state._replace(attempts=2, next_attempt=NOW + 600))
    spool.release(held, now=NOW + 60)
    found = list(rows(spool, listed))
    assert found == [row_of(*spool.read(each)) for each in (tried, held)]
    assert [(row.attempts, row.next_attempt, row.state) for row in found] == [
        (2, NOW + 600, "waiting"),
        (1, NOW + 1, "waiting"),
    ]
