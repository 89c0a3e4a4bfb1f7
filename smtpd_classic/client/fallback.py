"""The combination of two transports: `FallbackTransport(first, second)`."""

from dataclasses import dataclass

from smtpd_classic.client.transport import DeliveryJob, Outcome, Settle, Transport

__all__ = ["FallbackTransport"]


@dataclass(frozen=True, slots=True)
class FallbackTransport:
    """A transport that passes the soft failures of `first` to `second`, in the same attempt."""

    first: Transport
    second: Transport

    def deliver(self, job: DeliveryJob, settle: Settle) -> None:
        left: set[str] = set()

        def sift(outcomes: list[Outcome]) -> None:
            left.update(outcome.recipient for outcome in outcomes if outcome.soft)
            final = [outcome for outcome in outcomes if not outcome.soft]
            if final:
                settle(final)

        self.first.deliver(job, sift)
        if left:
            self.second.deliver(job.only(left), settle)
