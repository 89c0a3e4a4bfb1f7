"""`smtpd-classic check` and `smtpd-classic config`, as an administrator's script uses them."""

import argparse
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from smtpd_classic.commands import check, config
from smtpd_classic.config import load
from smtpd_classic.config.editing import Edited
from smtpd_classic.config.lock import locked
from smtpd_classic.runtime import Listening, StatusFile
from smtpd_classic.runtime.status import own_status
from tests.config.texts import SOUND
from tests.once import quick_hash
from tests.server.certificates import put_pair

HASH = quick_hash("geheim")


class Answer(NamedTuple):
    code: int
    out: str
    err: str


class Place:
    """A folder with a configuration, and the commands on it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = folder / "smtpd-classic.conf"
        self.folder = folder
        self._capsys = capsys

    def write(self, more: str = "") -> None:
        text = SOUND.replace("[listener", f"run_folder = {self.folder}\n\n[listener") + more
        self.file.write_text(text)
        self.file.chmod(0o640)

    def run(self, command: ModuleType, *words: str) -> Answer:
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        args = parser.parse_args(words)
        args.config = str(self.file)
        code = command.run(args)
        said = self._capsys.readouterr()
        return Answer(code, said.out, said.err.replace(f"{self.folder}/", ""))

    def config(self, *words: str) -> Answer:
        return self.run(config, *words)

    def check(self, *words: str) -> Answer:
        return self.run(check, *words)


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    found = Place(tmp_path, capsys)
    found.write()
    users = tmp_path / "users"
    users.write_text(f"postmaster@example.org:{HASH}::::::\n")
    users.chmod(0o600)
    return found


def certificate(place: Place) -> None:
    put_pair(place.folder / "tls" / "certificate.pem", place.folder / "tls" / "key.pem", "example.org")


def test_check_says_that_a_certificate_will_be_made(place: Place) -> None:
    answer = place.check()
    assert (answer.code, answer.out) == (os.EX_OK, "")
    assert answer.err.splitlines()[0].startswith("smtpd-classic.conf:1: warning: there is no certificate yet")
    assert answer.err.splitlines()[-1] == "smtpd-classic.conf: no errors, 1 warning."
    assert place.check("--quiet") == (os.EX_OK, "", "")


def test_check_says_that_a_certificate_signs_itself(place: Place) -> None:
    certificate(place)
    assert "is self-signed; mail programs warn about it." in place.check().err


def test_check_says_that_a_certificate_cannot_be_used(place: Place) -> None:
    certificate(place)
    (place.folder / "tls" / "key.pem").write_text("nothing")
    answer = place.check()
    assert answer.code == os.EX_CONFIG
    assert answer.err.count("\n") == 1
    assert "holds no private key in PEM form." in answer.err


def test_check_says_that_a_key_is_open_to_everybody(place: Place) -> None:
    certificate(place)
    (place.folder / "tls" / "key.pem").chmod(0o644)
    answer = place.check()
    assert answer.code == os.EX_OK
    assert "warning: tls/key.pem can be read by every user of this machine" in answer.err


@pytest.mark.parametrize("more", ["tls = none\n", "[basic]\nallow_tls = no\n"])
def test_check_asks_for_no_certificate_without_tls(place: Place, more: str) -> None:
    place.write(more)
    assert place.check().err == "smtpd-classic.conf: no errors, no warnings.\n"


def test_check_tells_all_problems_and_exits_78(place: Place) -> None:
    place.write("[basic]\nmax_hops = many\nmax_hop = 5\n")
    answer = place.check()
    assert (answer.code, answer.out) == (os.EX_CONFIG, "")
    assert answer.err.splitlines() == [
        "smtpd-classic.conf:9: max_hops: “many” is not a whole number from 1 to 1000.",
        "smtpd-classic.conf:10: “max_hop” is no option of [basic]. Did you mean “max_hops”?",
    ]


def test_check_tests_the_dns_lists(place: Place) -> None:
    place.write("[filter]\nblocklists = list.example\n")
    place.file.write_text(place.file.read_text().replace("[server]", "[server]\nname_servers = 127.0.0.1:1"))
    answer = place.check()
    assert answer.code == os.EX_OK
    assert "smtpd-classic.conf:10: warning: the list list.example is not used: the list does not answer" in answer.err


def test_check_looks_at_the_accounts_too(place: Place) -> None:
    place.write("[basic]\npostmaster = nobody@example.org\n")
    answer = place.check("--quiet")
    assert answer.code == os.EX_CONFIG
    assert answer.err.startswith("smtpd-classic.conf:9: the postmaster nobody@example.org")


def test_check_prints_json(place: Place) -> None:
    place.write("[basic]\nclose_open_relay = no\n")
    answer = place.check("--json")
    assert answer.code == os.EX_CONFIG
    assert [(row["line"], row["severity"]) for row in json.loads(answer.out)][-1] in {(9, "error"), (1, "warning")}
    assert {"file", "line", "text", "severity"} == set(json.loads(answer.out)[0])
    place.write()
    assert place.check("--json").code == os.EX_OK


def test_check_says_what_the_running_server_does_not_know_yet(place: Place) -> None:
    place.write("[listener b]\nport = 465\nauth = required\ntls = implicit\n")
    listening = (Listening("smtp", "0.0.0.0", 25, "starttls"),)
    status = replace(own_status(str(place.file), "another digest", "1"), listening=listening)
    StatusFile(str(place.folder / "status.json")).write(status)
    answer = place.check()
    assert answer.code == os.EX_OK
    assert "The running server has another version of this file" in answer.err
    assert "Ports under 1024 are opened at a restart only: 465." in answer.err
    StatusFile(str(place.folder / "status.json")).write(replace(status, digest=load(place.file).digest))
    assert "running server" not in place.check().err


def test_get_prints_one_value(place: Place) -> None:
    place.write("[trusted]\nhosts =\n  10.\n  192.0.2.1\n")
    assert place.config("get", "listener smtp", "port") == (os.EX_OK, "25\n", "")
    assert place.config("get", "basic", "max_hops") == (os.EX_OK, "100\n", "")
    assert place.config("get", "trusted", "hosts").out == "10.\n192.0.2.1\n"
    assert json.loads(place.config("get", "trusted", "hosts", "--json").out) == {
        "section": "trusted",
        "option": "hosts",
        "value": "10.\n192.0.2.1",
        "default": "",
    }
    assert json.loads(place.config("get", "listener smtp", "port", "--json").out)["default"] is None


def test_get_prints_a_section_or_all_that_is_set(place: Place) -> None:
    place.write("[direct]\n[direct a.example]\nhosts =\n  b.example user=joe password=geheim\n  c.example\n")
    direct = "[direct a.example]\nhosts =\n    b.example user=joe password=********\n    c.example\n"
    assert (
        place.config("get", "direct a.example").out
        == direct + "trust_hosts = automatic\nopen = no\nverify_recipients = no\naccept_any_certificate = no\n"
    )
    whole = place.config("get").out
    assert whole.startswith("[server]\nprimary_domain = example.org\n")
    assert whole.endswith(f"\n\n[listener smtp]\nport = 25\n\n{direct}")
    shown = place.config("get", "--show-secrets").out
    assert "password=geheim" in shown
    assert place.config("get", "basics").code == os.EX_DATAERR
    assert place.config("get", "listener x", "port") == (os.EX_DATAERR, "", "The file has no section [listener x].\n")
    assert place.config("get", "remote", "relay_host").err == (
        "“relay_host” is no option of [remote]. Did you mean “relay_hosts”?\n"
    )


def test_secret_is_shown_only_on_demand(place: Place) -> None:
    place.write("[remote]\nrelay_password = geheim\n")
    for words in (["get"], ["get", "remote"], ["get", "remote", "relay_password"], ["diff"]):
        assert "geheim" not in place.config(*words).out
        assert "geheim" not in place.config(*words, "--json").out
        assert "geheim" in place.config(*words, "--show-secrets").out


def test_diff_prints_what_differs_from_the_defaults(place: Place) -> None:
    place.write("[basic]\nmax_hops = 100\nmax_rset = 21\nretry_interval = 900s\n[access]\nmax_errors = many\n")
    rows = json.loads(place.config("diff", "--json").out)
    found = {(row["section"], row["option"]): (row["value"], row["default"]) for row in rows}
    assert found[("basic", "max_rset")] == ("21", "20")
    assert found[("access", "max_errors")] == ("many", "20")
    assert found[("listener smtp", "port")] == ("25", None)
    assert ("basic", "max_hops") not in found
    assert ("basic", "retry_interval") not in found
    assert "[basic]\nmax_rset = 21\n" in place.config("diff").out


def test_set_changes_the_file_and_says_how(place: Place) -> None:
    answer = place.config("set", "basic", "max_recipients", "50")
    assert (answer.code, answer.out) == (os.EX_OK, "")
    assert "+max_recipients = 50" in answer.err
    assert "warning: other servers expect to be allowed 100 recipients" in answer.err
    assert answer.err.endswith("It takes effect with the next reload of the server.\n")
    assert load(place.file).basic.max_recipients == 50
    again = place.config("set", "basic", "max_recipients", "50")
    assert again == (os.EX_OK, "", "Nothing changed.\n")
    other = place.config("set", "server", "workers", "2")
    assert "other servers" not in other.err  # known since before
    assert "workers in [server] takes effect after a restart.\n" in other.err


def test_set_is_not_stopped_by_what_was_wrong_before(place: Place) -> None:
    (place.folder / "users").write_text("")
    assert place.config("set", "basic", "max_hops", "50").code == os.EX_OK
    place.write("[basic]\nmax_hops = many\n")
    assert place.config("set", "basic", "max_hops", "50").code == os.EX_OK


def test_set_takes_the_items_of_a_list(place: Place) -> None:
    place.config("set", "trusted", "hosts", "10.0.0.0/8", "192.0.2.1")
    assert "hosts =\n    10.0.0.0/8\n    192.0.2.1\n" in place.file.read_text()


def test_set_reads_a_password_from_standard_input(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("geheim; %\n"))
    answer = place.config("set", "remote", "relay_password", "--stdin")
    assert answer.code == os.EX_OK
    assert "geheim" not in answer.err
    assert load(place.file).remote.relay_password == "geheim; %"


REFUSED = [
    (["set", "basic", "max_hops", "many"], os.EX_DATAERR, "smtpd-classic.conf:10: max_hops: “many” is not"),
    (["set", "basic", "close_open_relay", "no"], os.EX_DATAERR, "smtpd-classic.conf:10: close_open_relay is off"),
    (["set", "basic", "postmaster", "x@example.org"], os.EX_DATAERR, "smtpd-classic.conf:10: the postmaster x@"),
    (["set", "basic", "max_hop", "5"], os.EX_DATAERR, "“max_hop” is no option of [basic]."),
    (["set", "basic", "max_hops"], os.EX_USAGE, "Write the value behind the option, or use --stdin."),
    (["set", "basic", "max_hops", "5", "--stdin"], os.EX_USAGE, "Write the value behind the option"),
    (["set", "basic", "max_hops", "5", "6"], os.EX_DATAERR, "max_hops takes one value on one line."),
    (["unset", "server", "primary_domain"], os.EX_CONFIG, "smtpd-classic.conf:1: [server] needs the option"),
    (["delete", "listener smtp"], os.EX_CONFIG, "smtpd-classic.conf:1: there is no listener; add [listener smtp]"),
    (["delete", "listener x"], os.EX_DATAERR, "The file has no section [listener x]."),
    (["restore", "x"], os.EX_DATAERR, "There is no version x."),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "said"), REFUSED, ids=[" ".join(words) for words, _, _ in REFUSED])
def test_change_that_would_be_refused_is_not_made(place: Place, words: list[str], code: int, said: str) -> None:
    before = place.file.read_text()
    answer = place.config(*words)
    assert answer.code == code
    assert answer.out == ""
    assert answer.err.startswith(said)
    assert place.file.read_text() == before


def test_rows_are_moved_renamed_and_deleted(place: Place) -> None:
    for name in ("a", "b", "c"):
        assert place.config("set", f"direct {name}.example", "hosts", "x.example").code == os.EX_OK
    assert place.config("move", "direct c.example", "up").code == os.EX_OK
    assert place.config("move", "direct a.example", "down").code == os.EX_OK
    assert place.config("rename", "direct a.example", "direct d.example").code == os.EX_OK
    assert [row.name for row in load(place.file).direct_domains] == ["c.example", "d.example", "b.example"]
    assert place.config("delete", "direct d.example").code == os.EX_OK
    assert place.config("unset", "direct b.example", "open").err == "Nothing changed.\n"
    assert [row.name for row in load(place.file).direct_domains] == ["c.example", "b.example"]


def test_versions_are_listed_and_put_back(place: Place) -> None:
    assert place.config("versions") == (os.EX_OK, "", "")
    before = place.file.read_text()
    place.config("set", "basic", "max_hops", "50")
    (row,) = json.loads(place.config("versions", "--json").out)
    assert row["size"] == len(before)
    assert place.config("versions").out.startswith(row["name"] + "  2")
    answer = place.config("restore", row["name"])
    assert answer.code == os.EX_OK
    assert "in force with the next reload" in answer.err
    assert place.file.read_text() == before
    assert len(json.loads(place.config("versions", "--json").out)) == 2


def test_file_that_cannot_be_read_is_told(place: Place) -> None:
    place.file.unlink()
    for answer in (place.config("get"), place.config("set", "basic", "max_hops", "5"), place.check()):
        assert (answer.code, answer.err) == (
            os.EX_CONFIG,
            "smtpd-classic.conf: cannot be read: No such file or directory.\n",
        )


def test_locked_file_is_a_passing_failure(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    apply = Edited.apply
    monkeypatch.setattr(Edited, "apply", lambda edited: apply(edited, timeout_s=0.05))
    before = place.file.read_text()
    with locked(str(place.file)):
        answer = place.config("set", "basic", "max_hops", "50")
    assert answer.code == os.EX_TEMPFAIL
    assert f"pid {os.getpid()}" in answer.err
    assert place.file.read_text() == before


def test_file_changed_meanwhile_is_a_passing_failure(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    diff = Edited.diff

    def diff_while_somebody_writes(edited: Edited) -> str:
        place.write("# somebody else\n")
        return diff(edited)

    monkeypatch.setattr(Edited, "diff", diff_while_somebody_writes)
    answer = place.config("set", "basic", "max_hops", "50")
    assert answer.code == os.EX_TEMPFAIL
    assert "was changed by another program meanwhile" in answer.err
    assert place.file.read_text().endswith("# somebody else\n")
