"""One attempt to deliver a claimed message, from the claim to its release.

Rule 1: a delivery that a host has accepted is written to disk before anything else is done, so that no crash sends the
message again.
Rule 2: the state of a recipient becomes “failed” only after the notification is in the queue.
Rule 3: several threads may call `settle` at once. One thread at a time writes to the claim; the outcomes of the others
go into the same or the next write.
"""

import threading
from collections.abc import Iterable
from dataclasses import replace

from smtpd_classic.client.attempt import PendingRecipient, QueuedMessage, RoutedJob
from smtpd_classic.client.transcript import joined
from smtpd_classic.client.transport import Action, Outcome
from smtpd_classic.dsn import RecipientStatus
from smtpd_classic.retry.context import DeliveryContext
from smtpd_classic.retry.journal import Stopwatch
from smtpd_classic.retry.notices import NoticeResult
from smtpd_classic.retry.recipient_states import RecipientStates, effective, expired_fate, fate_of, lists_in
from smtpd_classic.smtp.address import NULL_SENDER
from spool import DELIVERED, WAITING, Claim, Hold, Recipient, SpoolBroken, SpoolFull, State
from spool.entry import UNDELIVERABLE

__all__ = ["DeliveryAttempt"]

_LEAST_S = 60.0
_TROUBLE_S = 300.0  # until the next look if the disk cannot be written


