"""Search the queue for words, one piece at a time, in the background."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import urwid

from smtpd_classic.domain_name import spellings
from spool import Listed, Spool
from spool.search import matching
from tui.shell.context import AppContext, Shell
from tui.widgets.dialog import Dialog
from tui.widgets.editors import TextField
from tui.widgets.flow import Flow

__all__ = ["QueueSearch", "ask_words", "with_words"]

_PIECES = (2000, 20_000)  # the first piece is short, so that there is soon a result to see


_MOST_SPELLINGS = 8  # of all words together


def with_words(spool: Spool, listed: Sequence[Listed], words: str) -> set[str]:
    """Return the ids of the entries that hold all the words, with the domains among them in any spelling."""
    choices = itertools.islice(itertools.product(*map(_spelled, words.split())), _MOST_SPELLINGS)
    return set().union(*(matching(spool, listed, each) for each in choices))


def _spelled(word: str) -> list[str]:
    local, at, domain = word.rpartition("@")
    return [word, *(f"{local}{at}{other}" for other in spellings(domain)[1:])]


class QueueSearch:
    """A search that matches the entries with all the words.

    It calls `found` after each piece: the ids in this piece, the number of entries read so far, and the number of all.
    """

    def __init__(
        self,
        context: AppContext,
        spool: Spool,
        words: str,
        rows: Sequence[Listed],
        found: Callable[[set[str], int, int], None],
    ) -> None:
        self.words = words
        self._context = context
        self._spool = spool
        self._rows = rows
        self._found = found
        self._at = 0
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    def go_on(self) -> None:
        piece = self._rows[self._at : self._at + _PIECES[min(self._at, 1)]]
        if self._stopped or not piece:
            return
        self._context.run(lambda: with_words(self._spool, piece, self.words), partial(self._have_looked, len(piece)))

    def _have_looked(self, number: int, found: set[str]) -> None:
        if self._stopped:
            return
        self._at += number
        self._found(found, self._at, len(self._rows))
        self.go_on()


def ask_words(shell: Shell, title: str, words: str, actions: Sequence[tuple[str, Callable[[str], None]]]) -> None:
    """Ask for words or patterns; Enter runs the first action with them."""
    field = TextField("", words)

    def run(action: Callable[[str], None]) -> None:
        shell.close()
        action(field.get_edit_text())

    rows: list[Flow] = [
        urwid.AttrMap(field, "field", "field focus"),
        urwid.Text(("dim", "In id, sender, login, client, recipients, replies; or a pattern such as *@example.net.")),
    ]
    buttons = [(label, partial(run, action)) for label, action in actions]
    first = buttons[0][1]
    shell.open(Dialog(title, rows, [*buttons, ("Cancel", shell.close)], shell.close, submit=first))
