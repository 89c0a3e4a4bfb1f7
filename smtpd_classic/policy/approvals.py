"""The rules of approval: the mail that waits, and the messages that decide about it."""

from collections.abc import Iterator

from smtpd_classic.approval import Decision, decision_of
from smtpd_classic.config.schema import Approval
from smtpd_classic.domain_name import comparable_address
from smtpd_classic.mailauth.dmarc import confirms
from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy.authentication import is_checked
from smtpd_classic.policy.groups import author_patterns, is_automatic, proven_author
from smtpd_classic.policy.recipients import DECIDES
from smtpd_classic.policy.transaction import Transaction
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.replies import APPROVAL_NOT_YOURS
from smtpd_classic.smtp.reply import Reply

__all__ = ["approval_for", "by_mail", "decider", "decisions"]

_BULK = frozenset({b"bulk", b"list", b"junk"})


def approval_for(transaction: Transaction) -> Approval | None:
    """Return the first section that wants approval for the sender; None for strangers."""
    config, accounts, peer = transaction.rules.config, transaction.rules.accounts, transaction.peer
    if not config.approvals or not peer.originates_here:
        return None
    names = [accounts.canonical(transaction.sender)] if transaction.sender else []
    if peer.login is not None:
        names.append(peer.login.address)
    for each in config.approvals:
        patterns = author_patterns(accounts, each.senders)
        if any(patterns.find(name) for name in names):
            return each
    return None


def decisions(transaction: Transaction) -> Iterator[Decision]:
    """Yield the decisions that the recipients stand for."""
    for each in transaction.recipients:
        if each.how == DECIDES:
            found = decision_of(transaction.rules.config, each.address.rpartition("@")[0])
            if found is not None:
                yield found


def by_mail(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse a decision by mail of an author who is no manager; automatic mail decides nothing and passes."""
    if not any(each.how == DECIDES for each in transaction.recipients) or _is_automatic(transaction):
        return None
    managed = any(decider(transaction, each) for each in transaction.rules.config.approvals if each.by_mail)
    return None if managed else APPROVAL_NOT_YOURS


def decider(transaction: Transaction, approval: Approval) -> str:
    """Return the proven address of the author if it is a manager and decides; else blank.

    After a login only the account itself counts: a user who may send as a manager is none.
    """
    if not approval.by_mail or _is_automatic(transaction):
        return ""
    login = transaction.peer.login
    author = _signed_author(transaction) if is_checked(transaction) else login.address if login is not None else ""
    return author if author and comparable_address(author) in set(_managers(transaction, approval)) else ""


def _managers(transaction: Transaction, approval: Approval) -> Iterator[str]:
    """Yield the managers with the addresses and accounts that they lead to, in the form for a comparison."""
    accounts = transaction.rules.accounts
    for manager in map(accounts.canonical, approval.managers):
        yield comparable_address(manager)
        for each in accounts.reached(manager) if _is_local(transaction, manager) else ():
            account = accounts.account(each)
            yield comparable_address(each if account is None else account.address)


def _is_local(transaction: Transaction, address: str) -> bool:
    return transaction.rules.accounts.is_local_domain(address.rpartition("@")[2])


def _signed_author(transaction: Transaction) -> str:
    """Return the author if DMARC passes and a DKIM signature confirms the domain: SPF alone is too weak here."""
    author, verdict = proven_author(transaction), transaction.verdict
    if not author or verdict is None:
        return ""
    results = verdict.results
    signed = [each.domain for each in results.dkim if each.word is ResultWord.PASS]
    return author if confirms(signed, results.author) else ""


def _is_automatic(transaction: Transaction) -> bool:
    header = transaction.header or HeaderBlock(b"")
    words = {value.strip().lower() for value in header.values(b"precedence")}
    return is_automatic(transaction.sender, header) or not words.isdisjoint(_BULK)
