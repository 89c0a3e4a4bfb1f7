"""Search the queue for words, one piece at a time, in the background."""

from collections.abc import Callable, Sequence

from spool import NoSuchEntry, Spool, SpoolBroken
from tui.shell.context import AppContext

__all__ = ["QueueSearch"]

_PIECE = 2000


class QueueSearch:
    """A search that matches the entries with all the words.

    It calls `found` after each piece: the ids in this piece, the number of entries read so far, and the number of all.
    """

    def __init__(
        self,
        context: AppContext,
        spool: Spool,
        words: str,
        keys: Sequence[str],
        found: Callable[[set[str], int, int], None],
    ) -> None:
        self.words = words
        self._context = context
        self._spool = spool
        self._wanted = words.casefold().split()
        self._keys = keys
        self._found = found
        self._at = 0
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    def go_on(self) -> None:
        piece = self._keys[self._at : self._at + _PIECE]
        if self._stopped or not piece:
            return
        self._context.run(lambda: {key for key in piece if self._matches(key)}, self._have_looked)

    def _have_looked(self, found: set[str]) -> None:
        if self._stopped:
            return
        self._at = min(self._at + _PIECE, len(self._keys))
        self._found(found, self._at, len(self._keys))
        self.go_on()

    def _matches(self, key: str) -> bool:
        try:
            entry, state = self._spool.read(key)
        except (NoSuchEntry, SpoolBroken):
            return False
        envelope = entry.envelope
        parts = [key, envelope.sender, envelope.login, envelope.client]
        parts += [recipient.address for recipient in envelope.recipients]
        parts += [f"{each.host} {each.last_reply}" for each in state.recipients]
        text = " ".join(parts).casefold()
        return all(word in text for word in self._wanted)
