"""Any number of processes and threads serve one spool: each entry is delivered exactly once, whoever dies meanwhile."""

import contextlib
import os
import random
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from spool import NoSuchEntry, NotClaimed, Spool
from tests.spool.messages import NOW, SMALL, check_order, commit, made

# Python 3.12 warns of forking a process that has threads, as pytest's workers do; the children only do file work.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def process(act: Callable[..., None], *arguments: object) -> int:
    child = os.fork()
    if child == 0:
        try:
            act(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def deliver_all(spool: Spool, log: Path, seed: int, dies: bool) -> None:
    """Until nothing is due: deliver, sometimes put off first. One that `dies` does it between a claim and delivery."""
    choose = random.Random(seed)
    delivered = os.open(log, os.O_WRONLY | os.O_APPEND)
    found = True
    while found:
        found = False
        due = list(spool.due(NOW))
        choose.shuffle(due)
        for queue_id in due:
            found = True
            claim = spool.claim(queue_id)
            if claim is None:
                continue
            with claim:
                assert claim.state.next_attempt <= NOW
                with claim.open_content() as content:
                    assert content.read() == SMALL
                if choose.random() < 0.3:
                    claim.record(claim.state._replace(attempts=claim.state.attempts + 1, next_attempt=NOW - 1))
                    continue
                if dies and choose.random() < 0.1:
                    os.kill(os.getpid(), signal.SIGKILL)
                os.write(delivered, f"{queue_id}\n".encode())
                claim.remove()


def test_each_entry_is_delivered_exactly_once(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    log = tmp_path / "delivered"
    log.write_bytes(b"")
    ids = [commit(spool, now=NOW - number) for number in range(120)]
    mortal = [process(deliver_all, spool, log, seed, True) for seed in range(3)]
    lasting = [process(deliver_all, spool, log, seed, False) for seed in range(3, 6)]
    assert {os.waitpid(child, 0)[1] for child in mortal} <= {0, signal.SIGKILL}
    assert {os.waitpid(child, 0)[1] for child in lasting} == {0}
    deliver_all(spool, log, 7, dies=False)  # what the last to die had in hand
    assert Counter(log.read_text().split()) == Counter(ids)
    assert check_order(spool) == {}


def test_threads_with_a_claim_each_exclude_one_another(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    log = tmp_path / "delivered"
    log.write_bytes(b"")
    ids = [commit(spool) for _ in range(40)]
    threads = [threading.Thread(target=deliver_all, args=(spool, log, seed, False)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(log.read_text().split()) == Counter(ids)


def test_administrator_and_deliveries_do_not_get_into_each_others_way(tmp_path: Path) -> None:
    spool = made(tmp_path / "spool")
    log = tmp_path / "delivered"
    log.write_bytes(b"")
    ids = [commit(spool) for _ in range(60)]

    def administer() -> None:
        choose = random.Random(1)
        for _ in range(300):
            acts: list[Callable[[str], object]] = [spool.hold, partial(spool.release, now=NOW), spool.retry_now]
            act = choose.choice(acts)
            with contextlib.suppress(NotClaimed, NoSuchEntry):
                act(choose.choice(ids))
            assert len(list(spool.list())) <= len(ids)
        for queue_id in ids:
            while True:
                try:
                    spool.release(queue_id, now=NOW)
                except NotClaimed:
                    continue
                except NoSuchEntry:
                    pass
                break

    children = [process(administer), *(process(deliver_all, spool, log, seed, False) for seed in range(2))]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    deliver_all(spool, log, 5, dies=False)
    assert Counter(log.read_text().split()) == Counter(ids)
    assert check_order(spool) == {}
