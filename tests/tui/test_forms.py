"""Forms come from the schema: every option has its label, editor, help and error without being named anywhere."""

from pathlib import Path

import pytest
import urwid.testing as ut

from smtpd_classic.config.kinds import BOOLEAN, HOSTS
from smtpd_classic.config.option import Option
from smtpd_classic.config.schema import SECTIONS
from tests.tui.program import CONFIG, Tui, made
from tui.config.field import Field, editor_for, problem_of
from tui.config.hosts_editor import HostsEditor
from tui.shell.context import AppContext
from tui.shell.help_pane import help_of
from tui.widgets.editors import CheckBoxEditor, ChoiceEditor, LineEditor, SecretEditor

OPTIONS = [option for section in SECTIONS for option in section.options()]
TITLES = {"basic": "Basic Parameters", "remote": "Remote Delivery", "server": "Server", "access": "Access Control"}
SIZE = (60,)


@pytest.fixture
def tui(tmp_path: Path) -> Tui:
    return Tui(made(tmp_path))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> AppContext:
    return Tui(made(tmp_path_factory.mktemp("context"))).shell.context


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_has_a_field_that_fits_any_width(option: Option, context: AppContext) -> None:
    each = Field(context, option, option.default_text, option.default_text, lambda _: None)
    assert option.label.split()[0] in " ".join(ut.render_text(each, SIZE))
    ut.check_sizing(each)
    label, text = help_of(option)
    assert option.label in label
    assert option.doc in text


@pytest.mark.parametrize("attribute", TITLES)
def test_the_screen_of_a_section_shows_all_its_options(attribute: str, tui: Tui) -> None:
    tui.size = (80, 120)
    tui.go(TITLES[attribute])
    section = tui.shell.context.draft.section(attribute)
    shown = " ".join(tui.text.replace("│", " ").split())
    for option in section.options():
        assert option.label.split()[-1] in shown, option.name


def test_editors_follow_the_kind(tui: Tui) -> None:
    kinds = {option.kind.name: option.kind for option in OPTIONS}
    for kind in kinds.values():
        editor = editor_for(tui.shell.context, kind, kind.example, lambda: None)
        if kind.choices == BOOLEAN.choices:
            assert isinstance(editor, CheckBoxEditor)
        elif kind.choices:
            assert isinstance(editor, ChoiceEditor)
        elif kind is HOSTS:
            assert isinstance(editor, HostsEditor)
        else:
            assert isinstance(editor, SecretEditor if kind.mask else LineEditor)
        assert editor.text == kind.example
        editor.text = ""
        assert editor.text == ""


def test_a_wrong_value_is_explained_at_once_with_an_example(tui: Tui) -> None:
    tui.size = (132, 40)
    tui.go("Basic Parameters").press("down", "down", "down").type("x")
    assert "*Max. recipients" in tui.text
    assert "! “100x” is not a whole number from 1 to 50000. Example: 100" in tui.text
    tui.press("backspace")
    assert "! “" not in tui.text
    assert "*" not in tui.text


@pytest.mark.parametrize("option", [each for each in OPTIONS if each.required], ids=lambda option: option.name)
def test_what_must_be_there_cannot_be_left_blank(option: Option) -> None:
    """One that may have another in its place is left to the check of the file."""
    assert option.unless or "cannot be left blank" in problem_of(option, "")
    assert problem_of(option, option.kind.example) == ""


def test_space_ticks_a_box_and_enter_goes_on(tui: Tui) -> None:
    tui.go("Basic Parameters").shell.go("Basic Parameters", "allow_vrfy_expn")
    tui.press(" ")
    row = tui.shell.context.draft.single("basic")
    assert row.text(row.section.option("allow_vrfy_expn")) == "yes"
    assert "[x] yes" in tui.text
    tui.press("enter")
    assert "[x] yes" in tui.text
    tui.press("up", " ")
    assert not tui.shell.context.draft.changed()


def test_a_list_drops_down_and_gives_its_word(tui: Tui) -> None:
    tui.go("Basic Parameters").press("down", " ")
    assert "full" in tui.text
    tui.press("down", "enter")
    row = tui.shell.context.draft.single("basic")
    assert row.text(row.section.option("copy_bounces")) == "full"
    tui.press(" ", "up", "esc")
    assert row.text(row.section.option("copy_bounces")) == "full"
    assert not tui.shell._body.in_menu
    tui.press("left")
    assert row.text(row.section.option("copy_bounces")) == "headers"


def test_a_secret_is_never_shown_and_its_length_neither(tui: Tui) -> None:
    tui.shell.go("Remote Delivery", "relay_password")
    assert "geheim123" not in tui.text
    assert "********" in tui.text
    tui.type("new")
    assert "new" not in tui.text.split("relay_password")[0]
    row = tui.shell.context.draft.single("remote")
    assert row.text(row.section.option("relay_password")) == "new"
    tui.press("f3")
    assert "*" * 9 not in tui.text
    assert not tui.shell.context.draft.changed()


def test_looking_at_a_secret_does_not_change_it(tui: Tui) -> None:
    tui.shell.go("Remote Delivery", "relay_password")
    tui.press("left", "right", "home", "end", "down", "up")
    assert not tui.shell.context.draft.changed()


def test_values_that_cannot_be_shown_are_not_changed_by_being_looked_at(tmp_path: Path) -> None:
    odd = "a\u202eb" + "x" * 5000
    tui = Tui(made(tmp_path, CONFIG.replace("relay_user = us", f"relay_user = {odd}")))
    tui.shell.go("Remote Delivery", "relay_user")
    assert "\u202e" not in tui.text
    assert not tui.shell.context.draft.changed()


def test_f1_tells_the_whole_help_of_the_field(tui: Tui) -> None:
    tui.shell.go("Basic Parameters", "require_own_sender")
    tui.press("f1")
    option = tui.shell.context.draft.section("basic").option("require_own_sender")
    shown = " ".join(tui.text.replace("│", " ").replace("█", " ").split())
    assert option.doc[:60] in shown
    assert "Every" not in tui.status_line
    tui.press("esc")
    assert not tui.dialog()


def test_an_option_is_found_by_a_word_of_its_help(tui: Tui) -> None:
    tui.press("f7").type("winmail.dat").press("enter")
    assert tui.shell.current == "Basic Parameters"
    assert "(convert_tnef)" in tui.text
    assert not tui.dialog()


def test_find_lists_what_it_finds(tui: Tui) -> None:
    tui.press("ctrl f").type("relay port")
    assert "[Relay port]" in tui.text
    tui.press("down", "enter")
    assert tui.shell.current == "Remote Delivery"


def test_a_list_that_drops_down_gets_the_keys(tmp_path: Path) -> None:
    tui = Tui(made(tmp_path)).go("SMTP Filter").press(" ", "down", "enter")
    row = next(line for line in tui.look() if "Sender's domain must exist" in line)
    assert "refuse" in row
