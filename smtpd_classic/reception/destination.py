"""The place of a received message: the Maildirs at once, or the queue.

`commit()` returns once the message is durable (safe in a power cut) and the server is responsible for it. Otherwise it
raises the error of the disk, and nothing of the message is left.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue
from types import TracebackType
from typing import NamedTuple, Protocol

from smtpd_classic.log import WARNING, printable
from smtpd_classic.mailstore.incoming import Incoming
from smtpd_classic.mailstore.store import MailStoreBroken, MailStoreFull
from smtpd_classic.reception.parts import MessagePart, both
from smtpd_classic.services import Services
from spool import Draft, Envelope, Hold, NoSuchEntry, NotClaimed, Recipient, SpoolBroken, SpoolFull, new_queue_id
from spool.entry import JUNK

__all__ = [
    "DISK_TROUBLE",
    "NO_ROOM",
    "Destination",
    "IoSlot",
    "MailboxDestination",
    "MailboxesDestination",
    "QueueDestination",
    "without_first",
]

# The number of threads in a process that wait for the disk at once: as many as one write of the journal serves well.
# More of them only wake one another: with hundreds of sessions that costs a third of the rate.
_TURNS = 32

NO_ROOM = (SpoolFull, MailStoreFull)
DISK_TROUBLE = (SpoolFull, MailStoreFull, SpoolBroken, MailStoreBroken, OSError)


class Destination(Protocol):
    def write(self, data: bytes) -> None: ...

    def fill(self, position: int, data: bytes) -> None:
        """Replace octets that were written to keep room for fields."""

    def junk(self) -> None:
        """Put the message into the Maildirs for junk."""

    def commit(self, envelope: Callable[[], Envelope], now: float) -> tuple[Recipient, ...]:
        """Return the recipients that have the message already; the queue has the message for the others, with the
        envelope."""

    def abandon(self) -> None: ...


_turns: SimpleQueue[None] = SimpleQueue()  # a semaphore; those of `threading` are written in Python, and slower
for _ in range(_TURNS):
    _turns.put(None)


def without_first(pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
    """Yield the pieces without their first octets."""
    for piece in pieces:
        rest = piece[length:]
        length = max(0, length - len(piece))
        if rest:
            yield rest


class IoSlot:
    """A slot for durable writes. Hold it during the write, and never while waiting for another thread."""

    def __enter__(self) -> None:
        _turns.get()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        _turns.put(None)


class QueueDestination:
    """A queue file, perhaps on `hold`; `commit()` wakes the retry thread."""

    __slots__ = ("_draft", "_header", "_parts", "_services", "hold")

    def __init__(self, services: Services, queue_id: str) -> None:
        self.hold: Hold | None = None
        self._header = b""
        self._parts: list[MessagePart] = []
        self._services = services
        self._draft: Draft = services.spool.draft(queue_id)

    def content(self) -> Iterator[bytes]:
        """Yield the content written so far. Raises SpoolFull or SpoolBroken."""
        return self._draft.content()

    def replace_beginning(self, length: int, beginning: bytes) -> None:
        """Write other octets in place of the first ones: into a second file, for the length may differ."""
        with self._draft as old:
            pieces = without_first(old.content(), length)
            first = next(pieces, b"")  # opens the file, which can be read on without its name
            old.unlink()
            self._draft = self._services.spool.draft(old.queue_id)
            self._draft.write(beginning + first)
            for piece in pieces:
                self._draft.write(piece)

    def write(self, data: bytes) -> None:
        self._draft.write(data)

    def fill(self, position: int, data: bytes) -> None:
        raise ValueError("a queue file keeps the fields in its trailer")

    def junk(self) -> None:
        """Do nothing: the envelope names junk, and the delivery chooses the Maildir."""

    def hold_for(self, recipients: tuple[Recipient, ...], hold: Hold) -> None:
        """Let these recipients get a copy of their own, on hold."""
        self._parts.append(MessagePart(recipients, hold=hold))

    def hold_all(self, hold: Hold) -> None:
        """Put the message and its copies on hold, as a check has decided."""
        self.hold = hold if self.hold is None else both(hold, self.hold)
        self._parts = [replace(each, hold=hold if each.hold is None else both(hold, each.hold)) for each in self._parts]

    def add_parts(self, header: bytes, parts: list[MessagePart]) -> None:
        """Let these parts get copies of their own. `header` is the header block as it was written."""
        self._header = header
        self._parts += parts

    def commit(self, envelope: Callable[[], Envelope], now: float) -> tuple[Recipient, ...]:
        whole, main, parts = envelope(), None, self._parts
        if not whole.recipients:  # the first part takes the place of the message itself
            main, *parts = sorted(parts, key=lambda part: (part.archive, part.hold is not None))
        done: list[str] = []
        try:
            for part in parts:
                queue_id = self._commit_part(part, whole, now)
                done.append(queue_id)
                self._log(queue_id, part)
            if main is not None:
                if main.edit is not None:
                    self.replace_beginning(len(self._header), main.edit(self._header))
                whole, self.hold = main.envelope(whole), main.hold
                self._log(self._draft.queue_id, main)
            done.append(self._draft.commit(whole, now, self.hold))
        except BaseException:
            self._undo(done)
            raise
        for queue_id in done:
            self._services.runtime.wake(queue_id)
        return ()

    def _undo(self, queue_ids: list[str]) -> None:
        """Remove copies, so that the client's next try does not multiply them."""
        for queue_id in queue_ids:
            with suppress(NoSuchEntry, NotClaimed, SpoolFull, SpoolBroken):  # it is being delivered
                self._services.spool.delete(queue_id)

    def _commit_part(self, part: MessagePart, whole: Envelope, now: float) -> str:
        """Put a copy for one part into the queue; one on hold is delivered only when a person releases it. Return its
        queue id.
        """
        with self._services.spool.draft(new_queue_id(now)) as draft:
            pieces = self._draft.content()
            if part.edit is not None:
                draft.write(part.edit(self._header))
                pieces = without_first(pieces, len(self._header))
            for piece in pieces:
                draft.write(piece)
            return draft.commit(part.envelope(whole), now, part.hold)

    def _log(self, queue_id: str, part: MessagePart) -> None:
        log, names = self._services.log, ", ".join(printable(each.address, 256) for each in part.recipients[:20])
        if part.what:
            said = f"{queue_id}: {printable(part.what, 320)}: copy of {self._draft.queue_id}"
            log.write("smtpd", f"{said}, nrcpt={len(part.recipients)}")
        if part.hold is not None:
            why = "junk is not forwarded to" if part.hold.reason == JUNK else f"{part.hold}, for"
            log.write("smtpd", f"{queue_id}: held: {why} {names}")

    def abandon(self) -> None:
        self._draft.__exit__(None, None, None)


