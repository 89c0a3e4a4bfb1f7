"""A weak password is named, and set only after a confirmation."""

import io
import sys
from pathlib import Path

import pexpect
import pytest

from smtpd_classic.accounts import weakness
from smtpd_classic.cli import main
from tests.accounts.place import INI, Place


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short7!", "shorter than 8"),
        ("", "shorter than 8"),
        ("password", "tried first"),
        ("Password1!", "tried first"),
        ("P@ssw0rd", "tried first"),
        ("passw0rd2024", "tried first"),
        ("qwertyuiop", "tried first"),
        ("Willkommen1", "tried first"),
        ("annabella", "the name"),
        ("Annabella2024", "the name"),
        ("annabella@example.org", "the name"),
        ("example.org", "the name"),
        ("Example123", "the name"),
        ("aaaaaaaaaa", "a row"),
        ("12345678", "a row"),
        ("1234567890", "a row"),
        ("87654321", "a row"),
        ("abcdefghij", "a row"),
        ("correct horse battery", None),
        ("tR7-ui9-KKe2", None),
        ("pässwörter sind toll", None),
    ],
)
def test_a_weak_password_is_named(password: str, said: str | None) -> None:
    found = weakness(password, "annabella@example.org")
    assert (found is None) if said is None else (found is not None and said in found)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    ini = INI + "[listener smtp]\nport = 2525\naddress = 127.0.0.1\n"
    return Place(tmp_path, "joe@example.org\n", "postmaster: joe\n", ini)


@pytest.mark.parametrize("command", ["user add ann", "user password joe"])
def test_a_weak_password_from_a_script_needs_force(
    place: Place, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = place.users_file.read_text()

    def run(more: str) -> int:
        monkeypatch.setattr(sys, "stdin", io.StringIO("password1\n"))
        return main(["--config", str(place.file), *command.split(), "--password-stdin", *more.split()])

    assert run("") == 65
    assert "tried first" in (said := capsys.readouterr().err)
    assert "--force" in said
    assert place.users_file.read_text() == before
    assert run("--force") == 0
    assert place.users_file.read_text() != before


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 65), ("", 65)])
def test_a_weak_password_that_is_typed_needs_a_yes(place: Place, answer: str, code: int) -> None:
    arguments = ["-m", "smtpd_classic", "--config", str(place.file), "user", "password", "joe"]
    before = place.users_file.read_text()
    child = pexpect.spawn(sys.executable, arguments, timeout=60, encoding="utf-8")
    child.expect("New password: ")
    child.sendline("joe12345")
    child.expect("Again: ")
    child.sendline("joe12345")
    child.expect("the name of the account")
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == code
    assert (place.users_file.read_text() != before) is (code == 0)
