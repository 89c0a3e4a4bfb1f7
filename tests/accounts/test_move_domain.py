"""A package guesses a domain; the right one is set in one step, with all that hangs on it."""

import io
import sys
from pathlib import Path

import pytest

from smtpd_classic.accounts import Accounts
from smtpd_classic.cli import main
from smtpd_classic.config import is_untouched, load
from smtpd_classic.config.editing import Edited
from smtpd_classic.config.untouched import marked
from smtpd_classic.domain_name import domain_of_host
from tests.accounts.place import HASH, Place

INI = """[server]
user = smtpd-classic-test
primary_domain = guess.example
mail_folder = mail
[basic]
postmaster = postmaster@guess.example
[listener smtp]
port = 2525
address = 127.0.0.1
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path, f"postmaster@guess.example:{HASH}:::Post\n", "root: postmaster@guess.example\n", INI)
    (tmp_path / "mail/guess.example/postmaster/new").mkdir(parents=True)
    return made


def run(place: Place, *words: str) -> int:
    return main(["--config", str(place.file), *words])


def test_postmaster_root_and_the_first_account_move_in_one_step(place: Place) -> None:
    assert run(place, "domain", "primary", "right.example") == 0
    config = load(place.file)
    assert config.server.primary_domain == "right.example"
    assert config.postmaster == "postmaster@right.example"
    assert place.users_file.read_text() == f"postmaster@right.example:{HASH}:::Post\n"
    assert place.aliases_file.read_text() == "root: postmaster@right.example\n"
    assert (place.folder / "mail/right.example/postmaster/new").is_dir()
    accounts = place.accounts()
    for address in ("root@right.example", "postmaster", "postmaster@right.example"):
        found = accounts.find(address)
        assert found is not None
        assert found.targets == ("postmaster@right.example",)
    assert run(place, "check", "--quiet") == 0


def test_other_accounts_keep_their_domain_which_stays_local(place: Place) -> None:
    place.users(f"joe@guess.example\nann@guess.example\npostmaster@guess.example:{HASH}\n")
    place.aliases("root@guess.example: joe@guess.example\ninfo@guess.example: ann, joe@guess.example\n")
    assert run(place, "config", "set", "basic", "postmaster", "joe@guess.example") == 0
    assert run(place, "domain", "primary", "Right.example.") == 0
    accounts = place.accounts()
    assert accounts.addresses() == ("joe@right.example", "ann@guess.example", "postmaster@guess.example")
    assert load(place.file).postmaster == "joe@right.example"
    assert place.aliases_file.read_text() == (
        "root@right.example: joe@right.example\ninfo@guess.example: ann, joe@right.example\n"
    )


def test_an_alias_keeps_its_domain_which_stays_local(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Mail for it would be refused otherwise, and nothing but a warning of `check` would tell."""
    place.aliases("root: postmaster@guess.example\nsales@guess.example: postmaster@guess.example\n")
    assert main(["--config", str(place.file), "domain", "primary", "right.example"]) == 0
    assert "guess.example stays a local domain, with sales@guess.example." in capsys.readouterr().err
    found = Accounts(load(place.file)).find("sales@guess.example")
    assert found is not None
    assert found.targets == ("postmaster@right.example",)


def test_the_domain_of_accounts_in_dovecot_stays_local(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    more = "accounts = dovecot\nmailbox = lmtp:127.0.0.1:24\ndovecot_userdb = /nowhere/userdb"
    place.file.write_text(place.file.read_text().replace("[server]", f"[server]\n{more}"))
    assert main(["--config", str(place.file), "domain", "list"]) == 0
    assert capsys.readouterr().out == "guess.example: accounts in Dovecot; primary\n"
    assert main(["--config", str(place.file), "domain", "primary", "right.example"]) == 0
    assert {each.name for each in load(place.file).domains} == {"guess.example"}


@pytest.mark.parametrize("name", ["no domain", "-x"])
def test_what_is_refused_changes_nothing(place: Place, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    before = [path.read_bytes() for path in (place.file, place.users_file, place.aliases_file)]
    assert run(place, "domain", "primary", name) != 0
    assert [path.read_bytes() for path in (place.file, place.users_file, place.aliases_file)] == before
    assert (place.folder / "mail/guess.example/postmaster/new").is_dir()


def test_a_file_of_the_package_is_untouched_until_it_is_changed(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not is_untouched(str(place.file))
    place.file.write_text(marked(INI))
    assert is_untouched(str(place.file))
    run(place, "check")
    assert "guessed the domain guess.example" in capsys.readouterr().err
    edited = Edited(place.file)
    edited.set("basic", "allow_vrfy_expn", "yes")
    edited.apply()
    assert not is_untouched(str(place.file))
    place.file.write_text(marked(INI).replace("2525", "2526"))
    assert not is_untouched(str(place.file)), "by hand"
    place.file.write_text(marked(INI))
    assert run(place, "domain", "primary", "right.example") == 0
    assert not is_untouched(str(place.file))
    assert not is_untouched(str(place.folder / "none"))


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("mail.example.org", "example.org"),
        ("Mail.Example.ORG.", "example.org"),
        ("mx1.mail.example.org", "mail.example.org"),
        ("example.org", "example.org"),
        ("localhost", "localhost"),
    ],
)
def test_the_domain_of_a_host_is_proposed_without_its_first_label(host: str, domain: str) -> None:
    assert domain_of_host(host) == domain
