"""The first-run assistant: what it writes is right, and nothing is written before the last answer."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from smtpd_classic.accounts import EditRefused, list_accounts, list_aliases
from smtpd_classic.accounts.passwords import verify
from smtpd_classic.config import ConfigProblems, load, parse
from smtpd_classic.config.editing import versions
from tests.client.fake_host import FakeHost
from tests.instance import running
from tests.tui.program import CONFIG, Tui, made
from tui.config.assistant_file import BESIDE, DIRECT, LOOPBACK, NETWORK, RELAY, SYSTEM, guesses, make, text_of
from tui.config.test_message import run_trial

ANSWERS = {
    "domain": "example.org",
    "host": "mail.example.org",
    "user": "ann",
    "full_name": "Ann Other",
    "password": "secret word",
    "certificate": "",
    "key": "",
    "way": DIRECT,
    "relay": "",
    "relay_user": "",
    "relay_password": "",
    "reach": LOOPBACK,
    "place": BESIDE,
    "service": "",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "smtpd-classic.conf"


def test_the_file_is_the_commented_sample_with_the_answers(path: Path) -> None:
    text = text_of(ANSWERS, str(path))
    config = parse(text, path)
    assert config.server.primary_domain == "example.org"
    assert config.helo_name == "mail.example.org"
    assert [each.port for each in config.listeners] == [2525, 2587, 2465]
    assert all(each.address == ("127.0.0.1", "::1") for each in config.listeners)
    assert config.server.spool_folder == str(path.parent / "spool")
    assert "# Max. recipients: " in text


def test_a_relay_takes_everything_with_its_login(path: Path) -> None:
    answers = ANSWERS | {"way": RELAY, "relay": "smtp.example.net:587", "relay_user": "us", "relay_password": "s3cret"}
    remote = parse(text_of(answers, str(path)), path).remote
    assert (remote.relay_always, remote.look_up_mx, remote.relay_auth) == (True, False, True)
    assert (remote.relay_hosts[0].name, remote.relay_hosts[0].port) == ("smtp.example.net", 587)
    assert (remote.relay_user, remote.relay_password) == ("us", "s3cret")


def test_the_usual_ports_and_folders(path: Path) -> None:
    answers = ANSWERS | {"reach": NETWORK, "place": SYSTEM, "certificate": "/x/c.pem", "key": "/x/k.pem"}
    config = parse(text_of(answers, str(path)), path)
    assert [each.port for each in config.listeners] == [25, 587, 465]
    assert config.server.spool_folder == "/var/spool/smtpd-classic"
    assert (config.server.certificate, config.server.private_key) == ("/x/c.pem", "/x/k.pem")


def test_file_account_and_postmaster_are_made(path: Path) -> None:
    made = make(ANSWERS, str(path))
    config = load(path)
    (account,) = list_accounts(config)
    assert (account.address, account.full_name) == ("ann@example.org", "Ann Other")
    assert verify(account.password, "secret word")
    assert dict(list_aliases(config)) == {"postmaster@example.org": ("ann@example.org",)}
    assert (made.login, made.made_up) == ("ann@example.org", False)
    assert path.stat().st_mode & 0o007 == 0


def test_a_password_is_made_up(path: Path) -> None:
    made = make(ANSWERS | {"password": ""}, str(path))
    assert made.made_up
    assert verify(list_accounts(load(path))[0].password, made.password)


def test_answers_that_cannot_be_leave_nothing_behind(path: Path) -> None:
    with pytest.raises(ConfigProblems):
        make(ANSWERS | {"way": RELAY, "relay": ""}, str(path))
    assert not path.exists()


def test_guesses_answer_every_question() -> None:
    assert set(guesses()) == set(ANSWERS)


@pytest.fixture
def taken() -> Iterator[None]:
    """The port that the server would open first is somebody else's."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 2525))
            other.listen()
        except OSError:
            pass  # it is already
        yield


