"""A way to deliver, and what comes of it.

Rule 1: `deliver` settles every recipient of its job exactly once before it returns, as each host answers.
Rule 2: what one transport settled as done is nobody else's business any more; only what it could not do *softly* may
be handed to another.
Rule 3: a transport raises `HostBusy` and nothing else, and only while nothing has been sent to anybody: the job is to
be given to it again a moment later, less what it has settled.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple, Protocol

from smtpd_classic.client.content import MessageContent
from smtpd_classic.client.signing import unsigned
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.smtp.reply import Reply

__all__ = ["GREETING", "Action", "DeliveryJob", "HostBusy", "JobRecipient", "Outcome", "Peer", "Settle", "Transport"]


GREETING = "the connection"
"""In place of a command, for what a host says before any."""


class HostBusy(Exception):
    """As many connections to the host at `address` are open as are allowed."""

    def __init__(self, address: object) -> None:
        super().__init__(address)
        self.address = address


class Action(Enum):
    """What became of a recipient in one attempt, in the words of RFC 3464 2.3.3."""

    DELIVERED = "delivered"
    DELAYED = "delayed"
    FAILED = "failed"


class JobRecipient(Protocol):
    """One recipient; `notify` and `orcpt` are RFC 3461's, `original` the address that RCPT named here."""

    @property
    def address(self) -> str: ...
    @property
    def notify(self) -> frozenset[str]: ...
    @property
    def orcpt(self) -> str: ...
    @property
    def original(self) -> str: ...


class Peer(NamedTuple):
    """The other end of a session, or of one that did not come about."""

    name: str
    ip: str = ""
    port: int = 0

    def __str__(self) -> str:
        """As in the log: `mx.example.org[192.0.2.1]:25`."""
        address = f"[{self.ip}]" if self.ip else ""
        port = f":{self.port}" if self.port else ""
        return f"{self.name}{address}{port}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient in one attempt; a blank `recipient` means any of the job's.

    `command` is what `peer` answered with `reply`; blank when the reply is in our own words. `soft`: another host or
    transport may try. `unreachable`: no host got as far as taking a MAIL command, so that the next message would fare
    no better now. `begun`: MAIL was sent; `through_relay`: to the smarthost, so it counts as a try. `notifies`: the
    host has promised to send the notices of RFC 3461. `login_failed`: the host wants, or lacks, a login; other hosts
    of the same list may do, other transports not. `connected_s` and `sent_s` are how long the connection and the
    transaction took.
    """

    recipient: str
    action: Action
    reply: Reply
    peer: Peer | None = None
    command: str = ""
    soft: bool = False
    unreachable: bool = False
    begun: bool = False
    through_relay: bool = False
    notifies: bool = False
    login_failed: bool = False
    connected_s: float = 0.0
    sent_s: float = 0.0

    def of(self, recipient: str) -> "Outcome":
        """The same for another recipient."""
        return replace(self, recipient=recipient)


Settle = Callable[[list[Outcome]], None]


@dataclass(frozen=True, slots=True)
class DeliveryJob:
    """Some recipients of one message with the same next hop.

    `originates_here`: the message was submitted here, so that it may be converted for a host. `alone`: the message has
    no other recipient. `forced`: an administrator wants it tried now, even at hosts that are backing off. `note` gets a
    sentence for the log. `sign` gives a content, as the host takes it, with its signature on top; it raises CannotSign.
    `junk`: mailboxes here take it into their junk folders.
    """

    queue_id: str
    sender: str
    recipients: tuple[JobRecipient, ...]
    content: MessageContent
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False
    originates_here: bool = False
    alone: bool = False
    forced: bool = False
    transcript: Transcript = field(default_factory=Transcript)
    note: Callable[[str], None] = lambda sentence: None
    sign: Callable[[MessageContent], MessageContent] = unsigned
    junk: bool = False

    def only(self, addresses: set[str]) -> "DeliveryJob":
        """The same job for some of its recipients."""
        if all(each.address in addresses for each in self.recipients):
            return self
        return replace(self, recipients=tuple(each for each in self.recipients if each.address in addresses))

    def all(self, outcome: Outcome) -> list[Outcome]:
        """The same outcome for every recipient."""
        return [outcome.of(recipient.address) for recipient in self.recipients]


class Transport(Protocol):
    def deliver(self, job: DeliveryJob, settle: Settle) -> None: ...
