"""Approval of mail by managers: its sections, and the addresses that decide by mail.

A token is the queue id with a keyed digest of it, so that nothing has to be stored, and no token can be guessed. It is
valid once: after a decision the message does not wait any more.
"""

import hmac
import os
from typing import NamedTuple

from smtpd_classic.config.schema import Approval, Config
from spool import Hold

__all__ = ["APPROVE", "REFUSE", "Decision", "approval_named", "deciding_address", "decision_of"]

APPROVE, REFUSE = "approve", "refuse"
_DIGEST = 24
_LEAST_SECRET = 16


class Decision(NamedTuple):
    """A decision about a message that waits."""

    action: str
    queue_id: str


def approval_named(config: Config, hold: Hold) -> Approval | None:
    """Return the section for which a message waits; None if it is gone."""
    return next((each for each in config.approvals if each.name == hold.text), None)


def deciding_address(config: Config, decision: Decision) -> str:
    """Return the address that decides by mail. Raises OSError."""
    digest = _digest(config, decision)
    return f"{decision.action}+{decision.queue_id.lower()}-{digest}@{config.server.primary_domain}"


def decision_of(config: Config, local: str) -> Decision | None:
    """Return the decision of a local part; None if it has no valid token. Raises OSError."""
    action, _, token = local.lower().partition("+")
    if action not in {APPROVE, REFUSE} or not any(each.by_mail for each in config.approvals):
        return None
    queue_id, _, digest = token.partition("-")
    decision = Decision(action, queue_id.upper())
    try:
        known = digest.isascii() and hmac.compare_digest(digest, _digest(config, decision))
    except FileNotFoundError:  # the first notice makes the secret
        return None
    return decision if known else None


def _digest(config: Config, decision: Decision) -> str:
    words = f"{decision.action} {decision.queue_id}".encode("utf-8", "surrogatepass")
    with open(os.path.join(config.server.spool_folder, "srs-secret"), "rb") as file:
        secret = file.read(4096).strip()
    if len(secret) < _LEAST_SECRET:
        raise OSError(f"{file.name} is too short to be a secret; remove it, and a new one is made")
    return hmac.digest(secret, words, "sha256").hex()[:_DIGEST]
