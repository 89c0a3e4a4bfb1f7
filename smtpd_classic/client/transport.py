"""The interface of a transport, its jobs and its outcomes.

Rule 1: `deliver` settles every recipient of its job exactly once before it returns, as each host replies.
Rule 2: a recipient that one transport settled is final; only one with a *soft* outcome may go to another transport.
Rule 3: a transport raises only `HostBusy`, and only while nothing has been sent to any host: the job must be given to
it again a moment later, without the recipients that it has settled.
"""

from collections.abc import Callable, Hashable
from enum import Enum
from typing import NamedTuple, Protocol

from smtpd_classic.client.content import MessageContent
from smtpd_classic.client.signing import unsigned
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.smtp.reply import Reply

__all__ = ["GREETING", "Action", "DeliveryJob", "HostBusy", "JobRecipient", "Outcome", "Peer", "Settle", "Transport"]


GREETING = "the connection"
"""The name that stands in place of a command for the greeting of a host."""


class HostBusy(Exception):
    """Raised when the allowed number of connections to the host at `place` is open."""

    def __init__(self, place: Hashable) -> None:
        super().__init__(place)
        self.place = place


class Action(Enum):
    """The result for a recipient in one attempt, in the words of RFC 3464 2.3.3."""

    DELIVERED = "delivered"
    DELAYED = "delayed"
    FAILED = "failed"


class JobRecipient(Protocol):
    """One recipient; `notify` and `orcpt` are those of RFC 3461, `original` is the address that RCPT named here."""

    @property
    def address(self) -> str: ...
    @property
    def notify(self) -> frozenset[str]: ...
    @property
    def orcpt(self) -> str: ...
    @property
    def original(self) -> str: ...


class Peer(NamedTuple):
    """The other end of a session, or of a session that could not be opened."""

    name: str
    ip: str = ""
    port: int = 0

    def __str__(self) -> str:
        """Return the form in the log: `mx.example.org[192.0.2.1]:25`."""
        address = f"[{self.ip}]" if self.ip else ""
        port = f":{self.port}" if self.port else ""
        return f"{self.name}{address}{port}"


class Outcome(NamedTuple):
    """The result for one recipient in one attempt; a blank `recipient` means any of the job's.

    `command` is the command that `peer` answered with `reply`; blank when the reply is in our own words. `soft`:
    another host or transport may be tried. `unreachable`: no host reached the point of accepting a MAIL command, so
    that the next message would fail now too. `begun`: MAIL was sent; `through_relay`: to the smarthost, so it counts as
    a try. `notifies`: the host has promised to send the notices of RFC 3461. `login_failed`: the host rejects our
    login, or offers none; other hosts of the same list may be tried, other transports not. `connected_s` and `sent_s`
    are the seconds that the connection and the transaction took.
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
        """Return the same outcome for another recipient."""
        return self._replace(recipient=recipient)


Settle = Callable[[list[Outcome]], None]


class DeliveryJob(NamedTuple):
    """Some recipients of one message with the same next hop.

    `originates_here`: the message was submitted here, so that it may be converted for a host. `alone`: the message has
    no other recipient. `forced`: an administrator wants it tried now, even at hosts that are backing off. `note` writes
    a sentence to the log. `sign` returns a content, in the form for the host, with its signature on top; it raises
    CannotSign. `junk`: mailboxes here take it into their junk folders. `notice`: a notice of this server. It quotes
    a header alone if the message has no form for the host.
    """

    queue_id: str
    sender: str
    recipients: tuple[JobRecipient, ...]
    content: MessageContent
    transcript: Transcript
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False
    originates_here: bool = False
    alone: bool = False
    forced: bool = False
    note: Callable[[str], None] = lambda sentence: None
    sign: Callable[[MessageContent], MessageContent] = unsigned
    junk: bool = False
    notice: bool = False

    def only(self, addresses: set[str]) -> "DeliveryJob":
        """Return the same job for some of its recipients."""
        kept = tuple([each for each in self.recipients if each.address in addresses])
        return self if len(kept) == len(self.recipients) else self._replace(recipients=kept)

    def all(self, outcome: Outcome) -> list[Outcome]:
        """Return the same outcome for every recipient."""
        return [outcome.of(recipient.address) for recipient in self.recipients]


class Transport(Protocol):
    def deliver(self, job: DeliveryJob, settle: Settle) -> None: ...
