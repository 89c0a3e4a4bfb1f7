"""The delivery log and its counters: Postfix's phrases, with one queue id from arrival to removal."""

from collections.abc import Callable, Sequence
from typing import Protocol

from smtpd_classic.client.transport import GREETING, Action, JobRecipient, Outcome
from smtpd_classic.log import WARNING, Log, delay_text, printable
from spool import Entry

__all__ = ["DeliveryLog", "OutcomeCounters", "Stopwatch", "code_of", "said"]

_STATUS = {Action.DELIVERED: "sent", Action.DELAYED: "deferred", Action.FAILED: "bounced"}
_COUNTED = {Action.DELIVERED: "delivered", Action.DELAYED: "deferred", Action.FAILED: "bounced"}
_LONGEST_REPLY = 900


class OutcomeCounters(Protocol):
    def count(self, what: str, number: int = 1) -> None: ...
    def delivered_after(self, seconds: float, number: int = 1) -> None: ...


class Stopwatch:
    """The times of a delivery, for the log.

    `delays=a/b/c/d`: before the attempt, waiting in it for its turn, connecting, sending; all in seconds.
    """

    def __init__(self, arrival: float, claimed: float) -> None:
        self._before = max(claimed - arrival, 0.0)
        self._claimed = claimed

    def text(self, now: float, connected_s: float, sent_s: float) -> str:
        waiting = max(now - self._claimed - connected_s - sent_s, 0.0)
        delay = self._before + waiting + connected_s + sent_s
        delays = "/".join(map(delay_text, (self._before, waiting, connected_s, sent_s)))
        return f"delay={delay_text(delay)}, delays={delays}"


def code_of(outcome: Outcome) -> str:
    """Return the enhanced status code; make one if the host sent none (RFC 3463 2).

    A deferred outcome has class 4 even where the host replied 5xx, as to a login: Postfix and log readers expect that.
    """
    code = outcome.reply.enhanced or f"{outcome.reply.code // 100}.0.0"
    return f"4{code[1:]}" if outcome.action is Action.DELAYED else code


def said(outcome: Outcome) -> str:
    """Return the reply on one line: complete if a host sent it, else our own text without its code."""
    return str(outcome.reply) if outcome.command else outcome.reply.text.replace("\n", " ")


class DeliveryLog:
    def __init__(self, log: Log, counters: OutcomeCounters, clock: Callable[[], float]) -> None:
        self._log = log
        self._counters = counters
        self._clock = clock

    def active(self, entry: Entry) -> None:
        envelope = entry.envelope
        self._log.write(
            "qmgr",
            f"{entry.queue_id}: from=<{printable(envelope.sender, 256)}>, size={entry.size}, "
            f"nrcpt={len(envelope.recipients)} (queue active)",
        )

    def outcome(self, entry: Entry, recipient: JobRecipient, outcome: Outcome, watch: Stopwatch, program: str) -> None:
        original = f" orig_to=<{printable(recipient.original, 256)}>," if recipient.original else ""
        peer = "local" if program == "local" else str(outcome.peer) if outcome.peer else "none"
        words = printable(said(outcome), _LONGEST_REPLY)
        if outcome.command and outcome.action is not Action.DELIVERED:
            host = outcome.peer._replace(port=0) if outcome.peer else "unknown"
            place = f"host {printable(str(host), 300)}"
            if outcome.command == GREETING:
                words = f"{place} refused to talk to me: {words}"
            else:
                words = f"{place} said: {words} (in reply to {outcome.command} command)"
        self._log.write(
            program,
            f"{entry.queue_id}: to=<{printable(recipient.address, 256)}>,{original} relay={printable(peer, 300)}, "
            f"{watch.text(self._clock(), outcome.connected_s, outcome.sent_s)}, "
            f"dsn={code_of(outcome)}, status={_STATUS[outcome.action]} ({words})",
        )
        self._counters.count(_COUNTED[outcome.action])
        if outcome.action is Action.DELIVERED:
            self._counters.delivered_after(self._clock() - entry.arrival)

    def given_up(self, entry: Entry, recipients: Sequence[object]) -> None:
        """Log and count the recipients that every attempt deferred, after the last attempt."""
        self._counters.count("bounced", len(recipients))
        sender = printable(entry.envelope.sender, 256)
        self._log.write("qmgr", f"{entry.queue_id}: from=<{sender}>, status=expired, returned to sender")

    def notified(self, entry: Entry, what: str, queue_id: str) -> None:
        self._log.write("bounce", f"{entry.queue_id}: {what}: {queue_id}")

    def held(self, entry: Entry, why: str) -> None:
        self._log.write("bounce", f"warning: {entry.queue_id}: {why}; the message is held in the queue", WARNING)

    def returned(self, entry: Entry, why: str) -> None:
        """Log that a message was on hold for too long. `why` is a sentence without its full stop."""
        sender = printable(entry.envelope.sender, 256)
        self._counters.count("bounced", len(entry.envelope.recipients))
        self._log.write("qmgr", f"{entry.queue_id}: from=<{sender}>, status=expired, returned to sender ({why})")

    def deleted(self, entry: Entry, why: str) -> None:
        sender = printable(entry.envelope.sender, 256)
        self._log.write("qmgr", f"{entry.queue_id}: from=<{sender}>, deleted without a notice: {why}")

    def removed(self, entry: Entry) -> None:
        self._log.write("qmgr", f"{entry.queue_id}: removed")

    def note(self, queue_id: str, sentence: str) -> None:
        self._log.write("smtp", f"{queue_id}: {printable(sentence, _LONGEST_REPLY)}")

    def warning(self, queue_id: str, sentence: str) -> None:
        about = f"{queue_id}: " if queue_id else ""
        self._log.write("qmgr", f"warning: {about}{printable(sentence, _LONGEST_REPLY)}", WARNING)
