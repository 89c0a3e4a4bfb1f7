"""The dialog for a test message, and what it tells step by step."""

import urwid

from smtpd_classic.config.kinds import ADDRESS, SECRET, TEXT
from tui.desk import Desk
from tui.dialog import Dialog
from tui.flow import Flow
from tui.screens.log import log_path
from tui.sheet import Sheet, entry
from tui.trial import Trial, run_trial

__all__ = ["ask_trial", "show_trial"]

_LOGIN = entry("login", TEXT, "Log in as", "An account of this server.", required=True)
_PASSWORD = entry("password", SECRET, "Password", "Its password; it is sent to this server only.", required=True)
_TO = entry("recipient", ADDRESS, "Send to", "An address here, or anywhere else.", required=True)


def ask_trial(desk: Desk, login: str = "", password: str = "", recipient: str = "") -> None:
    """Ask for what is not known, and send."""
    config = desk.source.config
    if config is None:
        desk.stage.say("The configuration must be right first.", "bad")
        return
    fields = [(_LOGIN, login), (_PASSWORD, password), (_TO, recipient or login or config.postmaster)]
    log = log_path(config.server.log)
    Sheet(
        desk,
        "Send a test message",
        fields,
        lambda values: run_trial(config, log, values["login"], values["password"], values["recipient"]),
        lambda trial: show_trial(desk, trial),
    ).open()


def show_trial(desk: Desk, trial: Trial) -> None:
    rows: list[Flow] = [urwid.Text(f"• {step}") for step in trial.steps]
    verdict = ("good", "✓ It really went through.") if trial.arrived else ("bad", "✗ It did not go through.")
    rows += [urwid.Divider(), urwid.Text(verdict)]
    title = "The test message arrived" if trial.arrived else "The test message did not arrive"
    desk.stage.open(Dialog(title, rows, [("Close", desk.stage.close)], desk.stage.close, width=76))
