"""Accounts and aliases: every change is in the files at once."""

from pathlib import Path

import pytest

from smtpd_classic.accounts import Forwarding, forwarding, list_accounts, list_aliases
from smtpd_classic.accounts.passwords import verify
from smtpd_classic.config import load
from tests.tui.program import CONFIG, Tui, made


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
    tui.go("Accounts").press("a").type("ann").press("tab", "tab").type("a longer word").choose("OK")
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


# Forwarding, weak passwords, undo, and readers ------------------------------------------------------------------------


def test_mail_of_an_account_is_forwarded_and_a_copy_kept_or_not(tui: Tui) -> None:
    config = load(tui.shell.context.path)
    tui.go("Accounts").press("enter", *["tab"] * 5).type("ext@far.example").choose("OK")
    assert forwarding(config, "joe") == Forwarding(("ext@far.example",), keep=True)
    tui.press("enter", *["tab"] * 6).press(" ").choose("OK")
    assert forwarding(config, "joe") == Forwarding(("ext@far.example",), keep=False)
    tui.press("enter", *["tab"] * 5).press("ctrl u").choose("OK")
    assert forwarding(config, "joe") == Forwarding()


def test_a_weak_password_needs_a_second_ok(tui: Tui) -> None:
    tui.go("Accounts").press("p").type("joe").choose("OK")
    assert "OK once more sets it" in tui.text
    path = tui.shell.context.path
    assert not verify(list_accounts(load(path))[0].password, "joe")
    tui.choose("OK")
    assert verify(list_accounts(load(path))[0].password, "joe")


def test_the_strength_of_a_new_password_stands_below_it(tui: Tui) -> None:
    tui.go("Accounts").press("p")
    assert "■" not in tui.dialog_text
    for text, words in (
        ("joe", "■□□□ weak: the password is shorter than 8 characters."),
        ("example2024", "■□□□ weak: the password is the name"),
        ("secretword", "■■□□ fair"),
        ("secret worDs", "■■■□ good"),
        ("secret worDs 4 you", "■■■■ strong"),
    ):
        tui.press("ctrl u").type(text)
        assert words in tui.dialog_text, text
    tui.press("esc").choose("Discard")
    tui.press("a").type("bob").press("tab", "tab").type("b0b")
    assert "■□□□ weak" in tui.dialog_text


@pytest.mark.parametrize("screen", ["Accounts", "Aliases"])
def test_without_a_version_there_is_nothing_to_undo(tui: Tui, screen: str) -> None:
    tui.go(screen).press("u")
    assert "There is no earlier version" in tui.status_line


def test_the_last_change_of_an_account_is_undone_and_repeated(tui: Tui) -> None:
    tui.go("Accounts").press("a").type("ann").press("tab", "tab").type("long secret word").choose("OK")
    tui.press("u")
    assert "ann@example.org goes" in tui.text
    tui.choose("Undo")
    path = tui.shell.context.path
    assert [each.address for each in list_accounts(load(path))] == ["joe@example.org"]
    assert "ann@" not in tui.text
    tui.press("u")
    assert "ann@example.org comes back" in tui.text
    tui.choose("Undo")
    assert [each.address for each in list_accounts(load(path))] == ["joe@example.org", "ann@example.org"]


def test_the_last_change_of_an_alias_is_undone(tui: Tui) -> None:
    tui.go("Aliases").press("a").type("sales").press("tab").type("joe").choose("OK")
    tui.press("u").choose("Keep")
    path = tui.shell.context.path
    assert "sales" in dict(list_aliases(load(path)))
    tui.press("u").choose("Undo")
    assert "sales" not in dict(list_aliases(load(path)))


@pytest.mark.parametrize("screen", ["Accounts", "Aliases", "Trusted Hosts", "Mail Header Replace", "Listeners & TLS"])
@pytest.mark.parametrize("key", ["a", "e", "d", "enter"])
def test_lists_are_only_read_by_users_who_may_not_write(tui: Tui, screen: str, key: str) -> None:
    context = tui.shell.context
    context.source = context.source._replace(read_only="joe has no write permission for the file")
    tui.go(screen)
    before = tui.text
    tui.press(key)
    assert "Read-only: joe has no write permission" in tui.status_line or tui.text == before
    assert not context.draft.changed()
    assert "[ OK ]" not in tui.text
    assert "Cancel" not in tui.text


@pytest.mark.parametrize("key", ["a", "e", "p", "d", "u"])
def test_accounts_in_dovecot_are_not_changed_here(tmp_path: Path, key: str) -> None:
    text = CONFIG.replace("[server]\n", "[server]\nmailbox = lmtp:unix:/nowhere/lmtp\naccounts = dovecot\n")
    tui = Tui(made(tmp_path, text))
    tui.go("Accounts")
    assert "Accounts in Dovecot" in tui.text
    assert "joe@example.org" not in tui.text
    tui.press(key)
    assert "[ OK ]" not in tui.text
    assert "Cancel" not in tui.text
