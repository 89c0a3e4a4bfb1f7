"""All checks of the doctor, in the order of their display."""

from collections.abc import Callable, Iterator

from smtpd_classic.doctor import dns_checks, host_checks
from smtpd_classic.doctor.finding import CheckResult, Examination

__all__ = ["CHECKS", "examine"]

CHECKS: tuple[Callable[[Examination], Iterator[CheckResult]], ...] = (
    host_checks.daemon,
    host_checks.port_25_out,
    dns_checks.resolver,
    dns_checks.helo_address,
    dns_checks.ptr,
    dns_checks.mx,
    dns_checks.spf,
    dns_checks.dkim,
    dns_checks.retired_keys,
    dns_checks.dmarc,
    dns_checks.dmarc_reports,
    host_checks.certificate,
    host_checks.block_lists,
    host_checks.clock,
    host_checks.disk,
    host_checks.queue,
    host_checks.log,
)


def examine(facts: Examination) -> list[CheckResult]:
    """Return the findings of all checks."""
    return [finding for check in CHECKS for finding in check(facts)]
