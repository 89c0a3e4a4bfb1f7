"""The DMARC reports that have arrived in the mailboxes of this server, added up by source."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from smtpd_classic.accounts import Accounts
from smtpd_classic.accounts.report_boxes import dmarc_reports_to
from smtpd_classic.config.schema import Config
from smtpd_classic.mailauth.aggregate_report import AggregateReport, reports_in

__all__ = ["ReportSummary", "SourceSummary", "received_reports"]

_MOST_OCTETS = 2 << 20
_HEAD = 16_384
_SIGNS = (b"application/gzip", b"application/x-gzip", b"application/zip", b"application/x-zip", b"xml")
_DAY_S = 86_400.0


@dataclass(slots=True)
class SourceSummary:
    """The messages of one source address. `passed`: DMARC passed, by `dkim` or `spf` or both."""

    messages: int = 0
    passed: int = 0
    dkim: int = 0
    spf: int = 0


@dataclass(slots=True)
class ReportSummary:
    """The reports about one domain. `begin` and `end` are the times that they cover, 0 without a report."""

    reports: int = 0
    begin: int = 0
    end: int = 0
    organizations: set[str] = field(default_factory=set)
    sources: dict[str, SourceSummary] = field(default_factory=dict)

    @property
    def messages(self) -> int:
        """The number of all messages."""
        return sum(each.messages for each in self.sources.values())

    @property
    def passed(self) -> int:
        """The number of messages that passed DMARC."""
        return sum(each.passed for each in self.sources.values())

    def add(self, report: AggregateReport) -> None:
        """Add one report."""
        self.reports += 1
        self.begin = min(self.begin or report.begin, report.begin)
        self.end = max(self.end, report.end)
        self.organizations.add(report.organization)
        for row in report.rows:
            source = self.sources.setdefault(row.source, SourceSummary())
            source.messages += row.count
            source.dkim += row.count * row.dkim
            source.spf += row.count * row.spf
            source.passed += row.count * (row.dkim or row.spf)


def received_reports(config: Config, domain: str, now: float, days: float = 30) -> ReportSummary:
    """Return the sum of the reports about a domain (A-labels) that arrived within these days.

    They are looked for in the mailbox of the address that is printed in the DMARC record; without the option also in
    that of the postmaster, whom earlier versions printed. The junk folder is left out: anyone can send a report. Raises
    AccountsUnreadable or OSError.
    """
    summary = ReportSummary()
    seen: set[AggregateReport] = set()
    for path in _messages(config, domain, now - days * _DAY_S):
        for report in reports_in(_content(path)):
            if report.domain == domain and report not in seen:
                seen.add(report)
                summary.add(report)
    return summary


def _messages(config: Config, domain: str, since: float) -> Iterator[str]:
    for folder in _folders(config, Accounts(config), domain):
        for part in ("new", "cur"):
            try:
                items = list(os.scandir(os.path.join(folder, part)))
            except FileNotFoundError:
                continue
            for item in items:
                status = item.stat(follow_symlinks=False)
                if item.is_file(follow_symlinks=False) and status.st_mtime >= since and status.st_size <= _MOST_OCTETS:
                    yield item.path


def _folders(config: Config, accounts: Accounts, domain: str) -> list[str]:
    """Return the Maildirs in which reports about a domain arrive."""
    names = [dmarc_reports_to(config, domain)]
    names += [] if config.signing.dmarc_reports_to else [f"postmaster@{domain}"]
    found = [accounts.find(name) for name in names]
    targets = dict.fromkeys(target for each in found if each is not None for target in each.targets)
    folders = (account.folder for target in targets if (account := accounts.account(target)) is not None)
    return [folder for folder in dict.fromkeys(folders) if folder]


def _content(path: str) -> bytes:
    """Return a message that may have a report, else nothing: its first octets name the attachment."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
            return head + file.read(_MOST_OCTETS) if any(sign in head.lower() for sign in _SIGNS) else b""
    except FileNotFoundError:  # read or moved meanwhile
        return b""
