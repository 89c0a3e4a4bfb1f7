"""Edits of the two files: what they keep, what they refuse, and what happens when several are made at once."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smtpd_classic.accounts import (
    Accounts,
    EditRefused,
    NotThere,
    add_account,
    change_account,
    delete_account,
    delete_alias,
    hash_password,
    list_accounts,
    list_aliases,
    locked_file,
    set_alias,
    the_account,
)
from smtpd_classic.config.lock import locked
from tests.accounts.place import HASH, PASSWORD, Place

USERS = f"""# Our people, by hand.

joe@example.org:{HASH}:1000:1000:Joe:/home/joe:/bin/sh:allow_nets=10.0.0.0/8 userdb_x=y
# The boss.
Ann@example.org:{HASH}
broken line
"""
ALIASES = """# by hand
postmaster: joe

team: joe,
# the boss too
    ann
info@example.org: ann
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path, "", ALIASES)
    place.users_file.write_text(USERS, encoding="utf-8")
    return place


def users(place: Place) -> str:
    return place.users_file.read_text(encoding="utf-8")


def test_an_added_account_is_the_last_line_and_the_rest_stays(place: Place) -> None:
    assert (
        add_account(place.config, "Bob", HASH, full_name="Bob B.", quota=5, may_send_as=["*@x.example"])
        == "bob@example.org"
    )
    assert users(place) == (
        f"{USERS}bob@example.org:{HASH}:::Bob B.:::userdb_quota_rule=*:bytes=5 userdb_smtpd_may_send_as=*@x.example\n"
    )


def test_an_account_is_added_behind_a_last_line_without_an_end(place: Place) -> None:
    place.users_file.write_text(USERS.rstrip("\n"))
    add_account(place.config, "bob@example.net", HASH)
    assert users(place) == f"{USERS}bob@example.org:{HASH}::::::\n"


def test_a_changed_account_keeps_its_place_and_all_that_is_not_ours(place: Place) -> None:
    change_account(place.config, "JOE@example.biz", full_name="Joe Döe", quota=7)
    old = f"joe@example.org:{HASH}:1000:1000:Joe:/home/joe:/bin/sh:allow_nets=10.0.0.0/8 userdb_x=y\n"
    new = old.replace(":Joe:", ":Joe Döe:").replace("=y\n", "=y userdb_quota_rule=*:bytes=7\n")
    assert users(place) == USERS.replace(old, new)


def test_an_account_written_in_capitals_is_found_and_keeps_its_spelling(place: Place) -> None:
    change_account(place.config, "ann", status="suspended")
    assert f"\nAnn@example.org:!{HASH}::::::userdb_smtpd_status=suspended\n" in users(place)
    change_account(place.config, "ann", status="normal")
    assert f"\nAnn@example.org:{HASH}::::::\n" in users(place)


def test_a_new_password_does_not_let_a_suspended_account_in(place: Place) -> None:
    change_account(place.config, "ann", status="suspended")
    change_account(place.config, "ann", password=hash_password("new one"))
    assert Accounts(place.config).authenticate("ann", "new one") is None
    change_account(place.config, "ann", status="normal")
    assert Accounts(place.config).authenticate("ann", "new one")


def test_a_deleted_account_leaves_the_other_lines(place: Place) -> None:
    delete_account(place.config, "ann", force=True)
    assert users(place) == USERS.replace(f"Ann@example.org:{HASH}\n", "")


def test_nothing_is_written_when_nothing_changes(place: Place) -> None:
    before = place.users_file.stat()
    change_account(place.config, "joe", full_name="Joe")
    assert place.users_file.stat() == before


def test_crlf_line_ends_stay(place: Place) -> None:
    place.users_file.write_bytes(USERS.replace("\n", "\r\n").encode())
    add_account(place.config, "bob", HASH)
    assert place.users_file.read_bytes() == f"{USERS}bob@example.org:{HASH}::::::\n".replace("\n", "\r\n").encode()


def test_owner_and_mode_stay(place: Place) -> None:
    os.chmod(place.users_file, 0o640)
    add_account(place.config, "bob", HASH)
    assert stat.S_IMODE(place.users_file.stat().st_mode) == 0o640


def test_a_new_file_has_the_rights_of_the_configuration(place: Place) -> None:
    place.users_file.unlink()
    os.chmod(place.file, 0o640)
    if os.geteuid() == 0:
        os.chown(place.file, 0, 7)
    add_account(place.config, "bob", HASH)
    made = place.users_file.stat()
    assert stat.S_IMODE(made.st_mode) == 0o640
    assert (made.st_uid, made.st_gid) == (place.file.stat().st_uid, place.file.stat().st_gid)
    assert [each.address for each in list_accounts(place.config)] == ["bob@example.org"]


