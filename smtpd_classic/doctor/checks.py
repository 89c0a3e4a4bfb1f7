"""All checks of the doctor, in the order of their display."""

from collections.abc import Callable, Iterator

from smtpd_classic.doctor import (
    account_checks,
    dns_checks,
    host_checks,
    name_checks,
    report_checks,
    server_checks,
    shared_checks,
    spf_checks,
)
from smtpd_classic.doctor.daily import once_a_day
from smtpd_classic.doctor.finding import CheckResult, Examination

__all__ = ["CHECKS", "examine"]

CHECKS: tuple[Callable[[Examination], Iterator[CheckResult]], ...] = (
    host_checks.daemon,
    server_checks.configuration,
    server_checks.accounts,
    server_checks.listeners,
    server_checks.port_25_in,
    once_a_day(host_checks.port_25_out),
    dns_checks.resolver,
    name_checks.resolver_kind,
    name_checks.own_address,
    name_checks.helo_name,
    dns_checks.helo_address,
    dns_checks.ptr,
    dns_checks.mx,
    name_checks.backup_mx,
    dns_checks.spf,
    spf_checks.spf_terms,
    spf_checks.spf_end,
    name_checks.helo_spf,
    dns_checks.dkim,
    spf_checks.own_domains,
    server_checks.key_files,
    dns_checks.retired_keys,
    dns_checks.dmarc,
    report_checks.dmarc_policy,
    dns_checks.dmarc_reports,
    report_checks.report_addresses,
    dns_checks.tls_reports,
    host_checks.certificate,
    server_checks.certificate_name,
    server_checks.certificate_chain,
    once_a_day(host_checks.block_lists),
    host_checks.clock,
    host_checks.disk,
    host_checks.queue,
    server_checks.held,
    server_checks.backup,
    host_checks.milters,
    host_checks.dns_lists,
    account_checks.accounts_in_dovecot,
    shared_checks.shared_state,
    shared_checks.shared_secrets,
    host_checks.log,
)


def examine(examination: Examination) -> list[CheckResult]:
    """Return the findings of all checks."""
    return [finding for check in CHECKS for finding in check(examination)]
