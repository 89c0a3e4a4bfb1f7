"""What was measured, as tables for people: in Markdown, which a terminal shows well enough."""

import os
import platform
import statistics
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from tests.bench.measuring import Measured
from tests.bench.workloads import Workload

__all__ = ["calls_table", "growth_table", "heading", "table"]


def heading(disk: str, rounds: int) -> str:
    """The machine, the day, and how to read what follows."""
    memory = int(Path("/proc/meminfo").read_text(encoding="ascii").split()[1]) // 1024**2
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return (
        f"# Measured on {date.today().isoformat()}\n\n"  # noqa: DTZ011 - the day of whoever measures
        f"{os.cpu_count()} processors ({model}), {memory} GiB, {platform.platform()}, Python"
        f" {platform.python_version()}, on {disk}; load average at the start {os.getloadavg()[0]:.1f}.\n\n"
        f"Made by `make bench`: servers in turn (A B C A B C), {rounds} rounds, medians; what differs from one"
        " machine to the next is the absolute numbers, so read the ratios. The load comes from the same processors.\n"
    )


def table(load: Workload, results: dict[str, list[Measured]]) -> str:
    unit = "deliveries" if load.recipients > 1 else "messages"
    idle = " B an idle one |" if load.idle else ""
    head = f"| | {unit}/s accepted | end to end | spread | MB/s | CPU s/1000 | PSS MB |{idle} ÷ Postfix | ÷ sink |\n"
    lines = [
        f"\n## {load.name}: {load.title}\n\n",
        f"{load.messages} messages, {load.sessions} sessions, {load.length} octets\n\n",
        head + "|---" * (head.count("|") - 1) + "|\n",
    ]
    notes = []
    rates = {name: _middle(each.end_to_end for each in found) for name, found in results.items()}
    for name, found in results.items():
        every = sorted(each.end_to_end for each in found)
        lines.append(
            f"| {name} | {_middle(each.accepted for each in found):.0f} | {rates[name]:.0f} "
            f"| {every[0]:.0f}–{every[-1]:.0f} | {_middle(each.megabytes for each in found):.1f} "
            f"| {_middle(each.cpu_per_1000 for each in found):.2f} "
            f"| {_middle(each.memory for each in found) / 1e6:.0f} |"
            + (f" {_middle(each.per_idle for each in found):.0f} |" if load.idle else "")
            + f" {_ratio(rates, name, 'Postfix')} | {_ratio(rates, name, 'the sink')} |\n"
        )
        notes += [f"- {name}: {problem}\n" for problem in sorted({each for one in found for each in one.problems})]
    return "".join([*lines, *(["\n"] if notes else []), *notes])


def growth_table(load: Workload, sessions: list[int], results: dict[str, dict[int, list[Measured]]]) -> str:
    """Messages/s end to end by the number of sessions."""
    lines = [f"\n## {load.name} with more sessions, messages/s end to end\n\n"]
    lines.append("| | " + " | ".join(map(str, sessions)) + " |\n" + "|---" * (len(sessions) + 1) + "|\n")
    for name, found in results.items():
        rates = [f"{_middle(each.end_to_end for each in found[number]):.0f}" for number in sessions]
        lines.append(f"| {name} | " + " | ".join(rates) + " |\n")
    return "".join(lines)


def calls_table(load: Workload, results: dict[str, dict[str, float]]) -> str:
    groups = list(next(iter(results.values())))
    lines = [f"\n## System calls a message, {load.name} ({load.title})\n\n| | " + " | ".join(groups) + " |\n"]
    lines.append("|---" * (len(groups) + 1) + "|\n")
    lines += [
        f"| {name} | " + " | ".join(f"{found[each]:.1f}" for each in groups) + " |\n" for name, found in results.items()
    ]
    return "".join(lines)


def _middle(values: Iterable[float]) -> float:
    return statistics.median(values)


def _ratio(rates: dict[str, float], name: str, base: str) -> str:
    return f"{rates[name] / rates[base]:.2f}" if rates.get(base) else "—"
