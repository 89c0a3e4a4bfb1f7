"""The dialogs before the program ends: changes that are not applied are never lost by leaving."""

from collections.abc import Callable

from tui.shell.context import AppContext
from tui.widgets.dialog import Dialog, ask, paragraphs
from tui.widgets.text import clean

__all__ = ["question", "unreadable"]


def unreadable(context: AppContext) -> Dialog:
    """Return the sentence that the file cannot be read, with the command that can."""
    text = f"{context.source.read_only}. Start the program with the right to read it:\n\n"
    text += f"    sudo smtpd-classic-tui --config {clean(context.path, 300)}"
    leave = context.shell.leave
    return ask("The configuration cannot be read", text, [("Quit", leave)], leave)


def question(context: AppContext, titles: list[str], apply: Callable[[], None]) -> Dialog:
    """Return the question before the program ends; `titles` are the screens with changes."""
    shell = context.shell
    if not titles:
        answers = [("Stay", shell.close), ("Quit", shell.leave)]
        text = "Everything is applied. Leave the program? The server goes on running."
        return Dialog("Leave?", paragraphs(text), answers, shell.close, focus_button=0, is_exit=True)

    def apply_first() -> None:
        shell.close()
        apply()

    text = "These screens hold changes that are not applied:\n\n  " + "\n  ".join(titles)
    answers = [("Stay", shell.close), ("Apply", apply_first), ("Discard and quit", shell.leave)]
    title = "Changes are not applied"
    return Dialog(title, paragraphs(text), answers, shell.close, focus_button=0, is_exit=True)
