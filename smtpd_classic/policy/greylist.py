"""Greylisting: a suspicious client is asked to try again after five minutes, which programs that send spam rarely do.

Rule 1: a client is suspicious if SPF does not pass and no host name leads back to its address. A look-up that fails
leaves it unsuspicious.
Rule 2: a sender that has come back once is known for 36 days after its last message.
"""

import ipaddress
import os
from hashlib import blake2b

from smtpd_classic.config.schema import Config
from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.policy.authentication import spf_of
from smtpd_classic.policy.filter import has_name, is_allowed, is_filtered
from smtpd_classic.policy.filter_rules import is_accepted_at_rcpt
from smtpd_classic.policy.networks import plain_ip
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.replies import GREYLISTED
from smtpd_classic.smtp.reply import Reply

__all__ = ["greylist", "greylist_folder"]

_WAIT_S = 300.0
_KNOWN_S = 36 * 86_400.0
_RETRY_S = 2 * 86_400.0  # a sender that has not come back until then waits again
_FIRST, _PASSED = "first", "passed"
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
    return None if _has_waited(transaction) else GREYLISTED


def _is_suspicious(transaction: Transaction) -> bool:
    return not has_name(transaction) and spf_of(transaction).word not in _UNSUSPICIOUS


def _has_waited(transaction: Transaction) -> bool:
    """Return True if the client, the sender and the recipient are known; remember them, unless this is only explained.

    Raises OSError.
    """
    store, group, key = transaction.rules.sources.greylist, *_key(transaction)
    first, passed = f"{_FIRST} {key}", f"{_PASSED} {key}"
    found = store.numbers(group, [first, passed])
    now = int(transaction.arrival)
    began = found[first].value
    known = bool(found[passed].value) or 0 < began <= now - _WAIT_S
    if transaction.peer.session is not None:
        if known:
            store.put(group, passed, 1, _KNOWN_S)
        elif not began:
            store.put(group, first, max(now, 1), _RETRY_S)
    return known


def _key(transaction: Transaction) -> tuple[str, str]:
    """Return a group, one of 256, and a name in it. A client is its network: large senders try again from a neighbour
    of the first host."""
    ip, recipient = plain_ip(transaction.peer.client.ip), transaction.recipient
    network = "" if ip is None else str(ipaddress.ip_network(f"{ip}/{24 if ip.version == 4 else 64}", strict=False))
    address = recipient.address if recipient is not None else ""
    text = "\0".join((network, transaction.sender, address)).lower()
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"greylist {digest[:2]}", digest
