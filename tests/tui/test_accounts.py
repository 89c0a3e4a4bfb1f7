"""Accounts and aliases: every change is in the files at once."""

from pathlib import Path

import pytest

from smtpd_classic.accounts import list_accounts, list_aliases
from smtpd_classic.accounts.passwords import verify
from smtpd_classic.config import load
from tests.tui.program import Tui, made


@pytest.fixture
def tui(tmp_path: Path) -> Tui:
    return Tui(made(tmp_path))


def test_an_account_is_added_with_its_password(tui: Tui) -> None:
    tui.go("Accounts").press("a").type("ann").press("tab").type("Ann Other").press("tab").type("secret word")
    tui.press("tab", "ctrl u").type("500M").press("tab").type("*@example.org")
    assert "secret word" not in tui.text
    tui.choose("OK")
    ann = list_accounts(load(tui.shell.context.path))[1]
    assert (ann.address, ann.full_name, ann.quota, ann.may_send_as) == (
        "ann@example.org",
        "Ann Other",
        500 << 20,
        ("*@example.org",),
    )
    assert verify(ann.password, "secret word")
    assert "Added: ann@example.org" in tui.status_line


def test_a_password_is_made_up_and_shown_once(tui: Tui) -> None:
    tui.go("Accounts").press("a").type("ann").choose("OK")
    assert "It is shown only now" in tui.text
    shown = next(line for line in tui.text.splitlines() if line.count("-") == 2 and "│" in line).split("│")[-2].strip()
    assert verify(list_accounts(load(tui.shell.context.path))[1].password, shown)


def test_status_and_quota_are_changed(tui: Tui) -> None:
    tui.go("Accounts").press("enter").press("tab", "right", "tab", "ctrl u").type("1G").choose("OK")
    joe = list_accounts(load(tui.shell.context.path))[0]
    assert (joe.status, joe.quota, joe.full_name) == ("disabled", 1 << 30, "Joe Doe")
    assert "disabled" in tui.text


def test_aliases_of_an_account_are_changed_with_it(tui: Tui) -> None:
    tui.go("Accounts").press("enter", "tab", "tab", "tab", "tab").type(", sales, info@example.org").choose("OK")
    assert dict(list_aliases(load(tui.shell.context.path))) == {
        "postmaster@example.org": ("joe@example.org",),
        "sales": ("joe@example.org",),
        "info@example.org": ("joe@example.org",),
    }
    tui.press("enter", "tab", "tab", "tab", "tab", "ctrl u").type("postmaster@example.org, sales").choose("OK")
    assert list(dict(list_aliases(load(tui.shell.context.path)))) == ["postmaster@example.org", "sales"]


def test_another_password(tui: Tui) -> None:
    tui.go("Accounts").press("p").type("new word").choose("OK")
    assert verify(list_accounts(load(tui.shell.context.path))[0].password, "new word")


def test_deleting_asks_and_what_would_break_is_refused(tui: Tui) -> None:
    tui.go("Accounts").press("d")
    assert "Delete joe@example.org?" in tui.text
    tui.press("enter")
    assert len(list_accounts(load(tui.shell.context.path))) == 1
    tui.press("d").choose("Delete")
    assert len(list_accounts(load(tui.shell.context.path))) == 1
    assert "✗" in tui.status_line
    tui.go("Accounts").press("a").type("ann").press("tab", "tab").type("x").choose("OK")
    tui.press("down", "d").choose("Delete")
    assert [each.address for each in list_accounts(load(tui.shell.context.path))] == ["joe@example.org"]


def test_a_wrong_address_is_explained_in_the_dialog(tui: Tui) -> None:
    tui.go("Accounts").press("a").type("ann@elsewhere.example").choose("OK")
    assert tui.dialog()
    assert "Elsewhere.example is not a local domain" in tui.dialog_text


def test_aliases_come_change_and_go(tui: Tui) -> None:
    tui.go("Aliases").press("a").type("sales").press("tab").type("joe, boss@elsewhere.example").choose("OK")
    assert dict(list_aliases(load(tui.shell.context.path)))["sales"] == ("joe@example.org", "boss@elsewhere.example")
    tui.press("down", "enter", "ctrl u").type("joe@example.org").choose("OK")
    assert dict(list_aliases(load(tui.shell.context.path)))["sales"] == ("joe@example.org",)
    tui.press("d").choose("Delete")
    assert "sales" not in dict(list_aliases(load(tui.shell.context.path)))


def test_an_alias_that_leads_nowhere_is_refused(tui: Tui) -> None:
    tui.go("Aliases").press("a").type("sales").press("tab").type("nobody@example.org").choose("OK")
    assert tui.dialog()
    assert "nobody@example.org" in tui.dialog_text.split("! ")[1]
    assert len(list_aliases(load(tui.shell.context.path))) == 1
