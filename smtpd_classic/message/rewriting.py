"""Mail Header Replace: addresses in `From:`, `Sender:` and `Reply-To:` of mail that originates here, per destination.

Only the octets of a replaced address change, and its display name when the replacement brings one. Of a field that does
not keep to the grammar only the addresses are replaced; a field that shows none stays as it came.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from smtpd_classic.config import Replacement
from smtpd_classic.domain_name import ascii_domain, spellings
from smtpd_classic.message.authors import read_authors
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.mailboxes import Mailbox, Unreadable, comment_end, mailboxes
from smtpd_classic.message.phrase import phrase

__all__ = ["NO_REWRITING", "Rewriting", "rewriting_for"]

_FIELDS = (b"from", b"sender", b"reply-to")


class _New(NamedTuple):
    address: bytes
    display: bytes


class Rewriting(NamedTuple):
    """The replacements in copies for one kind of destination, by address in lower case."""

    replacements: dict[str, _New]
    senders: dict[str, str]

    def header(self, raw: bytes) -> bytes:
        """Return the header block with its addresses replaced."""
        if not self.replacements:
            return raw
        block = HeaderBlock(raw)
        pieces: list[bytes] = []
        done = 0
        for edit in sorted(edit for name in _FIELDS for edit in self._edits(block, name)):
            pieces += [raw[done : edit.start], edit.text]
            done = edit.end
        return b"".join([*pieces, raw[done:]]) if pieces else raw

    def sender(self, sender: str) -> str:
        """Return the envelope sender. Only rules with `envelope_sender` replace it; the null sender never changes."""
        return self.senders.get(sender.lower(), sender)

    def _edits(self, block: HeaderBlock, name: bytes) -> "Iterator[_Edit]":
        for field in block.fields(name):
            value = block.raw[field.value : field.end]
            try:
                edits = self._edits_of(value, mailboxes(value))
            except Unreadable:
                edits = self._edits_of_odd_field(value)
            for edit in edits:
                yield _Edit(field.value + edit.start, field.value + edit.end, edit.text)

    def _edits_of(self, value: bytes, found: list[Mailbox]) -> "list[_Edit]":
        edits: list[_Edit] = []
        before = 0
        for mailbox in found:
            new = self.replacements.get(mailbox.address.lower())
            if new is not None and not new.display:
                edits.append(_Edit(mailbox.start, mailbox.end, new.address))
            elif new is not None:
                start, end = _with_comments(value, mailbox, before)
                edits.append(_Edit(start, end, new.display + b" <" + new.address + b">"))
            before = mailbox.outer_end
        return _apart(edits)

    def _edits_of_odd_field(self, value: bytes) -> "list[_Edit]":
        try:
            found = read_authors(value).addresses
        except Unreadable:
            return []
        edits = [(each, self.replacements.get(each.address.lower())) for each in found]
        return [_Edit(each.start, each.end, new.address) for each, new in edits if new is not None]


NO_REWRITING = Rewriting({}, {})


class _Edit(NamedTuple):
    start: int
    end: int
    text: bytes


def _apart(edits: list[_Edit]) -> list[_Edit]:
    """Return edits that do not overlap. An address in a display name lies within its mailbox: the wider edit counts."""
    kept: list[_Edit] = []
    for edit in edits:
        if kept and edit.start < kept[-1].end:
            kept.pop()
        kept.append(edit)
    return kept


def _with_comments(value: bytes, mailbox: Mailbox, before: int) -> tuple[int, int]:
    """Return where the mailbox begins and ends, comments included that stand for its display name: `ann@x (Ann)`."""
    start, end = mailbox.outer, mailbox.outer_end
    if mailbox.named and value[start : start + 1] != b"<":
        return start, end
    after = _behind_comments(value, end)
    lead = before + len(value[before:start]) - len(value[before:start].lstrip(b", \t\n"))
    behind = _behind_comments(value, lead) if lead < start else lead
    if behind > lead and not value[behind:start].strip():
        start = lead
    return start, after


def _behind_comments(value: bytes, at: int) -> int:
    """Return the end of the comments at `at` (with white space before them), or `at` when there is none."""
    while value[at:].lstrip(b" \t\n")[:1] == b"(":
        at = comment_end(value, value.index(b"(", at))
    return at


def _new(name: str) -> _New:
    """Parse the name of a `[replace …]` section: an address, or `Name <address>`."""
    display, bracket, address = name.rpartition("<")
    local, _, domain = address.rstrip("> ").rpartition("@")
    with suppress(ValueError):  # in a header only SMTPUTF8 mail may hold it as people write it
        domain = ascii_domain(domain)
    return _New(f"{local}@{domain}".encode(), phrase(display.strip()) if bracket else b"")


def _keys(address: str) -> list[str]:
    """Return all spellings of an address in a header, in lower case."""
    local, _, domain = address.lower().rpartition("@")
    return [f"{local}@{each}" for each in spellings(domain)]


def rewriting_for(replacements: Sequence[Replacement], *, local: bool) -> Rewriting:
    """Return the rules for copies of local, or of remote, recipients; the first that names an address counts."""
    rules = [rule for rule in replacements if (rule.local if local else rule.remote)]
    new: dict[str, _New] = {}
    senders: dict[str, str] = {}
    for rule in rules:
        for key in [key for address in rule.addresses for key in _keys(address) if key not in new]:
            new[key] = _new(rule.name)
            if rule.envelope_sender and not local:
                senders[key] = new[key].address.decode()
    return Rewriting(new, senders)
