"""Earlier versions of the users file and of the aliases file: each edit keeps one, and each can be put back."""

import json
import stat
from pathlib import Path

import pytest

from smtpd_classic.accounts import (
    EditRefused,
    add_account,
    change_account,
    delete_account,
    delete_alias,
    set_alias,
    set_forwarding,
)
from smtpd_classic.accounts.file_versions import changes_of_restore, file_versions, restore_file, undo_file
from smtpd_classic.cli import main
from tests.accounts.place import HASH, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, "joe@example.org\nann@example.org\n", "# by hand\npostmaster: joe\nsales: joe, ann\n")


def test_each_edit_keeps_the_file_as_it_was_with_its_rights(place: Place) -> None:
    before = place.users_file.read_text()
    add_account(place.config, "bob", HASH)
    between = place.users_file.read_text()
    change_account(place.config, "bob", full_name="Bob")
    found = file_versions(place.config, "users")
    assert [Path(each.path).read_text() for each in found] == [between, before]
    assert {stat.S_IMODE(Path(each.path).stat().st_mode) for each in found} == {0o600}
    assert file_versions(place.config, "aliases") == ()


def test_an_edit_that_is_refused_keeps_no_version(place: Place) -> None:
    with pytest.raises(EditRefused):
        delete_account(place.config, "joe")
    with pytest.raises(EditRefused):
        set_alias(place.config, "news", ["nobody@example.org"])
    assert file_versions(place.config, "users") == ()
    assert file_versions(place.config, "aliases") == ()


def test_twenty_versions_are_kept(place: Place) -> None:
    for number in range(25):
        change_account(place.config, "joe", full_name=f"Joe {number}")
    found = file_versions(place.config, "users")
    assert len(found) == 20
    assert ":Joe 4:" in Path(found[-1].path).read_text()
    assert ":Joe 23:" in Path(found[0].path).read_text()


def test_undo_takes_the_last_edit_back_and_a_second_one_repeats_it(place: Place) -> None:
    before = place.users_file.read_text()
    delete_account(place.config, "ann", force=True)
    after = place.users_file.read_text()
    name, changes = undo_file(place.config, "users")
    assert name.startswith("users.")
    assert changes == ("ann@example.org comes back",)
    assert place.users_file.read_text() == before
    assert undo_file(place.config, "users", force=True)[1] == ("ann@example.org goes",)
    assert place.users_file.read_text() == after


def test_the_changes_of_a_restore_are_said_without_a_hash(place: Place) -> None:
    add_account(place.config, "bob", HASH)
    change_account(place.config, "joe", password=HASH[:-1] + ("A" if HASH[-1] != "A" else "B"), quota=5)
    oldest = file_versions(place.config, "users")[-1].name
    assert changes_of_restore(place.config, "users", oldest) == (
        "bob@example.org goes",
        "joe@example.org: password, quota as before",
    )


def test_an_alias_is_deleted_and_comes_back_with_its_comment(place: Place) -> None:
    before = place.aliases_file.read_text()
    set_alias(place.config, "sales", ["ann"])
    assert changes_of_restore(place.config, "aliases", file_versions(place.config, "aliases")[0].name) == (
        "sales: joe@example.org, ann@example.org instead of ann@example.org",
    )
    delete_alias(place.config, "sales")
    oldest = file_versions(place.config, "aliases")[-1].name
    restore_file(place.config, "aliases", oldest)
    assert place.aliases_file.read_text() == before
    assert len(file_versions(place.config, "aliases")) == 3


def test_a_restore_that_would_leave_an_alias_without_its_account_is_refused(place: Place) -> None:
    add_account(place.config, "bob", HASH)
    set_alias(place.config, "sales", ["bob"])
    written = place.users_file.read_text()
    with pytest.raises(EditRefused, match="sales"):
        undo_file(place.config, "users")
    assert place.users_file.read_text() == written
    undo_file(place.config, "users", force=True)
    assert "bob" not in place.users_file.read_text()


def test_without_a_version_there_is_nothing_to_undo(place: Place) -> None:
    with pytest.raises(EditRefused, match=r"no earlier version of .*users"):
        undo_file(place.config, "users")
    with pytest.raises(EditRefused, match=r"no version users\.x of"):
        restore_file(place.config, "users", "users.x")


def test_forwarding_is_an_edit_of_both_files(place: Place) -> None:
    set_forwarding(place.config, "ann", ["ext@far.example"], keep=False)
    assert undo_file(place.config, "users", force=True)[1] == ("ann@example.org: forwarding as before",)
    assert undo_file(place.config, "aliases")[1] == ("ann@example.org goes",)


def test_the_commands_list_restore_and_undo(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.file.write_text(place.file.read_text() + "[listener smtp]\nport = 2525\naddress = 127.0.0.1\n")

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["--config", str(place.file), *words])
        return (code, *capsys.readouterr())

    assert run("user", "add", "--hash", HASH, "bob")[0] == 0
    assert run("alias", "set", "news", "bob")[0] == 0
    listed = json.loads(run("user", "versions", "--json")[1])
    assert len(listed) == 1
    name = listed[0]["name"]
    assert name in run("user", "versions")[1]
    assert run("alias", "undo")[2].startswith("news goes\naliases.")
    done = f"{name} is in force again; the replaced file is kept as the latest version.\n"
    assert run("user", "restore", name) == (0, "", f"bob@example.org goes\n{done}")
    assert "bob" not in run("user", "list")[1]
    assert run("user", "restore", "users.x")[0] == 65
    assert run("user", "undo")[0] == 0
    assert "bob" in run("user", "list")[1]
