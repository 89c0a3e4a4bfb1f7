"""The question before Apply: changes in words, their effect on clients, and the changes that wait for a restart."""

from pathlib import Path

import pytest

from tests.tui.program import CONFIG, Tui, made
from tui.config.draft import Row


@pytest.fixture
def tui(tmp_path: Path) -> Tui:
    return Tui(made(tmp_path))


def set_option(tui: Tui, attribute: str, name: str, text: str, row: int = 0) -> None:
    edited = tui.shell.context.draft.table(attribute)[row]
    edited.set(edited.section.option(name), text)


def asked(tui: Tui) -> str:
    tui.go("Basic Parameters").press("f2")
    assert "Apply these changes?" in tui.dialog_text
    return tui.dialog_text


def test_items_of_a_list_and_their_right_are_named(tui: Tui) -> None:
    set_option(tui, "trusted", "hosts", "10.0.0.5, 192.168.10.0/24")
    text = asked(tui)
    assert "Trusted Hosts - 192.168.0.0/16 + 10.0.0.5 + 192.168.10.0/24" in text
    assert "! 10.0.0.5 may send to all addresses without a login." in text
    assert "192.168.0.0/16 may no longer send to all addresses without a login." in text
    assert "Takes effect now; nothing waits for a restart." in text


def test_a_new_row_is_named_with_its_values(tui: Tui) -> None:
    draft = tui.shell.context.draft
    row = Row(draft.section("direct_domains"), "partner.example")
    draft.table("direct_domains").append(row)
    row.set(row.section.option("hosts"), "10.0.0.6\n10.0.0.5")
    row.set(row.section.option("open"), "yes")
    text = asked(tui)
    assert "Direct Delivery + partner.example + partner.example: 10.0.0.6 + partner.example: 10.0.0.5" in text
    assert "! Every host may send to partner.example through this server from now on." in text


def test_ports_that_open_and_close_are_named_with_their_clients(tui: Tui) -> None:
    set_option(tui, "listeners", "address", "0.0.0.0")
    text = asked(tui)
    assert "! Port 2525 opens: all hosts that reach this machine over IPv4 can connect." in text
    assert "! Port 2525 closes for programs on this machine" in text


def test_a_change_that_waits_for_a_restart_says_so(tui: Tui) -> None:
    set_option(tui, "server", "workers", "3")
    text = asked(tui)
    assert "takes effect after a restart" in text
    assert "nothing waits" not in text


def test_secrets_stay_hidden(tui: Tui) -> None:
    set_option(tui, "remote", "relay_password", "newsecret")
    text = asked(tui)
    assert "Relay: password" in text
    assert "(new)" in text
    assert "secret" not in text.replace("(new)", "")


def test_the_order_of_a_table_is_a_change(tui: Tui) -> None:
    tui.shell.context.draft.table("direct_domains").reverse()
    assert "new order: .example.com, example.net" in asked(tui)


def test_the_file_is_written_after_the_answer_only(tui: Tui, tmp_path: Path) -> None:
    set_option(tui, "trusted", "hosts", "10.0.0.5")
    asked(tui)
    tui.choose("File diff F8")
    assert "The changes of the file" in tui.dialog_text
    tui.press("esc").choose("Stay")
    assert (tmp_path / "smtpd-classic.conf").read_text() == CONFIG
