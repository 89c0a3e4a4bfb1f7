"""Add, Edit, Delete, Up and Down, by key and by button, on every list of the configuration."""

from pathlib import Path

import pytest

from smtpd_classic.config import parse
from tests.tui.program import Tui, made


@pytest.fixture
def tui(tmp_path: Path) -> Tui:
    return Tui(made(tmp_path))


def applied(tui: Tui) -> object:
    """What the file says after Apply."""
    tui.press("f2").choose("Apply")
    assert "Applied." in tui.status_line, tui.text
    path = tui.shell.context.path
    return parse(Path(path).read_text(), path)


def names(tui: Tui, attribute: str) -> list[str]:
    return [row.name for row in tui.shell.context.draft.table(attribute)]


def test_a_trusted_host_is_added_and_deleted_by_keys(tui: Tui) -> None:
    tui.go("Trusted Hosts").press("a").type("10.").press("enter")
    assert "*10.0.0.0/8" in tui.text
    tui.press("insert").type("2001:db8::/32").press("enter")
    tui.press("up", "up", "d")
    config = applied(tui)
    assert [str(each) for each in config.trusted.hosts] == ["10.0.0.0/8", "2001:db8::/32"]  # type: ignore[attr-defined]


def test_a_wrong_host_is_explained_and_not_taken(tui: Tui) -> None:
    tui.go("Trusted Hosts").press("a").type("10.0.0.1/8").press("enter")
    assert tui.dialog()
    assert "Perhaps" in tui.text or "perhaps" in tui.text
    tui.press("esc")
    assert not tui.shell.context.draft.changed()


def test_several_pasted_at_once_are_several(tui: Tui) -> None:
    tui.go("Open Relay Domains").press("a").type("a.example, b.example,sister.example").press("enter")
    row = tui.shell.context.draft.single("open_relay")
    assert row.text(row.section.option("domains")) == "sister.example, .branch.example, a.example, b.example"


@pytest.mark.parametrize("way", ["keys", "buttons", "ctrl"])
def test_order_is_changed_with_up_and_down(tui: Tui, way: str) -> None:
    tui.go("Open Relay Domains").press("down")
    if way == "buttons":
        tui.choose("Up")
    else:
        tui.press("K" if way == "keys" else "ctrl up")
    row = tui.shell.context.draft.single("open_relay")
    assert row.text(row.section.option("domains")) == ".branch.example, sister.example"
    if way == "buttons":
        tui.choose("Down")
    else:
        tui.press("J" if way == "keys" else "ctrl down")
    assert not tui.shell.context.draft.changed()


def test_an_item_is_edited_in_its_place(tui: Tui) -> None:
    tui.go("Open Relay Domains").press("enter", "ctrl u").type("cousin.example").press("enter")
    row = tui.shell.context.draft.single("open_relay")
    assert row.text(row.section.option("domains")) == "cousin.example, .branch.example"


def test_a_direct_domain_with_its_hosts(tui: Tui) -> None:
    tui.go("Direct Delivery").press("a").type("new.example").press("tab")
    tui.press("a").type("mail.new.example:465").press("tab", " ", "tab").type("joe").press("tab").type("s3cret")
    tui.choose("OK")
    assert "mail.new.example:465 ssl user=joe password=********" in tui.text
    assert "s3cret" not in tui.text
    tui.press("a").type("192.0.2.1").choose("OK")
    tui.choose("Up").choose("OK")
    assert names(tui, "direct_domains") == ["example.net", ".example.com", "new.example"]
    config = applied(tui)
    hosts = config.direct_domains[2].hosts  # type: ignore[attr-defined]
    assert [(each.name, each.port, each.ssl, each.user, each.password) for each in hosts] == [
        ("192.0.2.1", 0, False, "", ""),
        ("mail.new.example", 465, True, "joe", "s3cret"),
    ]


