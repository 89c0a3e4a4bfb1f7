"""One message at one host: MAIL, RCPT, DATA, and what became of each recipient.

Rule 1: every recipient of the job has exactly one outcome at the end, whatever the host does.
Rule 2: what the host announced and then refuses is left out and tried again without, in the same session.
Rule 3: only 2xx to the final dot is a delivery. An answer that has no meaning where it comes (250 to DATA, 354 to RCPT)
decides nothing: the two sides are out of step, and the message is tried again later.
Rule 4: once the final dot is sent and no reply has come, nobody knows (RFC 1047): it is tried again later, and by no
other way in the same attempt.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from smtpd_classic.client.answers import PARAMETER_REFUSED, check, too_many
from smtpd_classic.client.content import MessageContent
from smtpd_classic.client.network import Timeouts
from smtpd_classic.client.session import Session
from smtpd_classic.client.signing import CannotSign
from smtpd_classic.client.transport import Action, DeliveryJob, JobRecipient, Outcome, Settle
from smtpd_classic.client.wire import ConnectionLost
from smtpd_classic.client.wording import fitting, mail_command, rcpt_command
from smtpd_classic.smtp.content import stuff
from smtpd_classic.smtp.reply import Reply

__all__ = ["ClientTransaction", "StaleConnection", "transact"]

_MOST_RECIPIENTS = 100  # RFC 5321 4.5.3.1.8: what every server takes
_PACKET = 32 * 1024
_WINDOW = 8 * 1024  # octets of pipelined commands, so that neither side waits for the other to read


class StaleConnection(Exception):
    """A session that was kept open is gone; nothing has been sent of this message."""


def transact(session: Session, job: DeliveryJob, settle: Settle, timeouts: Timeouts) -> None:
    """Deliver the job in as many transactions as the host wants. Raises Unbegun."""
    session.wire.limit(timeouts.transaction)
    left = list(job.recipients)
    stripped = 0
    while left:
        most = min(_MOST_RECIPIENTS, session.offered.max_recipients or _MOST_RECIPIENTS)
        batch, later = left[:most], left[most:]
        part = job if len(batch) == len(job.recipients) else replace(job, recipients=tuple(batch))
        transaction = ClientTransaction(session, part, timeouts)
        transaction.run()
        again = transaction.again() if stripped < len(job.recipients) + 3 else []
        stripped += 1
        names = {recipient.address for recipient in again}
        outcomes = [outcome for outcome in transaction.outcomes() if outcome.recipient not in names]
        if outcomes:
            settle(outcomes)
        left = again + later
        if left and not session.usable:
            settle([transaction.lost_outcome(recipient) for recipient in left])
            return


@dataclass(slots=True)
class ClientTransaction:
    session: Session
    job: DeliveryJob
    timeouts: Timeouts
    content: MessageContent = field(init=False)
    found: dict[str, Outcome] = field(default_factory=dict)
    accepted: list[JobRecipient] = field(default_factory=list)
    repeat: list[JobRecipient] = field(default_factory=list)
    without_dsn: list[JobRecipient] = field(default_factory=list)
    begun: bool = False
    lost: str = ""
    started: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Raises Unbegun."""
        content = fitting(self.job, self.session.offered, self.session.peer.name)
        if isinstance(content, Reply):
            for recipient in self.job.recipients:
                self.found[recipient.address] = self._outcome(recipient, Action.FAILED, content, command="")
            return
        try:
            self.content = self.job.sign(content)
        except CannotSign as problem:
            self._wait_for_key(str(problem))
            return
        if self.session.needs_reset:
            self._reset()
        try:
            self._converse()
        except ConnectionLost as lost:
            # A host that announces PIPELINING and drops what comes behind the first command lets us wait for ever.
            self.session.choked = lost.timed_out and self.session.pipelining
            self._broken(str(lost))

    def _wait_for_key(self, words: str) -> None:
        reply = Reply(451, "4.7.5", f"the message cannot be signed: {words}")
        for recipient in self.job.recipients:
            outcome = self._outcome(recipient, Action.DELAYED, reply, command="")
            self.found[recipient.address] = replace(outcome, soft=False)

    def outcomes(self) -> list[Outcome]:
        return list(self.found.values())

    def again(self) -> list[JobRecipient]:
        """Whom to try again at once in this session."""
        if not self.session.usable:
            return []
        if self.without_dsn:
            self.session.strip_dsn()
        return self.repeat + self.without_dsn

    def lost_outcome(self, recipient: JobRecipient) -> Outcome:
        return self._delayed(recipient, self.lost or "the session ended")

    # The conversation --------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        try:
            self.session.wire.command("RSET", self.timeouts.reset)
        except ConnectionLost as lost:
            self.session.end()
            raise StaleConnection(str(lost)) from None
        self.session.needs_reset = False

    def _converse(self) -> None:
        offered, wanted = self.session.offered, list(self.job.recipients)
        commands = [mail_command(self.job, self.content, offered)]
        commands += [*(rcpt_command(recipient, offered) for recipient in wanted), "DATA"]
        replies = self._pipelined(commands) if self.session.pipelining else self._one_by_one(commands)
        first = next(replies)
        if not first.positive:
            self._refused_sender(first, replies)
            return
        for recipient, reply in zip(wanted, replies, strict=False):
            self._answer(recipient, reply)
        self.session.needs_reset = True
        data = next(replies, None)
        if data is None:  # nobody was accepted
            return
        if data.code == 354:
            self._send_content()
        else:
            self._settle_accepted(data, "DATA")

    def _one_by_one(self, commands: list[str]) -> Iterator[Reply]:
        for number, command in enumerate(commands):
            if command == "DATA" and number == len(commands) - 1 and not self.accepted:
                return
            reply = self._command(number, [command])
            yield reply
            if number == 0 and not reply.positive:
                return

    def _pipelined(self, commands: list[str]) -> Iterator[Reply]:
        """RFC 2920 3.1. DATA is the last of the last group; a host that goes ahead without recipients gets an empty
        message."""
        at = 0
        while at < len(commands):
            end, size = at + 1, len(commands[at])
            while end < len(commands) and size + len(commands[end]) < _WINDOW:
                size += len(commands[end])
                end += 1
            for number in range(at, end):
                yield self._command(number, commands[at:end] if number == at else [])
            at = end

    def _command(self, number: int, send: list[str]) -> Reply:
        """Send, when there is something to send, and read the reply to command `number`. Raises Lost or Unbegun."""
        wire, first = self.session.wire, number == 0
        timeout_s = self.timeouts.mail if first else self.timeouts.rcpt
        if first and self.session.reused:
            timeout_s = min(timeout_s, self.timeouts.reset)
        try:
            if send:
                wire.send_lines(send, timeout_s)
            reply = wire.reply(timeout_s)
            check(reply, ("MAIL FROM" if first else "RCPT TO") if number <= len(self.job.recipients) else "DATA")
        except ConnectionLost as lost:
            if first and self.session.reused:
                self.session.end()
                raise StaleConnection(str(lost)) from None
            raise
        if reply.code == 421:
            self.session.end()
            if first and self.session.reused:
                raise StaleConnection(str(reply))
            self._closing(reply, "MAIL FROM" if first else "RCPT TO")
        self.begun = True
        self.session.reused = False
        return reply

    def _closing(self, reply: Reply, command: str) -> None:
        """421: the host ends the session, and with it everything that has not been answered (RFC 5321 3.8)."""
        self.begun = True
        for recipient in self.job.recipients:
            if recipient.address not in self.found:
                self.found[recipient.address] = self._by_reply(recipient, reply, command)
        raise ConnectionLost(str(reply))

    def _refused_sender(self, reply: Reply, rest: Iterator[Reply]) -> None:
        for recipient in self.job.recipients:
            self.found[recipient.address] = self._by_reply(recipient, reply, "MAIL FROM")
        answers = list(rest)  # pipelined commands are answered all the same
        if answers and answers[-1].code == 354:
            self._empty_message()
        if reply.code in PARAMETER_REFUSED and self.session.strip():
            self.repeat = list(self.job.recipients)

    def _answer(self, recipient: JobRecipient, reply: Reply) -> None:
        if reply.positive:
            self.accepted.append(recipient)
            return
        outcome = self._by_reply(recipient, reply, "RCPT TO")
        if reply.code in PARAMETER_REFUSED and (recipient.notify or recipient.orcpt) and self.session.offered.dsn:
            self.without_dsn.append(recipient)
        elif too_many(reply):
            outcome = replace(outcome, action=Action.DELAYED, soft=True)
            if self.accepted:
                self.repeat.append(recipient)
        self.found[recipient.address] = outcome

    def _empty_message(self) -> None:
        self.session.wire.send(b".\r\n", self.timeouts.block)
        self.session.wire.reply(self.timeouts.end)

    def _send_content(self) -> None:
        wire = self.session.wire
        if not self.accepted:
            self._empty_message()
            return
        sent = 0
        try:
            for piece in _gathered(stuff(self.content.chunks())):
                wire.send(piece, self.timeouts.block)
                sent += len(piece)
        except ConnectionLost as lost:
            said = wire.last_words()
            if said is not None and not said.positive:
                self._settle_accepted(said, "DATA")
            self._broken(str(lost))
            return
        wire.transcript.said(f"({sent} octets of content, and the final dot)")
        try:
            reply = wire.reply(self.timeouts.end)
            check(reply, "end of DATA")
        except ConnectionLost as lost:
            self._uncertain(str(lost))
            return
        self._settle_accepted(reply, "end of DATA")
        self.session.needs_reset = not reply.positive
        if reply.code == 421:
            self.session.end()

    # What became of it -------------------------------------------------------------------------------------------

    def _settle_accepted(self, reply: Reply, command: str) -> None:
        for recipient in self.accepted:
            self.found[recipient.address] = self._by_reply(recipient, reply, command)

    def _uncertain(self, words: str) -> None:
        self.session.end()
        self.lost = words
        for recipient in self.accepted:
            text = f"lost connection with {self.session.peer} after the final dot: {words}; it may be delivered twice"
            outcome = self._outcome(recipient, Action.DELAYED, Reply(451, "4.4.2", text), command="")
            self.found[recipient.address] = replace(outcome, soft=False)

    def _broken(self, words: str) -> None:
        """The connection is gone; whoever has no answer yet is put off."""
        self.session.end()
        self.lost = words
        for recipient in self.job.recipients:
            if recipient.address not in self.found:
                self.found[recipient.address] = self._delayed(recipient, words)

    def _delayed(self, recipient: JobRecipient, words: str) -> Outcome:
        text = f"lost connection with {self.session.peer}: {words}"
        return self._outcome(recipient, Action.DELAYED, Reply(451, "4.4.2", text), command="")

    def _by_reply(self, recipient: JobRecipient, reply: Reply, command: str) -> Outcome:
        action = Action.DELIVERED if reply.positive else Action.DELAYED if reply.transient else Action.FAILED
        return self._outcome(recipient, action, reply, command=command)

    def _outcome(self, recipient: JobRecipient, action: Action, reply: Reply, *, command: str) -> Outcome:
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


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Small pieces together: a small message leaves in one packet, final dot and all."""
    held: list[bytes] = []
    length = 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length >= _PACKET:
            yield b"".join(held)
            held, length = [], 0
    if held:
        yield b"".join(held)
