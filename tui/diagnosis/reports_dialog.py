"""The DMARC reports of other servers about the local domains: pass and fail by source."""

import time
from collections.abc import Mapping

import urwid

from smtpd_classic.doctor.reports import ReportSummary, SourceSummary
from tui.shell.context import AppContext
from tui.widgets.dialog import Dialog
from tui.widgets.flow import Flow
from tui.widgets.table import Column, TableRow
from tui.widgets.text import clean

__all__ = ["show_reports"]

_COLUMNS = (
    Column("Source"),
    Column("Passed", 8, align=urwid.Align.RIGHT),
    Column("Failed", 8, align=urwid.Align.RIGHT),
    Column("By DKIM", 8, least=60, align=urwid.Align.RIGHT),
    Column("By SPF", 8, least=60, align=urwid.Align.RIGHT),
)
_MOST_SOURCES = 50


def show_reports(context: AppContext, found: Mapping[str, ReportSummary]) -> None:
    """Show the sums of the last 30 days by domain."""
    shell = context.shell
    shell.say("")
    rows: list[Flow] = []
    for domain, summary in found.items():
        rows += [urwid.Text(("head", clean(domain, 254))), *_rows(summary), urwid.Divider()]
    buttons = [("Close", shell.close)]
    shell.open(Dialog("DMARC reports", rows[:-1], buttons, shell.close, width=100, focus_button=0))


def _rows(summary: ReportSummary) -> list[Flow]:
    if not summary.reports:
        return [urwid.Text(("dim", "No reports have arrived within 30 days."))]
    begin, end = (time.strftime("%Y-%m-%d", time.localtime(when)) for when in (summary.begin, summary.end))
    names = ", ".join(clean(name, 60) for name in sorted(summary.organizations)[:5])
    rows: list[Flow] = [
        urwid.Text(f"Reports of {names}, {begin} to {end}: {summary.reports}."),
        urwid.Text(f"{summary.passed} of {summary.messages} messages passed DMARC."),
        urwid.WidgetDisable(TableRow(_COLUMNS, [each.title for each in _COLUMNS], lambda: None, "head")),
    ]
    ordered = sorted(summary.sources.items(), key=lambda item: (-item[1].messages, item[0]))
    rows += [_source(name, source) for name, source in ordered[:_MOST_SOURCES]]
    if len(ordered) > _MOST_SOURCES:
        rest = f"… and {len(ordered) - _MOST_SOURCES} more sources: “smtpd-classic dmarc DOMAIN” lists all."
        rows.append(urwid.Text(("dim", rest)))
    return rows


def _source(name: str, source: SourceSummary) -> TableRow:
    failed = source.messages - source.passed
    cells = [clean(name, 45), *(str(each) for each in (source.passed, failed, source.dkim, source.spf))]
    return TableRow(_COLUMNS, cells, lambda: None, "bad" if failed else "row")