class MailboxDestination(NamedTuple):
    """A recipient, its Maildir, and its Maildir for junk."""

    recipient: Recipient
    folder: str
    junk: str


class MailboxesDestination:
    """The Maildirs of all recipients. `on_top` holds the fields that final delivery adds before the content, and the
    queue does not."""

    __slots__ = ("_incoming", "_is_junk", "_mailboxes", "_on_top", "_queue_id", "_services")

    def __init__(
        self, services: Services, queue_id: str, mailboxes: Iterable[MailboxDestination], on_top: bytes
    ) -> None:
        self._services = services
        self._queue_id = queue_id
        self._mailboxes = tuple(mailboxes)
        self._on_top = on_top
        self._is_junk = False
        self._incoming: Incoming = services.mail_store.incoming()

    def write(self, data: bytes) -> None:
        if self._on_top and not self._incoming.size:
            data = self._on_top + data
        self._incoming.write(data)

    def fill(self, position: int, data: bytes) -> None:
        self._incoming.overwrite(position, data)

    def junk(self) -> None:
        self._is_junk = True

    def _place(self, mailbox: MailboxDestination) -> str:
        return mailbox.junk if self._is_junk else mailbox.folder

    def commit(self, envelope: Callable[[], Envelope], now: float) -> tuple[Recipient, ...]:
        """Deliver to the Maildirs, and queue the message for the recipients of Maildirs that fail. If the queue fails
        too, remove the delivered copies, so that the client's next try does not multiply them."""
        folders = [self._place(mailbox) for mailbox in self._mailboxes]
        with self._incoming:
            try:
                left = self._incoming.deliver(folders, is_junk=self._is_junk)
            except (MailStoreFull, MailStoreBroken) as problem:
                self._queue(envelope(), folders, now, problem)
                left = folders
            else:
                if not left:
                    return tuple([each.recipient for each in self._mailboxes])
                self._queue(envelope(), left, now, None)
        return tuple(each.recipient for each in self._mailboxes if self._place(each) not in left)

    def _queue(self, envelope: Envelope, folders: list[str], now: float, problem: Exception | None) -> None:
        """Queue the message for the Maildirs that failed. Raises `problem`, the first error, if the queue fails too."""
        waiting = tuple(each.recipient for each in self._mailboxes if self._place(each) in folders)
        try:
            with self._services.spool.draft(self._queue_id) as draft:
                for chunk in without_first(self._incoming.chunks(), len(self._on_top)):
                    draft.write(chunk)
                draft.commit(envelope._replace(recipients=waiting), now)
        except BaseException as second:
            self._incoming.undo()
            raise (problem or second) from None
        said = f"{self._queue_id}: queued for {', '.join(folders)}: {problem or 'could not be linked'}"
        self._services.log.write("local", f"warning: {said}", WARNING)
        self._services.runtime.wake(self._queue_id)

    def abandon(self) -> None:
        try:
            self._incoming.abandon()
        except DISK_TROUBLE:
            return
