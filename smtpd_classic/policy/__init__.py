"""What is decided while receiving. A check is a function named after its option; `CHECKS` lists them all."""

from smtpd_classic.policy.answers import expand, verify
from smtpd_classic.policy.checks import CHECKS, Check, Policy, Row
from smtpd_classic.policy.rules import Facts, Rules, rules_for
from smtpd_classic.policy.transaction import Addressee, Client, Transaction, Visitor
from smtpd_classic.policy.trust import Trust

__all__ = [
    "CHECKS",
    "Addressee",
    "Check",
    "Client",
    "Facts",
    "Policy",
    "Row",
    "Rules",
    "Transaction",
    "Trust",
    "Visitor",
    "expand",
    "rules_for",
    "verify",
]
