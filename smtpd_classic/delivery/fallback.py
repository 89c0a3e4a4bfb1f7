"""The one operator of the algebra: `Fallback(first, second)`."""

from dataclasses import dataclass

from smtpd_classic.delivery.transport import Job, Outcome, Settle, Transport

__all__ = ["Fallback"]


@dataclass(frozen=True, slots=True)
class Fallback:
    """`second` gets, in the same attempt, the recipients that `first` could not do softly."""

    first: Transport
    second: Transport

    def deliver(self, job: Job, settle: Settle) -> None:
        left: set[str] = set()

        def sift(outcomes: list[Outcome]) -> None:
            left.update(outcome.recipient for outcome in outcomes if outcome.soft)
            final = [outcome for outcome in outcomes if not outcome.soft]
            if final:
                settle(final)

        self.first.deliver(job, sift)
        if left:
            self.second.deliver(job.only(left), settle)
