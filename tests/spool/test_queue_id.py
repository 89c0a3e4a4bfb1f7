"""Queue ids sort by arrival, are unique without a lock, and are words."""

import os
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spool.queue_id import arrival_of, is_queue_id, new_queue_id

TIMES = st.floats(min_value=0, max_value=4_000_000_000)

# Python 3.12 warns of forking a process that has threads, as pytest's workers do; the children only do file work.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@given(st.lists(TIMES, min_size=2, max_size=20))
def test_ids_sort_as_their_arrivals_do(times: list[float]) -> None:
    ids = [new_queue_id(now) for now in times]
    assert [queue_id[:13] for queue_id in sorted(ids)] == [new_queue_id(now)[:13] for now in sorted(times)]


@given(TIMES)
def test_id_tells_its_arrival_and_is_a_word(now: float) -> None:
    queue_id = new_queue_id(now)
    assert re.fullmatch(r"\w+", queue_id)
    assert is_queue_id(queue_id)
    assert arrival_of(queue_id) == pytest.approx(now, abs=2e-6)


@pytest.mark.parametrize(
    ("now", "arrival"), [(-5.0, 0.0), (1e12, (2**52 - 1) / 1e6)], ids=["before 1970", "after 2112"]
)
def test_impossible_clock_gives_an_id_all_the_same(now: float, arrival: float) -> None:
    assert arrival_of(new_queue_id(now)) == arrival


def test_ids_of_one_instant_differ_in_threads_and_processes() -> None:
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.extend(new_queue_id(1.0) for _ in range(50))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(4):
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, "".join(new_queue_id(1.0) for _ in range(50)).encode())
            os._exit(0)
        os.close(write)
        data = os.read(read, 65536).decode()
        os.close(read)
        os.wait()
        ids += [data[start : start + 20] for start in range(0, len(data), 20)]
    # 400 of 2**28: were they drawn alike, they would be equal; by chance two are once in 3,000 runs.
    assert len(ids) == 400
    assert len(set(ids)) >= 399


@pytest.mark.parametrize(
    "text",
    ["", "../../etc/passwd", "A" * 19, "A" * 21, "a" * 20, "G" * 20, "A" * 19 + "/", "A" * 20 + "\n", "\u0663" * 20],
)
def test_nothing_else_is_an_id(text: str) -> None:
    assert not is_queue_id(text)
