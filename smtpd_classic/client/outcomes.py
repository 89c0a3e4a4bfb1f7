"""The outcomes of one transaction, recipient by recipient."""

import time
from dataclasses import dataclass, field

from smtpd_classic.client.session import Session
from smtpd_classic.client.transport import Action, DeliveryJob, JobRecipient, Outcome
from smtpd_classic.smtp.reply import Reply

__all__ = ["TransactionOutcomes"]


@dataclass(slots=True)
class TransactionOutcomes:
    """The outcomes found so far, and the recipients that the host has accepted. `begun`: MAIL was answered."""

    session: Session
    job: DeliveryJob
    found: dict[str, Outcome] = field(default_factory=dict)
    accepted: list[JobRecipient] = field(default_factory=list)
    begun: bool = False
    started: float = field(default_factory=time.monotonic)

    def settle_all(self, action: Action, reply: Reply) -> None:
        """Give every recipient an outcome in our own words; no other host is tried."""
        for recipient in self.job.recipients:
            self.found[recipient.address] = self.outcome(recipient, action, reply, command="")._replace(soft=False)

    def settle_rest(self, reply: Reply, command: str, but: list[JobRecipient] | None = None) -> None:
        """Give every recipient without an outcome the outcome of the reply."""
        names = {recipient.address for recipient in but or ()}
        for recipient in self.job.recipients:
            if recipient.address not in self.found and recipient.address not in names:
                self.found[recipient.address] = self.by_reply(recipient, reply, command)

    def settle_accepted(self, reply: Reply, command: str) -> None:
        for recipient in self.accepted:
            self.found[recipient.address] = self.by_reply(recipient, reply, command)

    def delayed(self, recipient: JobRecipient, words: str) -> Outcome:
        text = f"lost connection with {self.session.peer}: {words}"
        return self.outcome(recipient, Action.DELAYED, Reply(451, "4.4.2", text), command="")

    def by_reply(self, recipient: JobRecipient, reply: Reply, command: str) -> Outcome:
        action = Action.DELIVERED if reply.positive else Action.DELAYED if reply.transient else Action.FAILED
        return self.outcome(recipient, action, reply, command=command)

    def outcome(self, recipient: JobRecipient, action: Action, reply: Reply, *, command: str) -> Outcome:
        return Outcome(
            recipient.address,
            action,
            reply,
            self.session.peer,
            command=command,
            soft=action is Action.DELAYED,
            begun=self.begun,
            notifies=self.session.offered.dsn,
            connected_s=self.session.connected_s,
            sent_s=time.monotonic() - self.started,
        )
