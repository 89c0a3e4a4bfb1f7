"""The dialog for a file that the server would refuse: the wrong values by the names on the screens."""

from collections.abc import Iterator
from typing import NamedTuple

from smtpd_classic.config import Problem
from smtpd_classic.config.schema import SECTIONS
from tui.config.draft import ConfigDraft
from tui.config.field import problem_of
from tui.shell.context import AppContext
from tui.widgets.dialog import Dialog, paragraphs
from tui.widgets.text import clean

__all__ = ["listed", "refusal"]


class WrongValue(NamedTuple):
    """A wrong value: the title of its screen, the name of its option, and a sentence."""

    title: str
    option: str
    sentence: str


def _wrong_values(draft: ConfigDraft) -> Iterator[WrongValue]:
    """Yield the wrong values of the sections with changes."""
    for section in SECTIONS:
        if not draft.changed(section.attribute):
            continue
        for row in draft.table(section.attribute):
            place = f"{section.tab} {row.name}".rstrip()
            for option in section.options():
                problem = problem_of(option, row.text(option)) if row.text(option) or option.required else ""
                if problem:
                    yield WrongValue(section.tab, option.name, f"{place}, {option.label}: {problem}")


def refusal(context: AppContext, errors: list[Problem]) -> Dialog:
    """Return the errors, by the names on the screens if these hold a wrong value, with the way to the first."""
    shell = context.shell
    wrong = list(_wrong_values(context.draft))
    text = "The server would refuse this file, so nothing was written:\n\n"
    text += "\n".join(f"• {clean(each.sentence, 400)}" for each in wrong) or listed(errors)

    def go() -> None:
        shell.close()
        shell.go(wrong[0].title, wrong[0].option)

    there = [("Go there", go)] if wrong else []
    answers = [*there, ("Close", shell.close)]
    return Dialog("Not applied", paragraphs(text), answers, shell.close, width=76, focus_button=0)


def listed(problems: list[Problem]) -> str:
    return "\n".join(f"• {f'line {each.line}: ' if each.line else ''}{clean(each.text, 400)}" for each in problems)
