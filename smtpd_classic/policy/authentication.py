"""SPF, DKIM and DMARC as checks: the results of one message, and the action that follows from them.

Rule 1: the checks apply to mail of clients that are neither logged in, trusted nor local.
Rule 2: a result that a failed look-up leaves open only marks the message; it is never a reason against it.
Rule 3: the strictest action wins.
"""

from smtpd_classic.dns import DnsFailure, NoSuchDomain
from smtpd_classic.mailauth.dmarc_record import QUARANTINE, REJECT
from smtpd_classic.mailauth.lookup import Lookups
from smtpd_classic.mailauth.message_check import MessageResults
from smtpd_classic.mailauth.spf import SpfQuery, SpfResult, check_spf
from smtpd_classic.mailauth.spf_record import spf_records
from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.policy.transaction import AuthenticationVerdict, Transaction
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.replies import dmarc_refused, own_domain_refused, spf_refused
from smtpd_classic.smtp.reply import Reply

__all__ = [
    "JUNK",
    "MARK",
    "REFUSE",
    "dmarc_quarantine",
    "dmarc_reject",
    "is_checked",
    "lookups_of",
    "own_domains",
    "spf_fail",
    "spf_of",
    "verdict_on",
]

MARK, JUNK, REFUSE = "mark", "junk", "refuse"
_STRICTNESS = (MARK, JUNK, REFUSE)
_ANOTHER_NAME = "the author's name shows another address"


def is_checked(transaction: Transaction) -> bool:
    """Return True if the mail of this client is checked."""
    peer = transaction.peer
    return transaction.rules.config.authentication.check and not peer.originates_here


def lookups_of(transaction: Transaction) -> Lookups:
    """Return the DNS look-ups of the transaction, with its limits."""
    if transaction.lookups is None:
        rules = transaction.rules
        deadline_s = rules.config.authentication.deadline.total_seconds()
        transaction.lookups = Lookups(rules.dns, deadline_s=deadline_s)
    return transaction.lookups


def spf_of(transaction: Transaction) -> SpfResult:
    """Return the result of SPF, which is computed once a transaction."""
    if transaction.spf is None:
        peer = transaction.peer
        query = SpfQuery(peer.client.ip, transaction.sender, peer.hello, transaction.rules.config.helo_name)
        transaction.spf = check_spf(query, lookups_of(transaction))
    return transaction.spf


def spf_fail(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a sender if the SPF record of its domain forbids this client to send for it. Mail for the postmaster is
    accepted (RFC 5321 4.5.1)."""
    recipient = transaction.recipient
    if not is_checked(transaction) or _is_forwarder(transaction) or (recipient is not None and recipient.postmaster):
        return None
    found = spf_of(transaction)
    return spf_refused(found.domain, transaction.peer.client.ip) if found.word is ResultWord.FAIL else None


def own_domains(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a message that claims an author of a local domain without proof, if the option says so."""
    return _refusal(transaction, "own domain")


def dmarc_quarantine(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a message because of the DMARC policy `quarantine` of its author's domain, if the option says so."""
    return _refusal(transaction, "dmarc=fail p=quarantine")


def dmarc_reject(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a message because of the DMARC policy `reject` of its author's domain, if the option says so."""
    return _refusal(transaction, "dmarc=fail p=reject")


def _refusal(transaction: Transaction, reason: str) -> Reply | None:
    verdict = transaction.verdict
    return verdict.reply if verdict is not None and verdict.reason.startswith(reason) else None


def verdict_on(transaction: Transaction, results: MessageResults) -> AuthenticationVerdict:
    """Return the action for a message with these results, with the reason for it."""
    found = [AuthenticationVerdict(results, MARK, "none"), _by_dmarc(transaction, results)]
    found.append(_by_own_domain(transaction, results))
    verdict = max(found, key=lambda each: _STRICTNESS.index(each.action))
    if verdict.action != MARK and _is_forwarder(transaction):
        return verdict._replace(action=MARK, reply=None)
    return verdict._replace(reason=_ANOTHER_NAME) if verdict.reason == "none" and results.imitated else verdict


def _is_forwarder(transaction: Transaction) -> bool:
    client = transaction.peer.client
    return transaction.rules.forwarders.holds(client.ip, client.name)


def _by_dmarc(transaction: Transaction, results: MessageResults) -> AuthenticationVerdict:
    options, found = transaction.rules.config.authentication, results.dmarc
    if found.word is ResultWord.PERMERROR:
        return AuthenticationVerdict(results, JUNK, f"dmarc=permerror {found.reason}")
    if found.word is not ResultWord.FAIL:
        return AuthenticationVerdict(results, MARK, "none")
    actions = {REJECT: options.dmarc_reject, QUARANTINE: options.dmarc_quarantine}
    action = actions.get(found.asked, MARK)
    reply = dmarc_refused(found.domain) if action == REFUSE else None
    return AuthenticationVerdict(results, action, f"dmarc=fail p={found.policy}", reply)


def _by_own_domain(transaction: Transaction, results: MessageResults) -> AuthenticationVerdict:
    rules, author = transaction.rules, results.author
    is_ours = bool(author) and author in rules.own_domains
    if not is_ours or results.dmarc.word is ResultWord.PASS or results.confirmed or results.unknown:
        return AuthenticationVerdict(results, MARK, "none")
    if not _can_be_confirmed(transaction, author):
        return AuthenticationVerdict(results, MARK, "none")
    action = rules.config.authentication.own_domains
    reply = own_domain_refused(author) if action == REFUSE else None
    return AuthenticationVerdict(results, action, "own domain without a login", reply)


def _can_be_confirmed(transaction: Transaction, domain: str) -> bool:
    """Return True if the domain has an SPF record or a key in use: without them its mail cannot be confirmed."""
    if transaction.rules.signs(domain):
        return True
    try:
        return bool(spf_records(lookups_of(transaction).txt(domain)))
    except (NoSuchDomain, DnsFailure):
        return False
