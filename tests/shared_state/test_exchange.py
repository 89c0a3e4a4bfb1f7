"""The threads that exchange facts with the shared state: no fault ends them."""

import time
from pathlib import Path

import pytest

from smtpd_classic.runtime import Blocks
from smtpd_classic.runtime.shared_blocks import SharedBlocks
from smtpd_classic.shared_state import SharedState, SharedStateDown
from smtpd_classic.shared_state.exchange import ExchangeThread
from tests.shared_state.redis_server import RedisServer
from tests.waiting import until

IP = "192.0.2.1"


def test_each_fault_is_said_once_until_a_round_succeeds() -> None:
    faults: list[Exception | None] = [
        KeyError("a"),
        KeyError("a"),
        SharedStateDown("no answer"),
        KeyError("a"),
        None,
        KeyError("a"),
        RuntimeError("b"),
    ]
    rounds: list[Exception | None] = []
    said: list[str] = []

    def once() -> None:
        fault = faults[len(rounds)] if len(rounds) < len(faults) else None
        rounds.append(fault)
        if fault is not None:
            raise fault

    thread = ExchangeThread("facts", once, 0.001, said.append)
    thread.start()
    try:
        until(lambda: len(rounds) > len(faults), 10)
    finally:
        thread.stop()
    assert said == ["facts: KeyError: 'a'"] * 3 + ["facts: RuntimeError: b"]


def test_blocks_are_exchanged_after_a_fault(shared: SharedState, tmp_path: Path) -> None:
    """The clock of one server fails for a moment: an exception that is neither of the system nor of Redis."""
    faulty, rounds, said = [True], [0], list[str]()

    def clock() -> float:
        rounds[0] += 1
        if faulty[0]:
            raise RuntimeError("no time")
        return time.time()

    servers = []
    for name in ("one", "two"):
        (tmp_path / name / "blocked").mkdir(parents=True)
        servers.append(Blocks(str(tmp_path / name / "blocked")))
    one, two = servers
    thread = ExchangeThread("blocks", SharedBlocks(one, shared, clock).once, 0.01, said.append)
    thread.start()
    try:
        until(lambda: rounds[0] > 2, 10)
        assert said == ["blocks: RuntimeError: no time"]
        faulty[0] = False
        two.block(IP, 100, "by hand")
        other = SharedBlocks(two, shared)

        def is_blocked() -> bool:
            other.once()
            return one.blocked(IP)

        until(is_blocked, 20)
    finally:
        thread.stop()


def test_a_fault_of_a_question_counts_as_no_answer(shared: SharedState) -> None:
    """A bug of redis-py, or the answer of another program, must not fail the session of a client."""
    with pytest.raises(SharedStateDown, match="AttributeError"):
        shared.ask(lambda client: client.no_such_command())


def test_a_bad_count_does_not_keep_back_the_others(redis_server: RedisServer) -> None:
    said: list[str] = []
    paid: list[str] = []
    state = SharedState(redis_server.url, b"x" * 32, say=said.append)

    def fail() -> None:
        raise KeyError("a")

    try:
        state.owe(fail)
        state.owe(lambda: paid.append("good"))
        assert paid == ["good"]
        assert said == ["a count for the shared state is lost: KeyError: 'a'"]
    finally:
        state.close()
