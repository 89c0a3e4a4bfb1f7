"""Rules across options.

A rule is a function from a Config to its findings. No rule reads the disk or the network; `check_files` does.
"""

from smtpd_classic.config import (
    check_accounts,
    check_delivery,
    check_domains,
    check_filter,
    check_limits,
    check_listeners,
    check_milters,
    check_shared,
    check_wide_rules,
    open_relay,
)
from smtpd_classic.config.problem import Problem
from smtpd_classic.config.rule import Rule
from smtpd_classic.config.schema import Config

__all__ = ["check"]

RULES: tuple[Rule, ...] = (
    open_relay.open_relay_must_be_confirmed,
    open_relay.large_networks_are_rarely_meant,
    *check_listeners.RULES,
    *check_domains.RULES,
    *check_delivery.RULES,
    *check_limits.RULES,
    *check_filter.RULES,
    *check_wide_rules.RULES,
    *check_milters.RULES,
    *check_shared.RULES,
    *check_accounts.RULES,
)


def check(config: Config) -> tuple[Problem, ...]:
    """Return every error and warning about a configuration that could be read, in the order of the lines."""
    found = {
        Problem(config.path, config.line(finding.title, finding.option), finding.text, finding.severity)
        for rule in RULES
        for finding in rule(config)
    }
    return tuple(sorted(found, key=lambda problem: (problem.line, problem.severity, problem.text)))
