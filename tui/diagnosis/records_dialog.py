"""The DNS records of the local domains: each with its state in DNS; Enter copies one, a button copies all."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import urwid

from smtpd_classic.keys.records import DnsRecord, quoted_strings, zone_fragment
from tui.shell.context import AppContext
from tui.widgets.buttons import Word
from tui.widgets.dialog import Dialog
from tui.widgets.flow import Flow
from tui.widgets.text import clean

__all__ = ["CheckedRecord", "show_records"]

_MARKS = {True: ("good", "✓"), False: ("bad", "✗"), None: ("dim", "–")}


class CheckedRecord(NamedTuple):
    """A record, and whether DNS shows it; None if it is optional or DNS could not be asked."""

    record: DnsRecord
    shown: bool | None


def show_records(context: AppContext, found: Sequence[CheckedRecord]) -> None:
    shell = context.shell
    shell.say("")
    rows: list[Flow] = [
        urwid.Text("✓ DNS shows it, ✗ missing or different, – optional or not asked. Enter copies a record.")
    ]
    for each in found:
        rows += _rows(context, each)
    everything = zone_fragment([each.record for each in found])
    buttons = [("Copy all", lambda: shell.copy(everything)), ("Close", shell.close)]
    shell.open(Dialog("DNS records", rows, buttons, shell.close, width=100, focus_button=1))


def _rows(context: AppContext, each: CheckedRecord) -> list[Flow]:
    record = each.record
    look, mark = _MARKS[each.shown]
    data = quoted_strings(record.data) if record.kind == "TXT" else record.data
    line = f"{record.name}. IN {record.kind} {data}"
    name = Word(f"{mark} {clean(record.name, 200)}  {record.kind}", partial(context.shell.copy, line))
    return [
        urwid.AttrMap(name, look, "button focus"),
        urwid.Text(f"    {clean(record.data, 2000)}", wrap="any"),
        urwid.Text(("dim", f"    {record.purpose}")),
    ]
