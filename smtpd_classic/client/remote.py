"""Delivery of one message to one address of one host, over a new session or an idle one."""

from collections.abc import Iterable
from itertools import chain
from typing import cast

from smtpd_classic.client.batches import transact
from smtpd_classic.client.connections import places_of
from smtpd_classic.client.network import Network, Target
from smtpd_classic.client.not_ready import NotReady
from smtpd_classic.client.racing import first_connected
from smtpd_classic.client.session import Session, open_session
from smtpd_classic.client.transaction import StaleConnection
from smtpd_classic.client.transport import Action, DeliveryJob, Outcome, Settle
from smtpd_classic.smtp.reply import Reply

__all__ = ["deliver_to"]


class _Delivery:
    """The recipients that are left, and the soft outcomes, which another host may improve."""

    def __init__(self, job: DeliveryJob, settle: Settle, target: Target, beside: Iterable[Target]) -> None:
        self.job = job
        self.target = target
        self.beside = iter(beside)
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


def deliver_to(
    target: Target, job: DeliveryJob, settle: Settle, network: Network, beside: Iterable[Target] = ()
) -> None:
    """Deliver the job to the target, or to one of those `beside` it that can be reached sooner.

    Settle every recipient. Raises HostBusy while nothing has been sent.
    """
    delivery = _Delivery(job, settle, target, beside)
    for _ in range(3):
        if not _one_session(delivery, network):
            break
    delivery.finish()


def _opened(delivery: _Delivery, job: DeliveryJob, network: Network) -> Session:
    """Open a session with the target, or with one beside it that is then the target. Raises NotReady."""
    beside = next(delivery.beside, None)
    if beside is None:
        return open_session(delivery.target, network, job.transcript, job.note)
    rivals = chain((beside,), delivery.beside)
    delivery.target, connection = first_connected(delivery.target, rivals, network, job.transcript)
    if isinstance(connection, Session):
        connection.resume(job.transcript)
        return connection
    return open_session(delivery.target, network, job.transcript, job.note, connection)


def _one_session(delivery: _Delivery, network: Network) -> bool:
    """Use one session. Return True if another session with the same host is needed."""
    target = delivery.target
    places = places_of(target.peer)
    session = cast("Session | None", network.connections.take(places, target))
    try:
        job = delivery.job.only(set(delivery.left))
        try:
            if session is None:
                session = _opened(delivery, job, network)
            else:
                session.resume(job.transcript)
            if delivery.target is not target:
                target, places = delivery.target, places_of(delivery.target.peer)
            network.slots.enter(session.wire, reused=session.reused)
            try:
                transact(session, job, delivery.settle, network.timeouts, network.health.most_recipients(target.peer))
            finally:
                network.slots.leave(session.wire)
        except NotReady as problem:
            target, places = delivery.target, places_of(delivery.target.peer)
            network.health.failed(target.peer, str(problem), dead=problem.dead)
            network.connections.failed(places)
            delivery.settle(job.all(problem.outcome._replace(peer=target.peer)))
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
