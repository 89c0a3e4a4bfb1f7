"""The content of one message, from the answer to DATA to its end.

Rule 1: the header block is held, checked and edited before the first octet is written. It is written again only if a
check of the content changes it at the end of a large message.
Rule 2: refused content is read to its end without being kept, and then gets one refusal (invariant 4).
Rule 3: the content is never held whole, unless it is small.
"""

import re
from collections.abc import Iterator

from smtpd_classic.message.headers import HeaderBlock, end_of_header_block
from smtpd_classic.policy import ContentCheck, Disposition, Policy, Transaction
from smtpd_classic.policy.limits import content_limit
from smtpd_classic.reception.destination import NO_ROOM, Destination, QueueDestination, without_first
from smtpd_classic.reception.message import IncomingMessage
from smtpd_classic.smtp.events import Content, HeaderRead
from smtpd_classic.smtp.replies import DISK_FULL, HEADER_TOO_BIG, LOCAL_ERROR, too_big
from smtpd_classic.smtp.reply import Reply

__all__ = ["ContentReader"]

_LONGEST_HEADER = 256 * 1024
_LOOKED_AT = 64 * 1024
_HEADER_READ = HeaderRead()
_CUT_NAME = re.compile(rb"[!-9;-~]+[ \t]*")
_EMPTY = HeaderBlock(b"")


class ContentReader:
    """The reader of one message: `take()` every piece, then `complete()` and `commit()`; or `abandon()`."""

    __slots__ = (
        "_body_checks",
        "_destination",
        "_disposition",
        "_header",
        "_held",
        "_is_header_read",
        "_length",
        "_limit",
        "_octets",
        "_policy",
        "_refusal",
        "_shown",
        "_transaction",
        "_written",
        "message",
    )

    def __init__(self, policy: Policy, transaction: Transaction, message: IncomingMessage) -> None:
        self.message = message
        self._policy = policy
        self._transaction = transaction
        self._limit = content_limit(transaction)
        self._octets = 0
        self._held = bytearray()
        self._is_header_read = False
        self._header = _EMPTY  # without results of others, once it is read
        self._shown = _EMPTY  # the view of the checks at the end
        self._length = 0  # of the header block as it came
        self._written = 0  # of the header block as it was written
        self._body_checks: tuple[ContentCheck, ...] = ()
        self._destination: Destination | None = None
        self._disposition: Disposition | None = None
        self._refusal: Reply | None = None

    def take(self, piece: Content) -> None:
        """Take the next piece. Never raises: an error becomes the answer to the end of the content."""
        if self._refusal is not None:
            return
        data, self._octets = piece.data, piece.size
        if 0 < self._limit < self._octets:
            self._refuse(too_big(self._limit))
            return
        try:
            for check in self._body_checks:
                check.body(data)
            if self._destination is not None:
                self._destination.write(data)
            else:
                self._hold(data)
        except Exception as problem:
            self._fail(problem)

    def complete(self) -> Reply | None:
        """Return the refusal of the content by its checks, or None. The policy is asked after it."""
        try:
            if self._refusal is None and not self._is_header_read:
                content = bytes(self._held)
                lenient = HeaderBlock(content)
                self._header_read(content, HeaderBlock(content[: lenient.strict_end]), lenient)
            if self._refusal is None:
                self._transaction.octets = self._octets
                self._refusal = self._ask_checks()
        except Exception as problem:
            self._fail(problem)
        return self._refusal

    def _ask_checks(self) -> Reply | None:
        header = self._shown = self.message.shown(self._header)
        disposition = self._disposition = Disposition(header, self._octets, self._body)
        for check in self._transaction.content_checks:
            objection = check.end(disposition)
            if objection is not None:
                return objection
        return self.message.settle(disposition)

    def _body(self) -> Iterator[bytes]:
        """Yield the body, without the empty line before it."""
        destination, length = self._destination, self._length
        pieces: Iterator[bytes] = iter([bytes(self._held)])
        if destination is not None:
            if not isinstance(destination, QueueDestination):
                raise TypeError("only a check that changes messages may read the body at the end")
            pieces, length = destination.content(), self._written
        first = True
        for piece in without_first(pieces, length):
            yield piece.removeprefix(b"\n") if first else piece
            first = False

    def commit(self) -> Reply:
        """Store the message, and return the reply."""
        disposition = self._disposition
        assert disposition is not None
        try:
            if disposition.discard:
                self.abandon()
                return self.message.discard(disposition.discard)
            if self._destination is None:
                self._place(bytes(self._held), disposition)
            elif disposition.on_top or disposition.header is not self._shown:
                assert isinstance(self._destination, QueueDestination)
                self._destination.replace_beginning(self._written, self.message.changed(disposition))
            assert self._destination is not None
            return self.message.commit(self._destination, disposition.header, disposition)
        except Exception as problem:
            self._fail(problem)
        refusal = self._refusal or LOCAL_ERROR
        self.message.refused(refusal)
        return refusal

    def abandon(self) -> None:
        destination, self._destination = self._destination, None
        self._disposition = None  # it refers to this object, which would then wait for the garbage collector
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
        if self._is_header_read:
            held += data
            if len(held) >= _LOOKED_AT:
                self._place(bytes(held), None)
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
        transaction = self._transaction
        transaction.header = lenient or header
        objection = self._policy.first_objection(transaction, _HEADER_READ)
        if objection is None and transaction.content_checks:
            objection = self._begin_checks(transaction.header, content[len(header.raw) :].removeprefix(b"\n"))
        if objection is not None:
            self._refuse(objection)
            return
        self._is_header_read, self._length = True, len(header.raw)
        self._header = self.message.editor.cleaned(header)
        if self.message.held_back and len(content) < _LOOKED_AT:
            self._held[:] = content
        else:
            self._place(content, None)

    def _begin_checks(self, header: HeaderBlock, body: bytes) -> Reply | None:
        checks = self._transaction.content_checks
        for check in checks:
            objection = check.header(header)
            if objection is not None:
                return objection
        self._body_checks = tuple(check for check in checks if check.needs_body)
        for check in self._body_checks:
            check.body(body)
        return None

    def _place(self, content: bytes, disposition: Disposition | None) -> None:
        header = self._header if disposition is None else disposition.header
        placed = self.message.place(header, content, disposition)
        self._destination, self._written = placed.destination, len(placed.header)
        self._destination.write(placed.header + content[self._length :])
        self._held.clear()
