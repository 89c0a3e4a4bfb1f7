"""Greylisting: the wait, and the bound of its memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.counters import FileCounterStore
from smtpd_classic.policy.greylist_memory import Sender, has_waited
from tests.reception.world import NOON, Clock

ONE = "192.0.2.0/24"


class Memory:
    """The memory of a server, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.store = FileCounterStore(str(folder), self.clock)

    def passes(self, sender: str, network: str = ONE, *, remember: bool = True) -> bool:
        found = Sender.of(network, sender, "joe@example.org")
        return has_waited(self.store, found, self.clock.now, remember=remember)

    def is_known(self, sender: str, network: str = ONE) -> bool:
        return self.passes(sender, network, remember=False)

    def number(self, network: str = ONE) -> int:
        """The places that are taken in the set of a network."""
        group = Sender.of(network, "", "").group
        names = [f"{kind} {number}" for kind in ("first", "passed") for number in range(1000)]
        return sum(bool(each.value) for each in self.store.numbers(group, names).values())


@pytest.fixture(name="memory")
def memory_of(tmp_path: Path) -> Iterator[Memory]:
    memory = Memory(tmp_path)
    yield memory
    memory.store.close()


def neighbours(network: str) -> Iterator[str]:
    """Networks with the same set of places as this one."""
    group = Sender.of(network, "", "").group
    found = (f"10.{number >> 8}.{number & 255}.0/24" for number in range(1 << 16))
    return (each for each in found if Sender.of(each, "", "").group == group)


def test_a_sender_waits_five_minutes_and_is_known_for_36_days(memory: Memory) -> None:
    for age, passes in ((0, False), (299, False), (300, True), (301, True)):
        memory.clock.now = NOON + age
        assert memory.passes("a@there.test") is passes
    assert not memory.passes("b@there.test")
    assert not memory.passes("a@there.test", "198.51.100.0/24")
    for day in (35, 70):  # each message renews it
        memory.clock.now = NOON + day * 86_400
        assert memory.passes("a@there.test")
    memory.clock.now += 37 * 86_400
    assert not memory.passes("a@there.test")


def test_a_first_try_ends_after_two_days(memory: Memory) -> None:
    assert not memory.passes("a@there.test")
    memory.clock.now += 2 * 86_400
    assert not memory.passes("a@there.test")
    memory.clock.now += 300
    assert memory.passes("a@there.test")


def test_explaining_remembers_nothing(memory: Memory) -> None:
    assert not memory.is_known("a@there.test")
    memory.clock.now += 300
    assert not memory.is_known("a@there.test")
    assert memory.number() == 0


def test_a_stranger_fills_no_more_than_the_places_of_its_network(memory: Memory) -> None:
    """Senders that came back survive, and so do first tries of other networks."""
    other = next(neighbours(ONE))
    for network, sender in ((ONE, "known@there.test"), (other, "known@there.test")):
        memory.passes(sender, network)
    memory.clock.now += 300
    assert memory.passes("known@there.test")
    assert memory.passes("known@there.test", other)
    memory.passes("new@there.test", other)
    for number in range(500):
        memory.passes(f"spam{number}@there.test")
    assert memory.number() <= 64
    assert memory.is_known("known@there.test")
    assert memory.is_known("known@there.test", other)
    memory.clock.now += 300
    assert memory.passes("new@there.test", other)
    assert not memory.passes("the last place@there.test")
    assert not memory.passes("newer@there.test", other)
    memory.clock.now += 300
    assert memory.passes("newer@there.test", other)


def test_many_networks_push_out_the_oldest_first_tries_alone(memory: Memory) -> None:
    memory.passes("known@there.test")
    memory.clock.now += 300
    assert memory.passes("known@there.test")
    memory.passes("early@there.test")
    networks = [each for each, _ in zip(neighbours(ONE), range(30), strict=False)]
    assert len(networks) > 20
    for number, network in enumerate(networks * 3):
        memory.clock.now += 1
        memory.passes(f"spam{number}@there.test", network)
    assert memory.number() <= 64
    assert memory.is_known("known@there.test")
    memory.passes("late@there.test")
    memory.clock.now += 300
    assert memory.passes("late@there.test")


def test_of_more_senders_than_places_all_come_through_at_last(memory: Memory) -> None:
    """A host with 100 messages tries all of them again and again, in order."""
    waiting = [f"user{number}@there.test" for number in range(100)]
    tries = 0
    while waiting and tries < 6:
        waiting = [sender for sender in waiting if not memory.passes(sender)]
        memory.clock.now += 600
        tries += 1
    assert (waiting, tries) == ([], 2)
    memory.clock.now += 30 * 86_400
    assert memory.passes("another@there.test")  # the network is known as a whole
    assert not memory.passes("another@there.test", "198.51.100.0/24")
    assert memory.number() <= 48
