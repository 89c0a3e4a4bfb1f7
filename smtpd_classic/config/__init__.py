"""The configuration: one file, declared in `schema`, read by `load`, checked by `check`.

Editing (`editing`) and the manual (`manual`) are apart, since a daemon needs neither.
"""

from smtpd_classic.config.check import check
from smtpd_classic.config.load import examine, load, parse
from smtpd_classic.config.open_relay import open_relay_reasons
from smtpd_classic.config.problem import ConfigProblems, Problem
from smtpd_classic.config.restart import restart_reasons
from smtpd_classic.config.schema import (
    Access,
    Authentication,
    Basic,
    Config,
    Direct,
    DirectDomain,
    Domain,
    Listener,
    OpenRelay,
    Remote,
    Replacement,
    Server,
    Signing,
    Trusted,
)
from smtpd_classic.config.untouched import is_untouched

__all__ = [
    "Access",
    "Authentication",
    "Basic",
    "Config",
    "ConfigProblems",
    "Direct",
    "DirectDomain",
    "Domain",
    "Listener",
    "OpenRelay",
    "Problem",
    "Remote",
    "Replacement",
    "Server",
    "Signing",
    "Trusted",
    "check",
    "examine",
    "is_untouched",
    "load",
    "open_relay_reasons",
    "parse",
    "restart_reasons",
]
