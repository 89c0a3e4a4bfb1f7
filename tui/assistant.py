"""The first-run assistant: a few questions, then a file that works, a server that runs, and a message that arrived.

Nothing is written before the last question is answered.
"""

import os

import urwid

from tui.applying import settle, tell
from tui.assistant_file import PAGES, Made, Page, as_rows, guesses, make, make_again, user_exists
from tui.buttons import Pressed
from tui.desk import Desk, sentence
from tui.dialog import Dialog, ask, message
from tui.field import Field
from tui.flow import Flow
from tui.reloading import Answer
from tui.screens.trial import ask_trial
from tui.source import Source
from tui.starting import start_server
from tui.text import clean

__all__ = ["Assistant"]


class Assistant:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._answers = guesses()
        self._at = 0
        self._error = urwid.Text("")
        self._working = False
        self._replacing = False

    def begin(self) -> None:
        """Welcome a new administrator; over an existing file offer only steps that lose nothing."""
        if os.path.lexists(self._desk.path):
            self._offer_settings()
            return
        stage = self._desk.stage
        text = (
            f"There is no configuration at {self._desk.path} yet.\n\nA few questions lead to a server that takes and "
            "delivers mail, and to a test message that proves it. Nothing is written before the last question."
        )
        rows: list[Flow] = [urwid.Text(clean(line, 400)) if line else urwid.Divider() for line in text.split("\n")]
        buttons = [("Begin", self._next_from_start), ("Not now", stage.close), ("Quit", stage.leave)]
        stage.open(Dialog("Welcome to smtpd-classic", rows, buttons, stage.close, focus_button=0))

    def _offer_settings(self) -> None:
        desk, stage = self._desk, self._desk.stage
        text = (
            f"There is a configuration at {clean(desk.path, 300)} already.\n\nThe assistant makes a first one. Change "
            "the present settings on the screens of the menu."
        )
        answers: list[tuple[str, Pressed]] = [("Open the settings", self._open_settings)]
        if not desk.source.read_only:
            answers.append(("Start over …", self._ask_to_start_over))
        stage.open(ask("Configuration", text, [*answers, ("Close", stage.close)], stage.close))

    def _open_settings(self) -> None:
        self._desk.stage.close()
        self._desk.stage.go("Basic Parameters")

    def _ask_to_start_over(self) -> None:
        stage = self._desk.stage
        stage.close()
        unapplied = "\n\nChanges that are not applied yet are lost." if self._desk.draft.changed() else ""
        text = (
            f"All settings in {clean(self._desk.path, 300)} are replaced by the answers to a few questions.\n\nThe "
            "present file is kept as a version and can be put back. Accounts, aliases, mail and the queue stay as they "
            f"are.{unapplied}\n\nNothing is written before the last question."
        )
        answers = [("No, keep the settings", stage.close), ("Yes, start over", self._start_over)]
        stage.open(ask("Replace all settings?", text, answers, stage.close))

    def _start_over(self) -> None:
        self._replacing = True
        self._next_from_start()

    def _next_from_start(self) -> None:
        self._desk.stage.close()
        self._open()

    def _open(self) -> None:
        self._error.set_text("")
        if self._at == len(PAGES):
            self._open_summary()
            return
        page = PAGES[self._at]
        answers = [(option, self._answers[option.name]) for option in page.questions]
        fields = [Field(self._desk, option, text, text, self._edited) for option, text in answers]
        rows: list[Flow] = [urwid.Text(page.text), urwid.Divider(), *fields, self._error]
        buttons: list[tuple[str, Pressed]] = [("Next", lambda: self._next(fields)), ("Back", self._back)]
        buttons.append(("Cancel", self._desk.stage.close))
        title = f"{page.title} ({self._at + 1} of {len(PAGES) + 1})"
        dialog = Dialog(title, rows, buttons, self._desk.stage.close, width=76, words=_words)
        dialog.focus_on(fields[0])
        self._desk.stage.open(dialog)

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
        self._desk.stage.close()
        self._open()

    def _contradiction(self, page: Page) -> str:
        """What one answer alone could not know."""
        answers = self._answers
        names = {option.name for option in page.questions}
        if "relay" in names and "relay" in answers["way"] and not answers["relay"]:
            return "A relay was chosen; it needs a host name."
        if "relay" in names and bool(answers["relay_user"]) != bool(answers["relay_password"]):
            return "A login at the relay takes a user and a password."
        if "key" in names and bool(answers["certificate"]) != bool(answers["key"]):
            return "A certificate and its key go together."
        if "service" in names and answers["service"] and not user_exists(answers["service"]):
            return f"There is no user {answers['service']}; “useradd --system {answers['service']}” makes it."
        return ""

    def _back(self) -> None:
        self._desk.stage.close()
        self._at = max(0, self._at - 1)
        self._open()

    def _open_summary(self) -> None:
        rows: list[Flow] = [
            urwid.Columns([(16, urwid.Text(("head", label))), urwid.Text(clean(text, 200))], dividechars=1)
            for label, text in as_rows(self._answers)
        ]
        text = f"This will be written to {self._desk.path}."
        if self._replacing:
            text += " The present file is kept as a version."
        rows += [urwid.Divider(), urwid.Text(clean(text, 400)), self._error]
        buttons = [
            ("Replace the file" if self._replacing else "Write and start", self._write),
            ("Back", self._back),
            ("Cancel", self._desk.stage.close),
        ]
        title = f"Ready? ({self._at + 1} of {self._at + 1})"
        self._desk.stage.open(Dialog(title, rows, buttons, self._desk.stage.close, width=76, focus_button=0))

    def _write(self) -> None:
        if self._working:
            return
        self._working = True
        self._error.set_text(("dim", "Writing …"))
        answers, desk = dict(self._answers), self._desk
        before = desk.source
        if not self._replacing:
            desk.run(lambda: make(answers, desk.path), self._written, self._not_written)
            return

        def work() -> tuple[Made, Source, Answer]:
            made, version = make_again(answers, desk.path)
            return made, *settle(desk, before, version)

        desk.run(work, lambda result: self._replaced(*result), self._not_written)

    def _not_written(self, problem: Exception) -> None:
        self._working = False
        self._error.set_text(("bad", f"! Not written: {sentence(problem)}"))

    def _written(self, made: Made) -> None:
        self._desk.stage.close()
        self._desk.read()
        self._desk.stage.say("Written. Starting the server …", "good")
        self._desk.run(
            lambda: start_server(made.config),
            lambda said: self._started(made, said),
            lambda problem: self._not_started(made, problem),
        )

    def _replaced(self, made: Made, source: Source, answer: Answer) -> None:
        self._desk.stage.close()
        self._desk.take(source)
        tell(self._desk, answer, source)
        self._tell_password(made)

    def _started(self, made: Made, said: str) -> None:
        self._desk.stage.say(said, "good")
        ask_trial(self._desk, made.login, made.password, made.login)
        self._tell_password(made)

    def _not_started(self, made: Made, problem: Exception) -> None:
        text = f"The file is written, but the server did not start:\n\n{sentence(problem)}"
        self._desk.stage.open(message("Not started", text, self._desk.stage.close))
        self._tell_password(made)

    def _tell_password(self, made: Made) -> None:
        if made.existed:
            text = f"The account {made.login} exists already; it keeps its password and settings."
            self._desk.stage.open(message("Your account", text, self._desk.stage.close))
        if made.made_up:
            text = f"Your account is {made.login}, its password\n\n    {made.password}\n\nIt is shown only now."
            self._desk.stage.open(message("Your password", text, self._desk.stage.close))


def _words(focus: Flow | None) -> tuple[str, str] | None:
    return (focus.option.label, focus.option.doc) if isinstance(focus, Field) else None
