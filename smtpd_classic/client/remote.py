"""Delivery of one message to one address of one host, over a new session or an idle one."""

from dataclasses import replace
from typing import cast

from smtpd_classic.client.batches import transact
from smtpd_classic.client.connections import places_of
from smtpd_classic.client.network import Network, Target
from smtpd_classic.client.not_ready import NotReady
from smtpd_classic.client.session import Session, open_session
from smtpd_classic.client.transaction import StaleConnection
from smtpd_classic.client.transport import Action, DeliveryJob, Outcome, Settle
from smtpd_classic.smtp.reply import Reply

__all__ = ["deliver_to"]


class _Delivery:
    """The recipients that are left, and the soft outcomes, which another host may improve."""

    def __init__(self, job: DeliveryJob, settle: Settle) -> None:
        self.job = job
        self._settle = settle
        self.left = {recipient.address: None for recipient in job.recipients}
        self.held: list[Outcome] = []

    def settle(self, outcomes: list[Outcome]) -> None:
        """Pass on final outcomes at once, so that they are recorded before anything else happens."""
        for outcome in outcomes:
            self.left.pop(outcome.recipient, None)
        self.held += [outcome for outcome in outcomes if outcome.soft]
        final = [outcome for outcome in outcomes if not outcome.soft]
        if final:
            self._settle(final)

    def again(self) -> None:
        """Put the recipients with a soft outcome back among those that are left."""
        self.left.update({outcome.recipient: None for outcome in self.held})
        self.held = []

    def finish(self) -> None:
        words = Reply(451, "4.4.2", "the session ended before this recipient's turn came")
        self.held += [Outcome(recipient, Action.DELAYED, words, soft=True, begun=True) for recipient in self.left]
        if self.held:
            self._settle(self.held)


def deliver_to(target: Target, job: DeliveryJob, settle: Settle, network: Network) -> None:
    """Deliver the job, and settle every recipient. Raises HostBusy while nothing has been sent."""
    delivery = _Delivery(job, settle)
    for _ in range(3):
        if not _one_session(target, delivery, network):
            break
    delivery.finish()


def _one_session(target: Target, delivery: _Delivery, network: Network) -> bool:
    """Use one session. Return True if another session with the same host is needed."""
    places = places_of(target.peer)
    session = cast("Session | None", network.connections.take(places, target))
    try:
        job = delivery.job.only(set(delivery.left))
        try:
            if session is None:
                session = open_session(target, network, job.transcript, job.note)
            else:
                session.resume(job.transcript)
            network.slots.enter(session.wire, reused=session.reused)
            try:
                transact(session, job, delivery.settle, network.timeouts, network.health.most_recipients(target.peer))
            finally:
                network.slots.leave(session.wire)
        except NotReady as problem:
            network.health.failed(target.peer, str(problem), dead=problem.dead)
            network.connections.failed(places)
            delivery.settle(job.all(replace(problem.outcome, peer=target.peer)))
            return False
        except StaleConnection:
            network.connections.forget(places[0])  # other idle sessions of this age are closed too
            delivery.again()
            return True
        return _look_back(target, session, delivery, network)
    except BaseException:
        if session is not None:
            session.end()  # perhaps in the middle of a message, so it cannot be used again
        raise
    finally:
        network.connections.give_back(places, target, session)


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
    connections, places = network.connections, places_of(target.peer)
    if session.lost:
        network.health.failed(target.peer, "lost connection", dead=False)
        (connections.timed_out if session.wire.timed_out else connections.failed)(places)
        return False
    network.health.worked(target.peer)
    if any(_is_about_host(outcome) for outcome in delivery.held):
        connections.failed(places)
    else:
        connections.worked(places)
    return False


def _is_about_host(outcome: Outcome) -> bool:
    """Return True for 4xx to MAIL, or 4.7.x to another command than RCPT: the host takes no more mail from us now."""
    if outcome.command == "RCPT TO" or not outcome.reply.transient:
        return False
    return outcome.command == "MAIL FROM" or (bool(outcome.command) and outcome.reply.enhanced.startswith("4.7."))
