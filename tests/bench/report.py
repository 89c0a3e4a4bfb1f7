"""What was measured, as tables for people: in Markdown, which a terminal shows well enough."""

import os
import platform
import statistics
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from tests.bench.bounds import Bounds
from tests.bench.measuring import Measured
from tests.bench.milters import MilterCosts
from tests.bench.workloads import WHOLE, Workload

__all__ = ["bounds_table", "calls_table", "goals_table", "growth_table", "heading", "milters_table", "table"]

_OURS, _INTERPRETED, _POSTFIX, _SINK = "smtpd-classic", "smtpd-classic interpreted", "Postfix", "the sink"
_FEW_AND_MANY = 100, 1000  # sessions
_REACHED = "reached"


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
        f"Made by `make bench`: servers in turn (A B C A B C), {rounds} rounds (two where only a share is sent),"
        " medians; what differs from one machine to the next is the absolute numbers, so read the ratios. The load"
        " comes from the same processors. smtpd-classic is what `make compiled` makes, “interpreted” the same source"
        " as it stands.\n"
    )


def table(load: Workload, results: dict[str, list[Measured]]) -> str:
    unit = _unit(load)
    idle = " without them | B an idle one |" if load.idle else ""
    head = f"| | {unit}/s accepted | end to end | spread | MB/s | CPU s/1000 | PSS MB |{idle} ÷ Postfix | ÷ sink |\n"
    lines = [
        f"\n## {load.name}: {load.title}\n\n",
        f"{load.messages} messages, {load.sessions} sessions, {load.length} octets\n\n",
        head + "|---" * (head.count("|") - 1) + "|\n",
    ]
    notes = [
        f"- {name}: {_where(found)}\n"
        for name, found in results.items()
        if name in {_OURS, _POSTFIX} and found[0].accepted
    ]
    rates = {name: _middle(each.end_to_end for each in found) for name, found in results.items()}
    for name, found in results.items():
        every = sorted(each.end_to_end for each in found)
        lines.append(
            f"| {name} | {_middle(each.accepted for each in found):.0f} | {rates[name]:.0f} "
            f"| {every[0]:.0f}–{every[-1]:.0f} | {_middle(each.megabytes for each in found):.1f} "
            f"| {_middle(each.cpu_per_1000 for each in found):.2f} "
            f"| {_middle(each.memory for each in found) / 1e6:.0f} |"
            + (
                f" {_middle(each.alone for each in found):.0f} | {_middle(each.per_idle for each in found):.0f} |"
                if load.idle
                else ""
            )
            + f" {_ratio(rates, name, _POSTFIX)} | {_ratio(rates, name, _SINK)} |\n"
        )
        if found[0].sessions != load.sessions:
            notes.append(f"- {name}: with {found[0].sessions} sessions\n")
        notes += [f"- {name}: {problem}\n" for problem in sorted({each for one in found for each in one.problems})]
    return "".join([*lines, *(["\n"] if notes else []), *notes])


def _where(found: list[Measured]) -> str:
    """Where the processors were, as shares of all their time."""
    every = sum(each.spent.busy + each.spent.idle for each in found) or 1.0
    user, system = sum(each.spent.user for each in found), sum(each.spent.system for each in found)
    idle = sum(each.spent.idle for each in found)
    others = max(every - idle - user - system, 0.0)
    return (
        f"{user / every:.0%} of the processors' time in its own code, {system / every:.0%} in the kernel for it, "
        f"{others / every:.0%} for the load, the journal, the disk and the network, {idle / every:.0%} idle"
    )


def growth_table(load: Workload, sessions: list[int], results: dict[str, dict[int, list[Measured]]]) -> str:
    """What is done end to end in a second, by the number of sessions."""
    lines = [f"\n## {load.name} with more sessions, {_unit(load)}/s end to end\n\n"]
    if load.kept and load.logs_in:
        lines.append(
            f"{load.grown(1.0, 1).messages} messages, and at least {load.grown(1.0, 1000).messages // 1000} a "
        )
        lines.append("session, so that not the logins are compared.\n\n")
    lines.append("| | " + " | ".join(map(str, sessions)) + " |\n" + "|---" * (len(sessions) + 1) + "|\n")
    for name, found in results.items():
        rates = [f"{_middle(each.end_to_end for each in found[number]):.0f}" for number in sessions]
        lines.append(f"| {name} | " + " | ".join(rates) + " |\n")
    return "".join(lines)


