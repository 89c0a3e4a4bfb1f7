"""What a rule across options is: a function from a configuration to its findings."""

from collections.abc import Callable, Iterator

from smtpd_classic.config.problem import Finding
from smtpd_classic.config.schema import Config

__all__ = ["Rule"]

Rule = Callable[[Config], Iterator[Finding]]
