"""Decisions by mail that other servers have handed in, carried out for the messages in this queue."""

from smtpd_classic.approval import APPROVE, approval_of
from smtpd_classic.config.schema import Config
from smtpd_classic.retry.network import RetryServices
from smtpd_classic.shared_state import SharedState
from smtpd_classic.shared_state.decisions import HandedDecision, handed_in
from spool import NoSuchEntry, NotClaimed, NotWaiting, SpoolBroken, SpoolFull

__all__ = ["SharedDecisions", "decides_by_mail"]


def decides_by_mail(config: Config) -> bool:
    return any(each.by_mail for each in config.approvals)


class SharedDecisions:
    """The decisions of the other servers."""

    def __init__(self, services: RetryServices, shared: SharedState) -> None:
        self._services = services
        self._shared = shared
        self._done: list[str] = []

    def once(self) -> None:
        """Carry out the decisions about messages in this queue. Raises SharedStateDown."""
        found = handed_in(self._shared, self._done)
        self._done = [each.queue_id for each in found if self._carry_out(each)]

    def _carry_out(self, decision: HandedDecision) -> bool:
        """Return True if no server needs the decision any more."""
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
        except (NotClaimed, SpoolFull, SpoolBroken):  # the next round tries again
            return False
        self._log(queue_id, f"decision by mail of {decision.manager}, received by another server")
        services.runtime.wake(queue_id)
        return True

    def _log(self, queue_id: str, words: str) -> None:
        self._services.log.write("qmgr", f"{queue_id}: {words}")