def goals_table(
    measured: dict[str, tuple[Workload, dict[str, list[Measured]]]],
    growth: dict[str, dict[str, dict[int, list[Measured]]]],
) -> str:
    """What was to be reached, whether it was, and what holds back where it was not."""
    lines = ["\n## Against the goals\n\n| | goal | measured | | interpreted |\n|---|---|---|---|---|\n"]
    notes = []
    for name, (load, results) in measured.items():
        rates = {peer: _middle(each.end_to_end for each in found) for peer, found in results.items()}
        for peer, times in ((_POSTFIX, load.goal), *load.more_goals):
            if not (times and rates.get(_OURS) and rates.get(peer)):
                continue
            verdict = _verdict(rates[_OURS] >= times * rates[peer])
            reached, interpreted = _ratio(rates, _OURS, peer), _ratio(rates, _INTERPRETED, peer)
            lines.append(f"| {name} | {times:g} times {peer} | {reached} | {verdict} | {interpreted} |\n")
            if verdict != _REACHED:
                notes.append(f"- What {name} is held back by: {_where(results[_OURS])}.\n")
    whole = measured.get(WHOLE, (None, {}))[1].get(_OURS)
    for name, (load, results) in measured.items():
        if load.part and whole and _OURS in results:
            part = _middle(each.end_to_end for each in results[_OURS]) / _middle(each.end_to_end for each in whole)
            goal, verdict = f"{load.part:.0%} of our own {WHOLE}", _verdict(part >= load.part)
            lines.append(f"| {name} | {goal} | {part:.0%} | {verdict} | |\n")
    for name, (load, results) in measured.items():
        if load.idle and _OURS in results:
            beside, alone, each_idle = (
                _middle(getattr(each, what) for each in results[_OURS]) for what in ("end_to_end", "alone", "per_idle")
            )
            verdict = _verdict(beside >= 0.9 * alone and each_idle < 64 * 1024)
            said = f"{beside / alone:.1%}, {each_idle / 1024:.0f} KiB an idle connection"
            goal = "90 % of the same without them, under 64 KiB an idle connection"
            lines.append(f"| {name} | {goal} | {said} | {verdict} | |\n")
    for name, found in growth.items():
        few, many = _FEW_AND_MANY
        if found.get(_OURS, {}).keys() >= {few, many}:
            before, after = (_middle(each.end_to_end for each in found[_OURS][number]) for number in _FEW_AND_MANY)
            verdict = _verdict(after >= 0.8 * before)
            goal = f"falls by at most a fifth from {few} to {many:,} sessions"
            lines.append(f"| {name} | {goal} | {after / before - 1:+.0%} | {verdict} | |\n")
            if verdict != _REACHED:
                notes.append(f"- What {name} is held back by with {many:,}: {_where(found[_OURS][many])}.\n")
    return "".join([*lines, *(["\n"] if notes else []), *notes])


def _verdict(reached: bool) -> str:
    return _REACHED if reached else "not reached"


def bounds_table(found: Bounds, logins: list[Measured]) -> str:
    """What has a bound whatever the load, and what a login costs that is not ours. `logins` is W6a."""
    lines = [
        "\n## Bounds\n\n",
        f"- From the start of the program to the first banner: {found.first_banner_s:.2f} s (goal: 0.5).\n",
        f"- The largest process after messages of 1 MiB: {found.small_messages / 1e6:.0f} MB.\n",
        f"- The same after messages of 25 MB: {found.big_messages / 1e6:.0f} MB.\n",
    ]
    if logins:
        each_s = _middle(each.cpu_per_1000 for each in logins) / 1000
        handshake_ms, share = found.handshake_s * 1e3, found.handshake_s / each_s
        lines += [
            f"- Of {each_s * 1e3:.2f} ms a message of W6a, OpenSSL's handshake has {handshake_ms:.2f}: {share:.0%}.\n",
            f"- Argon2id takes {found.password_s * 1e3:.1f} ms; what fitted is remembered for two minutes.\n",
        ]
    return "".join(lines)


def milters_table(found: MilterCosts) -> str:
    """What one milter adds, and what others lose by one that is slow."""
    added, beside = _verdict(found.added_s <= 0.002), _verdict(found.beside >= 0.9)
    return (
        "\n## Milters\n\n"
        f"- At a UNIX socket, answering every step at once, one adds {found.added_s * 1e3:.2f} ms to a message (goal: "
        f"2, {added}).\n"
        f"- While 200 sessions wait for one, the others keep {found.beside:.0%} of their rate (goal: 90 %, {beside}).\n"
    )


def calls_table(load: Workload, results: dict[str, dict[str, float]]) -> str:
    groups = list(next(iter(results.values())))
    lines = [f"\n## System calls a message, {load.name} ({load.title})\n\n"]
    lines.append(
        "Counted by strace, which slows threads down, so that they wait for one another more often: most of"
        " the futex calls are its doing.\n\n| | " + " | ".join(groups) + " |\n"
    )
    lines.append("|---" * (len(groups) + 1) + "|\n")
    lines += [
        f"| {name} | " + " | ".join(f"{found[each]:.1f}" for each in groups) + " |\n" for name, found in results.items()
    ]
    return "".join(lines)


def _unit(load: Workload) -> str:
    return "deliveries" if load.recipients > 1 else "messages"


def _middle(values: Iterable[float]) -> float:
    return statistics.median(values)


def _ratio(rates: dict[str, float], name: str, base: str) -> str:
    return f"{rates[name] / rates[base]:.2f}" if rates.get(base) and name in rates else "—"