class DeliveryAttempt:
    """One attempt to deliver a claimed message.

    `delivered_before` are recipients already delivered whose state could not be written.
    """

    def __init__(
        self, claim: Claim, context: DeliveryContext, *, forced: bool, delivered_before: Iterable[str] = ()
    ) -> None:
        self.claim = claim
        self.entry = claim.entry
        self.queue_id = claim.entry.queue_id
        self.forced = forced
        self.outstanding = 0
        self._context = context
        self._claimed = context.clock()
        self._arrival = self.entry.arrival + claim.state.held_s  # the life time stands still during a hold
        self._watch = Stopwatch(self.entry.arrival, self._claimed)
        self._recipients = effective(self.entry.envelope.recipients)
        self._rows = RecipientStates(claim.state.recipients, delivered_before)
        self._outcomes: dict[str, Outcome] = {}
        self._jobs: list[RoutedJob] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._version = self._written = 0
        self._cut_short = False

    @property
    def done(self) -> bool:
        return self._rows.done

    @property
    def is_notice(self) -> bool:
        """Return True for a notification that this server made: it has a null reverse-path and no client."""
        envelope = self.entry.envelope
        return envelope.sender == NULL_SENDER and not envelope.client

    @property
    def unwritten(self) -> frozenset[str]:
        """Return the recipients already delivered for which no state could be written."""
        written = [each.address for each in self.claim.state.recipients if each.state == DELIVERED]
        return self._rows.delivered.difference(written)

    @property
    def must_be_told(self) -> bool:
        """Return True if the attempt is needed even while no next hop takes mail.

        That is so for the first attempt, for an expired message, and when a delay notice is due.
        """
        state, schedule = self.claim.state, self._context.schedule
        attempts = state.attempts + 1
        if not state.attempts or schedule.expired(self._arrival, attempts, self._claimed):
            return True
        return not state.delay_notified and schedule.notice_due(self._arrival, attempts, self._claimed)

    @property
    def must_be_seen(self) -> float:
        """Return the latest time to open the message again if it is throttled: the time of its delay notice, its
        expiry, or soon if both are over.
        """
        schedule, arrival = self._context.schedule, self._arrival
        times = [schedule.expiry(arrival)]
        if schedule.delay_notice_s and not self.claim.state.delay_notified:
            times.append(arrival + schedule.delay_notice_s)
        return min((when for when in times if when > self._claimed), default=self._claimed + _LEAST_S)

    def message(self) -> QueuedMessage:
        alone = len(self._rows) == 1
        return QueuedMessage(
            self.queue_id,
            self.entry.envelope,
            self.claim.open_content,
            self.entry.size,
            alone,
            self.forced,
            lambda sentence: self._context.journal.note(self.queue_id, sentence),
        )

    def wanted(self) -> list[PendingRecipient]:
        """Return the recipients that still wait, each address once."""
        schedule, rows = self._context.schedule, self._rows.waiting()
        return [
            PendingRecipient(recipient, schedule.relay_exhausted(rows[recipient.address].relay_attempts))
            for recipient in {each.address: each for each in self._recipients}.values()
            if recipient.address in rows
        ]

    def begin(self, routed_jobs: list[RoutedJob]) -> None:
        self._jobs = routed_jobs
        self.outstanding = len(routed_jobs)
        # Reception logs “queue active” for a new message of a client; our own notifications are logged here.
        if self.claim.state.attempts or not self.entry.envelope.client:
            self._context.journal.active(self.entry)
        if not self.claim.state.attempts:
            self._tell_expanded()

    def unsettled(self, routed: RoutedJob) -> set[str]:
        with self._lock:
            return {each.address for each in routed.job.recipients if each.address not in self._outcomes}

    def settle(self, routed: RoutedJob, outcomes: list[Outcome]) -> None:
        """Record the outcomes of a job.

        Deliveries are written to disk at once. When every recipient is delivered, the removal of the entry records it
        instead.
        """
        recipients = {each.address: each for each in routed.job.recipients}
        delivered = [outcome for outcome in outcomes if outcome.action is Action.DELIVERED]
        self._tell_success(routed, delivered)
        with self._lock:
            now = self._context.clock()
            self._outcomes.update({outcome.recipient: outcome for outcome in outcomes})
            for outcome in delivered:
                self._rows.deliver(outcome, now)
            self._version += 1
            mine, nearly_done = self._version, self._rows.all_delivered
        if delivered and not nearly_done:  # else the removal of the entry records it
            self._write_down(mine)
        for outcome in outcomes:
            recipient = recipients[outcome.recipient]
            self._context.journal.outcome(self.entry, recipient, outcome, self._watch, routed.route.program)

    def job_done(self, *, cut_short: bool = False) -> bool:
        """Count one job as ended. Return True if it was the last one. `cut_short`: the job was never begun."""
        with self._lock:
            self._cut_short = self._cut_short or cut_short
            self.outstanding -= 1
            return self.outstanding == 0

    def forget_success(self, routed: RoutedJob) -> None:
        """Drop the job's transcript if all its recipients are delivered and the message has other next hops."""
        delivered = (self._outcomes.get(each.address) for each in routed.job.recipients)
        if len(self._jobs) > 1 and all(each and each.action is Action.DELIVERED for each in delivered):
            routed.job.transcript.clear()

    @property
    def untouched(self) -> bool:
        """Return True while the attempt has no outcome."""
        return not self._outcomes

    def finish(self) -> float | None:
        """End the attempt: queue the notifications and write the state. Return the time of the next attempt; None for
        never.
        """
        now = self._context.clock()
        state = self.claim.state
        attempts = state.attempts + 1
        failures, gave_up = self._failures(attempts, now)
        if failures:
            verdict = self._context.notices.failed(self.claim, failures)
            if verdict is NoticeResult.HOLD:
                state = state.on_hold(Hold(UNDELIVERABLE, since=now))
            elif verdict is NoticeResult.TOLD:
                for recipient, _ in failures:
                    self._rows.fail(recipient.address)
                if gave_up:
                    self._context.journal.given_up(self.entry, gave_up)
        notified = state.delay_notified or self._tell_delay(attempts, now)
        if self.done:
            return self.remove()
        when = self._context.schedule.next_attempt(self._arrival, attempts, now, self._context.chance)
        when = now if self._cut_short else when  # another thread continues where the stopping thread was
        first, transcript = state.first_attempt or self._claimed, joined(routed.job.transcript for routed in self._jobs)
        self._record(state.after(tuple(self._rows), first, now, when, notified, transcript))
        return None if state.held else when

    def remove(self) -> float | None:
        """Remove the entry: each recipient is delivered, or the sender is notified of the failure.

        Return the time of the next look if the removal fails, else None.
        """
        try:
            self.claim.remove()
        except SpoolBroken as problem:
            self._context.journal.warning(self.queue_id, f"the message is done but cannot be removed: {problem}")
            self._record(self.claim.state._replace(recipients=tuple(self._rows)))
            return self._context.clock() + _TROUBLE_S
        self._context.journal.removed(self.entry)
        return None

    def release(self) -> None:
        """Release the entry's lock and drop all replies of the hosts.

        The jobs refer to this attempt by their `note`. Without this only the garbage collector would free them, and the
        replies of a hostile host would stay in memory for long.
        """
        self.claim.release()
        self._jobs = []
        self._outcomes = {}

    # ---------------------------------------------------------------------------------------------------------------

    def _failures(self, attempts: int, now: float) -> tuple[list[tuple[Recipient, RecipientStatus]], list[Recipient]]:
        """Return the recipients that failed in this attempt, and those of them that were deferred until the end."""
        relay_only = {
            each.address for routed in self._jobs if routed.route.relay_only for each in routed.job.recipients
        }
        expired = self._context.schedule.expired(self._arrival, attempts, now)
        failures: list[tuple[Recipient, RecipientStatus]] = []
        gave_up: list[Recipient] = []
        for address in self._rows.waiting():
            if address in self._outcomes:
                self._rows.note(self._outcomes[address], now)
        for row, recipient in zip(self._rows, self._recipients, strict=True):
            outcome = self._outcomes.get(row.address)
            if row.state != WAITING or outcome is None:
                continue
            used_up = row.address in relay_only and self._context.schedule.relay_exhausted(row.relay_attempts)
            if outcome.action is Action.FAILED:
                failures.append((recipient, fate_of(recipient, outcome, "failed", now)))
            elif expired or used_up:
                failures.append((recipient, expired_fate(recipient, row, outcome, now)))
                gave_up.append(recipient)
        return failures, gave_up

    def _tell_delay(self, attempts: int, now: float) -> bool:
        """Notify the sender of a delay if a notice is due. Return True if that is settled."""
        if self.done or not self._context.schedule.notice_due(self._arrival, attempts, now):
            return False
        until = self._context.schedule.expiry(self._arrival)
        late = [
            (recipient, replace(fate_of(recipient, self._outcomes[row.address], "delayed", now), retry_until=until))
            for row, recipient in zip(self._rows, self._recipients, strict=True)
            if row.state == WAITING and row.address in self._outcomes
        ]
        return bool(late) and self._context.notices.delayed(self.claim, late)

    def _tell_success(self, routed: RoutedJob, outcomes: list[Outcome]) -> None:
        """Notify the sender of deliveries, before they are written to disk.

        A crash in between repeats a notice rather than losing it (RFC 3461 5.2).
        """
        action = "delivered" if routed.route.local else "relayed"
        recipients = {each.address: each for each in routed.job.recipients}
        fates = [
            fate_of(recipients[outcome.recipient], outcome, action, self._context.clock())
            for outcome in outcomes
            if "SUCCESS" in recipients[outcome.recipient].notify and not outcome.notifies
        ]
        if fates:
            self._context.notices.succeeded(self.claim, fates)

    def _tell_expanded(self) -> None:
        """Notify the sender of groups and expanded lists: they are done when they are expanded (RFC 3461 5.2.7)."""
        self._context.notices.posted(self.claim)
        lists = lists_in(self.entry.envelope.recipients)
        fates = [
            RecipientStatus(original, "expanded", "2.1.5", orcpt=recipient.orcpt)
            for original, recipient in {each.original: each for each in self.entry.envelope.recipients}.items()
            if original in lists
        ]
        if fates:
            self._context.notices.succeeded(self.claim, fates)

    def _write_down(self, mine: int) -> None:
        with self._writing:
            if self._written >= mine:
                return
            with self._lock:
                version, rows = self._version, tuple(self._rows)
            self._record(self.claim.state._replace(recipients=rows))
            self._written = version

    def _record(self, state: State) -> None:
        try:
            self.claim.record(state)
        except (SpoolFull, SpoolBroken) as problem:
            self._context.journal.warning(self.queue_id, f"the state of the queue cannot be written: {problem}")