def test_the_whole_way_through_the_questions(path: Path, taken: None) -> None:
    tui = Tui(path)
    assert "There is no configuration" in tui.dialog_text
    tui.press("enter").press("ctrl u").type("example.org").press("tab", "ctrl u").choose("Next")
    tui.press("ctrl u").type("ann").choose("Next").choose("Next")
    tui.press("right").choose("Next")
    assert "A relay was chosen; it needs a host name." in tui.dialog_text
    tui.choose("Back").choose("Next")
    tui.to("Next").press("shift tab", "shift tab", "shift tab", "shift tab", "left").choose("Next")
    if os.geteuid() == 0:
        tui.press("right", "tab", "right", "tab", "ctrl u").type("no-such-user").choose("Next")
        assert "There is no user no-such-user" in tui.dialog_text
        tui.to("Next").press("shift tab", "ctrl u").type("nobody").choose("Next")
    else:
        tui.choose("Next")
    assert "ann@example.org" in tui.dialog_text
    assert not path.exists()
    tui.choose("Write and start")
    assert path.exists()
    assert "Your account is ann@example.org" in tui.dialog_text
    tui.press("esc")
    assert "did not start" in tui.dialog_text


def test_the_whole_way_needs_few_keys_besides_text(path: Path, taken: None) -> None:
    tui = Tui(path)
    keys = 0

    def press(*names: str) -> None:
        nonlocal keys
        keys += len(names)
        tui.press(*names)

    press("enter", "ctrl u")
    tui.type("example.org")
    press("enter", "ctrl u")
    tui.type("mail.example.org")
    press("enter", "ctrl u")
    tui.type("ann")
    press("enter", "enter", "enter", "enter", "enter")
    press("right", "enter")
    tui.type("smtp.example.net:587")
    press("enter")
    tui.type("us")
    press("enter")
    tui.type("s3cret word")
    press("enter", "enter", "enter")
    if os.geteuid() == 0:
        press("ctrl u")
        tui.type("nobody")
    press("enter")
    assert "Ready?" in tui.dialog_text, tui.text
    press("enter")
    assert path.exists()
    assert keys <= 23, "two more close the test and the message"


def test_esc_asks_before_it_discards_the_answers(path: Path) -> None:
    tui = Tui(path).press("enter").press("ctrl u").type("mine.example").choose("Next").press("esc")
    assert "Discard the input?" in tui.dialog_text
    tui.press("esc")
    assert "First account" in tui.dialog_text
    tui.press("esc").choose("Discard")
    assert not tui.dialog()
    tui.press("meta g", "enter", "esc")
    assert not tui.dialog()


def test_a_weak_password_of_the_first_account_needs_a_second_next(path: Path) -> None:
    tui = Tui(path).press("enter").press("ctrl u").type("example.org").choose("Next")
    tui.press("ctrl u").type("ann").press("enter", "enter").type("ann12345").choose("Next")
    assert "The password is the name of the account" in tui.dialog_text
    assert "First account" in tui.dialog_text
    tui.choose("Next")
    assert "Certificate file" in tui.dialog_text


def test_whoever_wants_none_of_it_may_look_around(path: Path) -> None:
    tui = Tui(path).choose("Not now")
    assert not tui.dialog()
    assert not path.exists()
    tui.go("Basic Parameters").press("f2")
    assert "assistant" in tui.status_line
    tui.press("meta g")
    assert "There is no configuration" in tui.dialog_text


def test_over_an_existing_file_the_assistant_offers_only_the_settings_or_to_start_over(tmp_path: Path) -> None:
    file = made(tmp_path)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.is_file()}
    tui = Tui(file).press("meta g")
    assert "There is a configuration at" in tui.dialog_text
    assert "no configuration" not in tui.dialog_text
    assert "Write and start" not in tui.dialog_text
    tui.choose("Open the settings")
    assert not tui.dialog()
    assert "Basic Parameters" in tui.text
    tui.press("meta g").choose("Start over …")
    assert "kept as a version" in tui.dialog_text
    tui.choose("No, keep the settings")
    assert not tui.dialog()
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.name in before} == before


