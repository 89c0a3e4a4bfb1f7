"""Counts the recipients of a message for its sender, once, when the message is committed."""

from collections.abc import Sequence

from smtpd_classic.counters import Amount, Taken
from smtpd_classic.counters.sender_limits import DAY, HOUR, NEW, SenderLimits, suspend
from smtpd_classic.domain_name import comparable_address
from smtpd_classic.durable import is_full
from smtpd_classic.policy import Transaction
from smtpd_classic.policy.sending_limits import over_limit_reply, sender_limits
from smtpd_classic.postmaster import PostmasterMail
from smtpd_classic.reception.journal import ReceptionLog
from smtpd_classic.services import Services
from smtpd_classic.smtp.reply import Reply
from spool import Hold, Recipient, SpoolFull
from spool.entry import OVER_LIMIT

__all__ = ["SendingCount"]

_DAY_S = 86_400.0
_HOLDS = "holds"
_CLIENTS, _MOST_CLIENTS = "clients", 5
_ALARM = (
    "{who} has written to {hour} recipients outside of this server within an hour, to {day} within a day, and to {new} "
    "new ones within a day. {limit}\n\nThe last addresses of its programs: {clients}.\n\nIf these are not your user's, "
    "the password was stolen: set another one (smtpd-classic user password). “smtpd-classic limits list” shows the "
    "counts, “smtpd-classic queue list --reason 'over limit'” shows the messages on hold. You get one such mail a day."
)


class SendingCount:
    """The count of one message. `over` is the exceeded limit in words, blank for none."""

    __slots__ = ("_journal", "_services", "_taken", "_transaction", "over")

    def __init__(self, services: Services, journal: ReceptionLog, transaction: Transaction) -> None:
        self._services = services
        self._journal = journal
        self._transaction = transaction
        self._taken: Taken | None = None
        self.over = ""

    def take(self, recipients: Sequence[Recipient], queue_id: str) -> None:
        """Count the recipients elsewhere, or set `over` and count none.

        Raises OSError if the counters fail, and SpoolFull if they have no room.
        """
        try:
            self._count(recipients, queue_id)
        except OSError as error:
            if is_full(error):
                raise SpoolFull(f"the counters of the sending limits: {error.strerror}") from error
            raise

    def _count(self, recipients: Sequence[Recipient], queue_id: str) -> None:
        # As the check at RCPT counts.
        outside = {comparable_address(each.address) for each in recipients if self.is_outside(each)}
        found = sender_limits(self._services.config, self._transaction.peer) if outside else None
        if found is None:
            return
        group, limits = found
        counters, amounts = self._services.counters, limits.amounts(len(outside))
        if group.startswith("account "):
            taken = counters.take(group, amounts, limits.seen(outside))
        elif limits.hour or limits.day:
            taken = counters.take(group, amounts)
        else:
            taken = counters.count(group, amounts)
        if taken.over:
            self.over = limits.text(taken.over[0])
        else:
            self._taken = taken
            if limits.new and taken.values.get(NEW, 0) > limits.new:
                said = f"{queue_id}: {group} is over {limits.text(NEW)}, which only warns in its first month"
                self._journal.warning(said)
        if group.startswith("account "):
            self._count_holds(group)
        self._watch(group, limits, taken)

    def _count_holds(self, group: str) -> None:
        """Suspend an account after so many messages in a row over its limit."""
        counters, most = self._services.counters, self._services.config.limits.suspend_after
        if not most:
            return
        if not self.over:
            counters.forget(group, [_HOLDS])
        elif counters.take(group, [Amount(_HOLDS, 1, _DAY_S)]).values[_HOLDS] >= most:
            reason = f"{most} messages in a row were over the limit of {self.over}"
            suspend(counters, group, reason)
            self._journal.warning(f"{group} is suspended: {reason}")

    @property
    def refusal(self) -> Reply | None:
        """Return the refusal of a message over the limit: other sessions of its sender have used it up since RCPT."""
        mode = self._services.config.limits.over_limit
        return None if not self.over or mode == "hold" else over_limit_reply(mode)

    @property
    def hold(self) -> Hold:
        return Hold(OVER_LIMIT, self.over)

    def is_outside(self, recipient: Recipient) -> bool:
        """Return True for a recipient on another server."""
        return not self._services.accounts.is_local_domain(recipient.address.rpartition("@")[2])

    def give_back(self) -> None:
        """Undo the count: the message was not stored."""
        taken, self._taken = self._taken, None
        if taken is not None:
            self._services.counters.give_back(taken)

    def _watch(self, group: str, limits: SenderLimits, taken: Taken) -> None:
        """Remember the client, and tell the postmaster of a limit that is nearly or wholly used."""
        clients = self._clients(group)
        percent = self._services.config.limits.alarm_at
        if not percent:
            return
        used = limits.is_limited and any(
            0 < percent * limits.most(name) <= value * 100 for name, value in taken.values.items()
        )
        many = not limits.hour and 0 < limits.alarm <= taken.values[HOUR]
        if not self.over and (used or many) and self._is_first("near", group):
            self._alarm(group, taken, clients, "")
            return
        full = self.over or (_reached(limits, taken) if limits.is_limited else "")
        if full and self._is_first("full", group):
            self._alarm(group, taken, clients, full)

    def _is_first(self, kind: str, group: str) -> bool:
        """Return True if the sender has had no alarm of this kind within a day, and count it."""
        return not self._services.counters.take(group, [Amount(f"alarm {kind}", 1, _DAY_S, 1)]).over

    def _clients(self, group: str) -> str:
        """Return the last client addresses of the sender, with that of this message first. A host has only its own."""
        counters, client = self._services.counters, self._transaction.peer.client
        address = "this machine" if client.local else client.ip
        if not group.startswith("account "):
            return address
        before = counters.text(group, _CLIENTS)
        others = [each for each in before.split(", ") if each and each != address]
        now = ", ".join([address, *others[: _MOST_CLIENTS - 1]])
        if now != before:
            counters.write_text(group, _CLIENTS, now)
        return now

    def _alarm(self, group: str, taken: Taken, clients: str, full: str) -> None:
        who = group.partition(" ")[2] if group.startswith("account ") else f"The {group}"
        values = {name: taken.values.get(name, 0) for name in (HOUR, DAY, NEW)}
        if full:
            subject = f"{who} has reached a sending limit"
            limit = f"Its limit of {full} is reached; over_limit says what happens to further messages."
        else:
            subject = f"{who} comes near a sending limit"
            limit = "Look whether that is right; the options of [limits] set limits."
        words = _ALARM.format(who=who, limit=limit, clients=clients, **values)
        services = self._services
        mail = PostmasterMail(services.config, services.spool, services.accounts, services.clock, services.runtime.wake)
        problem = mail.send(subject, words)
        if problem:
            self._journal.warning(f"the postmaster could not be told of a sending limit: {problem}")


def _reached(limits: SenderLimits, taken: Taken) -> str:
    """Return the limit that this message has used up, in words; blank for none. That of new recipients is not among
    them, because in the first month it only warns."""
    found = [name for name in (HOUR, DAY) if 0 < limits.most(name) <= taken.values.get(name, 0)]
    return limits.text(found[0]) if found else ""
