"""Every broken line gets one sentence with its file and line; doubtful ones get a warning."""

import os
from pathlib import Path

import pytest

from smtpd_classic.accounts import Accounts
from smtpd_classic.config import Problem
from tests.accounts.place import HASH, INI, Place

POSTMASTER = "postmaster: joe\n"


def found(place: Place) -> list[Problem]:
    return Accounts.check(place.config)


def only(place: Place, name: str, line: int, severity: str, said: str) -> None:
    problems = found(place)
    assert [(Path(each.file).name, each.line, each.severity) for each in problems] == [(name, line, severity)], problems
    assert said in problems[0].text
    assert "\n" not in problems[0].text


def test_good_files_are_good(tmp_path: Path) -> None:
    assert (
        found(Place(tmp_path, "# us\njoe@example.org\nann@example.org", POSTMASTER + "team: joe, ann, x@y.example"))
        == []
    )


@pytest.mark.parametrize(
    ("line", "severity", "said"),
    [
        ("ann.example.org", "error", "not an account"),
        ("ann@example.org nonsense", "error", "not an account"),
        (f":{HASH}", "error", "not an account"),
        (f"../ann@example.org:{HASH}", "error", "cannot name a mailbox"),
        (f"ann/x@example.org:{HASH}", "error", "cannot name a mailbox"),
        (f"-ann@example.org:{HASH}", "error", "cannot name a mailbox"),
        (f"joe@example.org:{HASH}", "error", "already on line 1"),
        (f"JOE@example.org:{HASH}", "error", "already on line 1"),
        (f"joe@example.net:{HASH}", "error", "already on line 1"),
        (f"joe:{HASH}", "error", "already on line 1"),
        ("ann@example.org:{PLAIN}geheim", "error", "stored readable"),
        ("ann@example.org:!{PLAIN}geheim", "error", "stored readable"),
        ("ann@example.org:{WHAT}geheim", "error", "is not known"),
        ("ann@example.org:{ARGON2ID}geheim", "error", "not one of"),
        (f"ann@example.org:{HASH}::::::userdb_smtpd_status=off", "error", "not a status"),
        (f"ann@example.org:{HASH}::::::userdb_quota_rule=*:bytes=x", "error", "not a quota"),
        (f"ann@example.org:{HASH}::::::userdb_smtpd_status=disabled", "warning", "not in Dovecot"),
        (f"ann@example.org:{HASH}::::::userdb_smtpd_may_send_as=boss", "error", "neither an address nor"),
        ("ann@example.org:", "warning", "no password"),
        (f"ann@elsewhere.example:{HASH}", "warning", "not a local one"),
        (f"ann@example.net:{HASH}", "warning", "write ann@example.org here"),
        (f"Ann@example.org:{HASH}", "warning", "write ann@example.org here"),
        (f"ann:{HASH}", "warning", "write ann@example.org here"),
    ],
)
def test_a_line_of_the_users_file(tmp_path: Path, line: str, severity: str, said: str) -> None:
    place = Place(tmp_path, "", POSTMASTER)
    place.users_file.write_text(f"joe@example.org:{HASH}\n# a comment\n{line}\n", encoding="utf-8")
    only(place, "users", 3, severity, said)
    assert "geheim" not in str(found(place)[0])


@pytest.mark.parametrize(
    ("text", "line", "severity", "said"),
    [
        ("nonsense", 2, "error", "not an alias"),
        ("x: |prog", 2, "error", "runs a program"),
        ("x: /file", 2, "error", "is a file"),
        ("x: :include:/file", 2, "error", "includes a file"),
        ("@example.org: joe", 2, "error", "catch_all"),
        ("x:", 2, "error", "no target"),
        ("x: joe\nX: ann", 3, "error", "already on line 2"),
        ("x@example.org: joe\nx@example.net: ann", 3, "error", "already on line 2"),
        ("x: nobody", 2, "error", "there is no nobody@example.org here; mail for this alias is refused"),
        ("x: nobody, joe", 2, "warning", "there is no nobody@example.org here; the others get the mail"),
        ("x: x", 2, "error", "in a circle: x → x"),
        ("x: joe, y\n\ny: z\nz: x", 2, "error", "in a circle: x → y → z → x"),
        ("x: y\ny: y, joe", 3, "error", "in a circle: y → y"),
        ("x@example.org: x@example.net", 2, "error", "in a circle"),
        ("ann: joe", 2, None, ""),
        ("ann@example.org: joe", 2, "warning", "there is an account ann@example.org"),
        ("x@elsewhere.example: joe", 2, "warning", "not a local one"),
        ("x: ann@elsewhere.example", 2, None, ""),
        ("x: anybody@other.org", 2, None, ""),
    ],
)
def test_an_entry_of_the_aliases_file(tmp_path: Path, text: str, line: int, severity: str | None, said: str) -> None:
    place = Place(tmp_path, "joe@example.org\nann@example.org", f"{POSTMASTER}{text}\n")
    if severity is None:
        assert found(place) == []
    else:
        only(place, "aliases", line, severity, said)


