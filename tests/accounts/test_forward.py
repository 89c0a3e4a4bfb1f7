"""A mailbox that keeps its mail and forwards it, or forwards it alone."""

import io
import sys
from pathlib import Path

import pytest

from smtpd_classic.accounts import (
    Accounts,
    EditRefused,
    Forwarding,
    NotThere,
    ResolvedAddress,
    forwarding,
    set_forwarding,
)
from smtpd_classic.cli import main
from tests.accounts.place import HASH, INI, Place

ELSE = "ext@else.example"
USERS = "joe@example.org\nann@example.org\nann@other.org\nbob@example.org\n"


def make(tmp_path: Path, aliases: str, users: str = USERS) -> Place:
    return Place(tmp_path, users, aliases, INI + "[basic]\npostmaster = joe@example.org\n")


@pytest.mark.parametrize(
    "alias",
    [
        f"ann: \\ann, {ELSE}",
        f"ann: ann, {ELSE}",
        f"ann@example.org: \\ann, {ELSE}",
        f"Ann@Example.NET: ann@example.biz, {ELSE}",
        f'ann: "ann", {ELSE}',
        f"ann: {ELSE}, \\ANN@example.org",
    ],
)
def test_an_alias_that_names_its_own_account_keeps_and_forwards(tmp_path: Path, alias: str) -> None:
    place = make(tmp_path, alias)
    accounts = place.accounts()
    for address in ("ann@example.org", "ANN@example.net"):
        assert accounts.find(address) == ResolvedAddress("account", ("ann@example.org", ELSE))
    assert accounts.find("ann+tag@example.org") == ResolvedAddress("plus address", ("ann+tag@example.org", ELSE))
    assert accounts.find("ann@other.org") == ResolvedAddress("account", ("ann@other.org",)), "another mailbox"
    assert Accounts.check(place.config) == []


def test_an_alias_of_the_very_domain_forwards_the_account_there(tmp_path: Path) -> None:
    accounts = make(tmp_path, f"ann@other.org: \\ann, {ELSE}").accounts()
    assert accounts.find("ann@other.org") == ResolvedAddress("account", ("ann@other.org", ELSE))
    assert accounts.find("ann@example.org") == ResolvedAddress("account", ("ann@example.org",))


def test_forwarding_is_followed_behind_aliases_and_catch_alls(tmp_path: Path) -> None:
    aliases = f"team: bob, ann\nann: \\ann, {ELSE}\njoe: joe, boss@else.example\n"
    accounts = make(tmp_path, aliases).accounts()
    assert accounts.find("team@example.org") == ResolvedAddress("alias", ("bob@example.org", "ann@example.org", ELSE))
    assert accounts.find("any@other.org") == ResolvedAddress("catch-all", ("joe@example.org", "boss@else.example"))
    assert accounts.find("postmaster") == ResolvedAddress("postmaster", ("joe@example.org", "boss@else.example"))


def test_two_accounts_that_forward_to_each_other_get_one_copy_each(tmp_path: Path) -> None:
    place = make(tmp_path, "ann: \\ann, bob\nbob: \\bob, ann\n")
    assert place.accounts().find("ann@example.org") == ResolvedAddress(
        "account", ("ann@example.org", "bob@example.org")
    )
    assert place.accounts().find("bob@example.org") == ResolvedAddress(
        "account", ("bob@example.org", "ann@example.org")
    )
    assert Accounts.check(place.config) == []


def test_an_account_comes_before_an_alias_that_does_not_name_it(tmp_path: Path) -> None:
    accounts = make(tmp_path, f"ann: {ELSE}\nbob@example.org: {ELSE}\n").accounts()
    assert accounts.find("ann@example.org") == ResolvedAddress("account", ("ann@example.org",))
    assert accounts.find("bob@example.org") == ResolvedAddress("account", ("bob@example.org",))


def test_forwarding_takes_no_right_to_send_away_and_gives_none(tmp_path: Path) -> None:
    accounts = make(tmp_path, f"ann: \\ann, bob, {ELSE}\nsales: ann\npair: ann, bob\n").accounts()
    ann, bob = accounts.account("ann"), accounts.account("bob")
    assert ann is not None
    assert bob is not None
    for address in ("ann@example.org", "ann+x@example.net", "sales@example.org"):
        assert accounts.owns(ann, address), address
        assert not accounts.owns(bob, address), address
    assert not accounts.owns(ann, "pair@example.org")


def test_a_disabled_account_forwards_nothing(tmp_path: Path) -> None:
    users = f"joe@example.org\nann@example.org:!{HASH}::::::userdb_smtpd_status=disabled"
    accounts = make(tmp_path, f"ann: \\ann, {ELSE}", users).accounts()
    assert accounts.find("ann@example.org") == ResolvedAddress("account", ("ann@example.org",))


