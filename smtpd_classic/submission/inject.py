"""Injects a message from maildrop/ on behalf of its user, and bounces it where it cannot go.

The `sendmail` that left it has ended, so a bounce takes the place of the exit status.
"""

from collections.abc import Iterator
from typing import NamedTuple

from smtpd_classic.dsn import RecipientStatus as Told
from smtpd_classic.log import delay_text, printable
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.message.trace import date_text
from smtpd_classic.postmaster import PostmasterMail
from smtpd_classic.reception.local_session import LocalSession
from smtpd_classic.retry.journal import DeliveryLog
from smtpd_classic.retry.notices import NoticeResult, Notices
from smtpd_classic.services import Services
from smtpd_classic.submission.conversation import ChannelBroken, Conversation, ServerAnswer, SubmissionResult
from smtpd_classic.submission.message import SubmittedMessage, content, qualified
from spool import Entry, Envelope, Recipient, new_queue_id

__all__ = ["InjectionResult", "Injector"]

_EXPIRED = "4.4.7"


class InjectionResult(NamedTuple):
    """`left` are the recipients that could not be had now, and why. `hopeless`: others cannot be had at all, and there
    is no sender to notify."""

    queue_ids: list[str]
    left: dict[str, ServerAnswer]
    hopeless: bool = False


class Injector:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._journal = DeliveryLog(services.log, services.runtime.counters, services.clock)
        mail = PostmasterMail(services.config, services.spool, services.accounts, services.clock, self._wake)
        self._notices = Notices(services.config, mail, services.clock, self._journal)

    def post(self, message: SubmittedMessage, uid: int, arrival: float) -> InjectionResult:
        """Submit the message. Raises the errors of its body; then some recipients may have got it already."""
        message = _dated(message, arrival)
        result, domain = self._submitted(message, uid)
        if result.left and self._services.clock() - arrival > self._lifetime_s:
            given_up = {each: ServerAnswer(answer.code, _EXPIRED, str(answer)) for each, answer in result.left.items()}
            result.refused, result.left = result.refused | given_up, {}
        if not result.refused:
            return InjectionResult(result.queue_ids, result.left)
        verdict = self._tell(_Undelivered(message, domain, result.refused, arrival, self._services.clock()), uid)
        if verdict is NoticeResult.LATER:
            return InjectionResult(result.queue_ids, result.left | result.refused)
        return InjectionResult(result.queue_ids, result.left, hopeless=verdict is NoticeResult.HOLD)

    @property
    def _lifetime_s(self) -> float:
        return self._services.config.basic.queue_lifetime.total_seconds()

    def _submitted(self, message: SubmittedMessage, uid: int) -> tuple[SubmissionResult, str]:
        session = LocalSession(self._services, uid)
        reason = "internal error"
        try:
            conversation = Conversation(session)
            conversation.open()
            result = conversation.submit(message)
            conversation.close()
            reason = "quit"
        except ChannelBroken as problem:
            result = SubmissionResult()
            result.left = dict.fromkeys(message.recipients, ServerAnswer(421, "4.3.0", str(problem)))
        finally:
            session.close(reason)
        return result, conversation.domain

    def _tell(self, original: "_Undelivered", uid: int) -> NoticeResult:
        entry, now, log = original.entry, self._services.clock(), self._services.log
        told = list(zip(entry.envelope.recipients, original.statuses, strict=True))
        log.write("pickup", f"{entry.queue_id}: uid={uid} from=<{printable(entry.envelope.sender, 256)}>")
        self._journal.active(entry)
        waited = f"delay={delay_text(now - entry.arrival)}, delays={delay_text(now - entry.arrival)}/0/0/0"
        for _, each in told:
            status = f"dsn={each.status}, status=bounced ({printable(each.said, 900)})"
            log.write(
                "local", f"{entry.queue_id}: to=<{printable(each.recipient, 256)}>, relay=none, {waited}, {status}"
            )
        verdict = self._notices.failed(original, told)
        if verdict is NoticeResult.TOLD:
            self._services.runtime.counters.count("bounced", len(told))
            self._journal.removed(entry)
        return verdict

    def _wake(self, queue_id: str) -> None:
        self._services.runtime.wake(queue_id)


def _dated(message: SubmittedMessage, arrival: float) -> SubmittedMessage:
    """With the time when it was written, not that of its delivery."""
    if HeaderBlock(message.header).has(b"date"):
        return message
    return message._replace(header=message.header + f"Date: {date_text(arrival)}\n".encode())


class _Undelivered:
    """The original message of a notice for the recipients that got no copy."""

    def __init__(
        self, message: SubmittedMessage, domain: str, refused: dict[str, ServerAnswer], arrival: float, now: float
    ) -> None:
        self._message = message
        self._domain = domain
        sender = qualified(message.sender, domain)
        self.statuses = tuple(
            Told(qualified(recipient, domain), "failed", answer.enhanced or "5.0.0", str(answer), last_attempt=now)
            for recipient, answer in refused.items()
        )
        notify = frozenset(message.notify.split(",")) - {""}
        recipients = tuple(Recipient(status.recipient, notify) for status in self.statuses)
        utf8 = not all(map(str.isascii, [sender, *(each.address for each in recipients)]))
        envelope = Envelope(
            sender, recipients, ret=message.ret, envid=message.envid, body_8bit=message.eight_bit, smtputf8=utf8
        )
        self.entry = Entry(new_queue_id(now), arrival, envelope, message.size)

    quarantined = False

    def open_content(self) -> "_PieceReader":
        return _PieceReader(content(self._message, self._domain))


class _PieceReader:
    """The pieces of a content as a file to read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""

    def __enter__(self) -> "_PieceReader":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def read(self, size: int = -1, /) -> bytes:
        while size < 0 or len(self._held) < size:
            piece = next(self._pieces, b"")
            if not piece:
                size = len(self._held)
                break
            self._held += piece
        data, self._held = self._held[:size], self._held[size:]
        return data
