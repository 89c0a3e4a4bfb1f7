"""Measure this server and others, in turn, on the same disk."""

import argparse
import os
import platform
import statistics
import sys
import time
from pathlib import Path

from tests.bench.disk import fresh_disk
from tests.bench.peers import PEERS, Peer
from tests.bench.workloads import WORKLOADS, Measured, Sink, Workload, run
from tests.instance import free_port


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="workloads, parted by commas")
    parser.add_argument("--peers", default="", help="servers, parted by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="messages of each workload, as a factor")
    args = parser.parse_args()
    loads = [each for each in WORKLOADS if not args.only or each.name in args.only.split(",")]
    makers = [each for each in PEERS if not args.peers or each.name in args.peers.split(",")]
    with fresh_disk() as (disk, described):
        print(
            f"{platform.platform()}, {os.cpu_count()} processors, Python {platform.python_version()}, on {described}."
        )
        for load in loads:
            print(f"\n{load.name}: {load.title}; {load.sessions} sessions, {load.length} bytes")
            results = rounds(disk, load, makers, args.rounds, args.scale)
            table(load, results)
    return 0


def rounds(disk: Path, load: Workload, makers: list[type[Peer]], count: int, scale: float) -> dict[str, list[Measured]]:
    """The peers in turn, A B C A B C; each started once a round on a folder of its own."""
    scaled = Workload(
        **{**{name: getattr(load, name) for name in load.__slots__}, "messages": int(load.messages * scale)}
    )
    results: dict[str, list[Measured]] = {maker.name: [] for maker in makers}
    for number in range(count):
        for maker in makers:
            peer, sink = maker(), Sink(free_port())
            peer.start(disk / f"{load.name}-{number}-{maker.name}-{time.monotonic_ns()}", sink.port)
            try:
                results[maker.name].append(run(peer, sink, scaled))
            finally:
                peer.stop()
                sink.stop()
    return results


def table(load: Workload, results: dict[str, list[Measured]]) -> None:
    heads = f"{'accepted/s':>12}{'end to end/s':>14}{'(spread)':>16}{'MB/s':>8}{'CPU s/1000':>12}{'PSS MB':>8}"
    print(f"{'':16}{heads}{'× Postfix':>11}")
    base = statistics.median(each.end_to_end for each in results["Postfix"]) if results.get("Postfix") else 0.0
    for name, found in results.items():
        rates = sorted(each.end_to_end for each in found)
        middle = statistics.median(rates)
        spread = f"{rates[0]:.0f}–{rates[-1]:.0f}"
        print(
            f"{name:16}{statistics.median(each.accepted for each in found):12.0f}{middle:14.0f}{spread:>16}"
            f"{statistics.median(each.megabytes for each in found):8.1f}"
            f"{statistics.median(each.cpu_per_1000 for each in found):12.2f}"
            f"{statistics.median(each.memory for each in found) / 1e6:8.0f}"
            + (f"{middle / base:11.2f}" if base else "")
        )
        for problem in sorted({each for one in found for each in one.problems}):
            print(f"    {name}: {problem}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
