"""Sending Limits: the options, and the use of the limits as bars."""

from collections.abc import Iterator

import urwid

from smtpd_classic.counters.sender_limits import COUNTED, SendingUse, counters_folder, sending_use
from smtpd_classic.sharing import counters_for, shared_state_for
from tui.config.settings_screen import SettingsScreen
from tui.shell.context import AppContext
from tui.widgets.dialog import Dialog
from tui.widgets.flow import Flow
from tui.widgets.text import clean

__all__ = ["screen"]

_BAR = 20
_COMMANDS = (
    "“smtpd-classic limits reset ADDRESS” begins to count anew; “user suspend” and “user resume” stop an account and "
    "let it go on."
)


class LimitsScreen(SettingsScreen):
    """The settings of [limits], with the button Use."""

    more_buttons = ("Use",)

    def do(self, command: str) -> bool:
        if command != "use":
            return super().do(command)
        context = self._context
        config = context.usable_config()
        if config is None:
            return True
        shared = shared_state_for(config, context.runtime, lambda said: None)
        context.run(lambda: sending_use(config, counters_for(counters_folder(config), shared)), self._opened)
        return True

    def _opened(self, found: list[SendingUse]) -> None:
        shell = self._context.shell
        rows: list[Flow] = [row for use in found for row in _rows(use)]
        nothing = "No account or host has written to recipients elsewhere within a day."
        rows = rows or [urwid.Text(("help", nothing))]
        rows += [urwid.Divider(), urwid.Text(("dim", _COMMANDS))]
        shell.open(Dialog("Use of the sending limits", rows, [("Close", shell.close)], shell.close, focus_button=0))


def _rows(use: SendingUse) -> Iterator[Flow]:
    yield urwid.Text(("head", clean(use.sender, 320)))
    if use.suspended:
        yield urwid.Text(("bad", f"  suspended: {clean(use.suspended, 300)}"))
    for name in COUNTED:
        number, most = use.numbers[name].value, use.limits.most(name)
        look = "bad" if most and number >= most else "warn" if most and number * 100 >= 80 * most else "help"
        filled = min(number * _BAR // most, _BAR) if most else 0
        bar = f"[{'#' * filled}{'-' * (_BAR - filled)}]" if most else " " * (_BAR + 2)
        yield urwid.Text((look, f"  {name:5} {bar} {number:,}{f' of {most:,}' if most else ''}"))


def screen(context: AppContext) -> LimitsScreen:
    return LimitsScreen(context, "limits")
