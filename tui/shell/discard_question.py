"""The question that Esc asks before it closes a dialog with input."""

from collections.abc import Callable

from tui.shell.context import Shell
from tui.widgets.buttons import Pressed
from tui.widgets.dialog import ask

__all__ = ["esc_asks"]


def esc_asks(shell: Shell, has_input: Callable[[], bool]) -> Pressed:
    """Return the action of Esc: close the dialog, and ask first if it has input."""

    def discard() -> None:
        shell.close()
        shell.close()

    def pressed() -> None:
        if not has_input():
            shell.close()
            return
        answers = [("Go on editing", shell.close), ("Discard", discard)]
        shell.open(ask("Discard the input?", "The dialog has changes. Esc discards them.", answers, shell.close))

    return pressed