def test_esc_asks_before_it_discards_a_host(tui: Tui) -> None:
    tui.go("Direct Delivery").press("enter", "tab", "a").type("mail.new.example").press("tab", " ", "esc")
    assert "Discard the input?" in tui.dialog_text
    tui.choose("Go on editing")
    assert "mail.new.example" in tui.dialog_text
    tui.press("esc").choose("Discard")
    assert "Add a host" not in tui.dialog_text
    tui.press("a", "esc")
    assert "Discard" not in tui.dialog_text


def test_looking_at_hosts_keeps_their_passwords(tui: Tui) -> None:
    tui.go("Direct Delivery").press("enter")
    assert "topsecret" not in tui.text
    tui.press("tab", "enter")
    assert "topsecret" not in tui.text
    tui.choose("OK").choose("OK")
    assert not tui.shell.context.draft.changed()


def test_the_order_of_direct_domains_counts(tui: Tui) -> None:
    tui.go("Direct Delivery").press("J")
    assert names(tui, "direct_domains") == [".example.com", "example.net"]
    config = applied(tui)
    assert [each.name for each in config.direct_domains] == [".example.com", "example.net"]  # type: ignore[attr-defined]


def test_the_switch_above_the_table_is_part_of_the_screen(tui: Tui) -> None:
    tui.shell.go("Direct Delivery", "fall_back_to_remote")
    tui.press(" ")
    assert "Direct Delivery*" in tui.text
    assert applied(tui).direct.fall_back_to_remote  # type: ignore[attr-defined]


def test_a_replacement_and_its_flags(tui: Tui) -> None:
    tui.go("Mail Header Replace").press("a").type("Info <info@example.org>").press("tab").type("a@pc.lan; b@pc.lan")
    tui.press("tab", " ", "tab", " ").choose("OK")
    config = applied(tui)
    new = config.replacements[1]  # type: ignore[attr-defined]
    assert (new.name, new.addresses, new.local, new.remote) == (
        "Info <info@example.org>",
        ("a@pc.lan", "b@pc.lan"),
        True,
        False,
    )


def test_a_listener(tui: Tui) -> None:
    tui.go("Listeners & TLS").press("a").type("submission").press("tab", "ctrl u").type("127.0.0.1").press("tab")
    tui.type("2587").press("tab", "tab", "tab", "right", "right").choose("OK")
    config = applied(tui)
    new = config.listeners[1]  # type: ignore[attr-defined]
    assert (new.name, new.address, new.port, new.tls, new.auth) == (
        "submission",
        ("127.0.0.1",),
        2587,
        "starttls",
        "required",
    )


def test_a_domain(tui: Tui) -> None:
    tui.go("Domains").press("a").type("second.example").press("tab").type("other.example").press("tab", "tab")
    tui.type("joe@example.org").choose("OK")
    assert "second.example" in tui.text
    config = applied(tui)
    assert [(each.name, each.aliases, each.catch_all) for each in config.domains] == [  # type: ignore[attr-defined]
        ("second.example", ("other.example",), "joe@example.org")
    ]


def test_a_name_twice_is_refused(tui: Tui) -> None:
    tui.go("Listeners & TLS").press("a").type("smtp").press("tab", "tab").type("26").choose("OK")
    assert "There is one with the name smtp already." in tui.text
    assert len(names(tui, "listeners")) == 1


def test_a_wrong_field_keeps_the_dialog_and_is_named(tui: Tui) -> None:
    tui.go("Listeners & TLS").press("a").type("x").press("tab", "tab").type("99999").choose("OK")
    assert tui.dialog()
    assert "Port" in tui.text
    tui.choose("Cancel")
    assert not tui.shell.context.draft.changed()


def test_a_row_is_deleted_and_reset_brings_it_back(tui: Tui) -> None:
    tui.go("Mail Header Replace").press("d")
    assert names(tui, "replacements") == []
    assert "Nothing is replaced" in tui.text
    tui.press("f3")
    assert names(tui, "replacements") == ["Sales <sales@example.org>"]


def test_a_row_changes_its_name(tui: Tui) -> None:
    tui.go("Mail Header Replace").press("enter", "ctrl u").type("other@example.org").choose("OK")
    config = applied(tui)
    assert [each.name for each in config.replacements] == ["other@example.org"]  # type: ignore[attr-defined]
