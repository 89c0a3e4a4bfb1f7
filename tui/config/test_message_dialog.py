"""The dialog for a test message, and the steps of its result."""

import urwid

from smtpd_classic.config.kinds import ADDRESS, SECRET, TEXT
from tui.config.test_message import TestMessage, run_trial
from tui.shell.context import AppContext
from tui.shell.fields_dialog import FieldsDialog, entry
from tui.widgets.dialog import Dialog
from tui.widgets.flow import Flow

__all__ = ["ask_trial", "show_trial"]

_LOGIN = entry("login", TEXT, "Log in as", "An account of this server.", required=True)
_PASSWORD = entry("password", SECRET, "Password", "Its password; it is sent to this server only.", required=True)
_TO = entry("recipient", ADDRESS, "Send to", "An address here, or anywhere else.", required=True)


def ask_trial(context: AppContext, login: str = "", password: str = "", recipient: str = "") -> None:
    """Ask for the missing values, and send the test message."""
    config = context.usable_config()
    if config is None:
        return
    fields = [(_LOGIN, login), (_PASSWORD, password), (_TO, recipient or login or config.postmaster)]
    FieldsDialog(
        context,
        "Send a test message",
        fields,
        lambda values: run_trial(config, values["login"], values["password"], values["recipient"]),
        lambda trial: show_trial(context, trial),
    ).open()


def show_trial(context: AppContext, trial: TestMessage) -> None:
    rows: list[Flow] = [urwid.Text(f"• {step}") for step in trial.steps]
    verdict = ("good", "✓ It really went through.") if trial.arrived else ("bad", "✗ It did not go through.")
    rows += [urwid.Divider(), urwid.Text(verdict)]
    title = "The test message arrived" if trial.arrived else "The test message did not arrive"
    context.shell.open(Dialog(title, rows, [("Close", context.shell.close)], context.shell.close, width=76))
