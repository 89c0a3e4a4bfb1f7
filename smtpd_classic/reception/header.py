"""The changes that reception makes to the header block of a message."""

from smtpd_classic.domain_name import ascii_address
from smtpd_classic.message.authors import complete as complete_authors
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.trace import Hop, date_text, received
from smtpd_classic.policy import Transaction
from smtpd_classic.reception.foreign_results import trusts_results, without_foreign_results
from smtpd_classic.services import Services
from smtpd_classic.smtp.session import ServerSession
from smtpd_classic.tnef import suspect

__all__ = ["HeaderEditor"]

_NEEDED = frozenset({b"date", b"from", b"message-id"})
_OF_ELSEWHERE = frozenset({b"received", b"dkim-signature"})
_PROTECTED = (b"multipart/signed", b"multipart/encrypted")


class HeaderEditor:
    """The edits for one message."""

    __slots__ = ("_arrival", "_originates_here", "_services", "_session", "_transaction")

    def __init__(
        self,
        services: Services,
        session: ServerSession,
        transaction: Transaction,
        arrival: float,
        *,
        originates_here: bool,
    ) -> None:
        self._services = services
        self._session = session
        self._transaction = transaction
        self._arrival = arrival
        self._originates_here = originates_here

    def cleaned(self, header: HeaderBlock) -> HeaderBlock:
        """Return the header block without results of others that use our name."""
        services = self._services
        if trusts_results(services.trusted_results, self._transaction):
            return header
        raw = without_foreign_results(header, services.own_ids)
        return header if raw is header.raw else HeaderBlock(raw)

    def trace(self, header: HeaderBlock, named: list[str]) -> bytes:
        """Return our trace field, and the fields that a submission server adds where they are missing."""
        session, client = self._session, self._transaction.peer.client
        hop = Hop(
            hello=session.hello,
            name=client.name,
            ip=client.ip,
            protocol=session.protocol_name,
            tls=session.tls,
            by=self._services.helo_name,
            queue_id=self._transaction.queue_id,
            recipient=named[0] if len(named) == 1 else "",
            uid=client.uid if client.local else -1,
        )
        fields = received(hop, self._arrival)
        return fields + self._missing_fields(header) if self._originates_here else fields

    def completed(self, header: HeaderBlock) -> bytes:
        """Return the header block with whole addresses of its authors, if the message originates here."""
        if not self._originates_here:
            return header.raw
        return complete_authors(header, self._services.config.mail_domain)

    def final(self, header: HeaderBlock) -> HeaderBlock:
        """Return the header block as it will leave, for checks that may sign it: with the fields that are missing."""
        if not self._originates_here:
            return header
        raw = self._missing_fields(header) + self.completed(header)
        return header if raw == header.raw else HeaderBlock(raw)

    def own_id(self) -> bytes:
        """Return the Message-ID to add to a message that came without one; blank if it gets none."""
        if not self._originates_here:
            return b""
        return f"<{self._transaction.queue_id}@{self._services.helo_name}>".encode()

    def may_hold_tnef(self, header: HeaderBlock, content: bytes, *, complete: bool) -> bool:
        """Return True if the content may hold TNEF to convert. A wrong True is harmless; a wrong False occurs only for
        signed or encrypted messages, which are not converted."""
        if not self._services.config.basic.convert_tnef:
            return False
        kind = header.first(b"content-type").lower()
        if kind.startswith(_PROTECTED) or header.has(b"dkim-signature"):
            return False
        return suspect(content) or (not complete and kind.startswith(b"multipart/"))

    def may_be_signed(self, header: HeaderBlock) -> bool:
        """Return True if copies for other servers are to be signed: mail of local users, and of a trusted host if it
        was made there. We must not sign mail that such a host only passes on, for the signature would make it ours."""
        peer = self._transaction.peer
        if peer.login is not None or peer.client.local:
            return True
        if not self._originates_here:
            return False
        return header.names.isdisjoint(_OF_ELSEWHERE) or self._services.signs_for(peer.client.ip)

    def _missing_fields(self, header: HeaderBlock) -> bytes:
        """Return the fields that a submission server may add (RFC 6409 8.1 to 8.3)."""
        names = header.names
        if names >= _NEEDED:
            return b""
        fields = "" if b"date" in names else f"Date: {date_text(self._arrival)}\n"
        if b"from" not in names:
            fields += f"From: {self._author()}\n"
        if b"message-id" not in names:
            fields += f"Message-ID: {self.own_id().decode()}\n"
        return fields.encode()

    def _author(self) -> str:
        """Return the address for a missing From: the envelope sender, else the login, else the postmaster."""
        login = self._transaction.peer.login
        default = ascii_address(login.address) if login is not None else self._services.config.postmaster
        return f"<{self._transaction.sender or default}>"
