"""The palette, search as you type, undo in lists, help that scrolls, notes below fields, and one edit a paste."""

from pathlib import Path

import pytest

from smtpd_classic.config.option import Option
from tests.tui.program import Tui, made
from tui.config import field
from tui.config.field import problem_of


@pytest.fixture
def tui(tmp_path: Path) -> Tui:
    return Tui(made(tmp_path))


def hosts(tui: Tui) -> str:
    row = tui.shell.context.draft.single("trusted")
    return row.text(row.section.option("hosts"))


def test_the_palette_finds_screens_options_and_actions(tui: Tui) -> None:
    tui.go("Trusted Hosts").press("ctrl p").type("queue").press("enter")
    assert tui.shell.current == "Queue"
    tui.press("ctrl p").type("max recipients").press("enter")
    assert "(max_recipients)" in tui.text
    tui.go("Status").press("ctrl p").type("test message")
    assert "[Test message] action, t" in tui.dialog_text
    tui.find("[Test message]").press("enter")
    assert "Send a test message" in tui.dialog_text


def test_the_menu_scrolls_no_further_than_it_must(tui: Tui) -> None:
    tui.press(*["down"] * 9)
    assert tui.shell.current == "Authentication"
    assert tui.look()[1].startswith(" Status")
    tui.press(*["down"] * 12).press(*["up"] * 18)
    assert tui.look()[1].startswith("›Open Relay Domains")


def test_a_table_is_searched_as_one_types(tui: Tui) -> None:
    tui.shell.context.draft.single("trusted").set(
        tui.shell.context.draft.section("trusted").option("hosts"), "10.0.0.1, 10.0.0.2, 192.0.2.1, 192.0.2.2"
    )
    tui.go("Trusted Hosts").press("/").type("192")
    assert "/192" in tui.text
    tui.press("enter", "d")
    assert hosts(tui) == "10.0.0.1, 10.0.0.2, 192.0.2.2"
    tui.press("home", "n", "N", "/").type("zzz")
    assert "not found" in tui.text
    tui.press("esc")
    assert "/zzz" not in tui.text


def test_the_last_edit_of_a_list_is_undone_and_done_again(tui: Tui) -> None:
    tui.go("Trusted Hosts").press("d")
    assert hosts(tui) == ""
    tui.press("u")
    assert hosts(tui) == "192.168.0.0/16"
    tui.press("a").type("10.0.0.1").press("enter", "u")
    assert hosts(tui) == "192.168.0.0/16"
    tui.go("Direct Delivery").press("down", "d")
    assert len(tui.shell.context.draft.table("direct_domains")) == 1
    tui.press("u")
    assert not tui.shell.context.draft.changed()


def test_help_that_is_longer_than_its_place_says_so_and_scrolls(tui: Tui) -> None:
    tui.size = (60, 20)
    tui.shell.go("Basic Parameters", "require_own_sender")
    assert "▼ more" in tui.text
    before = tui.text
    tui.press("meta down", "meta down")
    assert tui.text != before
    assert "▲" in tui.text
    tui.press("meta up", "meta up")
    assert tui.text == before
    tui.press("meta up")
    assert tui.text == before, "not above its beginning"
    tui.press(*["meta down"] * 50)
    assert "▼" not in tui.text
    tui.press("meta up")
    assert "▼ more" in tui.text, "nor below its end"
    tui.size = (100, 60)
    assert "▼ more" not in tui.text


def test_a_blank_field_shows_the_value_that_it_stands_for(tui: Tui) -> None:
    tui.go("Basic Parameters")
    assert "blank → postmaster@example.org" in tui.text
    assert "blank → example.org" in tui.text
    tui.shell.go("Basic Parameters", "helo_name")
    tui.type("mail.example.org")
    assert "blank → example.org" not in tui.text


def test_a_field_without_effect_names_the_option_that_switches_it_off(tui: Tui) -> None:
    tui.size = (100, 50)
    tui.go("Remote Delivery")
    assert "no effect while “Use relay always” is on" in tui.text
    assert "no mail goes to a relay" not in tui.text
    tui.shell.go("Remote Delivery", "relay_always")
    tui.press(" ")
    assert "no effect while no mail goes to a relay" in tui.text


def test_a_paste_is_one_edit_with_one_check(tui: Tui, monkeypatch: pytest.MonkeyPatch) -> None:
    tui.shell.go("Basic Parameters", "helo_name")
    checks: list[str] = []

    def counted(option: Option, text: str) -> str:
        checks.append(text)
        return problem_of(option, text)

    monkeypatch.setattr(field, "problem_of", counted)
    text = "a" * 190 + ".example"
    tui.press("begin paste", *text, "end paste")
    assert text[-20:] in "".join(tui.text.split())
    assert len(checks) == 1
    tui.shell.go("Remote Delivery", "relay_password")
    tui.press("begin paste", *"new secret", "end paste")
    row = tui.shell.context.draft.single("remote")
    assert row.text(row.section.option("relay_password")) == "new secret"
