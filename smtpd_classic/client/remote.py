"""`deliver_to`: one message to one address of one host, over a session that may be an old one."""

from dataclasses import replace
from typing import cast

from smtpd_classic.client.network import Network, Target
from smtpd_classic.client.session import NotReady, Session, open_session
from smtpd_classic.client.transaction import StaleConnection, transact
from smtpd_classic.client.transport import Action, DeliveryJob, Outcome, Settle
from smtpd_classic.smtp.reply import Reply

__all__ = ["deliver_to"]


class _Delivery:
    """Which recipients are left, and what the host said of them that another may better."""

    def __init__(self, job: DeliveryJob, settle: Settle) -> None:
        self.job = job
        self._settle = settle
        self.left = {recipient.address: None for recipient in job.recipients}
        self.held: list[Outcome] = []

    def settle(self, outcomes: list[Outcome]) -> None:
        """What is final is passed on at once, so that it is known whatever happens next."""
        for outcome in outcomes:
            self.left.pop(outcome.recipient, None)
        self.held += [outcome for outcome in outcomes if outcome.soft]
        final = [outcome for outcome in outcomes if not outcome.soft]
        if final:
            self._settle(final)

    def again(self) -> None:
        """What is held is tried once more."""
        self.left.update({outcome.recipient: None for outcome in self.held})
        self.held = []

    def finish(self) -> None:
        words = Reply(451, "4.4.2", "the session ended before this recipient's turn came")
        self.held += [Outcome(recipient, Action.DELAYED, words, soft=True, begun=True) for recipient in self.left]
        if self.held:
            self._settle(self.held)


def deliver_to(target: Target, job: DeliveryJob, settle: Settle, network: Network) -> None:
    """Settles every recipient of the job. Raises HostBusy while nothing has been sent."""
    delivery = _Delivery(job, settle)
    for _ in range(3):
        if not _one_session(target, delivery, network):
            break
    delivery.finish()


def _one_session(target: Target, delivery: _Delivery, network: Network) -> bool:
    """Whether another session with the same host is called for."""
    address = (target.peer.ip, target.peer.port)
    session = cast("Session | None", network.connections.take(address, target))
    try:
        job = delivery.job.only(set(delivery.left))
        try:
            if session is None:
                session = open_session(target, network, job.transcript, job.note)
            else:
                session.resume(job.transcript)
            network.slots.enter(session.wire)
            try:
                transact(session, job, delivery.settle, network.timeouts, network.health.most_recipients(target.peer))
            finally:
                network.slots.leave(session.wire)
        except NotReady as problem:
            network.health.failed(target.peer, str(problem), dead=problem.dead)
            delivery.settle(job.all(replace(problem.outcome, peer=target.peer)))
            return False
        except StaleConnection:
            network.connections.forget(address)  # what was kept as long as this one is gone too
            delivery.again()
            return True
        return _look_back(target, session, delivery, network)
    except BaseException:
        if session is not None:
            session.end()  # in the middle of a message, perhaps: of no use for the next
        raise
    finally:
        network.connections.give_back(address, target, session)


def _look_back(target: Target, session: Session, delivery: _Delivery, network: Network) -> bool:
    if session.choked:
        network.health.cannot_pipeline(target.peer)
        session.choked = False
        delivery.again()
        return True
    if session.recipients_taken:
        network.health.takes_at_most(target.peer, session.recipients_taken)
        session.recipients_taken = 0
        if delivery.left:
            return True
    if session.lost:
        network.health.failed(target.peer, "lost connection", dead=False)
    else:
        network.health.worked(target.peer)
    return False
