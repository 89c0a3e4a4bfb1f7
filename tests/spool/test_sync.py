"""One fsync waits for nobody; many go together."""

import os
import threading
import time
from pathlib import Path

import pytest

from smtpd_classic.durable import sync
from tests.waiting import until


def test_who_is_alone_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = time.monotonic() + 0.06  # of the crowd of another test
    until(lambda: time.monotonic() > over)
    with (tmp_path / "file").open("wb") as file, monkeypatch.context() as patch:
        patch.setattr(time, "sleep", lambda _: pytest.fail("it waited"))
        for _ in range(20):
            sync(file.fileno())


def test_many_go_together_and_each_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    synced: list[int] = []
    free = threading.Event()
    real = os.fsync

    def slow(descriptor: int) -> None:
        synced.append(descriptor)
        free.wait(20)
        real(descriptor)

    files = [(tmp_path / str(number)).open("wb") for number in range(6)]
    threads = [threading.Thread(target=sync, args=(file.fileno(),)) for file in files]
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", slept.append)
        patch.setattr(os, "fsync", slow)
        for thread in threads:
            thread.start()
        until(lambda: len(synced) == len(files))
        free.set()
        for thread in threads:
            thread.join(20)
    assert sorted(synced) == sorted(file.fileno() for file in files)
    assert len(slept) == 4  # the first two were no crowd
    assert all(0 < pause <= 0.005 for pause in slept)
    for file in files:
        file.close()


def test_a_failure_is_the_callers_and_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with (tmp_path / "file").open("wb") as file, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        for _ in range(5):
            with pytest.raises(OSError, match="Input/output"):
                sync(file.fileno())
    with (tmp_path / "file").open("wb") as file, monkeypatch.context() as patch:
        patch.setattr(time, "sleep", lambda _: pytest.fail("who failed is still counted"))
        over = time.monotonic() + 0.06  # of the crowd of another test
        until(lambda: time.monotonic() > over)
        for _ in range(5):
            sync(file.fileno())
