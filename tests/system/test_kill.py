"""kill -9 under load: whatever got its 250 is there afterwards, whole, and nothing is left lying about."""

import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.instance import Instance, running
from tests.load import Load
from tests.waiting import until


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def found(server: Instance) -> dict[str, int]:
    """How often each token is in the mailbox; a half message fails the test."""
    counts: dict[str, int] = {}
    for path in server.mail():
        content = path.read_bytes()
        assert content.endswith(b"\nEND\n"), path
        token = content.split(b"Message-ID: <", 1)[1].split(b"@", 1)[0].decode()
        counts[token] = counts.get(token, 0) + 1
    return counts


def storm(server: Instance, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    load = Load(server.ports["smtp"], server.login)
    load.start()
    try:
        for number in range(rounds):
            assert server.process is not None
            before = len(load.acknowledged)
            until(lambda before=before: len(load.acknowledged) > before + 20, 60, server.log)  # type: ignore[misc]
            if number % 3 == 2:
                ports_holders = children(server.process.pid)
                os.kill(server.process.pid, signal.SIGKILL)
                server.process.wait(10)
                until(lambda gone=ports_holders: not any(Path(f"/proc/{pid}").exists() for pid in gone), 30)  # type: ignore[misc]
                server.start()
            else:
                with suppress(ProcessLookupError):  # the one that sweeps ends by itself
                    os.kill(chance.choice(children(server.process.pid)), signal.SIGKILL)
    finally:
        load.stop()
    server.stop()
    server.start()
    counts = found(server)
    missing = load.acknowledged - counts.keys()
    assert not missing, f"{len(missing)} of {len(load.acknowledged)} lost: {sorted(missing)[:5]}"
    assert not [path for path in (server.folder / "mail" / ".incoming").iterdir() if path.is_file()]
    print(f"{rounds} rounds, {len(load.acknowledged)} acknowledged, {sum(counts.values()) - len(counts)} twice")


def test_nothing_acknowledged_is_lost_when_processes_are_killed() -> None:
    with running(access__max_connections_per_address="1000") as server:
        storm(server, rounds=6, seed=1)


@pytest.mark.torture
def test_fifty_rounds_of_killing_lose_nothing() -> None:
    with running(access__max_connections_per_address="1000") as server:
        storm(server, rounds=50, seed=2)