def test_forwarding_that_leads_nowhere_leaves_the_mail_here(tmp_path: Path) -> None:
    users = f"joe@example.org\nann@example.org:{HASH}::::::userdb_smtpd_forward_only=yes"
    accounts = make(tmp_path, "ann: gone", users).accounts()
    assert accounts.find("ann@example.org") == ResolvedAddress("account", ("ann@example.org",))


def test_forwarding_is_set_changed_and_ended(tmp_path: Path) -> None:
    place = make(tmp_path, "# ours\n")
    before = place.users_file.read_text()

    def found() -> tuple[str, ...]:
        answer = place.accounts().find("ann@example.org")
        assert answer is not None
        return answer.targets

    set_forwarding(place.config, "ann", [ELSE], keep=True)
    assert place.aliases_file.read_text() == f"# ours\nann@example.org: ann@example.org, {ELSE}\n"
    assert place.users_file.read_text() == before
    assert forwarding(place.config, "ann") == Forwarding((ELSE,), keep=True)
    assert found() == ("ann@example.org", ELSE)

    set_forwarding(place.config, "ann", ["bob", ELSE], keep=False)
    assert forwarding(place.config, "ann") == Forwarding(("bob@example.org", ELSE), keep=False)
    assert found() == ("bob@example.org", ELSE)

    set_forwarding(place.config, "ann", ["\\ann", ELSE], keep=False)
    assert forwarding(place.config, "ann") == Forwarding((ELSE,), keep=True), "who is named keeps a copy"

    set_forwarding(place.config, "ann", [ELSE], keep=False)
    set_forwarding(place.config, "ann", [], keep=False)
    assert forwarding(place.config, "ann") == Forwarding()
    assert place.aliases_file.read_text() == "# ours\n"
    assert place.accounts().find("ann@example.org") == ResolvedAddress("account", ("ann@example.org",))
    assert "forward_only" not in place.users_file.read_text()
    assert Accounts.check(place.config) == []


@pytest.mark.parametrize(
    ("targets", "said"),
    [(["nobody"], "there is no nobody"), (["|prog"], "runs a program"), (["a b"], "not an address")],
)
@pytest.mark.parametrize("keep", [True, False])
def test_forwarding_to_nowhere_is_refused_and_changes_nothing(
    tmp_path: Path, targets: list[str], said: str, *, keep: bool
) -> None:
    place = make(tmp_path, "# ours\n")
    with pytest.raises(EditRefused, match=said):
        set_forwarding(place.config, "ann", targets, keep=keep)
    assert forwarding(place.config, "ann") == Forwarding()
    assert "forward_only" not in place.users_file.read_text()
    with pytest.raises(NotThere):
        set_forwarding(place.config, "nobody", [ELSE], keep=keep)


def test_an_alias_of_every_domain_is_changed_only_where_there_is_one_domain(tmp_path: Path) -> None:
    place = make(tmp_path, f"ann: \\ann, {ELSE}\n")
    with pytest.raises(EditRefused, match="every local domain"):
        set_forwarding(place.config, "ann", [], keep=True)
    alone = tmp_path / "alone"
    alone.mkdir()
    place = Place(alone, "ann@example.org\n", f"ann: \\ann, {ELSE}\n", "[server]\nprimary_domain = example.org\n")
    set_forwarding(place.config, "ann", [], keep=True)
    assert place.aliases_file.read_text() == ""


def test_the_command_shows_sets_and_ends_forwarding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make(tmp_path, "")
    place.file.write_text(place.file.read_text() + "[listener smtp]\nport = 2525\naddress = 127.0.0.1\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def shell(line: str) -> tuple[int, str]:
        code = main(["--config", str(place.file), "user", *line.split()])
        return code, capsys.readouterr().out.strip()

    assert shell("forward ann") == (0, "not forwarded")
    assert shell(f"forward ann --keep {ELSE}") == (0, f"{ELSE}; a copy stays in the mailbox")
    assert shell("forward ann --off") == (0, "not forwarded")
    assert shell(f"forward --keep ann {ELSE}") == (0, f"{ELSE}; a copy stays in the mailbox")
    assert shell(f"forward ann {ELSE} --keep") == (0, f"{ELSE}; a copy stays in the mailbox")
    assert shell(f"forward ann {ELSE} bob") == (0, f"{ELSE}, bob@example.org; no copy is kept")
    assert f"{ELSE}, bob@example.org; no copy is kept" in shell("show ann")[1]
    assert shell("forward ann --off") == (0, "not forwarded")
    assert shell("forward ann --keep")[0] == 64
    assert shell(f"forward ann --off {ELSE}")[0] == 64
    assert shell("forward")[0] == 64
    assert shell(f"forward gone {ELSE}")[0] == 67
    assert shell("forward ann gone")[0] == 65
