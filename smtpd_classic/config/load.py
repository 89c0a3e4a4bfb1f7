"""Loads the configuration file: all of it or nothing, and everything that is wrong with it at once."""

import hashlib
import os
import stat
from collections.abc import Iterator

from smtpd_classic.config.check import check
from smtpd_classic.config.problem import ConfigProblems, Problem
from smtpd_classic.config.reading import read
from smtpd_classic.config.schema import SECTIONS, Config

__all__ = ["content", "decoded", "examine", "load", "loose_permissions", "parse"]


def load(path: str | os.PathLike[str]) -> Config:
    """The configuration of a file that may be served. Raises ConfigProblems with every error in it."""
    config, problems = examine(path)
    errors = [problem for problem in problems if problem.is_error]
    if config is None or errors:
        raise ConfigProblems(errors)
    return config


def examine(path: str | os.PathLike[str]) -> tuple[Config | None, tuple[Problem, ...]]:
    """Everything that can be said about a file, warnings too; the Config is there unless the file cannot be read."""
    name = os.path.abspath(path)
    try:
        data, mode = content(name)
        config = read(decoded(data, name), name, hashlib.sha256(data).hexdigest())
    except ConfigProblems as found:
        return None, found.problems
    return config, (*loose_permissions(config, mode), *check(config))


def parse(text: str, path: str | os.PathLike[str]) -> Config:
    """Return the Config of a file of this name with this text, without the disk and without rules across options.

    Raises ConfigProblems.
    """
    return read(text, os.path.abspath(path), hashlib.sha256(text.encode()).hexdigest())


def decoded(data: bytes, name: str) -> str:
    """The text of a file. Raises ConfigProblems with the line that is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        said = f"the byte {data[problem.start]:#04x} is not UTF-8, in which the file must be written."
        raise ConfigProblems([Problem(name, line, said)]) from None


def content(name: str) -> tuple[bytes, int]:
    """The bytes and the mode of a file. Raises ConfigProblems when it cannot be read."""
    try:
        with open(name, "rb") as file:
            return file.read(), os.fstat(file.fileno()).st_mode
    except OSError as problem:
        raise ConfigProblems([Problem(name, 0, f"cannot be read: {problem.strerror}.")]) from None


def loose_permissions(config: Config, mode: int) -> Iterator[Problem]:
    """Return the faults of the file's mode: others may write to it, or may read a password in it."""
    if mode & stat.S_IWOTH:
        yield Problem(config.path, 0, "every user may write to the file; chmod o-w takes that right away.")
    if mode & stat.S_IROTH and _holds_secrets(config):
        yield Problem(config.path, 0, "the file holds a password and every user may read it; chmod o-rwx ends that.")


def _holds_secrets(config: Config) -> bool:
    for section in SECTIONS:
        for option in section.options():
            for row in section.rows(config) if option.kind.mask else ():
                text = option.kind.format(getattr(row, option.attribute))
                if option.kind.mask and option.kind.mask(text) != text:
                    return True
    return False
