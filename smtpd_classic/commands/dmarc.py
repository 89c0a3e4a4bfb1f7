"""`smtpd-classic dmarc`: the reports of other servers about mail that claims a domain of this server."""

import argparse
import json
import os
import time
from dataclasses import asdict

from smtpd_classic.accounts import AccountsUnreadable
from smtpd_classic.commands.failures import Refused, guarded
from smtpd_classic.commands.signing import domain_argument, known_domain
from smtpd_classic.config import Config, load
from smtpd_classic.doctor.reports import ReportSummary, received_reports
from smtpd_classic.log import printable

__all__ = ["HELP", "add_arguments", "run"]

HELP = "add up the DMARC reports that have arrived about a domain"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    domain_argument(parser)
    parser.add_argument("--days", type=_days, default=30, metavar="N", help="reports of the last N days (30)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 3650):
        raise argparse.ArgumentTypeError(f"“{text}” is not a number of days.")
    return int(text)


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _show(load(args.config), args))


def _show(config: Config, args: argparse.Namespace) -> int:
    domain = known_domain(config, args.domain)
    try:
        found = received_reports(config, domain, time.time(), args.days)
    except AccountsUnreadable as problem:
        raise Refused(str(problem), os.EX_NOINPUT) from None
    print(json.dumps(_as_json(domain, found), indent=2) if args.json else "\n".join(_lines(domain, found)))
    return os.EX_OK


def _as_json(domain: str, found: ReportSummary) -> dict[str, object]:
    return {
        "domain": domain,
        "reports": found.reports,
        "begin": found.begin,
        "end": found.end,
        "organizations": sorted(found.organizations),
        "messages": found.messages,
        "passed": found.passed,
        "sources": {source: asdict(each) for source, each in sorted(found.sources.items())},
    }


def _lines(domain: str, found: ReportSummary) -> list[str]:
    if not found.reports:
        return [f"No reports about {domain} have arrived."]
    begin, end = (time.strftime("%Y-%m-%d", time.localtime(when)) for when in (found.begin, found.end))
    names = ", ".join(printable(name, 60) for name in sorted(found.organizations)[:5])
    lines = [
        f"{found.reports} reports about {domain}, {begin} to {end}, of {names}",
        f"{found.passed} of {found.messages} messages passed DMARC.",
        f"{'Source':40} {'Messages':>9} {'Passed':>9} {'By DKIM':>9} {'By SPF':>9}",
    ]
    ordered = sorted(found.sources.items(), key=lambda item: -item[1].messages)
    lines += [
        f"{printable(source, 45):40} {each.messages:>9} {each.passed:>9} {each.dkim:>9} {each.spf:>9}"
        for source, each in ordered
    ]
    return lines
