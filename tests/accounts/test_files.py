"""What lines of the users and the aliases file mean, and which are refused with which words."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.accounts import STATUSES, Account
from smtpd_classic.accounts.aliases import AliasLine, format_alias, parse_aliases, parse_targets
from smtpd_classic.accounts.users import UserLine, edited_line, new_line, parse_line
from tests.accounts.place import HASH, Place


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("joe@x.org:{H}h", UserLine("joe@x.org", "{H}h")),
        ("joe@x.org:{H}h::::::", UserLine("joe@x.org", "{H}h")),
        ("joe@x.org:{H}h:1000:1000:Joe Döe:/home/joe:/bin/sh:", UserLine("joe@x.org", "{H}h", "Joe Döe")),
        ("j:h::::::userdb_quota_rule=*:bytes=5000", UserLine("j", "h", quota=5000)),
        ("j:h::::::userdb_quota_rule=*:storage=5", UserLine("j", "h", quota=5 * 1024)),
        ("j:h::::::userdb_quota_rule=*:storage=2G:messages=9", UserLine("j", "h", quota=2 * 1024**3)),
        ("j:h::::::userdb_quota_rule=*:messages=9", UserLine("j", "h")),
        ("j:h::::::userdb_quota_rule=Trash:storage=1G", UserLine("j", "h")),
        ("j:h::::::userdb_smtpd_status=disabled", UserLine("j", "h", status="disabled")),
        ("j:!h::::::userdb_smtpd_status=disabled", UserLine("j", "h", status="disabled")),
        ("j:!h::::::userdb_smtpd_status=suspended", UserLine("j", "h", status="suspended")),
        ("j:!h::::::userdb_smtpd_status=normal", UserLine("j", "h", status="suspended")),
        ("j:!h", UserLine("j", "h", status="suspended")),
        ("j:h::::::nologin allow_nets=127.0.0.0/8", UserLine("j", "h", status="suspended")),
        ("j:h::::::nologin=y", UserLine("j", "h", status="suspended")),
        ("j:h::::::userdb_smtpd_junk_folder=.Spam", UserLine("j", "h", junk_folder=".Spam")),
        ("j:h::::::userdb_smtpd_junk_folder=Inbox", UserLine("j", "h", junk_folder="inbox")),
        ("j:h::::::userdb_smtpd_may_send_as=a@x.org,*@y.org", UserLine("j", "h", may_send_as=("a@x.org", "*@y.org"))),
    ],
)
def test_a_line_of_the_users_file_says(line: str, expected: UserLine) -> None:
    assert parse_line(line) == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "not an account"),
        (":{H}h", "not an account"),
        ("j:h::::::userdb_smtpd_status=gone", "“gone” is not a status"),
        ("j:h::::::userdb_smtpd_junk_folder=../x", "not the name of a Maildir"),
        ("j:h::::::userdb_quota_rule=*:bytes=lots", "is not a quota"),
        ("j:h::::::userdb_quota_rule=*:bytes=", "is not a quota"),
    ],
)
def test_a_broken_line_of_the_users_file_is_explained(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_line(line)


WORDS = st.text("abcXYZ0189._-", min_size=1, max_size=12)
USER = st.builds(
    UserLine,
    name=WORDS,
    password=WORDS.map("{ARGON2ID}".__add__),
    full_name=st.text(st.characters(categories=["L", "N", "Zs"]), max_size=20),
    status=st.sampled_from(STATUSES),
    quota=st.integers(0, 10**14),
    may_send_as=st.lists(WORDS, max_size=3).map(tuple),
    junk_folder=st.sampled_from(("", "inbox", ".Spam", ".Müll")),
)


@given(USER)
def test_a_new_line_says_what_it_was_made_of(user: UserLine) -> None:
    assert parse_line(new_line(user)) == user


@given(USER, USER)
def test_an_edited_line_says_the_new_and_keeps_what_is_not_ours(old: UserLine, new: UserLine) -> None:
    fields = new_line(old).split(":", 7)
    fields[2:4] = ["1001", "1002"]
    fields[5:7] = ["/home/x", "/bin/sh"]
    fields[7] = f"allow_nets=10.0.0.0/8 {fields[7]} userdb_mail=maildir:/x userdb_quota_rule2=Trash:storage=+100M"
    edited = edited_line(":".join(fields), new)
    assert parse_line(edited) == new._replace(name=old.name)
    after = edited.split(":", 7)
    assert (after[2:4], after[5:7]) == (["1001", "1002"], ["/home/x", "/bin/sh"])
    assert after[7].startswith("allow_nets=10.0.0.0/8 ")
    assert {"userdb_mail=maildir:/x", "userdb_quota_rule2=Trash:storage=+100M"} <= set(after[7].split())


def test_a_quota_written_in_dovecots_other_words_stays_as_it_is() -> None:
    line = "j:{H}h::::::userdb_quota_rule=*:storage=1G:messages=1000"
    assert edited_line(line, parse_line(line)) == line
    assert "*:bytes=5" in edited_line(line, parse_line(line)._replace(quota=5))
    assert "quota" not in edited_line(line, parse_line(line)._replace(quota=0))


def test_an_account_that_is_normal_again_is_unlocked_everywhere() -> None:
    line = "j:!{H}h::::::nologin userdb_smtpd_status=disabled x=y"
    assert edited_line(line, parse_line(line)._replace(status="normal")) == "j:{H}h::::::x=y"


@pytest.mark.parametrize("status", ["disabled", "suspended"])
def test_an_account_without_login_has_a_lock_before_its_hash(status: str) -> None:
    assert new_line(UserLine("j", "{H}h", status=status)).startswith("j:!{H}h:")


@pytest.mark.parametrize(
    "local",
    [
        "../joe",
        "a/b",
        "..",
        ".",
        ".joe",
        "-joe",
        "joe.",
        "a..b",
        "#joe",
        "a b",
        "joe+x",
        "a\0b",
        "a\x1bb",
        '"joe"x',
        "(j)",
        "",
    ],
)
def test_no_account_can_have_this_name(tmp_path: Path, local: str) -> None:
    place = Place(tmp_path, f"{local}@example.org:{HASH}\nann@example.org")
    accounts = place.accounts()
    assert accounts.addresses() == ("ann@example.org",)
    assert accounts.find("ann@example.org")


@pytest.mark.parametrize(
    "local", ["joe", "Joe", "j", "joe.doe", "joe-doe", "joe_doe", "0", "o'neill", "müller", "x" * 64]
)
def test_an_account_can_have_this_name(tmp_path: Path, local: str) -> None:
    place = Place(tmp_path, f"{local}@example.org:{HASH}")
    account = place.accounts().account(f"{local}@example.org")
    assert account is not None
    assert Path(account.folder).parent == tmp_path / "mail" / "example.org"
    assert Path(account.folder).name == local.lower()


def test_a_hash_is_never_shown() -> None:
    assert "secret" not in repr(Account("joe@example.org", password="secret"))


def test_comments_and_blank_lines_are_no_accounts(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.users_file.write_bytes(f"# joe@example.org:{HASH}\n\n   \r\nann@example.org:{HASH}\r\n\r\n".encode())
    assert place.accounts().addresses() == ("ann@example.org",)
    assert not place.complaints


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b", [("a", ["b"])]),
        ("a:b,c,  d", [("a", ["b", "c", "d"])]),
        ("a: b,\n  c,\n\td, e", [("a", ["b", "c", "d", "e"])]),
        ("a:\n  b", [("a", ["b"])]),
        ("# x: y\na: b # no comment", None),
        ("a: b\n# between\n  , c\n", [("a", ["b", "c"])]),
        ("a: b\n\n  , c\n", [("a", ["b", "c"])]),
        ("A@X.org: b@Y.ORG", [("A@x.org", ["b@y.org"])]),
        ('"a": "b"', [("a", ["b"])]),
        ('"a b": c', [('"a b"', ["c"])]),
        ('"a b"@x.org: c', [('"a b"@x.org', ["c"])]),
        ('"a:b"@x.org: c', [('"a:b"@x.org', ["c"])]),
        ('a: "b, c"@x.org, d', [("a", ['"b, c"@x.org', "d"])]),
        ('a: "b@x.org", c', [("a", ["b@x.org", "c"])]),
        ("a: <b@x.org>", [("a", ["b@x.org"])]),
        ("a: \\b", [("a", ["b"])]),
        ("a: b, b, b", [("a", ["b"])]),
        ("a : b", [("a", ["b"])]),
        ("a: b,", [("a", ["b"])]),
        ("a: müller@bücher.example", [("a", ["müller@bücher.example"])]),
        ("", []),
        ("   \n# c\n", []),
    ],
)
def test_an_aliases_file_says(text: str, expected: list[tuple[str, list[str]]] | None) -> None:
    entries = list(parse_aliases(text))
    if expected is None:
        assert all(each.problem for each in entries)
    else:
        assert [(each.name, list(each.targets)) for each in entries] == expected
        assert not any(each.problem for each in entries)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: b\nnonsense\n", 2, "not an alias"),
        (": b", 1, "not an alias"),
        ("a:", 1, "no target"),
        ("a: ,", 1, "no target"),
        ("\n\na: |/bin/prog", 3, "runs a program"),
        ('a: b, "|/bin/prog -x"', 1, "runs a program"),
        ('a: "| /bin/prog, with comma"', 1, "runs a program"),
        ("a: \\|prog", 1, "runs a program"),
        ("a: </etc/passwd>", 1, "is a file"),
        ("a: /var/mail/joe", 1, "is a file"),
        ('a: "/dev/null"', 1, "is a file"),
        ("a: :include:/etc/list", 1, "includes a file"),
        ("a: :Include:/etc/list", 1, "includes a file"),
        ('a: ":include:/etc/list"', 1, "includes a file"),
        ('a: "b', 1, "quotation mark is not closed"),
        ('"a: b', 1, "quotation mark is not closed"),
        ("a: b c", 1, "not an address"),
        ("a: b\n  c", 1, "not an address"),
        ("a: b@", 1, "not an address"),
        ("a: @b", 1, "not an address"),
        ("a: b@x..org", 1, "not an address"),
        ("a: b@x.org@y.org", 1, "not an address"),
        ("a b: c", 1, "not an address"),
        ("@x.org: joe", 1, "catch_all"),
        ("a: Joe <joe@x.org>", 1, "not an address"),
        ("a: b;c", 1, "not an address"),
        ("  a: b", 1, None),
    ],
)
def test_a_broken_alias_is_explained(text: str, line: int, said: str | None) -> None:
    entries = list(parse_aliases(text))
    if said is None:
        assert not entries[0].problem
        return
    broken = [each for each in entries if each.problem]
    assert [(each.first, each.targets) for each in broken] == [(line, ())]
    assert said in broken[0].problem


@given(st.text('ab:,@#|/\\"<> \t\n.é', max_size=60))
def test_any_text_is_read_as_aliases_without_a_crash(text: str) -> None:
    entries = list(parse_aliases(text))
    for entry in entries:
        assert bool(entry.problem) != bool(entry.targets)
        assert 1 <= entry.first < entry.after <= text.count("\n") + 2
    assert all(one.after <= two.first for one, two in pairwise(entries))


ADDRESS = st.one_of(
    st.from_regex(r"[a-z0-9_-]{1,12}(\.[a-z0-9]{1,5})?", fullmatch=True),
    st.sampled_from(['"odd, one"@x.org', "b@y.org"]),
)


@given(ADDRESS, st.lists(ADDRESS, min_size=1, max_size=30, unique=True).map(tuple))
def test_a_written_alias_reads_back(name: str, targets: tuple[str, ...]) -> None:
    name = parse_targets(name)[0]
    targets = tuple(dict.fromkeys(parse_targets(", ".join(targets))))
    text = format_alias(name, targets)
    assert list(parse_aliases(text)) == [AliasLine(1, text.count("\n") + 2, name, targets)]
