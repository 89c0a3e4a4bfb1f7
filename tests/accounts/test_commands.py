"""`smtpd-classic user`, `alias` and `domain` as a person or a script runs them."""

import io
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import pexpect
import pytest

from smtpd_classic.accounts import Accounts
from smtpd_classic.cli import main
from smtpd_classic.config import load
from smtpd_classic.runtime import Runtime
from tests.accounts.place import HASH, INI, PASSWORD, Place

LISTENER = "[listener smtp]\nport = 2525\naddress = 127.0.0.1\n"
USERS = f"""joe@example.org:{HASH}:::Joe Doe:::userdb_quota_rule=*:bytes=1048576
ann@example.org:!{HASH}::::::userdb_smtpd_status=suspended userdb_smtpd_may_send_as=*@shop.example
joe@other.org:{HASH}
"""


class Answer(NamedTuple):
    code: int
    out: str
    err: str


class Shell:
    def __init__(self, place: Place, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.place, self.capture, self.monkeypatch = place, capture, monkeypatch

    def __call__(self, line: str, stdin: str = "") -> Answer:
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = main(["--config", str(self.place.file), *line.split()])
        return Answer(code, *self.capture.readouterr())

    @property
    def accounts(self) -> Accounts:
        return Accounts(load(self.place.file))


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    place = Place(tmp_path, USERS, "postmaster: joe\nteam: joe, ann\ninfo@other.org: joe\n", INI + LISTENER)
    os.chmod(place.file, 0o600)
    return Shell(place, capsys, monkeypatch)


def test_user_list(shell: Shell) -> None:
    assert shell("user list") == Answer(
        0,
        "joe@example.org  normal           1M  Joe Doe\n"
        "ann@example.org  suspended         -\n"
        "joe@other.org    normal            -\n",
        "",
    )
    assert shell("user list other.org").out.startswith("joe@other.org")
    assert shell("user list nowhere.example") == Answer(0, "", "")


def test_user_junk_folder(shell: Shell) -> None:
    mail = shell.place.folder / "mail" / "example.org" / "joe"

    def junk() -> tuple[str, str]:
        account = shell.accounts.account("joe@example.org")
        assert account is not None
        return account.junk_folder, account.junk_maildir

    assert junk() == ("", f"{mail}/.Junk")
    for said, folder, maildir in ((".Spam", ".Spam", f"{mail}/.Spam"), ("INBOX", "inbox", str(mail))):
        assert shell(f"user junk-folder joe {said}").code == 0
        assert junk() == (folder, maildir)
        assert f" userdb_smtpd_junk_folder={folder}\n" in shell.place.users_file.read_text()
    assert "junk folder:     inbox" in shell("user show joe").out
    for wrong in ("Spam", ".a/b", "..", "/etc"):
        assert shell(f"user junk-folder joe {wrong}").code == os.EX_DATAERR
    assert shell("user junk-folder joe").code == 0
    assert junk() == ("", f"{mail}/.Junk")
    assert "junk_folder" not in shell.place.users_file.read_text()


def test_user_list_json_has_everything_but_the_hash(shell: Shell) -> None:
    answer = shell("user list --json")
    listed = json.loads(answer.out)
    assert [each["address"] for each in listed] == ["joe@example.org", "ann@example.org", "joe@other.org"]
    assert listed[1] == {
        "address": "ann@example.org",
        "full_name": "",
        "status": "suspended",
        "quota": 0,
        "may_send_as": ["*@shop.example"],
        "junk_folder": "",
        "folder": str(shell.place.folder / "mail" / "example.org" / "ann"),
        "password_scheme": "ARGON2ID",
        "old_scheme": False,
    }
    assert "argon2id$" not in answer.out


def test_user_list_names_old_schemes_and_user_password_replaces_them(shell: Shell) -> None:
    stored = "{SHA512-CRYPT}$6$saltsalt$" + "a" * 86
    shell.place.users(USERS.replace(f"joe@other.org:{HASH}", f"joe@other.org:{stored}"))
    assert "old scheme" in (said := shell("user list").err)
    assert "joe@other.org" in said
    assert [each["old_scheme"] for each in json.loads(shell("user list --json").out)] == [False, False, True]
    assert shell("user password joe@other.org --password-stdin", "another word\n").code == 0
    assert shell("user list").err == ""


def test_user_show(shell: Shell) -> None:
    shown = json.loads(shell("user show JOE --json").out)
    assert (shown["address"], shown["aliases"]) == ("joe@example.org", ["postmaster", "team"])
    text = shell("user show ann@example.net").out
    assert "may send as:     *@shop.example\n" in text
    assert "quota:           none\n" in text
    assert "argon2id$" not in text


def test_user_add_with_a_password_from_stdin(shell: Shell) -> None:
    answer = shell("user add bob --name Bob --quota 10M --password-stdin", "secret word\nmore\n")
    assert answer == Answer(0, "", "Added bob@example.org.\n")
    account = shell.accounts.authenticate("bob", "secret word")
    assert account is not None
    assert (account.full_name, account.quota) == ("Bob", 10 * 1024**2)


def test_user_add_with_a_password_made_up(shell: Shell) -> None:
    answer = shell("user add bob@other.org --generate --scram")
    assert answer.code == 0
    assert shell.accounts.authenticate("bob@other.org", answer.out.strip())
    assert shell.accounts.scram_keys("bob@other.org")


def test_user_add_with_a_hash(shell: Shell) -> None:
    assert shell(f"user add bob --hash {HASH}").code == 0
    assert shell.accounts.authenticate("bob", PASSWORD)


def test_user_password_status_quota_and_name(shell: Shell) -> None:
    assert shell("user password joe --password-stdin", "another word\n").code == 0
    assert shell.accounts.authenticate("joe", "another word")
    assert shell("user status joe disabled").code == 0
    assert shell.accounts.authenticate("joe", "another word") is None
    assert shell("user status joe normal").code == 0
    assert shell("user quota joe 2G").code == 0
    assert shell("user name joe Joseph").code == 0
    account = shell.accounts.authenticate("joe", "another word")
    assert account is not None
    assert (account.quota, account.full_name, account.status) == (2 * 1024**3, "Joseph", "normal")


def test_user_may_send_as(shell: Shell) -> None:
    assert shell("user may-send-as ann").out == "*@shop.example\n"
    assert shell("user may-send-as ann --add Boss@Example.org --remove *@SHOP.example").out == "boss@example.org\n"
    assert shell.accounts.account("ann").may_send_as == ("boss@example.org",)  # type: ignore[union-attr]
    assert shell("user may-send-as ann --remove x@example.org").code == os.EX_DATAERR
    assert shell("user may-send-as ann --remove boss@example.org") == Answer(0, "", "")
    assert shell("user may-send-as ann") == Answer(0, "", "")


def test_user_delete(shell: Shell) -> None:
    refused = shell("user delete joe")
    assert refused.code == os.EX_DATAERR
    assert "postmaster" in refused.err
    deleted = shell("user delete ann")
    assert deleted.code == 0
    assert str(shell.place.folder / "mail" / "example.org" / "ann") in deleted.err
    assert shell("user delete joe --force").code == 0
    assert shell.accounts.addresses() == ("joe@other.org",)


@pytest.mark.parametrize(
    ("line", "stdin", "code", "said"),
    [
        ("user", "", os.EX_USAGE, "ACTION"),
        ("user fly", "", os.EX_USAGE, "invalid choice"),
        ("user add", "", os.EX_USAGE, "ADDRESS"),
        ("user add bob --quota much --generate", "", os.EX_USAGE, "is not a size"),
        ("user add bob", "", os.EX_USAGE, "--password-stdin or --generate"),
        ("user add bob --password-stdin", "", os.EX_DATAERR, "password is empty"),
        ("user add bob --password-stdin", "\n", os.EX_DATAERR, "password is empty"),
        ("user add joe --generate", "", os.EX_DATAERR, "already"),
        ("user add bob@elsewhere.example --generate", "", os.EX_DATAERR, "not a local domain"),
        ("user add bob --hash {PLAIN}x", "", os.EX_DATAERR, "stored readable"),
        ("user show nobody", "", os.EX_NOUSER, "no account nobody@example.org"),
        ("user password nobody --generate", "", os.EX_NOUSER, "no account"),
        ("user status nobody normal", "", os.EX_NOUSER, "no account"),
        ("user status joe gone", "", os.EX_USAGE, "invalid choice"),
        ("user delete nobody", "", os.EX_NOUSER, "no account"),
        ("alias delete nothing", "", os.EX_NOUSER, "no alias"),
        ("alias set new nobody", "", os.EX_DATAERR, "there is no nobody@example.org"),
        ("domain add other.org", "", os.EX_DATAERR, "is there already"),
        ("domain add a..b", "", os.EX_DATAERR, "not a domain name"),
        ("domain add third.org --catch-all nobody@example.org", "", os.EX_CONFIG, "there is no nobody@example.org"),
        ("domain delete elsewhere.example", "", os.EX_DATAERR, "has no section"),
        ("domain delete other.org", "", os.EX_DATAERR, "has accounts or aliases (joe@other.org, info@other.org)"),
        ("domain alias other.org --remove x.org", "", os.EX_DATAERR, "no other name"),
        ("domain alias other.org --add example.org", "", os.EX_CONFIG, "domain of its own"),
        ("domain alias nowhere.org --add x.org", "", os.EX_DATAERR, "has no section"),
        ("domain catch-all other.org nobody@other.org", "", os.EX_CONFIG, "there is no nobody@other.org"),
        ("domain catch-all example.org nobody@example.org", "", os.EX_CONFIG, "nobody@example.org"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(shell: Shell, line: str, stdin: str, code: int, said: str) -> None:
    before = {path.name: path.read_bytes() for path in shell.place.folder.iterdir()}
    answer = shell(line, stdin)
    assert answer.code == code, answer
    assert said in answer.err
    assert answer.out == ""
    assert {path.name: path.read_bytes() for path in shell.place.folder.iterdir() if path.suffix != ".lock"} == before


def test_a_configuration_that_cannot_be_read(shell: Shell) -> None:
    shell.place.file.write_text("[server]\nprimary_domian = x.org\n")
    for line in ("user list", "alias list", "domain list", "user add bob --generate"):
        answer = shell(line)
        assert answer.code == os.EX_CONFIG
        assert f"{shell.place.file}:2: " in answer.err


@pytest.mark.parametrize("line", ["user list", "user show joe", "user list --json"])
def test_a_users_file_that_cannot_be_read(shell: Shell, line: str) -> None:
    shell.place.users_file.write_bytes(b"\xff")
    answer = shell(line)
    assert answer.code == os.EX_DATAERR
    assert "not UTF-8" in answer.err


def test_alias_list_set_and_delete(shell: Shell) -> None:
    assert shell("alias list").out == (
        "postmaster: joe@example.org\nteam: joe@example.org, ann@example.org\ninfo@other.org: joe@other.org\n"
    )
    assert json.loads(shell("alias list --json").out)[2] == {"name": "info@other.org", "targets": ["joe@other.org"]}
    assert shell("alias set sales@example.net joe x@remote.example") == Answer(0, "", "")
    assert "sales@example.org: joe@example.org, x@remote.example\n" in shell("alias list").out
    assert shell("alias delete sales@example.org").code == 0
    assert "sales" not in shell("alias list").out
    assert shell("alias delete postmaster").code == os.EX_DATAERR
    assert shell("alias delete postmaster --force").code == 0


def test_domain_list(shell: Shell) -> None:
    assert shell("domain list").out == (
        "example.org: 2 accounts; primary; also example.net, example.biz\n"
        "other.org: 1 account; catch-all joe@example.org\n"
        "bücher.example: 0 accounts\n"
    )
    assert json.loads(shell("domain list --json").out)[1] == {
        "name": "other.org",
        "primary": False,
        "aliases": [],
        "catch_all": "joe@example.org",
        "accounts": 1,
    }


def test_domain_add_alias_catch_all_and_delete(shell: Shell) -> None:
    assert shell("domain add Third.org --catch-all joe@example.org").code == 0
    assert shell.accounts.find("any@third.org")
    assert shell("domain catch-all third.org").code == 0
    assert shell.accounts.find("any@third.org") is None
    assert shell("domain catch-all third.org ann@example.org").code == 0
    assert shell("domain alias third.org --add x.example --add y.example").code == 0
    assert shell("domain alias third.org").out == "x.example\ny.example\n"
    assert shell.accounts.canonical("a@Y.example") == "a@third.org"
    assert shell("domain alias third.org --remove x.example").code == 0
    assert shell("domain alias third.org").out == "y.example\n"
    assert shell("domain delete third.org").code == 0
    assert not shell.accounts.is_local_domain("third.org")
    assert shell("domain delete other.org --force").code == 0
    assert not shell.accounts.is_local_domain("other.org")


def test_a_domain_is_named_in_both_spellings(shell: Shell) -> None:
    """The place has bücher.example; its other name is no second domain."""
    other = "xn--bcher-kva.example"
    assert shell(f"domain add {other}").code == os.EX_DATAERR
    assert shell(f"domain alias {other} --add straße.example").code == 0
    assert shell("domain alias bücher.example").out == "straße.example\n"
    assert shell("domain alias bücher.example --remove xn--strae-oqa.example").code == 0
    assert shell("domain alias bücher.example").out == ""
    assert shell(f"user add joe@{other} --generate").code == 0
    assert shell(f"user list {other}").out.startswith("joe@bücher.example ")
    assert shell("user list Bücher.example").out.startswith("joe@bücher.example ")
    assert shell("user list example.biz").out.startswith("joe@example.org ")
    assert shell(f"domain delete {other}").code == os.EX_DATAERR  # it has an account
    assert shell(f"user delete joe@{other}").code == 0
    assert shell(f"domain delete {other}").code == 0
    assert not shell.accounts.is_local_domain("bücher.example")


def test_a_password_is_typed_twice_and_not_shown(shell: Shell) -> None:
    command = [sys.executable, "-m", "smtpd_classic", "--config", str(shell.place.file), "user", "password", "joe"]
    with pexpect.spawn(command[0], command[1:], timeout=20, encoding="utf-8") as terminal:
        for prompt in ("New password: ", "Again: "):
            terminal.expect_exact(prompt)
            terminal.sendline("typed word")
        terminal.expect(pexpect.EOF)
        assert "typed word" not in terminal.before
    assert terminal.exitstatus == 0
    assert shell.accounts.authenticate("joe", "typed word")


def test_a_mistyped_password_changes_nothing(shell: Shell) -> None:
    command = ["-m", "smtpd_classic", "--config", str(shell.place.file), "user", "password", "joe"]
    with pexpect.spawn(sys.executable, command, timeout=20, encoding="utf-8") as terminal:
        terminal.expect_exact("New password: ")
        terminal.sendline("typed word")
        terminal.expect_exact("Again: ")
        terminal.sendline("typed wrod")
        terminal.expect_exact("two different passwords")
        terminal.expect(pexpect.EOF)
    assert terminal.exitstatus == os.EX_DATAERR
    assert shell.accounts.authenticate("joe", PASSWORD)


def test_a_dovecot_that_is_down_is_doubtful_for_monitoring(shell: Shell) -> None:
    more = "run_folder = run\naccounts = dovecot\nmailbox = lmtp:127.0.0.1:24\n"
    shell.place.file.write_text(shell.place.file.read_text().replace("[server]\n", f"[server]\n{more}"))
    config = shell.place.config
    states = Runtime(config.server.run_folder).dovecot
    states.report("auth-userdb", "connection refused", 0.0)
    said = shell("status --check").out
    assert f"the socket {config.server.dovecot_userdb} of Dovecot does not answer" in said
    assert config.server.dovecot_auth not in said
