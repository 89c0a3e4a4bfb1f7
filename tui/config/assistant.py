"""The first-run assistant: it asks a few questions, writes a working file, starts the server and sends a message.

It writes nothing before the last question is answered.
"""

import os
from functools import partial

import urwid

from smtpd_classic.accounts import weakness
from smtpd_classic.config import Config
from tui.accounts.password_meter import meter
from tui.config.apply import report, settle
from tui.config.assistant_file import PAGES, NewConfiguration, Page, as_rows, guesses, make, make_again, user_exists
from tui.config.config_file import ConfigFile
from tui.config.field import Field
from tui.config.reload import ReloadAnswer
from tui.config.run_test import run_test
from tui.config.start import start_server
from tui.config.test_message_dialog import ask_trial
from tui.shell.context import AppContext, sentence
from tui.shell.discard_question import esc_asks
from tui.widgets.buttons import Pressed
from tui.widgets.dialog import Dialog, ask, message
from tui.widgets.flow import Flow
from tui.widgets.text import clean

__all__ = ["Assistant"]


class Assistant:
    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._guesses = guesses()
        self._answers = dict(self._guesses)
        self._at = 0
        self._error = urwid.Text("")
        self._working = False
        self._replacing = False
        self._esc = esc_asks(context.shell, lambda: self._answers != self._guesses)
        self._weak = ""  # the weak password that [Next] was refused for, once

    def begin(self) -> None:
        """Welcome a new administrator; over an existing file offer only steps that lose nothing."""
        if os.path.lexists(self._context.path):
            self._offer_settings()
            return
        shell = self._context.shell
        text = (
            f"There is no configuration at {self._context.path} yet.\n\nA few questions lead to a server that takes "
            "and delivers mail, and to a test message that proves it. Nothing is written before the last question."
        )
        rows: list[Flow] = [urwid.Text(clean(line, 400)) if line else urwid.Divider() for line in text.split("\n")]
        buttons = [("Begin", self._next_from_start), ("Not now", shell.close), ("Quit", shell.leave)]
        shell.open(Dialog("Welcome to smtpd-classic", rows, buttons, shell.close, focus_button=0))

    def _offer_settings(self) -> None:
        context, shell = self._context, self._context.shell
        text = (
            f"There is a configuration at {clean(context.path, 300)} already.\n\nThe assistant makes a first one. "
            "Change the present settings on the screens of the menu."
        )
        answers: list[tuple[str, Pressed]] = [("Open the settings", self._open_settings)]
        if not context.source.read_only:
            answers.append(("Start over …", self._ask_to_start_over))
        shell.open(ask("Configuration", text, [*answers, ("Close", shell.close)], shell.close))

    def _open_settings(self) -> None:
        self._context.shell.close()
        self._context.shell.go("Basic Parameters")

    def _ask_to_start_over(self) -> None:
        shell = self._context.shell
        shell.close()
        unapplied = "\n\nChanges that are not applied yet are lost." if self._context.draft.changed() else ""
        text = (
            f"All settings in {clean(self._context.path, 300)} are replaced by the answers to a few questions.\n\nThe "
            "present file is kept as a version and can be put back. Accounts, aliases, mail and the queue stay as they "
            f"are.{unapplied}\n\nNothing is written before the last question."
        )
        answers = [("No, keep the settings", shell.close), ("Yes, start over", self._start_over)]
        shell.open(ask("Replace all settings?", text, answers, shell.close))

    def _start_over(self) -> None:
        self._replacing = True
        self._next_from_start()

    def _next_from_start(self) -> None:
        self._context.shell.close()
        self._open()

    def _open(self) -> None:
        self._error.set_text("")
        if self._at == len(PAGES):
            self._open_summary()
            return
        page = PAGES[self._at]
        answers = [(option, self._answers[option.name]) for option in page.questions]
        fields = [
            Field(self._context, option, text, text, self._edited, partial(self._strength, option.name))
            for option, text in answers
        ]
        rows: list[Flow] = [urwid.Text(page.text), urwid.Divider(), *fields, self._error]
        buttons: list[tuple[str, Pressed]] = [("Next", lambda: self._next(fields)), ("Back", self._back)]
        buttons.append(("Cancel", self._context.shell.close))
        title = f"{page.title} ({self._at + 1} of {len(PAGES) + 1})"
        dialog = Dialog(title, rows, buttons, self._esc, width=76, words=_words, enter_accepts=True)
        dialog.focus_on(fields[0])
        self._context.shell.open(dialog)

    def _strength(self, name: str) -> str:
        """Return the strength of the account's password below its field."""
        answers = self._answers
        return meter(answers[name], f"{answers['user']}@{answers['domain']}") if name == "password" else ""

    def _edited(self, field: Field) -> None:
        self._error.set_text("")
        self._answers[field.option.name] = field.text.strip()

    def _next(self, fields: list[Field]) -> None:
        wrong = next((f"{field.option.label}: {field.problem}" for field in fields if field.problem), "")
        wrong = wrong or self._contradiction(PAGES[self._at])
        if wrong:
            self._error.set_text(("bad", f"! {wrong}"))
            return
        self._at += 1
        self._context.shell.close()
        self._open()

    def _contradiction(self, page: Page) -> str:
        """Return an error if the answers of a page contradict each other or the service user is unknown, else blank."""
        answers = self._answers
        names = {option.name for option in page.questions}
        if "relay" in names and "relay" in answers["way"] and not answers["relay"]:
            return "A relay was chosen; it needs a host name."
        if "relay" in names and bool(answers["relay_user"]) != bool(answers["relay_password"]):
            return "A login at the relay takes a user and a password."
        if "password" in names and answers["password"] and answers["password"] != self._weak:
            problem = weakness(answers["password"], f"{answers['user']}@{answers['domain']}")
            if problem is not None:
                self._weak = answers["password"]
                return f"{problem[:1].upper()}{problem[1:]} Next once more sets it all the same."
        if "key" in names and bool(answers["certificate"]) != bool(answers["key"]):
            return "A certificate and its key go together."
        if "service" in names and answers["service"] and not user_exists(answers["service"]):
            return f"There is no user {answers['service']}; “useradd --system {answers['service']}” makes it."
        return ""

    def _back(self) -> None:
        self._context.shell.close()
        self._at = max(0, self._at - 1)
        self._open()

    def _open_summary(self) -> None:
        rows: list[Flow] = [
            urwid.Columns([(16, urwid.Text(("head", label))), urwid.Text(clean(text, 200))], dividechars=1)
            for label, text in as_rows(self._answers)
        ]
        text = f"This will be written to {self._context.path}."
        if self._replacing:
            text += " The present file is kept as a version."
        rows += [urwid.Divider(), urwid.Text(clean(text, 400)), self._error]
        buttons = [
            ("Replace the file" if self._replacing else "Write and start", self._write),
            ("Back", self._back),
            ("Cancel", self._context.shell.close),
        ]
        title = f"Ready? ({self._at + 1} of {self._at + 1})"
        self._context.shell.open(Dialog(title, rows, buttons, self._esc, width=76, focus_button=0))

    def _write(self) -> None:
        if self._working:
            return
        self._working = True
        self._error.set_text(("dim", "Writing …"))
        answers, context = dict(self._answers), self._context
        before = context.source
        if not self._replacing:
            context.run(lambda: make(answers, context.path), self._written, self._not_written)
            return

        def work() -> tuple[NewConfiguration, ConfigFile, ReloadAnswer]:
            made, version = make_again(answers, context.path)
            return made, *settle(context, before, version)

        context.run(work, lambda result: self._replaced(*result), self._not_written)

    def _not_written(self, problem: Exception) -> None:
        self._working = False
        self._error.set_text(("bad", f"! Not written: {sentence(problem)}"))

    def _written(self, made: NewConfiguration) -> None:
        self._context.shell.close()
        self._context.read()
        self._context.shell.say("Written. Starting the server …", "good")
        self._context.run(
            lambda: start_server(made.config),
            lambda said: self._started(made, said),
            lambda problem: self._not_started(made, problem),
        )

    def _replaced(self, made: NewConfiguration, source: ConfigFile, answer: ReloadAnswer) -> None:
        self._context.shell.close()
        self._context.take(source)
        report(self._context, answer, source)
        self._tell_password(made)

    def _started(self, made: NewConfiguration, said: str) -> None:
        self._context.shell.say(said, "good")
        self._context.run(partial(_first_key, made.config), lambda _: self._prove(made))

    def _prove(self, made: NewConfiguration) -> None:
        """Test the relay, then send a message; below the dialogs the doctor waits with the next steps."""
        self._context.shell.go("Doctor")
        self._context.shell.run_command("examine")
        ask_trial(self._context, made.login, made.password, made.login)
        if made.config.remote.relay_hosts:
            run_test(self._context, "remote", None)
        self._tell_password(made)

    def _not_started(self, made: NewConfiguration, problem: Exception) -> None:
        text = f"The file is written, but the server did not start:\n\n{sentence(problem)}"
        self._context.shell.open(message("Not started", text, self._context.shell.close))
        self._tell_password(made)

    def _tell_password(self, made: NewConfiguration) -> None:
        if made.existed:
            text = f"The account {made.login} exists already; it keeps its password and settings."
            self._context.shell.open(message("Your account", text, self._context.shell.close))
        if made.made_up:
            text = f"Your account is {made.login}, its password\n\n    {made.password}\n\nIt is shown only now."
            self._context.shell.open(message("Your password", text, self._context.shell.close))


def _first_key(config: Config) -> object:
    from tui.diagnosis.signing_screen import first_key  # noqa: PLC0415

    return first_key(config)


def _words(focus: Flow | None) -> tuple[str, str] | None:
    return (focus.option.label, focus.option.doc) if isinstance(focus, Field) else None
