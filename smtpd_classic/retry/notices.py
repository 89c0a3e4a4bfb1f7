"""Notifications: bounces, delay notices, notices of success, double bounces, and notices to the postmaster.

Rule 1: the null sender never gets a notification, and every notification is sent from it. So no notification is ever
answered by another one.
Rule 2: a bounce that cannot be delivered goes to the postmaster. A message is held if a notification to the postmaster
cannot be delivered.
Rule 3: the sender of a quarantined message gets none either, unless it was sent from here; the postmaster gets its
bounce.
Rule 4: a notification is in the queue before the state that it reports is written, so that a crash repeats it rather
than losing it.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from typing import NamedTuple, Protocol

from smtpd_classic.accounts import AccountsUnreadable
from smtpd_classic.client.content import ContentSource, MessageContent
from smtpd_classic.client.network import Target
from smtpd_classic.config.schema import Config
from smtpd_classic.domain_name import comparable_address
from smtpd_classic.dsn import Notification, RecipientStatus, compose, eight_bit
from smtpd_classic.postmaster import PostmasterMail
from smtpd_classic.retry.journal import DeliveryLog
from smtpd_classic.runtime import NeighbourState
from smtpd_classic.smtp.address import NULL_SENDER
from spool import Claim, Entry, EntryContent, Recipient, SpoolBroken, SpoolFull, new_queue_id

__all__ = ["AuthorsMessage", "NoticeResult", "Notices", "Original"]

_DAY_S = 86_400.0
_LOGIN_REFUSED = (
    "The mail server {name}, port {port}, does not accept the login of this server as “{user}” any more. It said: "
    "{reply}\n\nPerhaps the password has expired or was changed. Mail for that server waits in the queue until the "
    "login works again or its life time ends; nothing has been returned because of this.\n\nEnter the new password on "
    "the Remote Delivery tab, or for a direct domain on the Direct Delivery tab. You are told once a day as long as it "
    "does not work."
)


_NULL_SENDER = (
    "This message came from the null sender, as notifications do, and could not be delivered. It cannot be "
    "returned, so you get it."
)
_QUARANTINED = (
    "This message was released from the quarantine and could not be delivered. Its sender is a stranger and gets no "
    "notice, so you get it."
)
_MILTER_DOWN = (
    "The milter {name} does not work since {since}: {reason}\n\n{outcome}\n\nStart the program of the milter, or "
    "correct its address on the Milters tab. “smtpd-classic test milter {name}” shows whether it can be reached. This "
    "message is sent once; there is another one when the milter fails again."
)
_WHEN_DOWN = {
    "defer": "Messages for it are deferred (when_down = defer): other servers try again later, users get an error.",
    "accept": "Messages are accepted without it (when_down = accept).",
    "refuse": "Messages for it are refused (when_down = refuse).",
}


class Original(Protocol):
    """The message of a notice: a claimed entry, or a message that never became an entry."""

    @property
    def entry(self) -> Entry: ...

    @property
    def quarantined(self) -> bool: ...

    def open_content(self) -> AbstractContextManager[ContentSource]: ...


class AuthorsMessage(NamedTuple):
    """A message for the notices to its author: the copy of a group has another reverse-path and other parameters."""

    claim: Claim

    @property
    def entry(self) -> Entry:
        entry = self.claim.entry
        return entry._replace(envelope=entry.envelope.of_author)

    @property
    def quarantined(self) -> bool:
        return self.claim.quarantined

    def open_content(self) -> EntryContent:
        return self.claim.open_content()


class NoticeResult(Enum):
    """The result of a notice about a failed message."""

    TOLD = "told, or nobody wanted to know"
    HOLD = "there is nobody left to tell"
    LATER = "it cannot be told now"


class _Notice(NamedTuple):
    """One notice: its name in the log, its recipient and its content. `whole` quotes the message and not only its
    headers.
    """

    what: str
    to: str
    fates: tuple[RecipientStatus, ...]
    preface: str = ""
    whole: bool = False


class Notices:
    """The notices of one process."""

    def __init__(self, config: Config, mail: PostmasterMail, clock: Callable[[], float], journal: DeliveryLog) -> None:
        self._config = config
        self._mail = mail
        self._clock = clock
        self._journal = journal
        self._telling = threading.Lock()
        self._told = os.path.join(config.server.spool_folder, "told")

    def failed(self, claim: Original, fates: Sequence[tuple[Recipient, RecipientStatus]]) -> NoticeResult:
        """Notify the sender that these recipients will not get the message."""
        envelope = claim.entry.envelope
        if envelope.archive:
            self._journal.held(claim.entry, "the archive does not take its copy")
            return NoticeResult.HOLD
        if envelope.sender == NULL_SENDER or _is_strangers(claim):
            return self._double_bounce(claim, fates)
        wanted = tuple(fate for recipient, fate in fates if not recipient.notify or "FAILURE" in recipient.notify)
        if not wanted:
            return NoticeResult.TOLD
        whole = envelope.ret == "FULL"
        notice = _Notice("sender non-delivery notification", envelope.sender, wanted, whole=whole)
        verdict = self._send(claim, notice)
        if verdict is NoticeResult.TOLD:
            self._copy(claim, wanted)
            return verdict
        if verdict is NoticeResult.LATER:
            return verdict
        words = f"The bounce for <{envelope.sender}> cannot be delivered, because there is no such address here."
        return self._to_postmaster(claim, wanted, words)

    def delayed(self, claim: Original, fates: Sequence[tuple[Recipient, RecipientStatus]]) -> bool:
        """Notify the sender, once, that the message is late. Return True if that is settled."""
        wanted = tuple(fate for recipient, fate in fates if not recipient.notify or "DELAY" in recipient.notify)
        sender = claim.entry.envelope.sender
        if not wanted or sender == NULL_SENDER or _is_strangers(claim):
            return True
        return self._send(claim, _Notice("sender delay notification", sender, wanted)) is not NoticeResult.LATER

    def succeeded(self, claim: Original, fates: Sequence[RecipientStatus]) -> None:
        """Notify the sender, where the sender requested it, that the message was delivered, relayed or expanded."""
        sender = claim.entry.envelope.sender
        if sender == NULL_SENDER or _is_strangers(claim):
            return
        for action in ("expanded", "delivered", "relayed"):
            same = tuple(fate for fate in fates if fate.action == action)
            if same:
                self._send(claim, _Notice("sender delivery status notification", sender, same))

    def posted(self, claim: Claim) -> None:
        """Notify the author, where it requested this, that the group has the message: for the author this is its final
        delivery (RFC 3461 5.2.7.1).
        """
        fates = [
            RecipientStatus(each.address, "delivered", "2.0.0", original=each.original, orcpt=each.orcpt)
            for each in claim.entry.envelope.posted_to
            if "SUCCESS" in each.notify
        ]
        if fates:
            self.succeeded(AuthorsMessage(claim), fates)

    def login_refused(self, target: Target, reply: str) -> None:
        """Notify the postmaster, once a day, that a remote server rejects our credentials."""
        now, mark, name = self._clock(), self._mark(target), target.peer.name
        user = target.login.user if target.login else ""
        words = _LOGIN_REFUSED.format(name=name, port=target.peer.port, user=user, reply=reply)
        subject = f"The login at {name} is refused: mail is waiting"
        try:
            with self._telling:
                if not _is_from_today(mark, now) and self._mail.post(self._config.postmaster, subject, words):
                    self._remember(mark, now)
        except (SpoolFull, SpoolBroken, AccountsUnreadable, OSError) as problem:
            self._journal.warning("", f"the postmaster could not be told of a refused login: {problem}")

    def milter_down(self, state: NeighbourState) -> None:
        """Notify the postmaster that a milter is down. Raises the errors of spool and accounts."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state.since))
        options = next(each for each in self._config.milters if each.name == state.name)
        words = _MILTER_DOWN.format(
            name=state.name, since=since, reason=state.reason, outcome=_WHEN_DOWN[options.when_down]
        )
        self._mail.post(self._config.postmaster, f"The milter {state.name} is down", words)

    def login_accepted(self, target: Target) -> None:
        """Forget the last notice of a refused login, so that the next refusal is notified at once."""
        try:
            os.unlink(self._mark(target))
        except OSError:
            return

    def _double_bounce(self, claim: Original, fates: Sequence[tuple[Recipient, RecipientStatus]]) -> NoticeResult:
        postmaster = self._config.postmaster
        try:
            targets = {recipient.address for recipient in self._mail.recipients(postmaster)}
        except AccountsUnreadable:
            return NoticeResult.LATER
        if any(
            recipient.address in targets or postmaster in {recipient.address, recipient.original}
            for recipient, _ in fates
        ):
            self._journal.held(claim.entry, "a notification to the postmaster cannot be delivered")
            return NoticeResult.HOLD
        words = _QUARANTINED if _is_strangers(claim) else _NULL_SENDER
        return self._to_postmaster(claim, tuple(fate for _, fate in fates), words)

    def _to_postmaster(self, claim: Original, fates: tuple[RecipientStatus, ...], words: str) -> NoticeResult:
        notice = _Notice("double bounce to the postmaster", self._config.postmaster, fates, words)
        verdict = self._send(claim, notice)
        if verdict is NoticeResult.HOLD:
            self._journal.held(claim.entry, "the address of the postmaster does not exist")
        return verdict

    def _copy(self, claim: Original, fates: tuple[RecipientStatus, ...]) -> None:
        mode, postmaster = self._config.basic.copy_bounces, self._config.postmaster
        sender = claim.entry.envelope.sender
        if mode == "none" or comparable_address(sender) == comparable_address(postmaster):
            return
        words = f"This is the postmaster's copy of a bounce to <{sender}>."
        self._send(claim, _Notice("postmaster non-delivery notification", postmaster, fates, words, mode == "full"))

    def _send(self, claim: Original, notice: _Notice) -> NoticeResult:
        """Queue the notice. Return HOLD if its address is local and does not exist."""
        now = self._clock()
        try:
            recipients = self._mail.recipients(notice.to)
            if not recipients:
                return NoticeResult.HOLD
            original = MessageContent(claim.open_content)
            header = original.header()
            content_8bit = notice.whole and original.facts().eight_bit
            note = self._notification(claim.entry, notice, now)
            pieces = compose(note, header, original.chunks() if notice.whole else None, content_8bit=content_8bit)
            needs_8bit = eight_bit(note, header, content_8bit=content_8bit)
            self._mail.commit(note.token, recipients, pieces, now, body_8bit=needs_8bit)
        except (SpoolFull, SpoolBroken, AccountsUnreadable) as problem:
            self._journal.warning(claim.entry.queue_id, f"a notification could not be queued: {problem}")
            return NoticeResult.LATER
        self._journal.notified(claim.entry, notice.what, note.token)
        return NoticeResult.TOLD

    def _notification(self, entry: Entry, notice: _Notice, now: float) -> Notification:
        return Notification(
            entry.queue_id,
            new_queue_id(now),
            self._config.helo_name,
            self._config.postmaster,
            notice.to,
            entry.arrival,
            now,
            notice.fates,
            envid=entry.envelope.envid,
            preface=notice.preface,
        )

    def _mark(self, target: Target) -> str:
        about = f"{target.peer.name}:{target.peer.port} {target.login.user if target.login else ''}"
        return os.path.join(self._told, hashlib.sha256(about.encode()).hexdigest()[:32])

    def _remember(self, mark: str, now: float) -> None:
        os.makedirs(self._told, mode=0o700, exist_ok=True)
        with open(mark, "wb"):
            os.utime(mark, (now, now))


def _is_strangers(claim: Original) -> bool:
    """Return True for a message of a stranger that was in quarantine: its sender address is perhaps forged."""
    return claim.quarantined and not claim.entry.envelope.originates_here


def _is_from_today(mark: str, now: float) -> bool:
    try:
        return 0 <= now - os.stat(mark).st_mtime < _DAY_S
    except OSError:
        return False
