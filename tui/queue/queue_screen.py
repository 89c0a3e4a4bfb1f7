"""Queue: every message that waits, and the actions on it."""

import os
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

import urwid

from spool import Listed, Spool
from spool.actions import ACTIONS
from tui.log.story import explain_message, show_story
from tui.queue import domains_dialog, message_dialog
from tui.queue.actions import act
from tui.queue.rows import SORTS, QueueRows
from tui.queue.search import QueueSearch, ask_words, with_words
from tui.queue.view import QueueView
from tui.shell.context import AppContext
from tui.shell.help_pane import WithHelp
from tui.shell.remembered import Signature, is_settled, signature
from tui.shell.screen import BaseScreen, Help
from tui.widgets.buttons import ButtonRow
from tui.widgets.dialog import ask
from tui.widgets.text import clean, clock, count

__all__ = ["QueueScreen"]

_FIRST = 3000  # so many are shown before all are listed
_LEAST_PAUSE_S = 3.0
_LONGEST_S = 300.0  # another program may have made a message due, which no folder shows
_FOLDERS = ("new", "cur", "state")
_MOMENT_S = 0.5
_SHARE = 50  # of the time at most one part in so many goes into listing
_BUTTONS = {
    "Read": "read",
    "Retry now": "retry",
    "Hold": "hold",
    "Release": "release",
    "Delete": "delete",
    "Tag": "tag",
    "Search": "search",
    "Sort": "sort",
    "By domain": "domains",
}


