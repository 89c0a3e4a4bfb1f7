"""Accounts from the table of another server."""

import csv
import os
import stat
from pathlib import Path

import pytest

from tests.accounts.place import HASH, PASSWORD
from tests.accounts.test_commands import Shell, shell

__all__ = ["shell"]  # a fixture


def table(shell: Shell, text: str) -> Path:
    path = shell.place.file.parent / "accounts.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_become_accounts_that_can_log_in(shell: Shell) -> None:
    path = table(
        shell,
        "address,name,password,quota\n"
        f'Eve@example.org,"Eve, of Example","{HASH}",500M\n'
        "bob@example.org,Böb,correct horse battery,\n",
    )
    done = shell(f"import accounts {path}")
    assert (done.code, done.out, done.err) == (0, "", "Added: 2 accounts. Not added: 0.\n")
    assert "500M" in shell("user list").out
    for login, password in (("eve@example.org", PASSWORD), ("bob@example.org", "correct horse battery")):
        assert shell.accounts.authenticate(login, password) is not None
    assert not list(path.parent.glob("*.passwords"))


def test_no_account_is_added_without_a_place_for_its_password(shell: Shell) -> None:
    """The list of an earlier import is kept, and the passwords of this one would be nowhere."""
    path = table(shell, "E-Mail\na@example.org\n")
    made = Path(f"{path}.passwords")
    made.write_text("those of the last import\n")
    done = shell(f"import accounts {path}")
    assert done.code == os.EX_CANTCREAT
    assert "No account was added" in done.err
    assert "a@example.org" not in shell("user list").out
    assert made.read_text() == "those of the last import\n"
    assert shell(f"import accounts {path} --passwords {made}.2").code == 0
    again = shell(f"import accounts {path} --passwords {made}.3")  # the account is there already
    assert again.code == os.EX_DATAERR
    assert not os.path.exists(f"{made}.3")


def test_what_cannot_be_verified_gets_a_password_of_its_own(shell: Shell) -> None:
    path = table(shell, "a@example.org,,6f1ed002ab5595859014ebf0951522d9,\nb@example.org\nc@example.org,,$S$DxyzABC,\n")
    done = shell(f"import accounts {path}")
    assert done.code == 0
    made = Path(f"{path}.passwords")
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    with made.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["address", "password"]
    for address, password in rows[1:]:
        assert shell.accounts.authenticate(address, password) is not None
    assert [address for address, _ in rows[1:]] == ["a@example.org", "b@example.org", "c@example.org"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("joe@example.org,,secret words", "there is an account joe@example.org already"),
        ("x@elsewhere.example,,secret words", "is not a local domain"),
        (",name,secret words", "there is no address"),
        ("y@example.org,,secret words,many", "size"),
        ("z@example.org,a:b,secret words", "full name"),
        ("o'brien@example.org,,secret words", "Dovecot"),
    ],
)
def test_a_row_that_is_not_taken_over_is_named_and_the_others_are(shell: Shell, row: str, said: str) -> None:
    path = table(shell, f"{row}\nnew@example.org,,secret words\n")
    done = shell(f"import accounts {path}")
    assert done.code == os.EX_DATAERR
    assert said in done.err
    assert f"{path}:1: " in done.err
    assert "Added: 1 accounts. Not added: 1." in done.err
    assert "new@example.org" in shell("user list").out


def test_a_weak_password_is_taken_over_only_by_force(shell: Shell) -> None:
    path = table(shell, "new@example.org,,password1\n")
    done = shell(f"import accounts {path}")
    assert done.code == os.EX_DATAERR
    assert f"{path}:1: the password is one of those that are tried first; --force" in done.err
    assert "new@example.org" not in shell("user list").out
    assert shell(f"import accounts --force {path}").code == 0
    assert shell.accounts.authenticate("new@example.org", "password1") is not None


@pytest.mark.parametrize("text", [b"\xff\xfe", b'"open,\n', b"a\x00b\n"])
def test_a_file_of_another_kind_adds_nothing(shell: Shell, text: bytes) -> None:
    path = table(shell, "")
    path.write_bytes(text)
    before = Path(shell.place.file.parent / "users").read_bytes()
    done = shell(f"import accounts {path}")
    assert done.code == os.EX_DATAERR
    assert "Traceback" not in done.err
    assert Path(shell.place.file.parent / "users").read_bytes() == before


def test_five_thousand_accounts_are_one_change(shell: Shell) -> None:
    path = table(shell, "".join(f'user{number}@example.org,,"{HASH}",\n' for number in range(5000)))
    assert "Added: 5000 accounts." in shell(f"import accounts {path}").err
    assert "undo" in shell("user --help").out
    assert shell("user undo").code == 0
    assert "user4999" not in shell("user list").out


def test_the_exports_that_the_manual_describes_are_taken_over(shell: Shell) -> None:
    hmailserver = "address,name,quota\na@example.org,Ann,500M\nb@example.org,Bob,0M\n"
    winmail = "address,name,department,quota\nc@example.org,Carl,Sales,1G\n"
    for text in (hmailserver, winmail):
        path = table(shell, text)
        assert shell(f"import accounts {path}").code == 0
        Path(f"{path}.passwords").unlink()
    listed = shell("user list").out.splitlines()
    found = {row.split()[0]: row.split()[2] for row in listed}
    assert (found["a@example.org"], found["b@example.org"], found["c@example.org"]) == ("500M", "-", "1G")
