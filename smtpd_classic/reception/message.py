"""A message during reception: its envelope, its destination, and its log lines."""

from typing import NamedTuple

from smtpd_classic.log import printable
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.trace import envelope_to, return_path, without_delivery_fields
from smtpd_classic.policy import Disposition, Transaction
from smtpd_classic.policy.approvals import approval_for
from smtpd_classic.policy.archive import archives
from smtpd_classic.policy.groups import is_automatic
from smtpd_classic.policy.recipients import resolve, takes_mail
from smtpd_classic.policy.transaction import ResolvedRecipient
from smtpd_classic.reception.acceptance import Acceptance, log_acceptance, summaries
from smtpd_classic.reception.deciding import decide
from smtpd_classic.reception.destination import (
    Destination,
    IoSlot,
    MailboxDestination,
    MailboxesDestination,
    QueueDestination,
)
from smtpd_classic.reception.division import Division, is_forwarded
from smtpd_classic.reception.header import HeaderEditor
from smtpd_classic.reception.journal import ReceptionLog
from smtpd_classic.reception.parts import archive_parts, group_parts, groups_of
from smtpd_classic.services import Services
from smtpd_classic.smtp.events import RcptTo
from smtpd_classic.smtp.replies import JUNK_IS_NOT_FORWARDED, accepted
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import ServerSession
from spool import Envelope, Recipient

__all__ = ["IncomingMessage", "Placed"]

_NO_REQUEST = RcptTo("")


class Placed(NamedTuple):
    """A destination, and the header block to write there."""

    header: bytes
    destination: Destination


