"""Measure this server and others, in turn, on the same disk."""

import argparse
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from tests.bench import destinations, report
from tests.bench.bounds import bounds
from tests.bench.calls import calls_per_message
from tests.bench.disk import fresh_disk
from tests.bench.measuring import Measured, run
from tests.bench.milters import milter_costs
from tests.bench.ours import COMPILED, Ours
from tests.bench.peer import Peer
from tests.bench.peers import PEERS
from tests.bench.processes import await_rest
from tests.bench.sink import Sink
from tests.bench.workloads import WHOLE, WORKLOADS, Workload
from tests.instance import free_port

_RESULTS = Path(__file__).with_name("RESULTS.md")
_GROWTH_OF_OTHERS = ("W1", "W2")  # with the rest, theirs would take hours and tell nothing about ours
_OTHERS_ROUNDS = 2  # of what gets a share of the messages only
_TRACED = ("W1", "W2", "W4", "W7")
_TRACED_DELIVERIES = 400


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="workloads, milters, bounds; parted by commas")
    parser.add_argument("--peers", default="", help="servers, parted by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="messages of each workload, as a factor")
    parser.add_argument("--sessions", default="1,10,100,1000", help="how each grows; blank: leave that out")
    parser.add_argument("--no-calls", action="store_true", help="do not count system calls")
    parser.add_argument("--write", action="store_true", help=f"write {_RESULTS.name}")
    args = parser.parse_args()
    if not any(COMPILED.glob("*.so")):
        parser.error("“make compiled” comes first, as with “make bench”")
    # Ended from outside, it still stops the servers and takes its disk away.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    only = args.only.split(",") if args.only else []
    loads = [each for each in WORKLOADS if not only or each.name in only]
    makers = [each for each in PEERS if not args.peers or each.name in args.peers.split(",")]
    sessions = [int(word) for word in args.sessions.split(",") if word]
    page = _Page(_RESULTS if args.write else None)
    measured: dict[str, tuple[Workload, dict[str, list[Measured]]]] = {}
    with fresh_disk() as (disk, described):
        bench = _Bench(disk, makers, args.rounds)
        page.add(report.heading(described, args.rounds))
        if any(each.part for each in loads) and not any(each.name == WHOLE for each in loads):
            scaled = next(each for each in WORKLOADS if each.name == WHOLE).scaled(args.scale)
            measured[WHOLE] = scaled, bench.rounds(scaled, [Ours])
            page.add(report.table(*measured[WHOLE]))
        for load in loads:
            scaled = load.scaled(args.scale)
            measured[load.name] = scaled, bench.rounds(scaled)
            page.add(report.table(*measured[load.name]))
        growth = {}
        for load in (each for each in loads if sessions and not each.idle):
            growth[load.name] = bench.growth(load, sessions, args.scale)
            page.add(report.growth_table(load, sessions, growth[load.name]))
        for load in (each for each in loads if not args.no_calls and each.name in _TRACED):
            few = load.scaled(_TRACED_DELIVERIES / load.recipients / load.messages)
            page.add(report.calls_table(few, bench.calls(few)))
        if not only or "W9" in only:
            page.add(destinations.table(destinations.results(args.scale)))
        if not only or "milters" in only:
            page.add(report.milters_table(milter_costs(disk)))
        if not only or "bounds" in only:
            page.add(report.bounds_table(bounds(disk), measured["W6a"][1][Ours.name] if "W6a" in measured else []))
    page.add(report.goals_table(measured, growth), at=1)
    return 0


class _Page:
    """What is told, and kept in `file`, if any, as far as it is told: a run that ends early leaves what it has."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._said: list[str] = []

    def add(self, text: str, at: int | None = None) -> None:
        print(text, end="", flush=True)
        self._said.insert(len(self._said) if at is None else at, text)
        if self._file is not None:
            self._file.write_text("".join(self._said), encoding="utf-8")


class _Bench:
    """The peers in turn, A B C A B C; each started anew for every measurement, on a folder of its own."""

    def __init__(self, disk: Path, makers: list[type[Peer]], rounds: int) -> None:
        self._disk = disk
        self._makers = makers
        self._rounds = rounds

    def rounds(self, load: Workload, makers: list[type[Peer]] | None = None) -> dict[str, list[Measured]]:
        makers = makers or self._able(load)
        results: dict[str, list[Measured]] = {maker.name: [] for maker in makers}
        for number in range(self._rounds):
            for maker in makers:
                found = results[maker.name]
                if (maker.share < 1 and number >= _OTHERS_ROUNDS) or (found and not found[-1].accepted):
                    continue  # who did not let the idle ones in does not do so the next time
                scaled = load.scaled(maker.share, min(load.sessions, maker.most_sessions))
                found.append(self._measure(maker, scaled))
                if load.idle and found[-1].accepted:
                    found[-1].alone = self._measure(maker, replace(scaled, idle=0)).end_to_end
        return results

    def growth(self, load: Workload, sessions: list[int], scale: float) -> dict[str, dict[int, list[Measured]]]:
        makers = [maker for maker in self._able(load) if maker.share == 1]
        if load.name not in _GROWTH_OF_OTHERS:
            makers = [maker for maker in makers if maker.name == Ours.name]
        found: dict[str, dict[int, list[Measured]]] = {each.name: {n: [] for n in sessions} for each in makers}
        for _ in range(self._rounds):
            for number in sessions:
                for maker in makers:
                    found[maker.name][number].append(self._measure(maker, load.grown(scale, number)))
        return found

    def calls(self, load: Workload) -> dict[str, dict[str, float]]:
        found = {}
        for maker in self._able(load):
            with _Started(maker, self._disk) as (peer, sink):
                found[maker.name] = calls_per_message(peer, sink, load)
        return found

    def _able(self, load: Workload) -> list[type[Peer]]:
        return [maker for maker in self._makers if load.needs <= maker.can]

    def _measure(self, maker: type[Peer], load: Workload) -> Measured:
        with _Started(maker, self._disk) as (peer, sink):
            await_rest(peer.roots())
            os.sync()  # what the server before this one has left to be written is none of its work
            return run(peer, sink, load)


class _Started:
    """A server and its sink for one measurement."""

    def __init__(self, maker: type[Peer], disk: Path) -> None:
        self._peer = maker()
        self._sink = Sink(free_port())
        self._folder = disk / f"{maker.name.replace(' ', '-')}-{time.monotonic_ns()}"

    def __enter__(self) -> tuple[Peer, Sink]:
        try:
            self._peer.start(self._folder, self._sink.port)
        except BaseException:
            self._sink.stop()
            raise
        return self._peer, self._sink

    def __exit__(self, *problem: object) -> None:
        self._peer.stop()
        self._sink.stop()


if __name__ == "__main__":
    sys.exit(main())
