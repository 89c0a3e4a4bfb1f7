"""Rules across options: what each option alone could not know."""

from smtpd_classic.config.problem import Problem
from smtpd_classic.config.schema import Config

__all__ = ["check"]


def check(config: Config) -> tuple[Problem, ...]:
    """Everything that is wrong or doubtful about a configuration that could be read, in the order of the lines."""
    return ()
