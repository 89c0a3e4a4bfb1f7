"""The parts of a message that need an envelope of their own: the copies of groups and archives.

Each part becomes a message of the queue, committed together with the message itself.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from urllib.parse import quote

from smtpd_classic.accounts.groups import BOUNCES, MailGroup
from smtpd_classic.domain_name import ascii_domain
from smtpd_classic.mailauth.author import AuthorProblem, author_domain
from smtpd_classic.message.encoded_words import decoded
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.phrase import phrase
from smtpd_classic.policy import Transaction
from smtpd_classic.policy.archive import archive_mark, archives, came_from_archive
from smtpd_classic.policy.groups import is_automatic, list_id
from smtpd_classic.postmaster import recipients_of
from smtpd_classic.smtp.address import NULL_SENDER, split_address
from spool import Envelope, Hold, Recipient
from spool.entry import APPROVAL

__all__ = ["MessagePart", "archive_parts", "both", "group_parts", "groups_of", "split"]


@dataclass(slots=True)
class MessagePart:
    """Recipients that get a copy with its own envelope.

    `what` names the part in the log. `sender` replaces the reverse-path, `fields` stand on top of the copy, `edit`
    changes its header block. `hold` keeps the copy in the queue. `archive` makes it a copy of the message as it came.
    `posted_to` is the group as the author of the message named it.
    """

    recipients: tuple[Recipient, ...]
    what: str = ""
    sender: str | None = None
    fields: str = ""
    edit: Callable[[bytes], bytes] | None = None
    hold: Hold | None = None
    archive: bool = False
    posted_to: tuple[Recipient, ...] = ()

    def envelope(self, whole: Envelope) -> Envelope:
        """Return the envelope of this part, from that of the whole message."""
        if self.archive:
            return Envelope(
                NULL_SENDER,
                self.recipients,
                body_8bit=whole.body_8bit,
                smtputf8=whole.smtputf8 or any(not each.address.isascii() for each in self.recipients),
                client=whole.client,
                fields=self.fields + whole.fields,
                archive=True,
            )
        made = whole._replace(recipients=self.recipients, fields=self.fields + whole.fields)
        if self.sender is None:
            return made
        return made._replace(
            sender=self.sender,
            ret="",
            envid="",
            author=whole.sender,
            posted_to=self.posted_to,
            author_ret=whole.ret,
            author_envid=whole.envid,
        )


def groups_of(transaction: Transaction) -> tuple[str, ...]:
    """Return the groups that the recipients lead to, each once."""
    found = [group for each in transaction.recipients for group in each.groups]
    return tuple(dict.fromkeys(found)) if found else ()


def group_parts(transaction: Transaction, header: HeaderBlock) -> list[MessagePart]:
    """Return the copies for the members of groups; none of an automatic message, but for the postmaster."""
    accounts = transaction.rules.accounts
    automatic = is_automatic(transaction.sender, header)
    always = {group for each in transaction.recipients if each.postmaster for group in each.groups}
    parts = []
    for name in groups_of(transaction):
        group = accounts.group(name)
        if group is None or (automatic and name not in always):
            continue
        members = accounts.members_of(name).ends
        recipients = tuple(Recipient(member, original=name) for member in members)
        if recipients:
            local, domain = split_address(name)
            fields, edit = _list_fields(group), _edit(transaction, header, group)
            sender, posted_to = f"{local}{BOUNCES}@{domain}", (_posted_to(transaction, name),)
            parts.append(MessagePart(recipients, f"group {name}", sender, fields, edit, posted_to=posted_to))
    return parts


def _posted_to(transaction: Transaction, group: str) -> Recipient:
    """Return the group with the parameters of the RCPT that named it, or that named an alias of it."""
    pairs = zip(transaction.paths, transaction.recipients, strict=True)
    found = [(path, resolved.address) for path, resolved in pairs if group in resolved.groups]
    path, named = next((pair for pair in found if pair[1] == group), found[0])
    return Recipient(group, path.notify, path.orcpt, "" if named == group else named)


def archive_parts(transaction: Transaction, header: HeaderBlock) -> list[MessagePart]:
    """Return the copies for the archives, with the whole envelope on top."""
    accounts, parts = transaction.rules.accounts, []
    came_for = [path.forward_path for path, _ in transaction.removed]
    named = list(dict.fromkeys((*came_for, *(path.forward_path for path in transaction.paths))))
    for address in archives(transaction):
        recipients = recipients_of(accounts, address)
        if recipients and not came_from_archive(transaction, header, address):
            fields = (
                f"Delivered-To: {address}\nX-Envelope-From: {transaction.sender or '<>'}\n"
                f"X-Envelope-To: {_listed(named)}\n{archive_mark(transaction, address)}"
            )
            parts.append(MessagePart(recipients, f"archive {address}", fields=fields, archive=True))
    return parts


def _listed(addresses: list[str]) -> str:
    return ",\n\t".join(addresses)


def _list_fields(group: MailGroup) -> str:
    """Return the fields of RFC 2369 and RFC 2919."""
    post, owner = quote(group.address, safe="@"), quote(group.owner, safe="@")
    subject = quote(f"unsubscribe {group.address}", safe="@")
    return (
        f"List-Id: <{list_id(group.address)}>\n"
        f"List-Post: <mailto:{post}>\n"
        f"List-Unsubscribe: <mailto:{owner}?subject={subject}>\n"
    )


def _edit(transaction: Transaction, header: HeaderBlock, group: MailGroup) -> Callable[[bytes], bytes] | None:
    """Return the change of the header, if an author of a local domain sends from here: a signature is made later."""
    options, rules = group.options, transaction.rules
    if not (options.subject_prefix or options.reply_to == "group") or not transaction.peer.originates_here:
        return None
    if header.has(b"dkim-signature"):
        return None
    try:
        domain = author_domain(header) if header.has(b"from") else split_address(transaction.sender)[1]
    except AuthorProblem:
        return None
    if ascii_domain(domain) not in rules.own_domains:
        return None
    prefix = options.subject_prefix.strip()
    reply_to = _reply_address(transaction, group) if options.reply_to == "group" else ""
    return lambda raw: _edited(raw, prefix, reply_to)


def _reply_address(transaction: Transaction, group: MailGroup) -> str:
    """Return the address of the group in ASCII; blank if it has none and the message may hold nothing else."""
    local, domain = split_address(group.address)
    address = f"{local}@{ascii_domain(domain)}"
    return address if address.isascii() or transaction.mail.smtputf8 else ""


def _edited(raw: bytes, prefix: str, reply_to: str) -> bytes:
    if prefix:
        raw = _with_prefix(raw, prefix)
    if reply_to:
        block = HeaderBlock(raw)
        for field in reversed(block.fields(b"reply-to")):
            raw = raw[: field.start] + raw[field.end :]
        raw = _with_field(raw, f"Reply-To: <{reply_to}>\n".encode())
    return raw


def _with_prefix(raw: bytes, prefix: str) -> bytes:
    """Return the header block with the text before its subject, unless the subject has it, as in an answer."""
    text = prefix.encode() if prefix.isascii() else phrase(prefix)
    found = HeaderBlock(raw).fields(b"subject")
    if not found:
        return _with_field(raw, b"Subject: " + text + b"\n")
    field = found[0]
    value = raw[field.value : field.end]
    if prefix in decoded(value.replace(b"\n", b"").decode("utf-8", "replace")):
        return raw
    return raw[: field.value] + b" " + text + b" " + value.lstrip(b" \t") + raw[field.end :]


def _with_field(raw: bytes, field: bytes) -> bytes:
    end = HeaderBlock(raw).strict_end
    before = raw[:end] if not end or raw[:end].endswith(b"\n") else raw[:end] + b"\n"
    return before + field + raw[end:]


def split(parts: Iterable[MessagePart], apart: Callable[[Recipient], bool], hold: Hold) -> list[MessagePart]:
    """Return the parts, with the recipients that must wait in parts of their own, on hold."""
    made: list[MessagePart] = []
    for part in parts:
        waiting = tuple(each for each in part.recipients if apart(each))
        left = tuple(each for each in part.recipients if each not in waiting) if waiting else part.recipients
        if left:
            made.append(replace(part, recipients=left))
        if waiting:
            # The notice that the group has the message comes with the first copies.
            posted_to = tuple(_without_success(each) for each in part.posted_to) if left else part.posted_to
            kept = hold if part.hold is None else both(part.hold, hold)
            made.append(replace(part, recipients=waiting, hold=kept, posted_to=posted_to))
    return made


def _without_success(recipient: Recipient) -> Recipient:
    if "SUCCESS" not in recipient.notify:
        return recipient
    return recipient._replace(notify=(recipient.notify - {"SUCCESS"}) or frozenset({"NEVER"}))


def both(first: Hold, second: Hold) -> Hold:
    """Return the first hold, with the approval of the second one after it."""
    approval = second.text if second.reason == APPROVAL else second.approval
    return first._replace(approval=first.approval or approval)
