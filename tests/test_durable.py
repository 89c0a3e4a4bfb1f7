import fcntl
import os
import threading
from pathlib import Path

import pytest

from smtpd_classic.durable import create_locked


@pytest.mark.parametrize("removed", [False, True], ids=["left", "removed as abandoned"])
def test_draft_that_a_sweep_locks_first_is_created_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    path = str(tmp_path / "draft")
    real_open = os.open
    sweeps: list[threading.Thread] = []

    def open_with_a_sweep_in_between(name: str, flags: int, mode: int = 0o777) -> int:
        descriptor = real_open(name, flags, mode)
        if not sweeps:
            other = real_open(name, os.O_WRONLY)
            fcntl.flock(other, fcntl.LOCK_EX)

            def sweep() -> None:
                if removed:
                    os.unlink(name)
                os.close(other)

            sweeps.append(threading.Thread(target=sweep))
            sweeps[0].start()
        return descriptor

    monkeypatch.setattr(os, "open", open_with_a_sweep_in_between)
    descriptor = create_locked(path)
    sweeps[0].join()
    assert os.path.samestat(os.fstat(descriptor), os.stat(path))
    second = real_open(path, os.O_WRONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(second)
    os.close(descriptor)
