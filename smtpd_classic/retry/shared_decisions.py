"""Decisions by mail that other servers have handed in, carried out for the messages in this queue."""

from smtpd_classic.approval import APPROVE, approval_of
from smtpd_classic.config.schema import Config
from smtpd_classic.retry.network import RetryServices
from smtpd_classic.shared_state import SharedState
from smtpd_classic.shared_state.decisions import HandedDecision, HandedDecisions, lifetime_s
from spool import NoSuchEntry, NotClaimed, NotWaiting, SpoolBroken, SpoolFull

__all__ = ["SharedDecisions", "decides_by_mail"]

_ALL_EVERY_S = 60.0


def decides_by_mail(config: Config) -> bool:
    return any(each.by_mail for each in config.approvals)


class SharedDecisions:
    """The decisions of the other servers. Each is looked at once, and again after a minute: its message may have come
    into this queue from that of a dead server.
    """

    def __init__(self, services: RetryServices, shared: SharedState) -> None:
        self._services = services
        self._handed = HandedDecisions(shared, lifetime_s(services.config))
        self._done: list[str] = []
        self._all_at = services.clock()

    def once(self) -> None:
        """Carry out the decisions about messages in this queue. Raises SharedStateDown."""
        now = self._services.clock()
        if not 0 <= now - self._all_at < _ALL_EVERY_S:
            self._all_at = now
            self._handed.again()
        while True:
            found = self._handed.new(self._done)
            self._done = [each.queue_id for each in found if self._is_done(each)]
            if not self._done:
                return

    def _is_done(self, decision: HandedDecision) -> bool:
        """Return True if no server needs the decision any more."""
        try:
            return self._carry_out(decision)
        except (NotClaimed, SpoolFull, SpoolBroken):  # the next round tries again
            self._handed.again()
        except Exception as problem:  # one bad decision must not stop the others
            said = f"{decision.queue_id}: decision of another server: {type(problem).__name__}: {problem}"
            self._services.log.warning("qmgr", said)
        return False

    def _carry_out(self, decision: HandedDecision) -> bool:
        """Return False if the message is not in this queue. Raises NotClaimed, SpoolFull and SpoolBroken."""
        services, queue_id, now = self._services, decision.queue_id, self._services.clock()
        try:
            approval = approval_of(services.config, services.spool, queue_id, now)
            if approval is None:
                return True
            if approval.name not in decision.approvals:
                self._log(queue_id, f"nothing is done for a decision by mail of {decision.manager}, who is no manager")
                return True
            approved = decision.action == APPROVE
            services.spool.decide(queue_id, decision.manager, approved=approved, now=now)
        except NotWaiting:
            return True
        except NoSuchEntry:  # it is in the queue of another server, or has gone
            return False
        self._log(queue_id, f"decision by mail of {decision.manager}, received by another server")
        services.runtime.wake(queue_id)
        return True

    def _log(self, queue_id: str, words: str) -> None:
        self._services.log.write("qmgr", f"{queue_id}: {words}")
