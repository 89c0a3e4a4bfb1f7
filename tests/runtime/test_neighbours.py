"""The states of programs beside this server, noted by several processes."""

import threading
from pathlib import Path

from smtpd_classic.runtime import NeighbourStates


def test_one_process_alone_sees_a_change(tmp_path: Path) -> None:
    """Sessions in several processes find out at the same moment that a program is down; one of them says so."""
    processes = [NeighbourStates(str(tmp_path / "shared")) for _ in range(6)]
    together = threading.Barrier(len(processes))
    seen: list[tuple[int, str]] = []

    def report(states: NeighbourStates) -> None:
        for number in range(20):
            for reason in ("no answer", ""):
                together.wait(20)
                if states.report("redis", reason, 0.05):
                    seen.append((number, reason))
                states._success_at.clear()  # as after a second

    threads = [threading.Thread(target=report, args=(each,)) for each in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted((number, reason) for number in range(20) for reason in ("no answer", ""))


def test_without_the_folder_nothing_is_noted_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    states = NeighbourStates(str(tmp_path / "file" / "shared"))
    assert states.report("redis", "no answer", 0.05)
    assert states.read("redis") is None
