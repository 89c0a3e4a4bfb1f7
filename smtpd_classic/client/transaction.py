"""One message at one host: MAIL, RCPT, DATA, and the outcome of each recipient.

Rule 1: every recipient of the job has exactly one outcome at the end, for every behaviour of the host. Recipients that
the host accepted before it closed the session have none yet: their message is sent in another session.
Rule 2: an extension that the host announced and then refuses is left out, and the command is repeated without it in the
same session.
Rule 3: only 2xx to the final dot is a delivery. A reply that is invalid at its place (250 to DATA, 354 to RCPT) decides
nothing: the two sides are out of step, and the message is tried again later.
Rule 4: if no reply comes after the final dot, the outcome is unknown (RFC 1047): the message is tried again later, and
by no other way in the same attempt.
Rule 5: 421 to a RCPT ends the list of recipients there. The content is sent to the accepted recipients; the rest waits
for the next attempt.
"""

from dataclasses import dataclass, field

from smtpd_classic.client.answers import PARAMETER_REFUSED, check, perhaps_too_many, too_many
from smtpd_classic.client.content import MessageContent, folded, packets
from smtpd_classic.client.network import Timeouts
from smtpd_classic.client.outcomes import TransactionOutcomes
from smtpd_classic.client.session import Session
from smtpd_classic.client.signing import CannotSign
from smtpd_classic.client.transport import Action, DeliveryJob, JobRecipient, Outcome
from smtpd_classic.client.wire import ConnectionLost
from smtpd_classic.client.wording import compatible, mail_command, rcpt_command, unreadable, windows
from smtpd_classic.smtp.content import stuff
from smtpd_classic.smtp.reply import Reply

__all__ = ["ClientTransaction", "StaleConnection"]


class StaleConnection(Exception):
    """Raised when an idle session turns out to be closed and nothing of this message has been sent."""


