"""The doctor: a table of checks of this server, of DNS and of the way out, each with a finding and advice.

A check never counts as wrong because a question could not be asked: that is a state of its own.
"""

from smtpd_classic.doctor.checks import CHECKS, examine
from smtpd_classic.doctor.finding import CheckResult, CheckState, Examination

__all__ = ["CHECKS", "CheckResult", "CheckState", "Examination", "examine"]
