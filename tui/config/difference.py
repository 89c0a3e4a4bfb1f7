"""A unified diff as rows of a dialog; `masked_diff` masks the secrets when it makes the diff."""

import urwid

from smtpd_classic.config.changes import masked_diff
from tui.widgets.flow import Flow
from tui.widgets.text import clean

__all__ = ["diff_between", "diff_rows"]

_LOOKS = {"+": "added", "-": "removed", "@": "head"}
_MOST = 2000


def diff_rows(diff: str) -> list[Flow]:
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))][:_MOST]
    return [urwid.Text((_LOOKS.get(line[:1], "help"), clean(line)), wrap="any") for line in lines] or [
        urwid.Text("There is no difference.")
    ]


def diff_between(before: str, after: str, name: str) -> list[Flow]:
    return diff_rows(masked_diff(before, after, name))
