"""The plan of one attempt: groups of recipients, each with its route, its sender and its content.

The plan is made anew for every attempt, so that a change of the configuration also applies to queued messages.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from smtpd_classic.accounts import Accounts
from smtpd_classic.client.content import ContentSource, MessageContent, Opener
from smtpd_classic.client.routes import Route, Routes
from smtpd_classic.client.signing import MessageSigner, unsigned
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.transport import Action, DeliveryJob, JobRecipient, Outcome, Settle
from smtpd_classic.config.schema import Config
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.rewriting import NO_REWRITING, Rewriting, rewriting_for
from smtpd_classic.message.trace import delivered_to, without_delivery_fields
from smtpd_classic.smtp.address import NULL_SENDER, split_address
from smtpd_classic.smtp.reply import Reply
from smtpd_classic.tnef import convert, suspect

__all__ = ["AttemptPlanner", "PendingRecipient", "QueuedMessage", "RoutedJob"]

_MOST_RECIPIENTS = 100
_OWN_TRACE = 4096  # octets that our own trace header may add to a message that was just small enough on arrival
_OVERLAP = 32


class EnvelopeView(Protocol):
    """The part of an envelope that an attempt needs; `spool.Envelope` has it."""

    @property
    def sender(self) -> str: ...
    @property
    def ret(self) -> str: ...
    @property
    def envid(self) -> str: ...
    @property
    def smtputf8(self) -> bool: ...
    @property
    def originates_here(self) -> bool: ...
    @property
    def sign(self) -> bool: ...
    @property
    def fields(self) -> str: ...
    @property
    def junk(self) -> bool: ...


class QueuedMessage(NamedTuple):
    """A message to be tried. `alone`: it has one recipient in all. `size` is that of the stored content."""

    queue_id: str
    envelope: EnvelopeView
    open_content: Opener
    size: int
    alone: bool
    forced: bool = False
    note: Callable[[str], None] = lambda sentence: None


class PendingRecipient(NamedTuple):
    """A recipient to be tried now."""

    recipient: JobRecipient
    relay_exhausted: bool = False


class RoutedJob(NamedTuple):
    """A job and its route."""

    route: Route
    job: DeliveryJob


@dataclass(frozen=True, slots=True)
class _Refuse:
    """A transport that gives every recipient the same outcome, without a host."""

    outcome: Outcome

    def deliver(self, job: DeliveryJob, settle: Settle) -> None:
        settle(job.all(self.outcome))


class AttemptPlanner:
    """The maker of plans.

    `forward` rewrites the sender of mail that an alias forwards. `complain` gets a sentence about TNEF that cannot be
    converted.
    """

    def __init__(
        self,
        config: Config,
        routes: Routes,
        accounts: Accounts,
        forward: Callable[[str], str],
        complain: Callable[[str], None],
        signer: MessageSigner,
    ) -> None:
        self._signer = signer
        self._config = config
        self._routes = routes
        self._is_local_domain = accounts.is_local_domain
        self._forward = forward
        self._complain = complain
        self._local = rewriting_for(config.replacements, local=True)
        self._remote = rewriting_for(config.replacements, local=False)

    def errands(self, message: QueuedMessage, wanted: Iterable[PendingRecipient]) -> list[RoutedJob]:
        """Return the jobs of an attempt.

        Recipients with the same route, sender and content share a job, up to a limit of recipients.
        """
        groups: dict[tuple[str, str, str], tuple[Route, list[JobRecipient]]] = {}
        for each in wanted:
            route = self._routes.route(each.recipient.address, relay_exhausted=each.relay_exhausted)
            forwarded_by = "" if route.local else _forwarded_by(each.recipient)
            sender = message.envelope.sender if route.local else self._sender(message.envelope, forwarded_by)
            key = (route.destination, sender, forwarded_by)
            groups.setdefault(key, (route, []))[1].append(each.recipient)
        contents: dict[tuple[bool, str], tuple[MessageContent, Callable[[MessageContent], MessageContent]]] = {}
        errands: list[RoutedJob] = []
        for (_, sender, forwarded_by), (route, recipients) in groups.items():
            kind = (route.local, forwarded_by)
            if kind not in contents:
                sign = unsigned if route.local else self._signer.signer(message.envelope, message.note)
                contents[kind] = self._content(message, forwarded_by, local=route.local), sign
            for at in range(0, len(recipients), _MOST_RECIPIENTS):
                batch = tuple(recipients[at : at + _MOST_RECIPIENTS])
                job = _job(message, sender, batch, *contents[kind])
                errands.append(RoutedJob(self._checked(route, message), job))
        return errands

    def _checked(self, route: Route, message: QueuedMessage) -> Route:
        limit = self._config.basic.max_outgoing_size
        # Mail of others was measured on arrival; a bounce to its sender would be backscatter.
        ours = message.envelope.originates_here
        if route.local or not ours or not 0 < limit < message.size - _OWN_TRACE:
            return route
        reply = Reply(552, "5.3.4", f"the message is too big: mail for other servers may have {limit} octets")
        return route._replace(transport=_Refuse(Outcome("", Action.FAILED, reply)))

    def _sender(self, envelope: EnvelopeView, forwarded_by: str) -> str:
        sender = envelope.sender
        if sender == NULL_SENDER:
            return sender
        if envelope.originates_here:
            sender = self._remote.sender(sender)
        ours = self._is_local_domain(split_address(sender)[1])
        return self._forward(sender) if forwarded_by and not ours and self._config.remote.srs else sender

    def _content(self, message: QueuedMessage, forwarded_by: str, *, local: bool) -> MessageContent:
        rewriting = self._local if local else self._remote
        if not message.envelope.originates_here:
            rewriting = NO_REWRITING
        on_top = message.envelope.fields.encode("utf-8")
        if forwarded_by:
            on_top = delivered_to(forwarded_by) + on_top
        open_content = message.open_content
        if self._config.basic.convert_tnef and (local or message.envelope.originates_here):
            open_content = _Converted(message, self._complain).open
        edit = (lambda raw: self._delivered(rewriting, raw)) if local else rewriting.header
        return MessageContent(open_content, edit, on_top)

    def _delivered(self, rewriting: Rewriting, raw: bytes) -> bytes:
        return without_delivery_fields(HeaderBlock(rewriting.header(raw)), self._is_local_domain)


class _Converted:
    """The content with its TNEF parts converted, where that is possible.

    The delivery thread that opens it first converts it, because that may take a while.
    """

    def __init__(self, message: QueuedMessage, complain: Callable[[str], None]) -> None:
        self._message = message
        self._complain = complain
        self._lock = threading.Lock()
        self._opener: Opener | None = None

    def open(self) -> AbstractContextManager[ContentSource]:
        with self._lock:
            if self._opener is None:
                self._opener = self._convert()
        return self._opener()

    def _convert(self) -> Opener:
        open_content = self._message.open_content
        if not _suspect(open_content):
            return open_content
        with open_content() as source:
            made = convert(source.read(), lambda words: self._complain(f"{self._message.queue_id}: {words}"))
        return open_content if made is None else MessageContent.of(made).open


def _suspect(open_content: Opener) -> bool:
    with open_content() as source:
        return any(suspect(piece) for piece in _pieces(source))


def _pieces(source: ContentSource) -> Iterable[bytes]:
    """Yield pieces that overlap, so that no word is cut in two."""
    tail = b""
    while chunk := source.read(64 * 1024):
        yield tail + chunk
        tail = chunk[-_OVERLAP:]


def _forwarded_by(recipient: JobRecipient) -> str:
    """Return the local address that led to this recipient, or ""."""
    return recipient.original if recipient.original != recipient.address else ""


def _job(
    message: QueuedMessage,
    sender: str,
    recipients: tuple[JobRecipient, ...],
    content: MessageContent,
    sign: Callable[[MessageContent], MessageContent],
) -> DeliveryJob:
    envelope = message.envelope
    return DeliveryJob(
        message.queue_id,
        sender,
        recipients,
        content,
        Transcript(),
        envelope.ret,
        envelope.envid,
        envelope.smtputf8,
        envelope.originates_here,
        message.alone,
        message.forced,
        note=message.note,
        sign=sign,
        junk=envelope.junk,
        notice=envelope.sender == NULL_SENDER and envelope.sign and not envelope.originates_here,
    )