def test_starting_over_keeps_the_former_file_as_a_version_and_accounts_as_they_are(tmp_path: Path) -> None:
    file = made(tmp_path)
    users, aliases = (tmp_path / "users").read_bytes(), (tmp_path / "aliases").read_bytes()
    tui = Tui(file).press("meta g").choose("Start over …").choose("Yes, start over")
    tui.press("ctrl u").type("example.org").press("tab", "ctrl u").choose("Next")
    tui.press("ctrl u").type("joe").choose("Next").choose("Next").choose("Next")
    if os.geteuid() == 0:
        tui.press("right", "tab", "right", "tab", "ctrl u").type("nobody")
    tui.choose("Next")
    assert file.read_text(encoding="utf-8") == CONFIG
    tui.choose("Replace the file")
    assert load(file).server.primary_domain == "example.org"
    assert file.read_text(encoding="utf-8") != CONFIG
    (version,) = versions(file)
    assert Path(version.path).read_text(encoding="utf-8") == CONFIG
    assert (tmp_path / "users").read_bytes() == users
    assert (tmp_path / "aliases").read_bytes() == aliases
    assert "keeps its password" in tui.dialog_text


def test_a_file_that_somebody_made_meanwhile_is_neither_replaced_nor_removed(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"[server]\n")
    with pytest.raises(FileExistsError):
        make(ANSWERS, str(path))
    assert path.read_bytes() == b"[server]\n"
    assert not (path.parent / "users").exists()


def test_an_account_that_exists_is_kept_with_its_password(path: Path) -> None:
    make(ANSWERS, str(path))
    users = (path.parent / "users").read_bytes()
    path.unlink()
    again = make(ANSWERS | {"password": "another"}, str(path))
    assert again.existed
    assert path.exists()
    assert (path.parent / "users").read_bytes() == users


def test_an_account_that_cannot_be_made_leaves_no_file_of_this_run_and_all_others(path: Path) -> None:
    make(ANSWERS, str(path))
    path.unlink()
    (path.parent / "users").write_bytes(b"\xff broken\n")
    with pytest.raises(EditRefused):
        make(ANSWERS, str(path))
    assert not path.exists()
    assert (path.parent / "users").read_bytes() == b"\xff broken\n"


JOURNALCTL = """#!{python}
import time
with open({log!r}) as file:  # from its beginning: this program may begin after the message has gone
    while True:
        print(file.readline(), end="", flush=True) or time.sleep(0.05)
"""


def test_the_outcome_of_a_test_message_for_elsewhere_stands_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        closing(FakeHost()) as host,
        running(
            remote__relay_hosts=host.ip,
            remote__relay_port=str(host.port),
            remote__relay_always="yes",
        ) as instance,
    ):
        config = load(instance.file)
        program = tmp_path / "journalctl"
        program.write_text(JOURNALCTL.format(python=sys.executable, log=str(config.server.log)))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        journal = replace(config, server=replace(config.server, log="stderr"))
        trial = run_trial(journal, instance.login, instance.password, "friend@elsewhere.example")
        assert trial.arrived, trial
        assert "to=<friend@elsewhere.example>" in trial.steps[-1]


def test_a_test_message_really_goes_through() -> None:
    with running() as instance:
        config = load(instance.file)
        trial = run_trial(config, instance.login, instance.password, instance.login)
        assert trial.arrived, trial
        assert Path(trial.steps[-1].removeprefix("It arrived: ")).is_file()
        refused = run_trial(config, instance.login, "wrong", instance.login)
        assert not refused.arrived
        assert "535" in refused.steps[-1]
        unknown = run_trial(config, instance.login, instance.password, f"nobody@{instance.domain}")
        assert not unknown.arrived
        assert "550" in unknown.steps[-1]
    down = run_trial(config, instance.login, instance.password, instance.login)
    assert not down.arrived
