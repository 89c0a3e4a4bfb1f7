"""A disk that fails at the n-th system call, or a process that ends there; in this process, without its taking part."""

import contextlib
import fcntl
import gc
import os
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Crash", "Faults", "crashing", "descriptors", "failing", "settled_descriptors"]

# What the spool and the mail store call. The bare ones of `os` are replaced, so that filelock's are hit too.
_OF_OS = [
    "open",
    "write",
    "close",
    "fsync",
    "fstat",
    "stat",
    "lstat",
    "fchmod",
    "chmod",
    "utime",
    "rename",
    "link",
    "unlink",
]
_OF_OS += ["mkdir", "makedirs", "read", "pread", "pwrite", "dup", "listdir", "scandir"]


class Crash(BaseException):
    """The process is gone: nothing of what it would still do happens."""


class Faults:
    """What the calls under test did: `names` of all of them, in order, and whether the fault has `happened`."""

    def __init__(self, decide: Callable[["Faults", str], BaseException | None], torn: bool) -> None:
        self.names: list[str] = []
        self.happened = False
        self._decide = decide
        self._torn = torn
        self._open: set[int] = set()

    def call(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.names.append(name)
        error = self._decide(self, name)
        if error is not None:
            first, self.happened = not self.happened, True
            if first and self._torn and name in {"write", "pwrite"}:
                real(args[0], args[1][: len(args[1]) // 2], *args[2:])
            if name == "close" and not isinstance(error, Crash):
                real(*args)  # Linux closes the descriptor also when it reports an error
                self._open.discard(args[0])
            raise error
        result = real(*args, **kwargs)
        if name in {"open", "dup"}:
            self._open.add(result)
        elif name == "close":
            self._open.discard(args[0])
        return result

    def die(self) -> None:
        """What the kernel does for a dead process: its locks and descriptors go."""
        for descriptor in self._open:
            os.close(descriptor)


@contextlib.contextmanager
def _patched(faults: Faults) -> Iterator[None]:
    def instead(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: faults.call(name, real, args, kwargs)

    places = [(os, name) for name in _OF_OS] + [(fcntl, "flock")]
    before = [(module, name, getattr(module, name)) for module, name in places]
    for module, name, real in before:
        setattr(module, name, instead(name, real))
    try:
        yield
    finally:
        for module, name, real in before:
            setattr(module, name, real)


@contextlib.contextmanager
def crashing(at: int, torn: bool = False) -> Iterator[Faults]:
    """The process dies in place of its `at`-th call (with `torn`, a write has done half of its work)."""

    def decide(faults: Faults, _name: str) -> BaseException | None:
        return Crash() if len(faults.names) >= at else None

    faults = Faults(decide, torn)
    try:
        with _patched(faults), contextlib.suppress(Crash):
            yield faults
    finally:
        faults.die()


@contextlib.contextmanager
def failing(at: int, number: int, *, stays: bool = False, torn: bool = False) -> Iterator[Faults]:
    """The `at`-th call fails with that errno; with `stays`, all later ones of the same name too."""
    broken: set[str] = set()

    def decide(faults: Faults, name: str) -> BaseException | None:
        if len(faults.names) == at:
            broken.add(name)
            return OSError(number, os.strerror(number))
        return OSError(number, os.strerror(number)) if stays and name in broken else None

    faults = Faults(decide, torn)
    with _patched(faults):
        yield faults


def descriptors() -> set[str]:
    """The files that are open in this process. Threads of other tests may open and close sockets meanwhile."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{number}").startswith("/"):
                found.add(number)
    return found


def settled_descriptors() -> set[str]:
    """The same, after a collection of the garbage of earlier tests, which may hold some."""
    gc.collect()
    return descriptors()
