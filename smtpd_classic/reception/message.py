"""A message during reception: its envelope, the changes to its header, its destination, and its log lines."""

from collections.abc import Iterator, Sequence

from smtpd_classic.log import printable
from smtpd_classic.message.authors import complete as complete_authors
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.trace import Hop, date_text, envelope_to, received, return_path, without_delivery_fields
from smtpd_classic.policy import ResolvedRecipient, Transaction
from smtpd_classic.policy.authentication import is_checked
from smtpd_classic.policy.transaction import AuthenticationVerdict
from smtpd_classic.reception.authentication import MailAuthentication, trusts_results, without_foreign_results
from smtpd_classic.reception.destination import (
    Destination,
    IoSlot,
    MailboxDestination,
    MailboxesDestination,
    QueueDestination,
)
from smtpd_classic.reception.journal import ReceptionLog
from smtpd_classic.services import Services
from smtpd_classic.smtp.events import MailFrom, RcptTo
from smtpd_classic.smtp.replies import JUNK_IS_NOT_FORWARDED, accepted
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.smtp.session import ServerSession
from smtpd_classic.tnef import suspect
from spool import Envelope, Recipient, new_queue_id

__all__ = ["IncomingMessage"]

_PROTECTED = (b"multipart/signed", b"multipart/encrypted")


