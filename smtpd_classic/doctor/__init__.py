"""The doctor: a table of checks of this server, of DNS and of outgoing connections, each with a finding and advice.

A check that could not be made has a state of its own, and never counts as wrong.
"""

from smtpd_classic.doctor.checks import CHECKS, examine
from smtpd_classic.doctor.finding import CheckResult, CheckState, Examination

__all__ = ["CHECKS", "CheckResult", "CheckState", "Examination", "examine"]