def test_a_new_file_is_never_for_everybody(place: Place) -> None:
    place.users_file.unlink()
    os.chmod(place.file, 0o666)
    add_account(place.config, "bob", HASH)
    assert stat.S_IMODE(place.users_file.stat().st_mode) == 0o660


@pytest.mark.parametrize(
    ("address", "words", "said"),
    [
        ("joe", {}, "there is an account joe@example.org already"),
        ("JOE@example.net", {}, "already"),
        ("bob@elsewhere.example", {}, "not a local domain"),
        ("../bob", {}, "cannot name a mailbox"),
        ("bob+x", {}, "cannot name a mailbox"),
        ("bob\n", {}, "cannot name a mailbox"),
        ("bob:x", {}, "cannot name a mailbox"),
        ("#bob", {}, "cannot name a mailbox"),
        ("info", {}, "comes first; the alias is not used"),
        ("team@example.org", {}, None),
        ("bob", {"full_name": "a:b"}, "full name cannot hold"),
        ("bob", {"full_name": "a\nb"}, "full name cannot hold"),
        ("bob", {"full_name": "a\x1b[2J"}, "full name cannot hold"),
        ("bob", {"full_name": "a\nroot@example.org:x"}, "full name cannot hold"),
        ("bob", {"status": "gone"}, "not a status"),
        ("bob", {"quota": -1}, "negative"),
        ("bob", {"may_send_as": ["boss"]}, "neither an address nor"),
        ("bob", {"may_send_as": ["a@b.example x=y"]}, "neither an address nor"),
        ("bob", {"may_send_as": ["a@b.example,c@d.example"]}, "neither an address nor"),
        ("bob", {"may_send_as": ["*@"]}, "neither an address nor"),
    ],
)
def test_an_account_that_could_not_work_is_refused(
    place: Place, address: str, words: dict[str, str], said: str | None
) -> None:
    if said is None:
        add_account(place.config, address, HASH, **words)  # type: ignore[arg-type]
        return
    with pytest.raises(EditRefused, match=said):
        add_account(place.config, address, HASH, **words)  # type: ignore[arg-type]
    assert users(place) == USERS


@pytest.mark.parametrize("stored", ["", "{PLAIN}secret", "{ARGON2ID}x", f"{HASH}:x", f"{HASH}\n", "{NO}x"])
def test_a_password_that_could_not_work_is_refused(place: Place, stored: str) -> None:
    with pytest.raises(EditRefused):
        add_account(place.config, "bob", stored)
    with pytest.raises(EditRefused):
        change_account(place.config, "joe", password=stored)
    assert users(place) == USERS


def test_deleting_is_refused_while_somebody_leads_there(place: Place) -> None:
    with pytest.raises(EditRefused, match=r"there is no ann@example\.org"):
        delete_account(place.config, "ann")
    with pytest.raises(EditRefused, match="postmaster"):
        delete_account(place.config, "joe")
    assert users(place) == USERS


@pytest.mark.parametrize("address", ["nobody", "team", "joe@elsewhere.example", "broken line"])
def test_what_is_not_there_cannot_be_edited(place: Place, address: str) -> None:
    for edit in (the_account, delete_account):
        with pytest.raises(NotThere):
            edit(place.config, address)
    with pytest.raises(NotThere):
        change_account(place.config, address, full_name="x")


def test_a_line_that_cannot_be_read_is_not_edited(place: Place) -> None:
    place.users_file.write_text(f"joe@example.org:{HASH}::::::userdb_quota_rule=*:bytes=lots\n")
    with pytest.raises(EditRefused, match="line 1"):
        change_account(place.config, "joe", full_name="x")


def test_a_file_that_is_no_text_is_not_edited(place: Place) -> None:
    place.users_file.write_bytes(b"\xff\n")
    with pytest.raises(EditRefused, match="not UTF-8"):
        add_account(place.config, "bob", HASH)
    assert place.users_file.read_bytes() == b"\xff\n"


def aliases(place: Place) -> str:
    return place.aliases_file.read_text(encoding="utf-8")


def test_a_new_alias_is_the_last_entry(place: Place) -> None:
    set_alias(place.config, "Sales@EXAMPLE.net", ["joe", "x@remote.example"])
    assert aliases(place) == f"{ALIASES}sales@example.org: joe, x@remote.example\n"


def test_an_alias_changes_in_its_place(place: Place) -> None:
    set_alias(place.config, "team", ["ann"])
    assert aliases(place) == ALIASES.replace("team: joe,\n# the boss too\n    ann\n", "team: ann\n")