class IncomingMessage:
    """One message during reception. `recipients` are those after alias expansion: one for each account, however many of
    its addresses the client named."""

    __slots__ = (
        "_arrival",
        "_fields_at",
        "_journal",
        "_mail",
        "_mailboxes",
        "_named",
        "_originates_here",
        "_recipients",
        "_room",
        "_services",
        "_session",
        "_sign",
        "_transaction",
        "authentication",
        "queue_id",
    )

    def __init__(
        self,
        services: Services,
        session: ServerSession,
        journal: ReceptionLog,
        transaction: Transaction,
        mail: MailFrom,
        asked: Sequence[RcptTo],
    ) -> None:
        self._services = services
        self._session = session
        self._journal = journal
        self._transaction = transaction
        self._mail = mail
        self._named = [each.address for each in transaction.recipients]
        self._originates_here = transaction.visitor.originates_here
        self._sign = False
        self._recipients: list[Recipient] = []
        self._mailboxes: list[MailboxDestination] = []
        self._expand(zip(asked, transaction.recipients, strict=True))
        self._arrival = services.clock()
        self._fields_at = self._room = 0
        self.authentication: MailAuthentication | None = None
        if is_checked(transaction):
            self.authentication = MailAuthentication(transaction, services.helo_name, self._arrival)
        self.queue_id = new_queue_id(self._arrival)

    def _expand(self, pairs: "Iterator[tuple[RcptTo, ResolvedRecipient]]") -> None:
        seen: set[str] = set()
        account_of = self._services.accounts.account
        for asked, addressee in pairs:
            for target in addressee.targets:
                account = account_of(target)
                key = target if account is None else account.address
                if key in seen:
                    continue
                seen.add(key)
                original = addressee.address if addressee.address != target else ""
                recipient = Recipient(target, asked.notify, asked.orcpt, original)
                self._recipients.append(recipient)
                if account is not None:
                    self._mailboxes.append(MailboxDestination(recipient, account.folder))

    @property
    def _all_here(self) -> bool:
        """Return True if every recipient has a Maildir and wants no success notice (RFC 3461), which the retry thread
        writes."""
        return len(self._mailboxes) == len(self._recipients) and not any(
            "SUCCESS" in recipient.notify for recipient in self._recipients
        )

    @property
    def looks_at_body(self) -> bool:
        """Return True if the body may decide where the message goes."""
        return self._services.config.basic.convert_tnef and self._all_here

    def place(self, header: HeaderBlock, content: bytes, *, complete: bool) -> tuple[bytes, Destination]:
        """Return the header block to write, and the destination. `content` is the part received so far, header
        included."""
        arrived = received(self._hop(), self._arrival)
        self._sign = self._may_be_signed(header)
        if self._originates_here:
            arrived += self._missing_fields(header)
        convert = self._services.config.basic.convert_tnef and _may_hold_tnef(header, content, complete=complete)
        header = self._cleaned(header)
        raw = complete_authors(header, self._primary_domain) if self._originates_here else header.raw
        if not self._all_here or convert:
            return arrived + raw, QueueDestination(self._services, self.queue_id)
        if self._originates_here:
            raw = self._services.rewriting.header(raw)
        final = header if raw is header.raw else HeaderBlock(raw)
        raw = without_delivery_fields(final, self._services.accounts.is_local_domain)
        on_top = return_path(self._mail.reverse_path)
        if len(self._named) == 1 == len(self._mailboxes):
            on_top += envelope_to(self._named[0])
        on_top += self._fields_on_top(len(on_top))
        return arrived + raw, MailboxesDestination(self._services, self.queue_id, self._mailboxes, on_top)

    def _cleaned(self, header: HeaderBlock) -> HeaderBlock:
        """Return the header block without results of others that use our name."""
        services = self._services
        if trusts_results(services.trusted_results, self._transaction):
            return header
        raw = without_foreign_results(header, services.own_ids)
        return header if raw is header.raw else HeaderBlock(raw)

    def _fields_on_top(self, at: int) -> bytes:
        """Return the fields with the results, or room for them until the results are known."""
        checks = self.authentication
        if checks is None:
            return b""
        if checks.verdict is not None:
            return checks.fields()
        self._fields_at, self._room = at, checks.room()
        return b" " * (self._room - 1) + b"\n"

    def junk_objection(self) -> Reply | None:
        """Refuse a message for the junk folder when all its recipients are elsewhere: junk is never forwarded."""
        if self._is_junk and not self._mailboxes and all(self._is_forwarded(each) for each in self._recipients):
            return JUNK_IS_NOT_FORWARDED
        return None

    @property
    def _is_junk(self) -> bool:
        return self.authentication is not None and self.authentication.is_junk

    def _is_forwarded(self, recipient: Recipient) -> bool:
        """Return True if this recipient is elsewhere and stands behind a local address."""
        return bool(recipient.original) and all(each.recipient is not recipient for each in self._mailboxes)

    def _may_be_signed(self, header: HeaderBlock) -> bool:
        """Return True if copies for other servers are to be signed: mail of local users, and of a trusted host if it
        was made there. We must not sign mail that such a host only passes on, for the signature would make it ours."""
        visitor = self._transaction.visitor
        if visitor.login is not None or visitor.client.local:
            return True
        if not self._originates_here:
            return False
        made_there = not header.has(b"received") and not header.has(b"dkim-signature")
        return made_there or self._services.signs_for(visitor.client.ip)

    def commit(self, destination: Destination, size: int, header: HeaderBlock) -> Reply:
        """Store the message, and return the reply once it is durable. Raises the error of the disk."""
        came = self._services.clock()
        checks = self.authentication
        if self._room and checks is not None:
            destination.fill(self._fields_at, checks.fields(self._room))
        if self._is_junk:
            self._keep_junk_here(destination)
        with IoSlot():
            delivered = destination.commit(self._envelope, self._arrival)
        self._tell(delivered, size, header.first(b"message-id") or self._own_id(), came)
        return accepted(self.queue_id)

    def _keep_junk_here(self, destination: Destination) -> None:
        """Put junk into the junk folders. Drop copies for elsewhere if the address keeps a local one, else hold them
        for a decision of the administrator."""
        kept_by = {each.recipient.original for each in self._mailboxes}
        forwarded = [each for each in self._recipients if self._is_forwarded(each)]
        held = tuple(each for each in forwarded if each.original not in kept_by)
        self._recipients = [each for each in self._recipients if each not in forwarded]
        destination.junk(self._services.config.server.junk_folder, held)

    def refused(self, reply: Reply) -> None:
        if self.authentication is not None and self.authentication.verdict is not None:
            self._journal.write([self._authentication_line(self.authentication.verdict, "refused")])
        self._journal.rejected("DATA", reply, self._mail.reverse_path, ", ".join(self._named[:1]), self.queue_id)

    def complain(self, problem: Exception) -> None:
        self._journal.warning(f"{self.queue_id}: the message was not taken: {type(problem).__name__}: {problem}")

    def _hop(self) -> Hop:
        session, client = self._session, self._transaction.visitor.client
        return Hop(
            hello=session.hello,
            name=client.name,
            ip=client.ip,
            protocol=session.protocol_name,
            tls=session.tls,
            by=self._services.helo_name,
            queue_id=self.queue_id,
            recipient=self._named[0] if len(self._named) == 1 else "",
            uid=client.uid if client.local else -1,
        )

    def _missing_fields(self, header: HeaderBlock) -> bytes:
        """Return the fields that a submission server may add (RFC 6409 8.1 to 8.3)."""
        fields = "" if header.has(b"date") else f"Date: {date_text(self._arrival)}\n"
        if not header.has(b"from"):
            fields += f"From: {self._author()}\n"
        if not header.has(b"message-id"):
            fields += f"Message-ID: {self._own_id().decode()}\n"
        return fields.encode()

    def _author(self) -> str:
        """Return the address for a missing From: the envelope sender, else the login, else the postmaster."""
        login = self._transaction.visitor.login
        default = login.address if login is not None else self._services.config.postmaster
        return f"<{self._mail.reverse_path or default}>"

    @property
    def _primary_domain(self) -> str:
        return self._services.config.server.primary_domain

    def _own_id(self) -> bytes:
        """Return the Message-ID to add to a message that came without one; blank if it gets none."""
        return f"<{self.queue_id}@{self._services.helo_name}>".encode() if self._originates_here else b""

    def _envelope(self) -> Envelope:
        login, mail, checks = self._transaction.visitor.login, self._mail, self.authentication
        return Envelope(
            sender=mail.reverse_path,
            recipients=tuple(self._recipients),
            ret=mail.ret,
            envid=mail.envid,
            body_8bit=mail.body_8bit,
            smtputf8=mail.smtputf8,
            login=login.address if login is not None else "",
            client=str(self._transaction.visitor.client),
            originates_here=self._originates_here,
            sign=self._sign,
            fields="" if checks is None or checks.verdict is None else checks.fields().decode("utf-8"),
            junk=self._is_junk,
        )

    def _tell(self, delivered: Sequence[Recipient], size: int, message_id: bytes, came: float) -> None:
        journal, visitor = self._journal, self._transaction.visitor
        journal.count("received")
        if self._originates_here:
            journal.count("submitted")
        lines = journal.message(
            self.queue_id, self._mail.reverse_path, size, message_id, len(self._recipients), visitor.login
        )
        if self.authentication is not None and self.authentication.verdict is not None:
            place = self._services.config.server.junk_folder.lstrip(".").lower() if self._is_junk else ""
            lines.append(self._authentication_line(self.authentication.verdict, place or "inbox"))
        if delivered:
            journal.count("delivered", len(delivered))
            now = self._services.clock()
            receiving, delivering = came - self._arrival, now - came
            took = f"delay={now - self._arrival:.2g}, delays={receiving:.2g}/0/0/{delivering:.2g}"
            for each in delivered:
                orig = f" orig_to=<{each.original}>," if each.original else ""
                outcome = f"relay=local, {took}, dsn=2.0.0, status=sent (delivered to maildir)"
                lines.append(("local", f"{self.queue_id}: to=<{each.address}>,{orig} {outcome}"))
            if len(delivered) == len(self._recipients):
                lines.append(("qmgr", f"{self.queue_id}: removed"))
        journal.write(lines)

    def _authentication_line(self, verdict: AuthenticationVerdict, place: str) -> tuple[str, str]:
        return "smtpd", f"{self.queue_id}: auth: {printable(verdict.results.summary(), 900)} -> {place}"


def _may_hold_tnef(header: HeaderBlock, content: bytes, *, complete: bool) -> bool:
    """Return True if the content may hold TNEF. A wrong True is harmless; a wrong False occurs only for signed or
    encrypted messages, which are not converted."""
    kind = header.first(b"content-type").lower()
    if kind.startswith(_PROTECTED) or header.has(b"dkim-signature"):
        return False
    return suspect(content) or (not complete and kind.startswith(b"multipart/"))
