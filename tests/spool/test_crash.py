"""The process ends, or the disk fails, at every system call of a message's life: nothing acknowledged is missing,
nothing is half."""

import errno
import gc
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spool import DELIVERED, WAITING, Hold, NoSuchEntry, NotClaimed, Spool, SpoolBroken, SpoolFull, State, new_queue_id
from tests.spool.faults import Faults, crashing, descriptors, failing
from tests.spool.messages import LARGE, NOW, SMALL, TWO, check_order, commit, found, made

ERRORS = {"no space": errno.ENOSPC, "disk failure": errno.EIO, "no descriptor left": errno.EMFILE}
CONTENTS = {"small": SMALL, "large": LARGE}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: here only the order of the calls counts, and there are thousands of syncs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        yield Path(place)


@pytest.fixture(autouse=True, params=[False, True], ids=["known file system", "unknown file system"])
def names_need_sync(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spool.spool.names_need_sync", lambda _path: request.param)


def after_attempt(state: State, *, first_delivered: bool = False) -> State:
    first, second = state.recipients
    if first_delivered:
        first = first._replace(state=DELIVERED, attempts=first.attempts + 1)
    return state._replace(recipients=(first, second), attempts=state.attempts + 1, next_attempt=NOW + 900)


def crash_everywhere(
    tmp_path: Path, act: Callable[[Spool, str], object], check: Callable[[Spool, str, bool], object]
) -> int:
    """Run `act` on a fresh spool with one entry, dying at the first call, the second, …; `check` gets the reopened
    spool and whether `act` came to its end. Returns at how many calls it died."""
    name = ""
    for at, torn in ((at, torn) for at in itertools.count(1) for torn in (False, True)):
        if torn and name != "write":
            continue
        folder = tmp_path / "spool"
        spool = made(folder)
        queue_id = commit(spool, envelope=TWO)
        done = False
        with crashing(at, torn) as faults:
            act(spool, queue_id)
            done = True
        name = faults.names[-1]
        try:
            check(Spool(str(folder)), queue_id, done)
        except BaseException as error:
            error.add_note(f"died at call {at} ({name}, torn: {torn}) of {faults.names}")
            raise
        shutil.rmtree(folder)
        if done:
            return at
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("hold", [False, True], ids=["", "held"])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_crash_while_drafting_and_committing_leaves_a_whole_message_or_none(
    tmp_path: Path, content: bytes, hold: bool
) -> None:
    ids: list[str] = []

    def act(spool: Spool, _other: str) -> None:
        ids.append(new_queue_id(NOW))
        with spool.draft(ids[-1]) as draft:
            for start in range(0, len(content), 40_000):
                draft.write(content[start : start + 40_000])
            draft.commit(TWO, NOW, Hold() if hold else None)

    def check(spool: Spool, other: str, done: bool) -> None:
        listed = check_order(spool)
        assert other in listed
        kept = found(spool, ids[-1])
        assert kept == (content, TWO) if done else kept in (None, (content, TWO))
        assert ids[-1] not in listed or listed[ids[-1]].held == hold

    assert crash_everywhere(tmp_path, act, check) > 6


@pytest.mark.parametrize("tried_before", [False, True], ids=["first attempt", "later attempt"])
@pytest.mark.parametrize("first_delivered", [False, True], ids=["none delivered", "one delivered"])
def test_crash_while_recording_leaves_the_state_before_or_after(
    tmp_path: Path, tried_before: bool, first_delivered: bool
) -> None:
    def act(spool: Spool, queue_id: str) -> None:
        with spool.claim(queue_id) as claim:  # type: ignore[union-attr]
            claim.record(after_attempt(claim.state))
            if tried_before:
                claim.record(after_attempt(claim.state, first_delivered=first_delivered))

    def check(spool: Spool, queue_id: str, done: bool) -> None:
        assert list(check_order(spool)) == [queue_id]
        assert found(spool, queue_id) == (SMALL, TWO)
        state = spool.read(queue_id)[1]
        attempts = 2 if tried_before else 1
        assert state.attempts == attempts if done else state.attempts <= attempts
        assert state.recipients[0].state == (
            DELIVERED if first_delivered and tried_before and state.attempts == 2 else WAITING
        )

    assert crash_everywhere(tmp_path, act, check) > 8


def test_crash_while_removing_leaves_the_entry_with_its_state_or_neither(tmp_path: Path) -> None:
    def act(spool: Spool, queue_id: str) -> None:
        with spool.claim(queue_id) as claim:  # type: ignore[union-attr]
            claim.remove()

    def prepared(spool: Spool, queue_id: str) -> None:
        with spool.claim(queue_id) as claim:  # type: ignore[union-attr]
            claim.record(after_attempt(claim.state, first_delivered=True))
        act(spool, queue_id)

    def check(spool: Spool, queue_id: str, done: bool) -> None:
        entries = check_order(spool)
        assert not done or not entries
        if entries and entries[queue_id].attempted:
            assert spool.read(queue_id)[1].recipients[0].state == DELIVERED

    assert crash_everywhere(tmp_path, act, check) > 5
    assert crash_everywhere(tmp_path, prepared, check) > 10


def release(spool: Spool, queue_id: str) -> None:
    spool.release(queue_id, now=NOW)


@pytest.mark.parametrize("act", [Spool.hold, release, Spool.retry_now, Spool.delete], ids=lambda act: act.__name__)
def test_crash_in_an_action_of_the_administrator_loses_nothing_else(
    tmp_path: Path, act: Callable[[Spool, str], object]
) -> None:
    def check(spool: Spool, queue_id: str, done: bool) -> None:
        listed = check_order(spool)
        if act is Spool.delete and queue_id not in listed:
            return
        assert not done or act is not Spool.delete
        assert found(spool, queue_id) == (SMALL, TWO)
        assert not done or listed[queue_id].held == (act is Spool.hold)

    assert crash_everywhere(tmp_path, act, check) > 5


def test_crash_while_sweeping_is_mended_by_the_next_sweep(tmp_path: Path) -> None:
    def act(spool: Spool, _queue_id: str) -> None:
        spool.sweep(NOW)

    def littered(spool: Spool, queue_id: str) -> None:
        with crashing(4):
            commit(spool)
        Path(spool.folders.tmp, queue_id).write_bytes(b"half")
        Path(spool.folders.state, new_queue_id(NOW)).write_bytes(b"{}")
        act(spool, queue_id)

    def check(spool: Spool, queue_id: str, _done: bool) -> None:
        assert list(check_order(spool)) == [queue_id]

    assert crash_everywhere(tmp_path, act, check) > 5
    assert crash_everywhere(tmp_path, littered, check) > 15


def fail_everywhere(
    tmp_path: Path,
    number: int,
    act: Callable[[Spool, str], object],
    check: Callable[[Spool, str, BaseException | None], object],
) -> None:
    """Run `act` with one call failing, each in its turn, once or for good; `check` gets what it raised."""
    ways = [(False, False), (True, False), (False, True)]
    name = ""
    gc.collect()  # what earlier tests have left must not be closed in the middle of this one
    for at, (stays, torn) in ((at, way) for at in itertools.count(1) for way in ways):
        if torn and name != "write":
            continue
        folder = tmp_path / "spool"
        spool = made(folder)
        queue_id = commit(spool, envelope=TWO)
        before = descriptors()
        raised: BaseException | None = None
        with failing(at, number, stays=stays, torn=torn) as faults:
            try:
                act(spool, queue_id)
            except Exception as error:
                raised = error
        assert isinstance(raised, SpoolFull | SpoolBroken | None.__class__), raised
        name = "".join(faults.names[at - 1 : at])
        try:
            assert descriptors() == before, "a descriptor was left open"
            check_failure(faults, number, raised)
            check(Spool(str(folder)), queue_id, raised)
        except BaseException as error:
            error.add_note(f"call {at} ({name}) failed, stays: {stays}, torn: {torn}: {raised!r}")
            raise
        shutil.rmtree(folder)
        if not faults.happened:
            return


def check_failure(faults: Faults, number: int, raised: BaseException | None) -> None:
    if raised is not None:
        assert faults.happened
        assert isinstance(raised, SpoolFull) == (number == errno.ENOSPC)
        assert raised.args[0].startswith("/") or "a queued message" in raised.args[0], "the sentence names the file"


@pytest.mark.parametrize("number", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_failure_while_committing_means_not_acknowledged_and_not_queued(
    tmp_path: Path, content: bytes, number: int
) -> None:
    ids: list[str] = []

    def act(spool: Spool, _queue_id: str) -> None:
        ids.append(new_queue_id(NOW))
        with spool.draft(ids[-1]) as draft:
            for start in range(0, len(content), 40_000):
                draft.write(content[start : start + 40_000])
            draft.commit(TWO, NOW)

    def check(spool: Spool, other: str, raised: BaseException | None) -> None:
        assert set(check_order(spool)) == ({other} if raised else {other, ids[-1]})
        assert found(spool, ids[-1]) == (None if raised else (content, TWO))

    fail_everywhere(tmp_path, number, act, check)


@pytest.mark.parametrize("number", ERRORS.values(), ids=ERRORS)
def test_failure_while_claiming_and_recording_keeps_the_entry(tmp_path: Path, number: int) -> None:
    def act(spool: Spool, queue_id: str) -> None:
        claim = spool.claim(queue_id)
        assert claim is not None
        with claim:
            with claim.open_content() as content:
                assert content.read() == SMALL
            claim.record(after_attempt(claim.state, first_delivered=True))

    def check(spool: Spool, queue_id: str, raised: BaseException | None) -> None:
        assert list(check_order(spool)) == [queue_id]
        assert found(spool, queue_id) == (SMALL, TWO)
        assert raised or spool.read(queue_id)[1].recipients[0].state == DELIVERED

    fail_everywhere(tmp_path, number, act, check)


@pytest.mark.parametrize("number", ERRORS.values(), ids=ERRORS)
def test_failure_of_anything_else_is_told_and_mended_later(tmp_path: Path, number: int) -> None:
    def act(spool: Spool, queue_id: str) -> None:
        spool.free_bytes()
        assert [item.queue_id for item in spool.list()] == [queue_id]
        assert list(spool.due(NOW)) == [queue_id]
        spool.read(queue_id)
        try:
            spool.hold(queue_id)
            spool.retry_now(queue_id)
            spool.release(queue_id, now=NOW)
            spool.delete(queue_id)
        except (NotClaimed, NoSuchEntry) as error:
            raise AssertionError("a failing disk is not what those two are for") from error
        spool.make()
        spool.sweep(NOW)

    def check(spool: Spool, queue_id: str, raised: BaseException | None) -> None:
        listed = check_order(spool)
        assert not listed or (raised and found(spool, queue_id) == (SMALL, TWO))

    fail_everywhere(tmp_path, number, act, check)
