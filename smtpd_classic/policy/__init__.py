"""The decisions of reception. A check is a function named after its option; `CHECKS` lists them all."""

from smtpd_classic.policy.answers import expand, verify
from smtpd_classic.policy.checks import CHECKS, CONTENT_CHECKS, Check, ContentRow, Policy, PolicyCheck, require_asked
from smtpd_classic.policy.content import ContentCheck, Disposition
from smtpd_classic.policy.rules import PolicySources, Rules, rules_for
from smtpd_classic.policy.transaction import Client, ClientContext, ResolvedRecipient, Transaction
from smtpd_classic.policy.trust import Trust

__all__ = [
    "CHECKS",
    "CONTENT_CHECKS",
    "Check",
    "Client",
    "ClientContext",
    "ContentCheck",
    "ContentRow",
    "Disposition",
    "Policy",
    "PolicyCheck",
    "PolicySources",
    "ResolvedRecipient",
    "Rules",
    "Transaction",
    "Trust",
    "expand",
    "require_asked",
    "rules_for",
    "verify",
]
