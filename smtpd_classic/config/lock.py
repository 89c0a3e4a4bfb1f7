"""The lock on a file that people edit, and who holds it."""

import contextlib
import os
import pwd
from collections.abc import Iterator

from filelock import FileLock, Timeout

__all__ = ["LockHeld", "locked"]

_MODE = 0o640


class LockHeld(Exception):
    """Raised when another program is changing the file; `holder` names it, or is blank when it is not known."""

    def __init__(self, path: str, holder: str) -> None:
        self.path = path
        self.holder = holder
        super().__init__(f"{path} is being changed by {holder or 'another program'}; try again in a moment.")


@contextlib.contextmanager
def locked(path: str, timeout_s: float = 10) -> Iterator[None]:
    """Hold the lock of a file that is replaced as a whole; the lock file beside it stays. Raises LockHeld."""
    name = os.path.realpath(path) + ".lock"
    # flock, never the soft kind: a lock file that a crash left behind must not keep the next program out.
    lock = FileLock(name, timeout=timeout_s, mode=_MODE, fallback_to_soft=False, on_acquired=_sign)
    try:
        lock.acquire()
    except Timeout:
        raise LockHeld(path, _holder(name)) from None
    try:
        yield
    finally:
        lock.release()


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{_user()}, pid {os.getpid()}{_terminal()}\n".encode(), 0)


def _user() -> str:
    """The person, also behind sudo."""
    behind = os.environ.get("SUDO_USER", "")
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    return f"{name} ({behind})" if behind and behind != name and behind.isprintable() else name


def _terminal() -> str:
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            return " on " + os.ttyname(descriptor).removeprefix("/dev/")
    return ""


def _holder(name: str) -> str:
    with contextlib.suppress(OSError), open(name, encoding="utf-8", errors="replace") as file:
        return "".join(char for char in file.readline(200) if char.isprintable())
    return ""
