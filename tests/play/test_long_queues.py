"""Queues of 20,000 and 200,000 messages: for one host that takes two connections, and with a tenth for dead hosts."""

import os
import shutil
import time
from collections.abc import Iterable

import pytest

from spool import Envelope, Recipient, Spool, new_queue_id
from tests.play.place import SENDER, Place, place
from tests.play.sink import address_of, domain_of
from tests.play.test_play import fresh_messages, percentile

LINE = b"x" * 70 + b"\n"


def fill(world: Place, recipients: Iterable[str]) -> int:
    """Put messages into the queue of a server that does not run; durability is not what is tested."""
    folder = world.server.folder / "spool"
    spool = Spool(str(folder))
    owner = folder.stat()
    fsync, os.fsync = os.fsync, lambda fd: None
    now, number = time.time() - 600, 0
    try:
        for number, recipient in enumerate(recipients, 1):
            arrival = now + number / 1000
            with spool.draft(new_queue_id(arrival)) as draft:
                draft.write(f"From: {SENDER}\nX-Tag: q{number}\n\n".encode() + LINE * 7)
                queue_id = draft.commit(Envelope(SENDER, (Recipient(recipient),)), arrival)
            shutil.chown(f"{spool.folders.new}/{queue_id}", owner.st_uid, owner.st_gid)
    finally:
        os.fsync = fsync
    return number


def restarted(world: Place) -> float:
    """The seconds from the start of the server to the first delivery."""
    before = world.arrivals.copies
    start = time.time()
    world.server.start()
    assert world.arrivals.wait(lambda: world.arrivals.copies > before, 60), world.server.said()
    return time.time() - start


def rate(world: Place, number: int) -> float:
    """Messages that arrive in a second, measured over so many."""
    end, start = world.arrivals.copies + number, time.time()
    assert world.arrivals.wait(lambda: world.arrivals.copies >= end, 600), world.server.said()
    return number / (time.time() - start)


@pytest.mark.torture
def test_a_long_queue_for_a_host_that_takes_two_connections_slows_no_other() -> None:
    host = domain_of("two", 0)
    with place({"remote": {"max_connections_per_host": "2"}}, delay_s=0.02) as world:
        world.server.stop()
        number = fill(world, (f"user{each}@{host}" for each in range(20_000)))
        restarted(world)
        remote = fresh_messages(world, 0, 50, 60.0)
        speed = rate(world, 600)
        most = world.arrivals.most_open[address_of("two", 0)]
        print(f"{number} queued: {speed:.0f}/s, most connections {most}, fresh p99 {percentile(remote, 0.99):.2f} s")
    assert most <= 2
    assert percentile(remote, 0.99) <= 2.0


@pytest.mark.torture
def test_a_tenth_for_dead_hosts_costs_a_tenth_at_most() -> None:
    speeds = {}
    for dead in (False, True):
        with place(delay_s=0.02) as world:
            world.server.stop()
            fill(
                world,
                (
                    f"user{each}@{domain_of('blackhole' if dead and each % 10 == 0 else 'good', each % 500)}"
                    for each in range(200_000)
                ),
            )
            first = restarted(world)
            speeds[dead] = rate(world, 15_000)
            memory = world.memory_mb()
            print(f"dead hosts {dead}: {speeds[dead]:.0f}/s, first after {first:.2f} s, {memory:.0f} MB")
            if dead:
                assert first <= 2.0
                assert memory <= 200
    assert speeds[True] >= 0.9 * speeds[False]
