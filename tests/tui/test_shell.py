"""The shell: every control is reached by Tab, keys mean what they should, nothing throws anybody out."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urwid
import urwid.testing as ut

from tests.tui.program import CONFIG, Tui, made
from tui.config.config_file import ConfigFile
from tui.screens import MENU_ENTRIES
from tui.shell.quit_question import unreadable
from tui.shell.screen import MenuEntry
from tui.widgets.focus import leaf_of
from tui.widgets.table import TableRow


@pytest.fixture
def tui(tmp_path: Path) -> Tui:
    return Tui(made(tmp_path))


def controls(widget: Any) -> Iterator[urwid.AbstractWidget]:
    """Everything below that can have the focus."""
    base = widget
    while isinstance(base, urwid.WidgetDecoration) and not isinstance(base, urwid.DropDown):
        base = base.original_widget
    if not widget.selectable():
        return
    if isinstance(base, (urwid.Edit, urwid.DropDown, TableRow)):
        yield leaf_of(base)
    elif isinstance(base, urwid.ListBox):
        body: Any = base.body
        rows = [body[position] for position in body.positions()]
        # In a table the arrows go from row to row: one of them is enough for Tab.
        found = [each for row in rows for each in controls(row)]
        yield from found if base.select_navigation else found[:1]
    elif isinstance(base, urwid.Frame):
        for part in (base.header, base.body, base.footer):
            if part is not None:
                yield from controls(part)
    elif isinstance(base, (urwid.Pile, urwid.Columns)):
        for part, _ in base.contents:
            yield from controls(part)
    elif isinstance(base, urwid.WidgetWrap):
        yield from controls(base._w)
    else:
        yield base


@pytest.mark.parametrize("place", MENU_ENTRIES, ids=lambda place: place.title)
@pytest.mark.parametrize("key", ["tab", "shift tab"])
def test_tab_reaches_every_control_and_returns(place: MenuEntry, key: str, tui: Tui) -> None:
    tui.go(place.title)
    wanted = {id(each) for each in controls(tui.shell.screen.widget)}
    start = tui.leaf()
    seen = {id(start)}
    for _ in range(200):
        tui.press(key)
        if tui.leaf() is start:
            break
        seen.add(id(tui.leaf()))
    else:
        pytest.fail("Tab does not come back")
    assert wanted <= seen


@pytest.mark.parametrize("place", MENU_ENTRIES, ids=lambda place: place.title)
@pytest.mark.parametrize("size", [(1, 1), (39, 9), (40, 10), (64, 24), (200, 60)])
def test_no_size_breaks_a_screen(place: MenuEntry, size: tuple[int, int], tui: Tui) -> None:
    tui.go(place.title)
    tui.size = size
    for key in ("down", "tab", "end", "page up", "esc", "down", "enter"):
        tui.press(key)
        assert len(tui.look()) == size[1]


def test_a_screen_that_is_too_small_says_so(tui: Tui) -> None:
    tui.size = (39, 24)
    assert "39x24 is too small; 40x10 is needed." in tui.text
    tui.size = (40, 10)
    assert "too small" not in tui.text


@pytest.mark.parametrize("place", MENU_ENTRIES, ids=lambda place: place.title)
def test_screens_are_sound_at_any_size(place: MenuEntry, tui: Tui) -> None:
    tui.go(place.title)
    ut.check_box_sizing(tui.root)


def test_moving_in_the_menu_shows_screens_and_enter_goes_in(tui: Tui) -> None:
    assert tui.shell.current == "Status"
    tui.press("down")
    assert tui.shell.current == "Basic Parameters"
    tui.press("enter")
    assert tui.leaf() in {leaf_of(each) for each in controls(tui.shell.screen.widget)}
    tui.press("esc")
    assert tui.leaf() not in {leaf_of(each) for each in controls(tui.shell.screen.widget)}
    assert tui.shell.current == "Basic Parameters"


def test_screens_are_changed_from_inside_too(tui: Tui) -> None:
    tui.go("Basic Parameters").press("ctrl page down")
    assert tui.shell.current == "Remote Delivery"
    tui.press("meta p", "meta p")
    assert tui.shell.current == "Status"


def test_characters_are_text_in_a_text_field(tui: Tui) -> None:
    tui.shell.go("Basic Parameters", "postmaster")
    tui.type("q?ad/ K")
    row = tui.shell.context.draft.single("basic")
    assert row.text(row.section.option("postmaster")) == "q?ad/ K"
    assert not tui.dialog()


def test_backspace_and_delete_in_an_empty_field_delete_nothing_else(tui: Tui) -> None:
    tui.shell.go("Basic Parameters", "postmaster")
    tui.press("backspace", "delete", "left", "home")
    assert not tui.shell.context.draft.changed()
    assert not tui.shell._body.in_menu


def test_what_is_pasted_is_text_and_never_a_command(tui: Tui) -> None:
    tui.go("Trusted Hosts").press("begin paste", "d", "d", "q", "enter", "f2", "end paste")
    assert not tui.shell.context.draft.changed()
    assert not tui.dialog()
    tui.shell.go("Basic Parameters", "postmaster")
    tui.press("begin paste", "a", "enter", "tab", "b", "end paste")
    row = tui.shell.context.draft.single("basic")
    assert row.text(row.section.option("postmaster")) == "a, b"


def test_lines_that_are_pasted_become_items(tui: Tui) -> None:
    tui.go("Trusted Hosts").press("a", "begin paste", *"10.0.0.1", "enter", *"10.0.0.2", "ctrl j", "end paste")
    tui.press("f2")
    assert not tui.dialog()
    row = tui.shell.context.draft.single("trusted")
    assert row.text(row.section.option("hosts")) == "192.168.0.0/16, 10.0.0.1, 10.0.0.2"


def test_esc_asks_before_it_discards_input(tui: Tui) -> None:
    tui.go("Trusted Hosts").press("a").type("10.0.0.1").press("esc")
    assert "Discard the input?" in tui.dialog_text
    tui.press("esc")
    assert "10.0.0.1" in tui.dialog_text
    tui.press("esc").choose("Discard")
    assert not tui.dialog()
    tui.press("a", "esc")
    assert not tui.dialog()


def test_fields_of_a_file_that_is_read_only_cannot_be_edited(tui: Tui) -> None:
    context = tui.shell.context
    context.source = context.source._replace(read_only="joe has no write permission for the file")
    tui.shell.go("Basic Parameters", "max_recipients")
    tui.type("7")
    assert not context.draft.changed()
    assert "Read-only: joe has no write permission" in tui.status_line


def test_a_message_goes_away_when_another_state_is_shown(tui: Tui) -> None:
    tui.shell.say("Another program has changed the file meanwhile.", "warn")
    tui.shell.context.read()
    assert "Another program" not in tui.status_line


def test_a_refusal_goes_away_with_the_next_edit(tui: Tui) -> None:
    tui.shell.go("Basic Parameters", "max_recipients")
    tui.press("ctrl u").type("many").press("f2")
    assert "Not applied" in tui.status_line
    tui.press("esc")
    assert "Not applied" in tui.status_line
    tui.press("backspace")
    assert tui.status_line == ""


def test_a_warning_about_another_program_goes_away_when_its_change_does(tui: Tui, tmp_path: Path) -> None:
    file = tmp_path / "smtpd-classic.conf"
    tui.shell.tick()
    tui.shell.go("Basic Parameters", "max_recipients")
    tui.type("7")
    file.write_text(CONFIG + "\n")
    tui.shell.tick()
    assert "Another program has changed the file" in tui.status_line
    file.write_text(CONFIG)
    tui.shell.tick()
    assert tui.status_line == ""
    assert "Discard" not in tui.text
    assert tui.shell.context.draft.changed()


def test_errors_of_the_file_are_told_until_they_are_corrected(tui: Tui, tmp_path: Path) -> None:
    file = tmp_path / "smtpd-classic.conf"
    file.write_text(CONFIG.replace("max_recipients = 100", "max_recipients = many"))
    tui.shell.tick()
    for title, key in (("Doctor", "f2"), ("Status", "t"), ("Explain", "f2")):
        tui.go(title).press(key)
        assert "Correct the errors of the configuration first." in tui.status_line, title
    file.write_text(CONFIG)
    tui.shell.tick()
    assert "Correct" not in tui.status_line


def test_a_file_that_cannot_be_read_is_one_sentence_and_the_sudo_line(tui: Tui) -> None:
    context = tui.shell.context
    context.source = ConfigFile(context.path, read_only=f"joe cannot read {context.path}", unreadable=True)
    tui.shell.open(unreadable(context))
    assert "joe cannot read" in tui.dialog_text
    assert "sudo smtpd-classic-tui --config" in tui.dialog_text


@pytest.mark.parametrize(
    ("screen", "keys", "button"),
    [
        ("Trusted Hosts", ["a"], "OK"),
        ("Direct Delivery", ["enter"], "OK"),
        ("Direct Delivery", ["enter", "tab", "a"], "OK"),
        ("Mail Header Replace", ["a"], "OK"),
        ("Domains", ["a"], "OK"),
        ("Listeners & TLS", ["enter"], "OK"),
        ("Accounts", ["a"], "OK"),
        ("Aliases", ["a"], "OK"),
        ("Log", ["/"], "Filter"),
    ],
)
def test_up_from_the_buttons_goes_to_the_row_above_them(tui: Tui, screen: str, keys: list[str], button: str) -> None:
    tui.go(screen).press(*keys)
    dialog = tui.shell._layers.top
    assert dialog is not None
    tui.to(button).press("up")
    assert dialog.list.focus is [row for row in dialog._rows if row.selectable()][-1]
    assert dialog._frame.focus_position == "body"


def test_quitting_with_changes_asks_and_staying_is_the_safe_answer(tui: Tui) -> None:
    tui.shell.go("Basic Parameters", "postmaster")
    tui.type("x").press("f10")
    assert "Changes are not applied" in tui.text
    assert "Basic Parameters" in tui.text
    tui.press("enter")
    assert not tui.dialog()
    tui.press("ctrl q").to("Discard and quit")
    with pytest.raises(urwid.ExitMainLoop):
        tui.press("enter")


def test_quitting_without_changes_is_at_once_and_ctrl_c_asks(tui: Tui) -> None:
    tui.press("ctrl c")
    assert "Leave?" in tui.text
    with pytest.raises(urwid.ExitMainLoop):
        tui.press("ctrl c")
    tui.press("esc")
    with pytest.raises(urwid.ExitMainLoop):
        tui.press("f10")


def test_ctrl_c_never_throws_changes_away(tui: Tui) -> None:
    tui.shell.go("Basic Parameters", "postmaster")
    tui.type("x").press("ctrl c", "ctrl c", "ctrl c")
    assert "Changes are not applied" in tui.text


def test_a_mistake_of_ours_becomes_a_sentence(tui: Tui, caplog: pytest.LogCaptureFixture) -> None:
    def broken(command: str) -> bool:
        raise KeyError("inside")

    tui.go("Basic Parameters")
    tui.shell.screen.do = broken  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR):
        tui.press("f2")
    assert "A mistake in this program" in tui.status_line
    assert "KeyError" in caplog.text
    tui.press("esc", "up")
    assert tui.shell.current == "Status"


def test_a_picture_that_cannot_be_drawn_becomes_a_sentence(tui: Tui) -> None:
    class Broken(urwid.Text):
        def render(self, size: Any, focus: bool = False) -> Any:
            raise ValueError("no picture")

    tui.shell._body.show(urwid.Filler(Broken("")), wide=False)
    assert "This cannot be shown: no picture" in tui.text


def test_help_runs_the_command_that_is_chosen(tui: Tui) -> None:
    tui.go("Basic Parameters").press("f1").choose("Diff")
    assert "Nothing has been changed" in tui.status_line


@pytest.mark.parametrize("place", MENU_ENTRIES, ids=lambda place: place.title)
def test_the_key_bar_shows_help_and_the_way_out(place: MenuEntry, tui: Tui) -> None:
    bar = tui.go(place.title).look()[-1]
    assert "F1 Help" in bar
    assert "F10 Quit" in bar


def test_the_key_bar_can_be_clicked(tui: Tui) -> None:
    tui.go("Basic Parameters")
    column = tui.look()[-1].index("F8 Diff")
    tui.root.mouse_event(tui.size, "mouse press", 1, column + 1, 23, True)
    assert "Nothing has been changed" in tui.status_line


def test_the_menu_can_be_clicked(tui: Tui) -> None:
    row = next(number for number, line in enumerate(tui.look()) if "Trusted Hosts" in line)
    tui.root.mouse_event(tui.size, "mouse press", 1, 3, row, True)
    assert tui.shell.current == "Trusted Hosts"


def test_nothing_that_is_not_ascii_is_drawn_in_ascii(tmp_path: Path) -> None:
    tui = Tui(made(tmp_path, CONFIG.replace("# kept by hand", "# ümlaut 漢字 in a comment")), ascii_only=True)
    for place in MENU_ENTRIES:
        tui.go(place.title)
        assert tui.text.isascii(), place.title
    tui.press("f1")
    assert tui.text.isascii()
    tui.press("esc", "f7").type("tls")
    assert tui.text.isascii()
    assert "+---" in tui.text


def test_an_open_relay_is_said_in_words_on_every_screen(tmp_path: Path) -> None:
    text = CONFIG.replace("[basic]", "[basic]\nclose_open_relay = no\nopen_relay_confirmed = yes").replace(
        "address = 127.0.0.1", "address = 0.0.0.0"
    )
    tui = Tui(made(tmp_path, text))
    for place in MENU_ENTRIES:
        assert "OPEN RELAY: " in tui.go(place.title).text, place.title


def test_a_file_that_cannot_be_used_is_shown_with_its_line(tmp_path: Path) -> None:
    tui = Tui(made(tmp_path, CONFIG.replace("max_recipients = 100", "max_recipients = many")))
    assert "The file cannot be used: line 15:" in tui.text
    tui.shell.go("Basic Parameters", "max_recipients")
    assert "! “many” is not a whole number" in tui.text
