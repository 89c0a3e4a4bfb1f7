"""One message at one host in several transactions, because the host takes fewer recipients at once or some again."""

import time

from smtpd_classic.client.network import Timeouts
from smtpd_classic.client.session import Session
from smtpd_classic.client.transaction import ClientTransaction
from smtpd_classic.client.transport import DeliveryJob, Settle

__all__ = ["transact"]

MOST_RECIPIENTS = 100  # every server accepts so many (RFC 5321 4.5.3.1.8)


def transact(
    session: Session, job: DeliveryJob, settle: Settle, timeouts: Timeouts, most_recipients: int = MOST_RECIPIENTS
) -> None:
    """Deliver the job, in several transactions if the host takes fewer recipients at once. Raises StaleConnection.

    A recipient that is not settled at the end was accepted by the host, which then closed the session before DATA.
    """
    end = time.monotonic() + timeouts.transaction_of(job.content.facts().size)
    left = list(job.recipients)
    rounds = 0
    while left:
        most = min(most_recipients, session.offered.max_recipients or MOST_RECIPIENTS)
        batch, later = left[:most], left[most:]
        part = job if len(batch) == len(job.recipients) else job._replace(recipients=tuple(batch))
        session.wire.limit(end - time.monotonic())
        transaction = ClientTransaction(session, part, timeouts)
        transaction.run()
        repeated = transaction.to_repeat() if rounds < len(job.recipients) + 3 else []
        rounds += 1
        names = {recipient.address for recipient in repeated}
        outcomes = [outcome for outcome in transaction.outcomes() if outcome.recipient not in names]
        if outcomes:
            settle(outcomes)
        left = repeated + later
        if left and not session.usable:
            settle([transaction.lost_outcome(recipient) for recipient in left])
            return
