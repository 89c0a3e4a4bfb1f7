"""kill -9 in the middle of deliveries: nothing is lost, and only what was in flight may come twice."""

import os
import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from tests.client.fake_host import FakeHost, Talk, hosts
from tests.forking import ForkedProgram
from tests.retry.deliverer import CONNECTIONS
from tests.retry.world import World
from tests.waiting import until


class Storm:
    def __init__(self, folder: Path, host: FakeHost, seed: int) -> None:
        self.folder = folder
        self.host = host
        self.chance = random.Random(seed)
        self.world = World(folder)
        self.kills = 0

    def fill(self, number: int) -> None:
        for each in range(number):
            self.world.put("bob@example.org", content=f"Subject: number {each}\n\n".encode())

    def run(self) -> None:
        """Start, kill, start again, until the queue is empty."""
        most = max(len(self.world.queue()) // 10, 2)
        while self.world.queue():
            reading, writing = os.pipe()
            words = [str(self.folder), self.host.ip, str(self.host.port)]
            with open(reading, encoding="utf-8") as said, open(os.devnull, "rb") as nothing:
                process = ForkedProgram(words, nothing.fileno(), writing, 2, name="tests.retry.deliverer")
                os.close(writing)
                try:
                    assert said.readline() == "started\n"
                    wanted = len(self.host.got) + self.chance.randrange(1, most)
                    until(lambda wanted=wanted: len(self.host.got) >= wanted or not self.world.queue(), 60)  # type: ignore[misc]
                finally:
                    process.kill()
                    process.wait()
            self.kills += 1

    def counted(self) -> Counter[bytes]:
        return Counter(each.content for each in self.host.got)


def storm(folder: Path, number: int, seed: int) -> Storm:
    never = threading.Event()

    def unhurried(event: Event, talk: Talk) -> None:
        if isinstance(event, events.EndContent):
            never.wait(0.03)

    host = FakeHost(script=unhurried)
    with hosts(host):
        found = Storm(folder, host, seed)
        found.fill(number)
        found.run()
    found.world.close()
    counted = found.counted()
    twice = sum(times - 1 for times in counted.values())
    print(f"{number} messages, {found.kills} kills: 0 lost, {twice} twice")
    assert len(counted) == number, "lost"
    assert twice <= found.kills * CONNECTIONS, "more came twice than were in flight"
    assert not list((folder / "spool" / "state").iterdir())
    assert not list((folder / "spool" / "tmp").iterdir())
    return found


def test_killed_while_delivering(tmp_path: Path) -> None:
    assert storm(tmp_path, 80, seed=1).kills >= 3


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(20))
def test_killed_while_delivering_two_thousand(tmp_path: Path, seed: int) -> None:
    storm(tmp_path, 2000, seed)
