"""The rules of groups: who may write to one, and that automatic mail is not passed on.

Rule 1: an author is known by a login or by a DMARC pass, never by an address alone.
Rule 2: mail for the postmaster always gets through, also if the postmaster is a group.
"""

import re
from collections.abc import Iterable, Iterator

from smtpd_classic.accounts import Accounts
from smtpd_classic.accounts.groups import MailGroup
from smtpd_classic.domain_name import ascii_domain, comparable_address
from smtpd_classic.filters.patterns import NamePatterns
from smtpd_classic.mailauth.words import ResultWord
from smtpd_classic.message.authors import read_authors
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.mailboxes import Unreadable
from smtpd_classic.policy.authentication import is_checked
from smtpd_classic.policy.transaction import ResolvedRecipient, Transaction
from smtpd_classic.smtp.address import split_address
from smtpd_classic.smtp.events import Event, HeaderRead, RcptTo
from smtpd_classic.smtp.replies import AUTOMATIC_NOT_DISTRIBUTED, MAIL_LOOP, NO_SUCH_USER, group_refused
from smtpd_classic.smtp.reply import Reply

__all__ = ["author_patterns", "is_automatic", "list_id", "post", "proven_author"]

_NO_ATEXT = re.compile(r"[^A-Za-z0-9!#$%&'*+/?^_`{|}~.-]|^\.|\.\.+|\.$")  # RFC 2919 2: a dot-atom-text


def post(transaction: Transaction, event: Event) -> Reply | None:
    """Refuse an author who may not write to a group: at RCPT if the client decides, else at the end of the content.

    At the end of the header, refuse automatic mail that is for groups alone, and a copy that comes back.
    """
    if isinstance(event, HeaderRead):
        return _automatic(transaction)
    checked, at_rcpt, recipient = is_checked(transaction), isinstance(event, RcptTo), transaction.recipient
    if at_rcpt and recipient is not None and _is_empty(transaction, recipient):
        return NO_SUCH_USER
    if at_rcpt == checked:  # a stranger is known at the end, every other client at RCPT
        return None
    recipients = [recipient] if at_rcpt else transaction.recipients
    names = (name for each in recipients if each is not None and not each.postmaster for name in each.groups)
    for group in _groups(transaction, names):
        if group.options.post != ("anyone",) and not any(
            _may_write(transaction, group, author) for author in _authors(transaction, checked=checked)
        ):
            return group_refused(group.address)
    return None


def _is_empty(transaction: Transaction, recipient: ResolvedRecipient) -> bool:
    """Return True if the recipient leads to groups alone, and these to no address."""
    members_of = transaction.rules.accounts.members_of
    groups = recipient.groups
    return bool(groups) and not recipient.targets and not any(members_of(group).ends for group in groups)


def _groups(transaction: Transaction, names: Iterator[str]) -> Iterator[MailGroup]:
    for name in names:
        group = transaction.rules.accounts.group(name)
        if group is not None:
            yield group


def _authors(transaction: Transaction, *, checked: bool) -> tuple[str, ...]:
    """Return the canonical addresses that the author has proven."""
    if not checked:
        return _login_addresses(transaction)
    author = proven_author(transaction)
    return (author,) if author else ()


def _login_addresses(transaction: Transaction) -> tuple[str, ...]:
    """Return the account that has logged in, and the envelope sender if it belongs to the account."""
    login, accounts = transaction.peer.login, transaction.rules.accounts
    if login is None:
        return ()
    sender = transaction.sender
    if sender and accounts.owns(login, sender):
        return login.address, accounts.canonical(sender)
    return (login.address,)


def proven_author(transaction: Transaction) -> str:
    """Return the canonical address of the only author, if DMARC passes; else blank."""
    verdict, header = transaction.verdict, transaction.header
    if verdict is None or header is None or verdict.results.dmarc.word is not ResultWord.PASS:
        return ""
    fields = header.fields(b"from")
    try:
        found = read_authors(header.raw[fields[0].value : fields[0].end]).addresses if len(fields) == 1 else ()
    except Unreadable:
        return ""
    return transaction.rules.accounts.canonical(found[0].address) if len(found) == 1 else ""


def _may_write(transaction: Transaction, group: MailGroup, author: str) -> bool:
    accounts, rule = transaction.rules.accounts, group.options.post
    if rule == ("members",):
        account = accounts.account(author)
        named = set(map(comparable_address, accounts.members_of(group.address).named))
        return comparable_address(author) in named or (
            account is not None and comparable_address(account.address) in named
        )
    if rule == ("domain",):
        return author.rpartition("@")[2] == group.address.rpartition("@")[2]
    return bool(author_patterns(accounts, rule).find(author))


def author_patterns(accounts: Accounts, patterns: Iterable[str]) -> NamePatterns:
    """Return the patterns for canonical addresses: a pattern may name a local domain by its alias."""
    return NamePatterns(_canonical(accounts, each) for each in patterns)


def _canonical(accounts: Accounts, pattern: str) -> str:
    local, at, domain = pattern.rpartition("@")
    if not accounts.is_local_domain(domain):
        return pattern
    if at and "*" not in local:
        return accounts.canonical(pattern)
    return f"{local}{at}{accounts.canonical(f'x@{domain}').rpartition('@')[2]}"


def _automatic(transaction: Transaction) -> Reply | None:
    header = transaction.header
    named = [each for each in transaction.recipients if each.groups and not each.postmaster]
    if not named or header is None:
        return None
    ids = {value.rpartition(b"<")[2].rstrip(b"> ").lower() for value in header.values(b"list-id")}
    if any(list_id(group).encode().lower() in ids for each in named for group in each.groups):
        return MAIL_LOOP
    only_groups = all(not each.targets and not each.postmaster for each in transaction.recipients)
    return AUTOMATIC_NOT_DISTRIBUTED if only_groups and is_automatic(transaction.sender, header) else None


def is_automatic(sender: str, header: HeaderBlock) -> bool:
    """Return True for a message that a program has sent by itself (RFC 3834 5), or a notice from the null sender."""
    words = [value.partition(b";")[0].strip().lower() for value in header.values(b"auto-submitted")]
    return not sender or any(word != b"no" for word in words)


def list_id(group: str) -> str:
    """Return the List-Id of a group (RFC 2919) without its brackets. An octet that it may not have is written =XX."""
    local, domain = split_address(group)
    label = _NO_ATEXT.sub(lambda found: "".join(f"={octet:02X}" for octet in found[0].encode()), local)
    return f"{label}.{ascii_domain(domain)}"
