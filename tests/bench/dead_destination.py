"""A queue of 100,000 messages for a destination that is dead: what it costs, and what a fresh message notices of it.

    python -m tests.bench.dead_destination [NUMBER] [--new]

The host takes connections and never says a word. The messages have been tried once (or, with --new, never) and are due.
"""

import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

from spool import Envelope, Recipient, RecipientState, Spool, State, new_queue_id
from tests.client.fake_host import FakeHost, RawHost
from tests.client.world import QUICK
from tests.retry.world import MESSAGE, World
from tests.waiting import until

HASTE = QUICK._replace(greeting=5.0)


def main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    number, tried = int(words[0]) if words else 100_000, "--new" not in sys.argv
    folder = Path(tempfile.mkdtemp(prefix="dead-destination-"))
    try:
        _fill(folder / "spool", number, tried=tried)
        _measure(folder, number)
    finally:
        shutil.rmtree(folder)


def _fill(folder: Path, number: int, *, tried: bool) -> None:
    spool = Spool(str(folder))
    spool.make()
    now = time.time()
    fsync = os.fsync
    os.fsync = lambda fd: None  # durability is not what is measured
    started = time.monotonic()
    for each in range(number):
        arrival = now - 7200 + each * 7200 / number
        recipient = f"user{each}@dead.example"
        with spool.draft(new_queue_id(arrival)) as draft:
            draft.write(MESSAGE)
            queue_id = draft.commit(Envelope("joe@us.test", (Recipient(recipient),), client="c[192.0.2.1]"), arrival)
        if tried:
            claim = spool.claim(queue_id)
            assert claim is not None
            with claim:
                row = RecipientState(recipient, attempts=1, last_reply="connection timed out", at=arrival)
                claim.record(State((row,), 1, arrival, arrival, now - 1))
    os.fsync = fsync
    print(f"made {number} messages in {time.monotonic() - started:.1f} s", flush=True)


def _measure(folder: Path, number: int) -> None:
    dead = RawHost(_hear)
    live = FakeHost(port=dead.port)
    world = World(folder, live, dead, mx={"dead.example": [(1, "mx.second.example")]})
    world.clock.now = time.time()
    world.timeouts = HASTE
    before = _memory()
    started = time.monotonic()
    rows = sum(1 for _ in world.spool.list())
    print(f"listed {rows} by scandir and stat in {time.monotonic() - started:.2f} s")
    started = time.monotonic()
    due = len(world.spool.schedule())
    print(f"schedule of {due} in {time.monotonic() - started:.2f} s")
    started = time.monotonic()
    world.start()
    delays = []
    for moment in (0.0, 0.5, 2.0, 5.0, 10.0, 20.0, 30.0):
        time.sleep(max(0.0, started + moment - time.monotonic()))
        world.clock.now = time.time()
        sent = time.monotonic()
        count = len(live.got)
        world.send("bob@example.org")
        until(lambda count=count: len(live.got) > count, 60)  # type: ignore[misc]
        delays.append((moment, time.monotonic() - sent))
    for moment, delay in delays:
        print(f"fresh message {moment:4.1f} s after the start: delivered in {delay * 1000:7.1f} ms")
    times = resource.getrusage(resource.RUSAGE_SELF)
    print(f"CPU {times.ru_utime + times.ru_stime:.1f} s in all; connections to the dead host: {dead.connections}")
    print(f"memory: {before} MB before, {_memory()} MB with {number} messages known")
    tried = sum(1 for line in world.log().splitlines() if "status=deferred" in line)
    print(f"deferrals logged: {tried}")
    stopped = time.monotonic()
    assert world.thread is not None
    world.thread.stop(10.0)
    print(f"stopped in {time.monotonic() - stopped:.1f} s")
    for host in (live, dead):
        host.close()


def _hear(connection: socket.socket) -> None:
    connection.recv(1)


def _memory() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024**2


if __name__ == "__main__":
    main()
