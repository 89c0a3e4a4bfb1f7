"""Errors and warnings about a configuration: the file, the line, and one sentence with the reason."""

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["ConfigProblems", "Finding", "Problem"]


class Problem(NamedTuple):
    """`line` 0 means the file as a whole. `severity` is "error" (the file is refused) or "warning" (it is used)."""

    file: str
    line: int
    text: str
    severity: str = "error"

    @property
    def is_error(self) -> bool:
        return self.severity == "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.text}" if self.is_error else f"{place}: warning: {self.text}"


class ConfigProblems(Exception):
    """The configuration cannot be used; `problems` are all of it, in the order of the lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(map(str, self.problems)))


class Finding(NamedTuple):
    """A finding of a rule, before the line is looked up: the section's title, the option, and a sentence."""

    title: str
    option: str
    text: str
    severity: str = "error"
