"""The guard at the door: changes that are not applied are never lost by leaving."""

from collections.abc import Callable

from tui.desk import Desk
from tui.dialog import Dialog, paragraphs

__all__ = ["question"]


def question(desk: Desk, titles: list[str], apply: Callable[[], None]) -> Dialog:
    """What is asked before the program ends; `titles` are the screens with changes."""
    stage = desk.stage
    if not titles:
        answers = [("Stay", stage.close), ("Quit", stage.leave)]
        text = "Everything is applied. Leave the program? The server goes on running."
        return Dialog("Leave?", paragraphs(text), answers, stage.close, focus_button=0, is_exit=True)

    def apply_first() -> None:
        stage.close()
        apply()

    text = "These screens hold changes that are not applied:\n\n  " + "\n  ".join(titles)
    answers = [("Stay", stage.close), ("Apply", apply_first), ("Discard and quit", stage.leave)]
    title = "Changes are not applied"
    return Dialog(title, paragraphs(text), answers, stage.close, focus_button=0, is_exit=True)
