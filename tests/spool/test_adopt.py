"""The queue of a server that is gone moves into another one: every message, with its state, whatever interrupts it."""

import contextlib
import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool import Draft, Envelope, Hold, Recipient, Spool, SpoolBroken, SpoolFull, State, new_queue_id
from spool.adopt import adopt
from tests.spool.faults import crashing, descriptors, failing, settled_descriptors
from tests.spool.messages import LARGE, NOW, ONE, SMALL, TWO, check_order, commit, found, made


@pytest.fixture(params=["one file system", "two file systems"])
def spools(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Spool, Spool]]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        other = Path(memory) if request.param == "one file system" else tmp_path
        yield made(Path(memory) / "old"), made(other / "new")


def tried(spool: Spool, content: bytes = SMALL) -> str:
    queue_id = commit(spool, content, TWO)
    with spool.claim(queue_id) as claim:  # type: ignore[union-attr]
        claim.record(claim.state._replace(attempts=2, next_attempt=NOW + 900, delay_notified=True))
    return queue_id


def states(spool: Spool) -> dict[str, tuple[tuple[bytes, Envelope] | None, State]]:
    """Return each entry with its content, envelope and state."""
    return {each.queue_id: (found(spool, each.queue_id), spool.read(each.queue_id)[1]) for each in spool.list()}


def test_content_state_and_hold_come_along(spools: tuple[Spool, Spool]) -> None:
    old, new = spools
    ids = [commit(old), commit(old, LARGE, TWO, hold=True), tried(old), tried(old, LARGE)]
    before = states(old)
    listed = {each.queue_id: each._replace(inode=0) for each in old.list()}
    open_before = settled_descriptors()
    assert sorted(adopt(old, new)) == sorted((each, each) for each in ids)
    assert descriptors() == open_before
    assert states(new) == before
    assert {each.queue_id: each._replace(inode=0) for each in new.list()} == listed
    assert check_order(new).keys() == set(ids)
    assert check_order(old) == {}


def test_a_name_that_is_taken_gives_a_new_one_and_harms_neither(spools: tuple[Spool, Spool]) -> None:
    old, new = spools
    queue_id = tried(old)
    with Draft(new.folders, queue_id, True) as draft:
        draft.write(LARGE)
        draft.commit(ONE, NOW, Hold())
    taken, moved = states(new)[queue_id], states(old)[queue_id]
    ((before, now),) = adopt(old, new)
    assert before == queue_id != now
    assert now[:13] == queue_id[:13]
    assert states(new) == {queue_id: taken, now: moved}


def test_an_entry_in_delivery_is_left(spools: tuple[Spool, Spool]) -> None:
    old, new = spools
    busy, free = commit(old), commit(old)
    with old.claim(busy):  # type: ignore[union-attr]
        assert sorted(adopt(old, new)) == sorted([(busy, ""), (free, free)])
    assert [each.queue_id for each in old.list()] == [busy]


def test_an_error_at_any_call_leaves_the_message_in_one_of_the_two(spools: tuple[Spool, Spool]) -> None:
    old, new = spools
    for at in itertools.count(1):
        tried(old, LARGE)
        before = list(states(old).values())
        with failing(at, errno.ENOSPC) as faults, contextlib.suppress(SpoolFull, SpoolBroken):
            list(adopt(old, new))
        check_order(new)
        list(adopt(old, new))
        assert check_order(old) == {}, f"call {at}"
        assert list(states(new).values()) == before, f"call {at}"
        for queue_id in check_order(new):
            new.delete(queue_id)
        if not faults.happened:
            return


@pytest.mark.parametrize("taken", [False, True], ids=["free name", "taken name"])
def test_a_crash_at_any_call_loses_nothing_and_a_second_run_finishes(spools: tuple[Spool, Spool], taken: bool) -> None:
    old, new = spools
    name = ""
    for at, torn in ((at, torn) for at in itertools.count(1) for torn in (False, True)):
        if torn and name not in {"write", "pwrite"}:
            continue  # no other call does half of its work
        first = tried(old)
        commit(old, LARGE, TWO)
        expected = sorted([SMALL, LARGE])
        if taken:
            with Draft(new.folders, first, True) as draft:
                draft.write(b"another\n")
                draft.commit(ONE, NOW)
            expected = sorted([*expected, b"another\n"])
        done = False
        with crashing(at, torn) as faults:
            list(adopt(old, new))
            done = True
        name = "".join(faults.names[at - 1 : at])
        new.sweep(NOW)  # as a server would that runs there
        list(adopt(old, new))
        assert check_order(old) == {}, f"died at call {at}"
        kept = [found(new, queue_id) for queue_id in check_order(new)]
        assert sorted(each[0] for each in kept if each) == expected, f"died at call {at}"
        attempts = [new.read(queue_id)[1].attempts for queue_id in check_order(new)]
        assert sorted(attempts) == sorted([0] * (len(expected) - 1) + [2])
        for queue_id in check_order(new):
            new.delete(queue_id)
        if done:
            return


@pytest.mark.torture
def test_twenty_thousand_entries_survive_twenty_kills(tmp_path: Path) -> None:
    old, new = made(tmp_path / "old"), made(tmp_path / "new")
    number = 20_000
    template = commit(old)
    for count in range(1, number):
        queue_id = new_queue_id(NOW + count)
        shutil.copy2(f"{old.folders.new}/{template}", f"{old.folders.new}/{queue_id}")
    wanted = {each.queue_id for each in old.list()}
    program = (
        "import sys\nfrom spool import Spool\nfrom spool.adopt import adopt\n"
        "for each in adopt(Spool(sys.argv[1]), Spool(sys.argv[2])):\n    print(each.now, flush=True)\n"
    )
    words = [sys.executable, "-c", program, old.path, new.path]
    for _ in range(20):
        with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=os.getcwd()) as running:
            assert running.stdout is not None
            for _ in range(400):
                running.stdout.readline()
            running.send_signal(signal.SIGKILL)
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    assert {each.queue_id for each in new.list()} == wanted
    assert list(old.list()) == []


def test_a_recipient_s_name_of_any_form_gives_a_name(spools: tuple[Spool, Spool]) -> None:
    old, new = spools
    envelope = Envelope("jörg\udcff@example.org", (Recipient("ann@example.net"),))
    queue_id = commit(old, SMALL, envelope)
    with Draft(new.folders, queue_id, True) as draft:
        draft.write(b"another\n")
        draft.commit(ONE, NOW)
    ((_, now),) = adopt(old, new)
    assert found(new, now) == (SMALL, envelope)
