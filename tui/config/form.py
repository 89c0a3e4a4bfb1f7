"""Fields for the options of a section, derived from the schema: a new option needs no code here."""

from collections.abc import Callable, Sequence
from functools import partial

import urwid

from smtpd_classic.config.option import Option
from tui.config.draft import Row, file_text
from tui.config.field import Field
from tui.config.field_notes import note_of
from tui.shell.context import AppContext
from tui.shell.help_pane import help_of
from tui.shell.screen import Help
from tui.widgets.flow import Flow

__all__ = ["Form"]


class Form:
    """The fields of one row of the draft. Each edit goes into the row at once, and then calls `changed`.

    `show_after` puts further rows below the fields.
    """

    def __init__(
        self,
        context: AppContext,
        row: Row,
        changed: Callable[[], None],
        *,
        options: Sequence[Option] | None = None,
    ) -> None:
        self._context = context
        self._row = row
        self._changed = changed
        chosen = row.section.options() if options is None else options
        self.fields = [
            Field(context, option, row.text(option), self._original(option), self._edited, partial(self._note, option))
            for option in chosen
        ]
        self._walker: urwid.SimpleFocusListWalker[Flow] = urwid.SimpleFocusListWalker(list(self.fields))
        self.list: urwid.ListBox[int] = urwid.ListBox(self._walker, select_navigation=True)
        self.widget = urwid.ScrollBar(self.list, thumb_attr="rule", delegate_selectable=True)

    def _original(self, option: Option) -> str:
        base = self._context.draft.base_row(self._row)
        return base.text(option) if base is not None else option.default_text

    def _note(self, option: Option) -> str:
        return note_of(self._context.draft, self._row, option)

    def _edited(self, field: Field) -> None:
        reason = self._context.source.read_only
        if reason:
            kept = self._row.text(field.option)
            if field.text != kept:
                field.show(kept, self._original(field.option))
                self._context.shell.say(f"Read-only: {reason}.", "warn")
            return
        self._row.set(field.option, file_text(field.option.kind, field.text))
        for each in self.fields:
            each.show_note()
        self._changed()

    def show(self, row: Row) -> None:
        """Show the values of this row."""
        self._row = row
        for field in self.fields:
            field.show(row.text(field.option), self._original(field.option))

    @property
    def position(self) -> int:
        """Return the index of the row in focus; the fields come first."""
        return int(self._walker.focus or 0)

    def show_after(self, rows: Sequence[Flow]) -> None:
        """Show these rows below the fields."""
        focus = self.position
        self._walker[len(self.fields) :] = rows
        self._walker.set_focus(min(focus, len(self._walker) - 1))

    @property
    def problems(self) -> list[tuple[Field, str]]:
        return [(field, field.problem) for field in self.fields if field.problem]

    def focus_on(self, field: Field) -> None:
        self.list.set_focus(self.fields.index(field))

    def focus_option(self, name: str) -> bool:
        field = next((each for each in self.fields if each.option.name == name), None)
        if field is not None:
            self.focus_on(field)
        return field is not None

    def help(self) -> Help | None:
        focus = self.list.focus
        return help_of(focus.option) if isinstance(focus, Field) else None
