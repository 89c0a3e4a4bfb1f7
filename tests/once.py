"""Folders with new keys, which are made once in a run for all of its processes, and hashes that cost nothing."""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher

__all__ = ["begin_run", "made_once", "quick_hash"]

_VARIABLE = "SMTPD_CLASSIC_TESTS_ONCE"


def begin_run() -> Callable[[], None] | None:
    """Make the folder of a run, unless this process belongs to one that has begun. Return the function that ends it."""
    if _VARIABLE in os.environ:
        return None
    place = Path(tempfile.mkdtemp(prefix="smtpd-classic-once-"))
    place.chmod(0o755)  # the server gives up root and must be able to enter
    os.environ[_VARIABLE] = str(place)

    def end() -> None:
        os.environ.pop(_VARIABLE, None)
        shutil.rmtree(place, ignore_errors=True)

    return end


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of this name, which `make` fills if no process of the run has done so. Only copy from it."""
    end = begin_run()  # without pytest, this process is the run
    if end is not None:
        atexit.register(end)
    folder = Path(os.environ[_VARIABLE], name)
    if folder.exists():
        return folder
    with open(f"{folder}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            draft = folder.with_name(f"{name}.draft")
            shutil.rmtree(draft, ignore_errors=True)
            make(draft)
            draft.rename(folder)
    return folder


@cache
def quick_hash(password: str) -> str:
    """Return a hash for the users file that is verified at once, unlike those that the program makes."""
    return "{ARGON2ID}" + PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)
