"""The content of one message, from the answer to DATA to its end.

Rule 1: the header block is held, checked and edited before the first octet is written: nothing is ever rewritten.
Rule 2: refused content is read to its end without being kept, and then gets one refusal (invariant 4).
Rule 3: the content is never held whole, unless it is small.
"""

import re

from smtpd_classic.message.headers import HeaderBlock, end_of_header_block
from smtpd_classic.policy import Policy, Transaction
from smtpd_classic.policy.limits import content_limit, mailboxes_full
from smtpd_classic.reception.destination import NO_ROOM, Destination
from smtpd_classic.reception.message import IncomingMessage
from smtpd_classic.smtp.events import Content, EndContent
from smtpd_classic.smtp.replies import DISK_FULL, HEADER_TOO_BIG, LOCAL_ERROR, too_big
from smtpd_classic.smtp.reply import Reply

__all__ = ["ContentReader"]

_LONGEST_HEADER = 256 * 1024
_LOOKED_AT = 64 * 1024
_HEADER_READ = Content(b"")
_CUT_NAME = re.compile(rb"[!-9;-~]+[ \t]*")


class ContentReader:
    """The reader of one message: `take()` every piece, then `finish()` at the end; or `abandon()`."""

    __slots__ = (
        "_authentication",
        "_destination",
        "_header",
        "_held",
        "_limit",
        "_octets",
        "_policy",
        "_refusal",
        "_transaction",
        "message",
    )

    def __init__(self, policy: Policy, transaction: Transaction, message: IncomingMessage) -> None:
        self.message = message
        self._policy = policy
        self._transaction = transaction
        self._limit = content_limit(transaction)
        self._octets = 0
        self._held = bytearray()
        self._header: HeaderBlock | None = None
        self._destination: Destination | None = None
        self._refusal: Reply | None = None
        self._authentication = message.authentication

    def take(self, data: bytes) -> None:
        """Take the next piece. Never raises: an error becomes the answer to the end of the content."""
        if self._refusal is not None:
            return
        self._octets += len(data) + data.count(b"\n")  # RFC 1870 counts CR LF
        if 0 < self._limit < self._octets:
            self._refuse(too_big(self._limit))
            return
        try:
            if self._authentication is not None and self._header is not None:
                self._authentication.update(data)
            if self._destination is not None:
                self._destination.write(data)
            else:
                self._hold(data)
        except Exception as problem:
            self._fail(problem)

    def finish(self, event: EndContent) -> Reply:
        try:
            if self._refusal is None and self._header is None:
                content = bytes(self._held)
                lenient = HeaderBlock(content)
                self._header_read(content, HeaderBlock(content[: lenient.strict_end]), lenient)
            if self._refusal is None and self._authentication is not None:
                self._authentication.finish()
                self._refusal = self.message.junk_objection()
            if self._refusal is None and self._destination is None:
                self._place(bytes(self._held), complete=True)
            if self._refusal is None:
                self._refusal = self._policy.first_objection(self._transaction, event)
            if self._refusal is None:
                self._refusal = mailboxes_full(self._transaction, self._octets)
            if self._refusal is None and self._destination is not None and self._header is not None:
                return self.message.commit(self._destination, self._octets, self._header)
        except Exception as problem:
            self._fail(problem)
        self.abandon()
        refusal = self._refusal or LOCAL_ERROR
        self.message.refused(refusal)
        return refusal

    def abandon(self) -> None:
        destination, self._destination = self._destination, None
        self._held.clear()
        if destination is not None:
            destination.abandon()

    def _refuse(self, reply: Reply) -> None:
        self._refusal = reply
        self.abandon()

    def _fail(self, problem: Exception) -> None:
        self.message.complain(problem)
        self._refuse(DISK_FULL if isinstance(problem, NO_ROOM) else LOCAL_ERROR)

    def _hold(self, data: bytes) -> None:
        """Hold the content until the header block is complete, and longer if the body decides where the message is
        written."""
        held = self._held
        if self._header is not None:
            held += data
            if len(held) >= _LOOKED_AT:
                self._place(bytes(held), complete=False)
            return
        searched = len(held)
        if not searched:
            end = end_of_header_block(data)
            if 0 <= end <= _LONGEST_HEADER:  # the usual case: the whole header block at once
                self._header_read(data, HeaderBlock(data[:end]))
                return
        held += data
        end = end_of_header_block(held, searched)
        if 0 <= end <= _LONGEST_HEADER:
            self._header_read(bytes(held), HeaderBlock(bytes(held[:end])))
        elif len(held) > _LONGEST_HEADER:
            self._text_read(bytes(held))

    def _text_read(self, content: bytes) -> None:
        """Find the header of content without an empty line in its longest length: for a strict reader it has ended."""
        beginning = content[:_LONGEST_HEADER]
        block = HeaderBlock(beginning, whole=False)
        end = block.strict_end
        if end == len(beginning) or _CUT_NAME.fullmatch(beginning, end):
            self._refuse(HEADER_TOO_BIG)
        else:
            self._header_read(content, HeaderBlock(beginning[:end]), block)

    def _header_read(self, content: bytes, header: HeaderBlock, lenient: HeaderBlock | None = None) -> None:
        """Check the header block. `lenient` is longer: the view of a reader that accepts lines without a colon."""
        self._transaction.header = lenient or header
        objection = self._policy.first_objection(self._transaction, _HEADER_READ)
        if objection is not None:
            self._refuse(objection)
            return
        self._header = header
        if self._authentication is not None:
            self._authentication.begin(self._transaction.header)
            self._authentication.update(content[len(header.raw) :].removeprefix(b"\n"))
        if self._held_back and len(content) < _LOOKED_AT:
            self._held[:] = content
        else:
            self._place(content, complete=False)

    @property
    def _held_back(self) -> bool:
        """Return True if a small message is held until its end, because of its body or its results."""
        return self._authentication is not None or self.message.looks_at_body

    def _place(self, content: bytes, *, complete: bool) -> None:
        header = self._header
        assert header is not None
        edited, self._destination = self.message.place(header, content, complete=complete)
        self._destination.write(edited + content[len(header.raw) :])
        self._held.clear()
