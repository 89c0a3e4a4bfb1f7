"""Approval of mail by managers: its sections, and the addresses that decide by mail.

A token is the queue id with a keyed digest of it, so that nothing has to be stored, and no token can be guessed. It is
valid once: after a decision the message does not wait any more.
"""

import hmac
import os
from typing import NamedTuple

from smtpd_classic.config.made_secret import existing_secret, made_secret
from smtpd_classic.config.schema import Approval, Config
from spool import Hold, Spool
from spool.entry import APPROVAL

__all__ = [
    "APPROVE",
    "REFUSE",
    "Decision",
    "approval_named",
    "approval_of",
    "deciding_address",
    "decision_of",
]

APPROVE, REFUSE = "approve", "refuse"
_DIGEST = 24


class Decision(NamedTuple):
    """A decision about a message that waits."""

    action: str
    queue_id: str


def approval_named(config: Config, hold: Hold) -> Approval | None:
    """Return the section for which a message waits; None if it is gone."""
    return next((each for each in config.approvals if each.name == hold.text), None)


def approval_of(config: Config, spool: Spool, queue_id: str, now: float) -> Approval | None:
    """Return the section for which a message waits now; None if it does not wait any more. Raises NoSuchEntry and
    SpoolBroken.
    """
    hold = spool.read(queue_id)[1].hold
    approval = approval_named(config, hold) if hold is not None and hold.reason == APPROVAL else None
    if hold is None or approval is None or hold.since + approval.wait.total_seconds() <= now:
        return None
    return approval


def deciding_address(config: Config, decision: Decision) -> str:
    """Return the address that decides by mail. Its first use makes the secret, unless several servers share one.
    Raises OSError.
    """
    path = _secret_path(config)
    digest = _digest(existing_secret(path) if config.server.shared_state else made_secret(path), decision)
    return f"{decision.action}+{decision.queue_id.lower()}-{digest}@{config.mail_domain}"


def decision_of(config: Config, local: str) -> Decision | None:
    """Return the decision of a local part; None if it has no valid token. Raises OSError."""
    action, _, token = local.lower().partition("+")
    if action not in {APPROVE, REFUSE} or not any(each.by_mail for each in config.approvals):
        return None
    queue_id, _, digest = token.partition("-")
    decision = Decision(action, queue_id.upper())
    try:
        secret = existing_secret(_secret_path(config))
    except FileNotFoundError:  # the first notice makes the secret
        return None
    return decision if digest.isascii() and hmac.compare_digest(digest, _digest(secret, decision)) else None


def _secret_path(config: Config) -> str:
    return os.path.join(config.secret_folder, "approval-secret")


def _digest(secret: bytes, decision: Decision) -> str:
    words = f"{decision.action} {decision.queue_id}".encode("utf-8", "surrogatepass")
    return hmac.digest(secret, words, "sha256").hex()[:_DIGEST]
