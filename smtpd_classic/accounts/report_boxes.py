"""The addresses of reports that other servers send about a domain, and the mailboxes that exist for them by themselves.

A mailbox of reports needs no account: it has no password, and its mail is removed after thirty days. It comes after
accounts, groups and aliases of the same name, and before a catch-all. A mailbox that was an account's is not emptied.
"""

import os

from smtpd_classic.accounts.account import SUSPENDED, Account
from smtpd_classic.accounts.address import DomainTable, account_problem, domain_table
from smtpd_classic.accounts.reading import junk_maildir
from smtpd_classic.config.schema import Config
from smtpd_classic.smtp.address import split_address

__all__ = ["KEPT_S", "dmarc_reports_to", "report_boxes", "tls_reports_to"]

KEPT_S = 30 * 86_400.0
_DMARC, _TLS = "dmarc-reports", "tls-reports"
_LARGEST = 64 << 20  # all reports of a mailbox together: strangers fill it


def dmarc_reports_to(config: Config, domain: str) -> str:
    """Return the address for DMARC reports about a domain."""
    return _dmarc(config, domain, domain_table(config))


def tls_reports_to(config: Config, domain: str) -> str:
    """Return the address for TLS reports about a domain."""
    return _tls(config, domain, domain_table(config))


def _dmarc(config: Config, domain: str, table: DomainTable) -> str:
    return config.signing.dmarc_reports_to or _usual(_DMARC, domain, table)


def _tls(config: Config, domain: str, table: DomainTable) -> str:
    return config.signing.tls_reports_to or _usual(_TLS, domain, table)


def _usual(name: str, domain: str, table: DomainTable) -> str:
    """Return the address without an option. A server of final delivery knows no mailbox but those of its users."""
    return f"{name if table.place(domain).is_maildir else 'postmaster'}@{domain}"


def report_boxes(config: Config) -> dict[str, Account]:
    """Return the mailboxes of reports by their canonical addresses."""
    table = domain_table(config)
    wanted = [each for name in table.names for each in (_dmarc(config, name, table), _tls(config, name, table))]
    found: dict[str, Account] = {}
    for address in map(table.canonical, wanted):
        local, domain = split_address(address)
        is_ours = table.local(domain) is not None and table.place(domain).is_maildir
        if is_ours and local != "postmaster" and not account_problem(address):
            folder = os.path.join(config.server.mail_folder, domain, local)
            junk = junk_maildir(folder, config.server.junk_folder)
            found[address] = Account(
                address, status=SUSPENDED, quota=_LARGEST, folder=folder, junk_maildir=junk, counts_junk=True
            )
    return found
