"""The records of the spool. An `Envelope` is written once and never changes; each attempt replaces the `State`."""

from typing import NamedTuple

__all__ = [
    "ADMINISTRATOR",
    "APPROVAL",
    "BY_HAND",
    "DELIVERED",
    "FAILED",
    "JUNK",
    "OVER_LIMIT",
    "QUARANTINE",
    "RESTORED",
    "UNDELIVERABLE",
    "WAITING",
    "Entry",
    "Envelope",
    "Hold",
    "Listed",
    "Recipient",
    "RecipientState",
    "State",
    "untried",
]

WAITING, DELIVERED, FAILED = "waiting", "delivered", "failed"
# The reasons of a hold. Programs read them too (JSON), so a text never changes.
BY_HAND, JUNK, RESTORED, UNDELIVERABLE = "by hand", "junk", "restored", "undeliverable"
OVER_LIMIT, QUARANTINE, APPROVAL = "over limit", "quarantine", "waiting for approval"
ADMINISTRATOR = "the administrator"
_APPROVED = "approved by "
_QUARANTINED = frozenset({JUNK, QUARANTINE})


class Hold(NamedTuple):
    """The reason why a message waits until an administrator releases it, details in one line, and since when.

    `approval` names the section of an approval that the message needs after the release.
    """

    reason: str = BY_HAND
    text: str = ""
    since: float = 0.0
    approval: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.text}" if self.text else self.reason

    @property
    def is_quarantine(self) -> bool:
        """Return True if a filter put the message on hold: then a stranger who sent it gets no notice about it."""
        return self.reason in _QUARANTINED


class Recipient(NamedTuple):
    """One recipient after alias expansion.

    `notify` and `orcpt` are those of RFC 3461; `original` is the address that RCPT named.
    """

    address: str
    notify: frozenset[str] = frozenset()
    orcpt: str = ""
    original: str = ""


class Envelope(NamedTuple):
    """The sender, the recipients and other facts that an attempt needs; `ret` and `envid` are those of RFC 3461.

    `originates_here`: from an authenticated, trusted or local client, so that header replacement applies.
    `forwarded_from`: the local alias through which the message leaves again. `sign`: its copies for other servers get a
    signature of the author's domain (DKIM). `fields` are put on top of every copy; `junk` sends the copies for
    mailboxes here into the junk folders. `archive`: a copy for an archive, which is never given up. `author`: the
    sender of the message, if the reverse-path of the copy is another one (that of a group). `posted_to`, `author_ret`
    and `author_envid` are the recipient that this author named, the group with its parameters, and those of MAIL: a
    group begins anew, and its copies have none of them (RFC 3461 5.2.7.1).
    """

    sender: str
    recipients: tuple[Recipient, ...]
    ret: str = ""
    envid: str = ""
    body_8bit: bool = False
    smtputf8: bool = False
    login: str = ""
    client: str = ""
    originates_here: bool = False
    forwarded_from: str = ""
    sign: bool = False
    fields: str = ""
    junk: bool = False
    archive: bool = False
    author: str = ""
    posted_to: tuple[Recipient, ...] = ()
    author_ret: str = ""
    author_envid: str = ""

    @property
    def origin(self) -> str:
        """Return the address that gets the notices about a hold."""
        return self.author or self.sender

    @property
    def of_author(self) -> "Envelope":
        """Return the envelope for notices to the author of the message."""
        if not self.author:
            return self
        return self._replace(sender=self.author, ret=self.author_ret, envid=self.author_envid)


class Entry(NamedTuple):
    """A message in the spool; `size` is that of its content alone."""

    queue_id: str
    arrival: float
    envelope: Envelope
    size: int


class RecipientState(NamedTuple):
    """The state of one recipient; `at` is the time of the last try, or of the delivery or failure.

    `command` is the command that `host` answered with `last_reply`; blank if that is in our own words. Then
    `remote_reply` of `remote_host` is the last reply of a host before it. Older versions wrote none of the three.
    """

    address: str
    state: str = WAITING
    attempts: int = 0
    relay_attempts: int = 0
    last_reply: str = ""
    enhanced: str = ""
    host: str = ""
    at: float = 0.0
    command: str = ""
    remote_reply: str = ""
    remote_host: str = ""


