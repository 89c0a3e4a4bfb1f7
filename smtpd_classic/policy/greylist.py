"""Greylisting: a suspicious client is asked to try again after five minutes, which programs that send spam rarely do.

Rule 1: a client is suspicious if SPF does not pass and no host name leads back to its address. A look-up that fails
leaves it unsuspicious.
Rule 2: a sender that has come back once is known for 36 days after its last message. `greylist_memory` keeps it.
"""

import ipaddress
import os

from smtpd_classic.config.schema import Config
from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.policy.authentication import spf_of
from smtpd_classic.policy.filter import has_name, is_allowed, is_filtered
from smtpd_classic.policy.filter_rules import is_accepted_at_rcpt
from smtpd_classic.policy.greylist_memory import Sender, has_waited
from smtpd_classic.policy.networks import plain_ip
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.replies import GREYLISTED
from smtpd_classic.smtp.reply import Reply

__all__ = ["greylist", "greylist_folder"]

_UNSUSPICIOUS = frozenset({ResultWord.PASS, ResultWord.TEMPERROR})


def greylist_folder(config: Config) -> str:
    """Return the folder of the counters of greylisting."""
    return os.path.join(config.server.spool_folder, "greylist")


def greylist(transaction: Transaction, event: Event) -> Reply | None:
    """Defer the first try of a suspicious client for a sender and a recipient."""
    if not is_filtered(transaction) or not _is_suspicious(transaction):
        return None
    if is_allowed(transaction) or is_accepted_at_rcpt(transaction):
        return None
    store, remember = transaction.rules.sources.greylist, transaction.peer.session is not None
    waited = has_waited(store, _sender(transaction), transaction.arrival, remember=remember)
    return None if waited else GREYLISTED


def _is_suspicious(transaction: Transaction) -> bool:
    return not has_name(transaction) and spf_of(transaction).word not in _UNSUSPICIOUS


def _sender(transaction: Transaction) -> Sender:
    """Return the sender. A client is its network: large senders try again from a neighbour of the first host."""
    ip, recipient = plain_ip(transaction.peer.client.ip), transaction.recipient
    network = "" if ip is None else str(ipaddress.ip_network(f"{ip}/{24 if ip.version == 4 else 64}", strict=False))
    return Sender.of(network, transaction.sender, recipient.address if recipient is not None else "")