@dataclass(slots=True)
class ClientTransaction:
    """The commands of one transaction, from MAIL to its end."""

    session: Session
    job: DeliveryJob
    timeouts: Timeouts
    content: MessageContent = field(init=False)
    record: TransactionOutcomes = field(init=False)
    repeat: list[JobRecipient] = field(default_factory=list)
    without_dsn: list[JobRecipient] = field(default_factory=list)
    refused: bool = False
    closing: Reply | None = None
    lost: str = ""

    def __post_init__(self) -> None:
        self.record = TransactionOutcomes(self.session, self.job)

    def run(self) -> None:
        """Run the transaction; `outcomes()` then has its results. Raises StaleConnection."""
        offered, host = self.session.offered, self.session.peer.name
        if replies := unreadable(self.job, offered, host):
            self._leave_out(replies)
            if not self.job.recipients:
                return
        content = compatible(self.job, offered, host)
        if isinstance(content, Reply):
            self._leave_out(dict.fromkeys((each.address for each in self.job.recipients), content))
            return
        try:
            self.content = self.job.sign(content)
        except CannotSign as problem:
            reply = Reply(451, "4.7.5", f"the message cannot be signed: {problem}")
            self.record.settle_all(Action.DELAYED, reply)
            return
        if self.session.needs_reset:
            self._reset()
        try:
            self._converse()
        except ConnectionLost as lost:
            if self.closing is not None:
                self._closed_before_data(self.closing)
                return
            # A host that announces PIPELINING and drops the commands after the first never replies to them.
            self.session.choked = lost.timed_out and self.session.pipelining
            self._broken(str(lost))

    def outcomes(self) -> list[Outcome]:
        return list(self.record.found.values())

    def to_repeat(self) -> list[JobRecipient]:
        """Return the recipients to try again at once in this session."""
        if not self.session.usable:
            return []
        if self.without_dsn:
            self.session.strip_dsn()
        return self.repeat + self.without_dsn

    def lost_outcome(self, recipient: JobRecipient) -> Outcome:
        if self.closing is not None:
            return self.record.by_reply(recipient, self.closing, "RCPT TO")
        return self.record.delayed(recipient, self.lost or "the session ended")

    def _leave_out(self, replies: dict[str, Reply]) -> None:
        """Fail these recipients in our own words, and send the message to the others."""
        for recipient in self.job.recipients:
            if recipient.address in replies:
                outcome = self.record.outcome(recipient, Action.FAILED, replies[recipient.address], command="")
                self.record.found[recipient.address] = outcome
        self.job = self.job.only({each.address for each in self.job.recipients} - replies.keys())
        self.record.job = self.job

    # The commands ------------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        try:
            self.session.wire.command("RSET", self.timeouts.reset)
        except ConnectionLost as lost:
            self.session.end()
            raise StaleConnection(str(lost)) from None
        self.session.needs_reset = False

    def _converse(self) -> None:
        offered, wanted = self.session.offered, self.job.recipients
        commands = [mail_command(self.job, self.content, offered)]
        commands += [*(rcpt_command(recipient, offered) for recipient in wanted), "DATA"]
        for group in windows(commands) if self.session.pipelining else [[number] for number in range(len(commands))]:
            if group == [len(commands) - 1] and not self.record.accepted:  # every recipient was refused
                return
            for number in group:
                reply = self._command(number, [commands[each] for each in group] if number == group[0] else [])
                self._take(number, reply)
            if self.refused or len(commands) - 1 in group:
                return
            if self.closing is not None:
                self._take(len(commands) - 1, self._command(len(commands) - 1, ["DATA"]))
                return

    def _take(self, number: int, reply: Reply) -> None:
        """Process the reply to command `number`."""
        recipients = self.job.recipients
        if number == 0:
            self.session.needs_reset = reply.positive
            if not reply.positive:
                self._refused_sender(reply)
        elif number <= len(recipients):
            if not self.refused:  # the host replies to the commands after a refused MAIL too
                self._answer(recipients[number - 1], reply)
        elif reply.code == 354:
            self._send_content()
        elif not self.refused:
            self.record.settle_accepted(reply, "DATA")
            if reply.code == 421:
                self.session.end()

    def _command(self, number: int, send: list[str]) -> Reply:
        """Send the commands in `send`, if any, and return the reply to command `number`.

        Raises ConnectionLost or StaleConnection.
        """
        wire, first = self.session.wire, number == 0
        timeout_s = self.timeouts.mail if first else self.timeouts.rcpt
        if first and self.session.reused:
            timeout_s = min(timeout_s, self.timeouts.reset)
        command = "MAIL FROM" if first else "RCPT TO" if number <= len(self.job.recipients) else "DATA"
        try:
            if send:
                wire.send_lines(send, timeout_s)
            reply = wire.reply(timeout_s)
            check(reply, command)
        except ConnectionLost as lost:
            if first and self.session.reused:
                self.session.end()
                raise StaleConnection(str(lost)) from None
            raise
        if reply.code == 421 and command != "DATA":
            self._closing(reply, command)
        self.record.begun = True
        self.session.reused = False
        return reply

    def _closing(self, reply: Reply, command: str) -> None:
        """Process 421: the host ends the session (RFC 5321 3.8). Accepted recipients may still get the content."""
        if self.record.accepted:
            self.closing = reply
            self.session.recipients_taken = len(self.record.accepted)
            return
        self.session.end()
        if command == "MAIL FROM" and self.session.reused:
            raise StaleConnection(str(reply))
        self.record.begun = True
        self.record.settle_rest(reply, command)
        raise ConnectionLost(str(reply))

    def _closed_before_data(self, reply: Reply) -> None:
        """Settle the recipients after a 421; recipients that the host had accepted are left for another session."""
        self.session.end()
        self.record.settle_rest(reply, "RCPT TO", but=self.record.accepted)

    def _refused_sender(self, reply: Reply) -> None:
        self.refused = True
        self.record.settle_rest(reply, "MAIL FROM")
        if reply.code in PARAMETER_REFUSED and self.session.strip():
            self.repeat = list(self.job.recipients)

    def _answer(self, recipient: JobRecipient, reply: Reply) -> None:
        if reply.positive:
            self.record.accepted.append(recipient)
            return
        outcome = self.record.by_reply(recipient, reply, "RCPT TO")
        if reply.code in PARAMETER_REFUSED and (recipient.notify or recipient.orcpt) and self.session.offered.dsn:
            self.without_dsn.append(recipient)
        elif too_many(reply):
            outcome = outcome._replace(action=Action.DELAYED, soft=True)
            if self.record.accepted:
                self.repeat.append(recipient)
        elif perhaps_too_many(reply) and self.record.accepted:
            self.repeat.append(recipient)  # the reply to it as the first recipient tells what is meant
        self.record.found[recipient.address] = outcome

    # The content -------------------------------------------------------------------------------------------------

    def _send_content(self) -> None:
        wire = self.session.wire
        if not self.record.accepted:
            self._empty_message()
            return
        if self.closing is not None:
            self.record.settle_rest(self.closing, "RCPT TO", but=self.record.accepted)
        facts, chunks = self.content.facts(), self.content.chunks()
        sent = 0
        try:
            for piece in packets(stuff(folded(chunks) if facts.long_lines else chunks)):
                wire.send(piece, self.timeouts.block)
                sent += len(piece)
        except ConnectionLost as lost:
            said = wire.last_words()
            if said is not None and not said.positive:
                self.record.settle_accepted(said, "DATA")
            self._broken(str(lost))
            return
        wire.transcript.said(f"({sent} octets of content, and the final dot)")
        wire.committing = True
        wire.limit(self.timeouts.end * len(self.record.accepted))
        try:
            self._content_answered()
        finally:
            wire.committing = False

    def _content_answered(self) -> None:
        """Read the reply to the final dot, or with LMTP one for each accepted recipient (RFC 2033 4.2)."""
        groups = [self.record.accepted]
        if self.session.dialect.replies_to_content(2) > 1:
            groups = [[recipient] for recipient in self.record.accepted]
        for number, recipients in enumerate(groups):
            try:
                reply = self.session.wire.reply(self.timeouts.end)
                check(reply, "end of DATA")
            except ConnectionLost as lost:
                self._uncertain(str(lost), [recipient for group in groups[number:] for recipient in group])
                return
            for recipient in recipients:
                self.record.found[recipient.address] = self.record.by_reply(recipient, reply, "end of DATA")
            self.session.needs_reset = not reply.positive
            if reply.code == 421:
                self.closing = reply
        if self.closing is not None:
            self.session.end()

    def _empty_message(self) -> None:
        """End a content that the host requested although it has accepted no recipient."""
        self.session.wire.send(b".\r\n", self.timeouts.block)
        if self.session.dialect.replies_to_content(0):
            self.session.wire.reply(self.timeouts.end)

    # The connection is gone --------------------------------------------------------------------------------------

    def _uncertain(self, words: str, recipients: list[JobRecipient]) -> None:
        self.session.end()
        self.lost = words
        for recipient in recipients:
            text = f"lost connection with {self.session.peer} after the final dot: {words}; it may be delivered twice"
            outcome = self.record.outcome(recipient, Action.DELAYED, Reply(451, "4.4.2", text), command="")
            self.record.found[recipient.address] = outcome._replace(soft=False)

    def _broken(self, words: str) -> None:
        """Defer every recipient without a reply, after the connection is lost."""
        self.session.end()
        self.lost = words
        for recipient in self.job.recipients:
            if recipient.address not in self.record.found:
                self.record.found[recipient.address] = self.record.delayed(recipient, words)