class IncomingMessage:
    """One message during reception. `recipients` are those after alias expansion: one for each account, however many of
    its addresses the client named."""

    __slots__ = (
        "_apart",
        "_arrival",
        "_changes",
        "_checks",
        "_fields_at",
        "_journal",
        "_junk",
        "_kept",
        "_mail",
        "_mailboxes",
        "_named",
        "_originates_here",
        "_recipients",
        "_results",
        "_room",
        "_services",
        "_sign",
        "_transaction",
        "_written",
        "editor",
        "queue_id",
    )

    def __init__(
        self, services: Services, session: ServerSession, journal: ReceptionLog, transaction: Transaction
    ) -> None:
        self._services = services
        self._journal = journal
        self._transaction = transaction
        self._mail = transaction.mail
        self._originates_here = transaction.peer.originates_here
        self._sign = self._junk = self._apart = False
        self._written = self._results = b""  # the fields with the results of checks, once they are known
        self._arrival = services.clock()
        self._fields_at = self._room = 0
        self._checks = transaction.content_checks
        self._changes = bool(self._checks) and any(check.changes_message for check in self._checks)
        self.editor = HeaderEditor(services, session, transaction, self._arrival, originates_here=self._originates_here)
        self.queue_id = transaction.queue_id
        self._named: list[str] = []
        self._recipients: list[Recipient] = []
        self._mailboxes: list[MailboxDestination] = []
        self._expand()

    def _expand(self) -> None:
        transaction = self._transaction
        self._named = [each.address for each in transaction.recipients]
        self._recipients, self._mailboxes = [], []
        self._kept, seen = set[str](), set[str]()  # kept: with a mailbox of a local domain, also on an LMTP server
        for path, resolved in zip(transaction.paths, transaction.recipients, strict=True):
            for target in resolved.targets:
                account = self._services.accounts.account(target)
                key = target if account is None else account.address
                if key in seen:
                    continue
                seen.add(key)
                original = resolved.address if resolved.address != target else ""
                recipient = Recipient(target, path.notify, path.orcpt, original)
                self._recipients.append(recipient)
                if account is not None:
                    self._kept.add(target)
                    if account.folder:
                        self._mailboxes.append(MailboxDestination(recipient, account.folder, account.junk_maildir))
        self._apart = transaction.rules.parts and bool(
            groups_of(transaction) or archives(transaction) or approval_for(transaction)
        )

    @property
    def _all_here(self) -> bool:
        """Return True if every recipient has a Maildir and wants no success notice (RFC 3461), which the retry thread
        writes. A message with parts of its own goes through the queue."""
        return (
            not self._apart
            and len(self._mailboxes) == len(self._recipients)
            and not any("SUCCESS" in recipient.notify for recipient in self._recipients)
        )

    @property
    def held_back(self) -> bool:
        """Return True if a small message is held until its end, because its body may decide where it goes."""
        return bool(self._checks) or (self._services.config.basic.convert_tnef and self._all_here)

    def shown(self, header: HeaderBlock) -> HeaderBlock:
        """Return the header block that the checks see at the end."""
        return self.editor.final(header) if self._changes else header

    def place(self, header: HeaderBlock, content: bytes, disposition: Disposition | None) -> Placed:
        """Return the destination. `content` is the part received so far, its header included. `disposition` is None
        before the end; then nothing is final that a check may still change."""
        self._sign = self.editor.may_be_signed(header)
        trace, raw = self.editor.trace(header, self._named), self.editor.completed(header)
        if disposition is not None and disposition.on_top:
            trace = disposition.top() + trace
        convert = self.editor.may_hold_tnef(header, content, complete=disposition is not None)
        final = not self._changes if disposition is None else not disposition.hold
        if not final or not self._all_here or convert:
            self._written = trace + raw
            return Placed(self._written, QueueDestination(self._services, self.queue_id))
        if self._originates_here:
            raw = self._services.rewriting.header(raw)
        final_block = header if raw is header.raw else HeaderBlock(raw)
        raw = without_delivery_fields(final_block, self._services.accounts.is_local_domain)
        on_top = return_path(self._mail.reverse_path)
        if len(self._named) == 1 == len(self._mailboxes):
            on_top += envelope_to(self._named[0])
        on_top += self._fields_on_top(len(on_top), complete=disposition is not None)
        return Placed(trace + raw, MailboxesDestination(self._services, self.queue_id, self._mailboxes, on_top))

    def changed(self, disposition: Disposition) -> bytes:
        """Return the header block for the queue after the checks have changed it or added fields."""
        header = disposition.header
        trace = disposition.top() + self.editor.trace(header, self._named)
        self._written = trace + self.editor.completed(header)
        return self._written

    def _fields_on_top(self, at: int, *, complete: bool) -> bytes:
        """Return the fields with the results of checks, or room for them until the results are known."""
        if not self._checks:
            return b""
        if complete:
            return self._results
        self._fields_at, self._room = at, sum(check.longest_fields() for check in self._checks)
        return b" " * (self._room - 1) + b"\n" if self._room else b""

    def settle(self, disposition: Disposition) -> Reply | None:
        """Apply the changes of recipients. Refuse a message for the junk folder if all its recipients are elsewhere,
        members of groups too: junk is never forwarded."""
        if disposition.added or disposition.removed:
            self._change_recipients(disposition)
        self._junk = bool(disposition.junk)
        self._results = b"".join([check.fields(disposition) for check in self._checks])
        return JUNK_IS_NOT_FORWARDED if self._junk and self._leads_elsewhere() else None

    def _leads_elsewhere(self) -> bool:
        accounts = self._services.accounts
        ends = [is_forwarded(each, self._kept) for each in self._recipients]
        for group in groups_of(self._transaction):
            ends += [accounts.account(member) is None for member in accounts.members_of(group).ends]
        return bool(ends) and all(ends)

    def _change_recipients(self, disposition: Disposition) -> None:
        transaction, removed = self._transaction, {each.lower() for each in disposition.removed}
        before = list(zip(transaction.paths, transaction.recipients, strict=True))
        kept: list[tuple[RcptTo, ResolvedRecipient]] = []
        gone: list[tuple[RcptTo, ResolvedRecipient]] = []
        for pair in before:
            is_gone = removed & {pair[0].forward_path.lower(), pair[1].address.lower()}
            (gone if is_gone else kept).append(pair)
        automatic = is_automatic(transaction.sender, disposition.header)
        for added in disposition.added:
            resolved = resolve(transaction.rules, added)
            if resolved.remote and added in disposition.forwarded_by:
                resolved = resolved._replace(address=disposition.forwarded_by[added])
            if takes_mail(transaction.rules, resolved, automatic=automatic):
                request = disposition.requests.get(added, _NO_REQUEST)
                kept.append((RcptTo(added, request.notify, request.orcpt), resolved))
            else:
                self._journal.warning(f"{self.queue_id}: a check added the recipient {added}, which gets no mail")
        if disposition.added and not kept:  # the message must not be lost for an address that is gone
            kept, gone = before, []
        transaction.removed = gone
        transaction.paths = [path for path, _ in kept]
        transaction.recipients = [resolved for _, resolved in kept]
        self._expand()
        if not self._recipients and not self._apart:
            disposition.discard = disposition.discard or "no recipient is left"

    def commit(self, destination: Destination, header: HeaderBlock, disposition: Disposition) -> Reply:
        """Store the message, and return the reply once it is durable. Raises the error of the disk."""
        came = self._services.clock()
        if self._transaction.rules.config.approvals:
            decide(self._services, self._journal, self._transaction)
        parts = group_parts(self._transaction, header) if self._apart else []
        if not parts and not self._recipients:
            destination.abandon()
            return self.discard("no recipient is left")
        if self._room:
            # Blanks at the end of the last field, or of the one before the room: they must be no line of their own.
            last = self._results[:-1] + b" " * (self._room - len(self._results)) + b"\n"
            destination.fill(self._fields_at if self._results else self._fields_at - 1, last)
        copies = archive_parts(self._transaction, header) if self._apart else []  # may raise, so before the count
        division = None
        if self._junk or disposition.hold or not isinstance(destination, MailboxesDestination):
            division = Division(self._services, self._journal, self._transaction, destination, self._recipients, parts)
            refusal = self._divide(division, disposition)
            if refusal is not None:
                destination.abandon()
                self.refused(refusal)
                return refusal
            self._recipients, parts = division.recipients, division.parts
        if parts or copies:
            assert isinstance(destination, QueueDestination)
            destination.add_parts(self._written, parts + copies)
        try:
            with IoSlot():
                delivered = destination.commit(self._envelope, self._arrival)
        except BaseException:
            if division is not None:
                division.sending.give_back()
            raise
        number = len(self._recipients)
        if parts:
            number += sum(len(part.recipients) for part in parts if part.what)
        message_id, signs = header.first(b"message-id") or self.editor.own_id(), self._sign or not self._originates_here
        held = division.held if division is not None else ""
        found = Acceptance(number, delivered, message_id, self._arrival, came, held, self._junk, signs)
        log_acceptance(self._services, self._journal, self._transaction, found)
        return accepted(self.queue_id)

    def _divide(self, division: Division, disposition: Disposition) -> Reply | None:
        """Divide a message that is not for Maildirs alone, which need neither an approval nor a count."""
        if self._junk:
            division.keep_junk_here(self._kept)
        return division.divide(disposition.hold)

    def discard(self, reason: str) -> Reply:
        """Accept the message without storing it, as a check has decided."""
        sender, client = printable(self._mail.reverse_path, 256), self._transaction.peer.client
        said = f"{self.queue_id}: discard: DATA from {client}: {printable(reason, 256)}; from=<{sender}>"
        self._journal.write([("smtpd", said)])
        return accepted(self.queue_id)

    def refused(self, reply: Reply) -> None:
        verdict = self._transaction.verdict
        if verdict is not None and verdict.reply is reply:
            self._journal.count("auth_refused")
        if lines := summaries(self._transaction, "refused"):
            self._journal.write(lines)
        self._journal.rejected("DATA", reply, self._mail.reverse_path, ", ".join(self._named[:1]), self.queue_id)

    def complain(self, problem: Exception) -> None:
        self._journal.warning(f"{self.queue_id}: the message was not taken: {type(problem).__name__}: {problem}")

    def _envelope(self) -> Envelope:
        login, mail = self._transaction.peer.login, self._mail
        return Envelope(
            sender=mail.reverse_path,
            recipients=tuple(self._recipients),
            ret=mail.ret,
            envid=mail.envid,
            body_8bit=mail.body_8bit,
            smtputf8=mail.smtputf8,
            login=login.address if login is not None else "",
            client=str(self._transaction.peer.client),
            originates_here=self._originates_here,
            sign=self._sign,
            fields=self._results.decode("utf-8"),
            junk=self._junk,
        )