class State(NamedTuple):
    """The state of a message.

    `recipients` has one item for each recipient of the envelope, in the same order; `next_attempt` 0.0 means at once.
    `hold_reason`, `hold_text` and `held_since` tell about a hold; older versions wrote none of them. `held_s` is the
    length of all earlier holds, in which the life time in the queue stood still. `quarantined` stays after a release.
    `uncounted`: it was over a sending limit; its recipients are counted after the release. `hold_notified`: the sender
    knows of the hold, or the managers do. `decision`: “approved by …” or “refused by …”, until the sender is told.
    `approval`: the section of an approval that the message needs after its present hold.
    """

    recipients: tuple[RecipientState, ...]
    attempts: int = 0
    first_attempt: float = 0.0
    last_attempt: float = 0.0
    next_attempt: float = 0.0
    delay_notified: bool = False
    transcript: str = ""
    held: bool = False
    hold_reason: str = ""
    hold_text: str = ""
    held_since: float = 0.0
    held_s: float = 0.0
    quarantined: bool = False
    uncounted: bool = False
    hold_notified: bool = False
    decision: str = ""
    approval: str = ""

    @property
    def hold(self) -> Hold | None:
        """The present hold; None if the message is not held."""
        return Hold(self.hold_reason or BY_HAND, self.hold_text, self.held_since) if self.held else None

    def on_hold(self, hold: Hold) -> "State":
        """Return the state with this hold. One that is held already keeps the time at which that began. Approval is
        still needed after a hold that takes its place.
        """
        since = self.held_since if self.held else hold.since
        approval = hold.approval or self.approval
        if self.held and self.hold_reason == APPROVAL and hold.reason not in {APPROVAL, UNDELIVERABLE}:
            approval = self.hold_text
        return self._replace(
            held=True,
            hold_reason=hold.reason,
            hold_text=hold.text,
            held_since=since,
            quarantined=self.quarantined or hold.is_quarantine,
            uncounted=self.uncounted or hold.is_quarantine or hold.reason in {OVER_LIMIT, APPROVAL},
            approval=approval,
        )

    def after(
        self,
        recipients: tuple[RecipientState, ...],
        first_attempt: float,
        last_attempt: float,
        next_attempt: float,
        delay_notified: bool,
        transcript: str,
    ) -> "State":
        """Return the state after one more attempt; a hold stays."""
        return self._replace(
            recipients=recipients,
            attempts=self.attempts + 1,
            first_attempt=first_attempt,
            last_attempt=last_attempt,
            next_attempt=next_attempt,
            delay_notified=delay_notified,
            transcript=transcript,
        )

    def released(self, now: float) -> "State":
        """Return the state without a hold, or on hold for the approval that is needed after it. The life time in the
        queue goes on `now`.
        """
        decision = self.decision
        if self.held and self.hold_reason == APPROVAL and not decision.startswith(_APPROVED):
            decision = f"{_APPROVED}{ADMINISTRATOR}"  # also of a refused message that is not returned yet
        held_s = self.held_s + (max(now - self.held_since, 0.0) if self.held_since else 0.0)
        state = self._replace(held_s=held_s, decision=decision, approval="")
        if self.approval:
            return state._replace(hold_reason=APPROVAL, hold_text=self.approval, held_since=now, uncounted=True)
        return state._replace(held=False, hold_reason="", hold_text="", held_since=0.0)

    def decided(self, by: str, *, approved: bool, now: float) -> "State":
        """Return the state after the decision of a manager; a refused message stays on hold until it is returned."""
        if approved:
            return self._replace(decision=f"{_APPROVED}{by}").released(now)
        return self._replace(decision=f"refused by {by}")

    @property
    def done(self) -> bool:
        """Return True if every recipient is delivered or failed."""
        return all(recipient.state != WAITING for recipient in self.recipients)


class Listed(NamedTuple):
    """A row of the queue, made without opening a file; `size` and `inode` are those of the file."""

    queue_id: str
    arrival: float
    size: int
    next_attempt: float
    attempted: bool
    held: bool
    inode: int = 0


def untried(entry: Entry) -> State:
    """Return the state of an entry that has none on disk."""
    return State(tuple([RecipientState(recipient.address) for recipient in entry.envelope.recipients]))