def test_an_alias_that_stands_there_twice_is_one_afterwards(place: Place) -> None:
    place.aliases(ALIASES + "TEAM: joe\n# end\n")
    set_alias(place.config, "team", ["ann"])
    assert aliases(place) == ALIASES.replace("team: joe,\n# the boss too\n    ann\n", "team: ann\n") + "# end\n"


def test_a_deleted_alias_leaves_the_rest(place: Place) -> None:
    delete_alias(place.config, "info@example.net")
    assert aliases(place) == ALIASES.replace("info@example.org: ann\n", "")
    assert list_aliases(place.config) == (
        ("postmaster", ("joe@example.org",)),
        ("team", ("joe@example.org", "ann@example.org")),
    )


def test_an_aliases_file_is_made_when_there_is_none(place: Place) -> None:
    place.aliases_file.unlink()
    set_alias(place.config, "team", ["joe"])
    assert aliases(place) == "team: joe\n"


@pytest.mark.parametrize(
    ("name", "targets", "said"),
    [
        ("new", ["nobody"], "there is no nobody@example.org here"),
        ("new", ["joe", "nobody"], "there is no nobody@example.org here"),
        ("new", ["new"], "in a circle"),
        ("team", ["info@example.org", "team@example.net"], "in a circle"),
        ("new", ["|prog"], "runs a program"),
        ("new", ["/file"], "is a file"),
        ("new", [":include:/file"], "includes a file"),
        ("new", [""], "no target"),
        ("new", ["joe\nroot: x"], "not an address"),
        ("a b", ["joe"], "not an address"),
        ("a\nb", ["joe"], "not an address"),
        ("@example.org", ["joe"], "catch_all"),
        ("new@elsewhere.example", ["joe"], "not a local domain"),
        ("joe@example.org", ["ann"], "comes first"),
    ],
)
def test_an_alias_that_could_not_work_is_refused(place: Place, name: str, targets: list[str], said: str) -> None:
    with pytest.raises(EditRefused, match=said):
        set_alias(place.config, name, targets)
    assert aliases(place) == ALIASES


def test_deleting_an_alias_is_refused_while_somebody_leads_there(place: Place) -> None:
    with pytest.raises(EditRefused, match="postmaster"):
        delete_alias(place.config, "postmaster")
    delete_alias(place.config, "postmaster", force=True)
    with pytest.raises(NotThere):
        delete_alias(place.config, "postmaster")


def test_who_holds_the_lock_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked_file, "locked", lambda path: locked(path, 0.1))
    with locked(str(place.users_file)), ThreadPoolExecutor(1) as pool:
        refused = pool.submit(add_account, place.config, "bob", HASH).exception()
    assert isinstance(refused, EditRefused)
    assert refused.temporary
    assert f"pid {os.getpid()}" in str(refused)
    assert users(place) == USERS


ADD_MANY = """
import sys
from smtpd_classic.accounts import add_account, set_alias
from smtpd_classic.config import parse
config = parse(open(sys.argv[1]).read(), sys.argv[1])
for number in range(50):
    add_account(config, f"{sys.argv[2]}{number}", sys.argv[3])
    if number % 10 == 0:
        set_alias(config, f"to-{sys.argv[2]}{number}", [f"{sys.argv[2]}{number}"])
"""


def test_two_processes_that_add_fifty_accounts_each_lose_none(tmp_path: Path) -> None:
    place = Place(tmp_path, "postmaster@example.org\njoe@example.org")
    os.chmod(place.file, 0o600)
    processes = [
        subprocess.Popen([sys.executable, "-c", ADD_MANY, str(place.file), prefix, HASH], stderr=subprocess.PIPE)
        for prefix in ("a", "b")
    ]
    for process in processes:
        errors = process.communicate(timeout=120)[1]
        assert process.returncode == 0, errors
    accounts = Accounts(place.config)
    assert set(accounts.addresses()) == {
        "postmaster@example.org",
        "joe@example.org",
        *(f"{prefix}{number}@example.org" for prefix in "ab" for number in range(50)),
    }
    assert all(accounts.find(f"to-{prefix}{number}@example.org") for prefix in "ab" for number in range(0, 50, 10))
    assert accounts.authenticate("b49", PASSWORD)
    assert Accounts.check(place.config) == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == [
        "aliases",
        "smtpd-classic.conf",
        "users",
        "versions",
    ]


def test_threads_of_one_process_lose_none_either(tmp_path: Path) -> None:
    place = Place(tmp_path, "joe@example.org")
    config = place.config
    with ThreadPoolExecutor(8) as pool:
        added = pool.map(lambda number: add_account(config, f"u{number}", HASH), range(40))
        assert len(set(added)) == 40
    assert len(list_accounts(config)) == 41