class QueueScreen(BaseScreen):
    contexts = ("queue",)

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._rows = QueueRows()
        self._view = QueueView(context, self._rows, self._read, self._details_read)
        self._search = QueueSearch(context, self._rows, self._rearranged)
        self._listing = self._paused = False
        self._as_of = 0.0
        self._next_listing = self._ended = 0.0
        self._seen: Signature = ()
        self._shown_again = 0.0
        buttons = ButtonRow([(label, partial(self.do, command)) for label, command in _BUTTONS.items()])
        self._pane = WithHelp(self._view.widget, buttons, self.help, self._show_head)

    @property
    def widget(self) -> urwid.AbstractWidget:
        return self._pane

    @property
    def _spool(self) -> Spool:
        return Spool(self._context.spool_folder)

    def help(self) -> Help | None:
        key = self._view.focus
        none = "No message has these words." if self._search.words else "No message waits."
        return self._view.describe(key) if key else ("Queue", none)

    def focus_option(self, name: str) -> None:
        """Show only the messages with these words, as Status asks for one next hop."""
        self._search.start(name)

    def _details_read(self) -> None:
        self._pane.show_help()

    # --- listing

    def show(self) -> None:
        """List the queue, unless that was done a moment ago: a screen may be shown twice in a row."""
        if time.monotonic() >= self._shown_again:
            self._list(first=not self._rows.listed)

    def tick(self) -> None:
        if self._paused or not self._list_if_changed():
            self._view.refresh_ages()
        self._show_all()

    def _list_if_changed(self) -> bool:
        """List the queue again if it has changed and the pause after the last listing is over."""
        now = time.monotonic()
        if now < self._next_listing:
            return False
        if self._signature() == self._seen and now < self._ended + _LONGEST_S:
            return False
        self._list()
        return True

    def _signature(self) -> Signature:
        folder = self._context.spool_folder
        return signature([os.path.join(folder, name) for name in _FOLDERS])

    def _list(self, *, first: bool = False) -> None:
        """List beside the screen; the very first time a part of it, so that there is something to see at once."""
        if self._listing:
            return
        self._listing = True
        spool, began, seen = self._spool, time.monotonic(), self._signature()
        self._seen = seen if is_settled(seen) and not first else ()
        most = _FIRST if first else None
        self._context.run(
            lambda: list(islice(spool.list(), most)), partial(self._listed, began, most), self._not_listed
        )

    def _listed(self, began: float, most: int | None, rows: list[Listed]) -> None:
        self._listing = False
        took = time.monotonic() - began
        self._ended = time.monotonic()
        self._next_listing = self._ended + max(_LEAST_PAUSE_S, _SHARE * took)
        self._as_of = self._context.clock()
        at_top = self._view.place() <= 0
        changed = self._rows.take(rows)
        self._rows.is_whole = most is None or len(rows) < most
        self._view.show(changed)
        if at_top and self._rows.keys:  # before the first move, the beginning of the list stays in view
            self._view.focus_on(self._rows.keys[0])
        if not self._rows.is_whole:
            self._list()
        self._show_all()
        self._search.look_into(changed)
        self._shown_again = time.monotonic() + min(took, _MOMENT_S)  # to make the rows of a long listing takes long too

    def _not_listed(self, problem: Exception) -> None:
        self._listing = False
        self._next_listing = time.monotonic() + _LEAST_PAUSE_S
        path, _, reason = str(problem).rpartition(": ")  # the reason must not be cut off behind a long path
        self._view.say(("warn", f" {clean(reason, 200)} {clean(path, 200)}"))

    def _show_all(self) -> None:
        self._show_head()
        self._pane.show_help()

    def _show_head(self) -> None:
        rows = self._rows
        if not self._as_of:
            return
        words = [f"{count(len(rows.listed))} messages" if len(rows.listed) != 1 else "1 message"]
        words[0] += "" if rows.is_whole else " so far"
        words += [f"{count(number)} {word}" for word, number in rows.count().items() if number]
        if rows.tagged:
            words.append(f"{count(len(rows.tagged))} tagged")
        if rows.found is not None:
            words.append(f"{count(len(rows.keys))} found")
        order = f"by {SORTS[rows.sort][0]}{' reversed' if rows.reverse else ''}"
        paused = " PAUSED" if self._paused else ""
        place = f"{count(self._view.place() + 1)}/{count(len(rows.keys))}" if rows.keys else ""
        self._view.say(f" {place}  {', '.join(words)}; {order}; as of {clock(self._as_of)}{paused}")

    # --- commands

    def do(self, command: str) -> bool:
        if command in ACTIONS:
            self._act(command)
            return True
        commands: dict[str, Callable[[], Any]] = {
            "read": lambda: self._read(self._view.focus),
            "story": lambda: self._with_focus(partial(show_story, self._context)),
            "explain": lambda: self._with_focus(partial(explain_message, self._context)),
            "copy": lambda: self._with_focus(self._context.shell.copy),
            "tag": self._tag,
            "tag pattern": self._ask_pattern,
            "tag all": lambda: self._search.when_done(self._tag_all),
            "untag all": self._rows.tagged.clear,
            "search": self._ask_search,
            "sort": lambda: self._sort(1),
            "reverse": lambda: self._sort(0),
            "pause": self._pause,
            "domains": lambda: self._search.when_done(self._show_domains),
            "refresh": self._list,
        }
        if command not in commands:
            return False
        commands[command]()
        self._tags_changed()
        return True

    def _with_focus(self, act: Callable[[str], object]) -> None:
        if self._view.focus:
            act(self._view.focus)

    def _tag(self) -> None:
        key = self._view.focus
        if key:
            self._rows.tagged ^= {key}
            self._view.focus_next()

    def _tag_all(self) -> None:
        self._rows.tagged.update(self._rows.keys)
        self._say_tagged(len(self._rows.keys), "tagged")

    def _tags_changed(self) -> None:
        self._view.refresh_ages()
        self._show_all()

    def _show_domains(self) -> None:
        domains_dialog.show(self._context, self._spool, list(self._rows.listed.values()))

    def _sort(self, step: int) -> None:
        self._rows.sort = (self._rows.sort + step) % len(SORTS)
        self._rows.reverse = not self._rows.reverse if not step else False
        self._rows.arrange()
        self._view.show([])

    def _pause(self) -> None:
        self._paused = not self._paused

    def _read(self, key: str) -> None:
        if key:
            message_dialog.open_message(self._context, self._spool, key, lambda command: self._act(command, [key]))

    def _act(self, action: str, ids: list[str] | None = None) -> None:
        """Act on the tagged messages, or on the one in focus; ask before deleting."""
        chosen = ids or [key for key in self._rows.keys if key in self._rows.tagged] or [self._view.focus]
        chosen = [key for key in chosen if key]
        if not chosen:
            return
        if action != "delete":
            self._really_act(action, chosen)
            return

        def really() -> None:
            self._context.shell.close()
            self._really_act(action, chosen)

        what = f"{count(len(chosen))} tagged messages" if len(chosen) > 1 else f"message {chosen[0]}"
        text = f"Delete {what}? Neither senders nor recipients are told."
        answers = [("Keep", self._context.shell.close), ("Delete", really)]
        self._context.shell.open(ask("Delete?", text, answers, self._context.shell.close))

    def _really_act(self, action: str, ids: list[str]) -> None:
        context = self._context
        spool, runtime, config = self._spool, context.runtime, context.path
        context.shell.say(f"{action.capitalize()}: {count(len(ids))} …")

        def done(sentence: str) -> None:
            self._rows.tagged.difference_update(ids)
            context.shell.say(sentence, "bad" if "Problem" in sentence else "good")
            self._list()

        context.run(lambda: act(action, ids, spool, runtime, config), done)

    # --- searching

    def _rearranged(self) -> None:
        self._view.show([])
        self._show_all()

    def _ask_search(self) -> None:
        ask_words(self._context.shell, "Search the queue", self._search.words, [("Search", self._search.start)])

    def _ask_pattern(self) -> None:
        actions = [(label, partial(self._tag_with, tag=label == "Tag")) for label in ("Tag", "Untag")]
        ask_words(self._context.shell, "Tag by pattern", "", actions)

    def _tag_with(self, words: str, *, tag: bool) -> None:
        if words.strip():
            self._search.when_done(lambda: self._tag_matching(words, tag=tag))

    def _tag_matching(self, words: str, *, tag: bool) -> None:
        """Tag or untag the messages in the list with these words."""
        spool, listed = self._spool, [self._rows.listed[key] for key in self._rows.keys]

        def done(found: set[str]) -> None:
            still = found & self._rows.listed.keys()
            self._rows.tagged = self._rows.tagged | still if tag else self._rows.tagged - still
            self._say_tagged(len(still), "tagged" if tag else "untagged")

        self._context.run(lambda: with_words(spool, listed, words), done)

    def _say_tagged(self, number: int, what: str) -> None:
        self._tags_changed()
        as_now = set(self._rows.tagged)
        tone = "good" if number else ""
        self._context.shell.say(f"{count(number)} {what}.", tone, lambda: self._rows.tagged == as_now)
