"""File Versions: the settings, users, aliases and keys in one list, and one key that takes a change back."""

import os
import pwd
from pathlib import Path

import pytest

from smtpd_classic.accounts import change_account, list_accounts
from smtpd_classic.config import load
from smtpd_classic.config.versions import keep, versions
from smtpd_classic.doctor.examination import stored_keys
from smtpd_classic.keys.store import IN_USE, NEW, RETIRED
from tests.tui.program import CONFIG, NOW, Tui, made


@pytest.fixture
def tui(tmp_path: Path) -> Tui:
    """A setting was changed first, an account after it."""
    path = made(tmp_path)
    tui = Tui(path, (132, 30))
    tui.shell.go("Basic Parameters", "max_recipients")
    tui.press("ctrl u").type("250").press("f2").choose("Apply")
    change_account(load(path), "joe@example.org", full_name="Joseph")
    return tui.go("File Versions")


def test_all_files_are_in_one_list_with_the_change_in_a_line(tui: Tui) -> None:
    lines = [line for line in tui.look() if " users " in line or " settings " in line]
    assert "joe@example.org: full name as before" in lines[0]
    assert "Max. recipients: 100 → 250" in lines[1]


def test_each_change_names_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # sudo(8) names its caller
    monkeypatch.setenv("SUDO_USER", "ann")
    path = made(tmp_path)
    keep(str(path), path.read_bytes())
    monkeypatch.delenv("SUDO_USER")
    keep(str(path), path.read_bytes())
    own = pwd.getpwuid(os.getuid()).pw_name
    assert [version.who for version in versions(path)] == [own, "ann"]
    tui = Tui(path, (132, 30)).go("File Versions")
    lines = [line for line in tui.look() if " settings " in line]
    assert own in lines[0]
    assert "ann" in lines[1]
    assert f"Then changed by {own}" in tui.text


def test_one_key_takes_the_last_change_back(tui: Tui, tmp_path: Path) -> None:
    tui.press("u")
    assert "joe@example.org: full name as before" in tui.dialog_text
    tui.press("enter")
    assert "takes effect at once" in tui.status_line
    (account,) = list_accounts(load(tmp_path / "smtpd-classic.conf"))
    assert account.full_name == "Joe Doe"


def test_an_older_version_of_the_settings_comes_back_with_r(tui: Tui, tmp_path: Path) -> None:
    tui.press("down", "r")
    assert "+max_recipients = 100" in tui.dialog_text
    tui.press("enter")
    assert (tmp_path / "smtpd-classic.conf").read_text() == CONFIG


def test_a_key_that_was_retired_by_mistake_comes_back(tmp_path: Path) -> None:
    path = made(tmp_path, CONFIG.replace("[server]", "[server]\nuser = nobody"))
    store = stored_keys(load(path))
    (key,) = store.add("example.org", "ed25519", NOW)
    store.set_state(key, IN_USE, NOW)
    store.set_state(key, RETIRED, NOW)
    tui = Tui(path, (132, 30)).go("File Versions")
    line = next(line for line in tui.look() if " keys " in line)
    assert f"example.org: back: {key.selector}: new instead of retired" in line
    tui.press("u")
    assert f"{key.selector}: new instead of retired" in tui.dialog_text
    tui.press("enter")
    assert "The keys are as they were. A key signs when all name servers show it." in tui.status_line
    assert [each.state for each in store.keys("example.org")] == [NEW]
    tui.press("u", "enter")
    assert [each.state for each in store.keys("example.org")] == [RETIRED]