@pytest.mark.parametrize(
    ("aliases", "ini", "line", "said"),
    [
        ("", "", 0, "postmaster postmaster@example.org is neither"),
        ("", "[basic]\npostmaster = nobody@example.org", 11, "postmaster nobody@example.org is neither"),
        ("", "[basic]\npostmaster = off@example.org", 11, "is disabled"),
        ("", "[basic]\npostmaster = boss@remote.example", None, ""),
        ("", "[basic]\npostmaster = joe@example.net", None, ""),
        ("", "[basic]\npostmaster = any@other.org", None, ""),
        (POSTMASTER, "[domain third.org]\ncatch_all = nobody@third.org", 0, "to catch all mail for third.org"),
        (POSTMASTER, "[domain third.org]\ncatch_all = nobody@example.org", 11, "there is no nobody@example.org here"),
        (POSTMASTER, "[domain third.org]\ncatch_all = boss@remote.example", None, ""),
        (POSTMASTER, "[account-limits JOE@Example.net]\nrecipients_per_hour = 1", None, ""),
        (POSTMASTER, "[account-limits nobody@example.org]\nrecipients_per_hour = 1", 10, "no account nobody@"),
        (POSTMASTER, "[account-limits joe@remote.example]", 10, "no account joe@remote.example"),
        (POSTMASTER, "[account-limits joe@example.org]\n[account-limits joe@example.net]", 11, "is the same account"),
    ],
)
def test_the_addresses_that_the_configuration_names(
    tmp_path: Path, aliases: str, ini: str, line: int | None, said: str
) -> None:
    place = Place(
        tmp_path, f"joe@example.org\noff@example.org:!{HASH}::::::userdb_smtpd_status=disabled", aliases, INI + ini
    )
    if line is None:
        assert found(place) == []
    else:
        problems = found(place)
        assert [Path(each.file).name for each in problems] == ["smtpd-classic.conf"], problems
        assert said in problems[0].text
        if line:
            assert problems[0].line == line


@pytest.mark.parametrize(
    ("name", "mode", "severity", "said"),
    [
        ("users", 0o602, "error", "may write"),
        ("users", 0o644, "warning", "may read"),
        ("aliases", 0o666, "error", "may write"),
        ("aliases", 0o644, None, ""),
        ("users", 0o640, None, ""),
    ],
)
def test_the_rights_to_the_files(tmp_path: Path, name: str, mode: int, severity: str | None, said: str) -> None:
    place = Place(tmp_path, "joe@example.org", POSTMASTER)
    os.chmod(tmp_path / name, mode)
    if severity is None:
        assert found(place) == []
    else:
        only(place, name, 0, severity, said)


@pytest.mark.parametrize(("mode", "group", "readable"), [(0o600, 0, False), (0o640, 0, False), (0o640, 65534, True)])
def test_files_that_the_service_user_cannot_read(tmp_path: Path, mode: int, group: int, *, readable: bool) -> None:
    """What an ordinary user's check cannot read, it says anyway; root's must look at the rights."""
    place = Place(tmp_path, "joe@example.org", POSTMASTER, INI.replace("smtpd-classic-test", "nobody"))
    os.chmod(place.users_file, mode)
    if os.geteuid() == 0:
        os.chown(place.users_file, 0, group)
    said = [each.text for each in found(place)]
    assert any("cannot read" in each for each in said) is (os.geteuid() == 0 and not readable), said


def test_a_missing_users_file_says_how_to_make_one(tmp_path: Path) -> None:
    place = Place(tmp_path, "", POSTMASTER)
    place.users_file.unlink()
    only(place, "users", 0, "error", "smtpd-classic user add")


def test_a_missing_aliases_file_is_fine(tmp_path: Path) -> None:
    place = Place(tmp_path, "postmaster@example.org\njoe@example.org")
    place.aliases_file.unlink()
    assert found(place) == []


@pytest.mark.parametrize("name", ["users", "aliases"])
def test_a_file_that_is_not_utf8_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    place = Place(tmp_path, "joe@example.org", POSTMASTER)
    (tmp_path / name).write_bytes(b"# one\n# two \xff\n")
    only(place, name, 2, "error", "not UTF-8")


@pytest.mark.parametrize("name", ["users", "aliases"])
def test_a_folder_in_its_place_is_named(tmp_path: Path, name: str) -> None:
    place = Place(tmp_path, "joe@example.org", POSTMASTER)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir(mode=0o700)
    only(place, name, 0, "error", "cannot be read: Is a directory.")


def test_a_long_chain_and_a_long_circle_are_found_without_recursion(tmp_path: Path) -> None:
    chain = "".join(f"a{number}: a{number + 1}\n" for number in range(5000))
    place = Place(tmp_path, "joe@example.org", f"{POSTMASTER}{chain}a5000: joe\n")
    assert found(place) == []
    place.aliases(f"{POSTMASTER}{chain}a5000: a0\n")
    only(place, "aliases", 2, "error", "in a circle")


def test_too_many_targets_are_found(tmp_path: Path) -> None:
    targets = ", ".join(f"u{number}@remote.example" for number in range(10_001))
    only(Place(tmp_path, "joe@example.org", f"{POSTMASTER}all: {targets}"), "aliases", 2, "error", "more than 10000")
