"""The cost of the shared state: of a counter, and of a recipient whose sender has a limit.

    python -m tests.bench.shared_state [NUMBER]

The same is measured without it. Redis is that of Debian, over a loopback socket.
"""

import shutil
import smtplib
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from smtpd_classic.counters import Amount, FileCounterStore
from smtpd_classic.counters.shared_store import SharedCounterStore
from smtpd_classic.policy.greylist_memory import Sender, has_waited
from smtpd_classic.shared_state import SharedState
from tests.instance import Instance
from tests.shared_state.redis_server import RedisServer

_HOUR_S = 3600.0
_IN_A_SESSION = 10
_TURNS = 20


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    folder = Path(tempfile.mkdtemp(prefix="shared-state-"))
    folder.chmod(0o755)
    redis = RedisServer(folder)
    redis.start()
    try:
        _counters(folder, redis, number)
        _recipients(folder, redis, number)
    finally:
        redis.stop()
        shutil.rmtree(folder)


def _counters(folder: Path, redis: RedisServer, number: int) -> None:
    (folder / "own").mkdir()
    own = FileCounterStore(str(folder / "own"))
    shared = SharedState(redis.url, b"x" * 32)
    shared.ask(lambda client: client.ping())
    for name, store in (("file", own), ("shared state", SharedCounterStore(shared, own))):
        wall_us, cpu_us = _taken(partial(store.take, "account ann@example.org", [Amount("hour", 1, _HOUR_S)]), number)
        print(f"a counter, {name}: {wall_us:.0f} µs, {cpu_us:.0f} µs of processor time")
    wall_us, cpu_us = _taken(lambda: shared.text("greylist", "a"), number)
    print(f"a question alone: {wall_us:.0f} µs, {cpu_us:.0f} µs of processor time")
    greylist = SharedCounterStore(shared, own, kind="greylist")
    sender = Sender.of("192.0.2.0", "ann@example.org", "bob@example.net")
    wall_us, cpu_us = _taken(lambda: has_waited(greylist, sender, time.time(), remember=True), number)
    print(f"greylisting a sender: {wall_us:.0f} µs, {cpu_us:.0f} µs of processor time")
    shared.close()


def _taken(action: Callable[[], object], number: int) -> tuple[float, float]:
    """Return the microseconds that one call takes, and those of the processor."""
    began, worked = time.perf_counter(), time.process_time()
    for _ in range(number):
        action()
    return (time.perf_counter() - began) * 1e6 / number, (time.process_time() - worked) * 1e6 / number


def _recipients(folder: Path, redis: RedisServer, number: int) -> None:
    """Both servers take their turns, so that the other programs of the machine disturb both."""
    nodes = {}
    for name, url in (("alone", ""), ("sharing", redis.url)):
        node = nodes[name] = Instance(folder / name)
        node.set_all({("server", "shared_state"): url, ("server", "workers"): "1", ("limits", "over_limit"): "refuse"})
        node.set_all({("remote", "relay_hosts"): "127.0.0.1:9", ("remote", "relay_always"): "yes"})
        node.set_all({("remote", "look_up_mx"): "no", ("trusted", "hosts"): "127.0.0.1"})
    costs: dict[str, list[float]] = {name: [] for name in nodes}
    try:
        for node in nodes.values():
            node.start()
            _ask(node)  # what is imported or opened at first use
        for _ in range(_TURNS):
            for name, node in nodes.items():
                costs[name].append(_cost_us(node, number // _TURNS))
    finally:
        for node in nodes.values():
            node.stop()
    alone, sharing = (median(costs[name]) for name in ("alone", "sharing"))
    print(f"a recipient elsewhere: {alone:.0f} µs of processor time alone, {sharing:.0f} µs sharing")
    print(f"the shared state adds {sharing - alone:.0f} µs")


def _cost_us(node: Instance, number: int) -> float:
    """Return the processor time of MAIL, RCPT and RSET of a trusted host, with a limit that is looked at."""
    assert node.process is not None
    before = worked_s(node.process.pid)
    for _ in range(number // _IN_A_SESSION):
        _ask(node)
    return (worked_s(node.process.pid) - before) * 1e6 / (number // _IN_A_SESSION * _IN_A_SESSION)


def _ask(node: Instance) -> None:
    with smtplib.SMTP("127.0.0.1", node.ports["smtp"], "client.test", 60) as client:
        client.ehlo()
        for _ in range(_IN_A_SESSION):
            client.mail(node.login)
            code, reply = client.rcpt("bob@away.example")
            assert code == 250, reply
            client.rset()


def worked_s(pid: int) -> float:
    """Return the processor time of a process, to a microsecond: /proc has hundredths of a second."""
    return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3) makes it


if __name__ == "__main__":
    main()
