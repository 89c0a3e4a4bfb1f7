"""Search the queue for words, one piece at a time, in the background."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import urwid

from smtpd_classic.domain_name import spellings
from spool import Listed, Spool
from spool.search import matching
from tui.queue.rows import QueueRows
from tui.shell.context import AppContext, Shell
from tui.widgets.dialog import Dialog
from tui.widgets.editors import TextField
from tui.widgets.flow import Flow
from tui.widgets.text import count

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
    """The search of the Queue screen: it looks into each message once, and again after it has changed.

    It keeps `found` of the rows, and calls `shown` after each piece.
    """

    def __init__(self, context: AppContext, rows: QueueRows, shown: Callable[[], None]) -> None:
        self.words = ""
        self._context = context
        self._rows = rows
        self._shown = shown
        self._number = 0  # of the search: what an earlier one finds is dropped
        self._left: dict[str, Listed] = {}
        self._looking = self._begun = self._told = False
        self._then: list[Callable[[], None]] = []

    def start(self, words: str) -> None:
        """Search the whole queue for these words; none: show every message."""
        self.words = words.strip()
        self._number += 1
        self._looking = self._begun = self._told = False
        self._left.clear()
        self._then.clear()
        self._rows.found = None
        self._rows.arrange()  # not only those that an earlier search has found
        every = self._rows.keys
        if self.words:
            self._rows.found = set()
            self._rows.arrange()
        self._shown()
        self.look_into(every)

    def look_into(self, changed: Iterable[str]) -> None:
        """Look into these messages, which are new in the list or have changed there."""
        if self.words:
            self._left.update((key, self._rows.listed[key]) for key in changed)
            self._go_on()
        self._act_if_done()

    def when_done(self, act: Callable[[], None]) -> None:
        """Call `act` once the whole queue is listed and searched."""
        self._then.append(act)
        if not self._done:
            self._context.shell.say("Waiting until the whole queue is listed …")
        self._act_if_done()

    @property
    def _done(self) -> bool:
        return self._rows.is_whole and not self._left

    def _act_if_done(self) -> None:
        while self._then and self._done:
            self._then.pop(0)()

    def _go_on(self) -> None:
        if self._looking or not self._left:
            return
        piece = list(itertools.islice(self._left.values(), _PIECES[self._begun]))
        self._looking = self._begun = True
        spool, words, number = Spool(self._context.spool_folder), self.words, self._number
        self._context.run(
            lambda: with_words(spool, piece, words),
            lambda found: self._have_looked(number, piece, found),
            lambda problem: self._failed(number, problem),
        )

    def _have_looked(self, number: int, piece: Sequence[Listed], found: set[str]) -> None:
        if number != self._number or self._rows.found is None:
            return
        self._looking = False
        for row in piece:
            if self._left.get(row.queue_id) is row:  # else it has changed meanwhile
                del self._left[row.queue_id]
        self._rows.found.difference_update(row.queue_id for row in piece)
        self._rows.found |= found
        self._rows.arrange()
        self._shown()
        self._tell()
        self._go_on()
        self._act_if_done()

    def _failed(self, number: int, problem: Exception) -> None:
        if number == self._number:
            self._looking = False
        self._context.failure(problem)

    def _tell(self) -> None:
        """Tell the progress until the whole queue was searched once."""
        if self._told:
            return
        self._told = self._done
        whole = len(self._rows.listed)
        looked = max(0, whole - len(self._left))
        searching = f", searching: {looked * 100 // max(1, whole)} %" if self._left else ", listing the queue …"
        tail = "." if self._done else searching
        self._context.shell.say(f"{count(len(self._rows.keys))} found in {count(looked)} of {count(whole)}{tail}")


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
