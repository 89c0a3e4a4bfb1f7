"""Explanations: the server's own decisions, and the line that made them."""

import json
import os
from pathlib import Path

import pytest

from smtpd_classic.cli import main
from smtpd_classic.counters import Amount
from smtpd_classic.explanation import NoSuchListener, explanation
from smtpd_classic.policy import CHECKS, CONTENT_CHECKS
from smtpd_classic.policy.explain import Question, explain, likely_listener
from smtpd_classic.reception import Reception
from tests.policy.test_relaying import RECIPIENTS, SENDERS, TRUSTING
from tests.reception.world import NOON, RESOLVER, Talk, World, world

EXTRA = TRUSTING + "[basic]\npostmaster = joe@example.org\n"


def served(here: World, ip: str, sender: str, recipient: str) -> str:
    """What the server says to the last of MAIL and RCPT that it gets."""
    talk: Talk = here.talk(ip)
    talk()
    talk.line("EHLO client.example")
    reply = talk.line(f"MAIL FROM:<{sender}>")
    return talk.line(f"RCPT TO:<{recipient}>") if reply.startswith("250") else reply


@pytest.mark.parametrize("ip", ["203.0.113.5", "192.0.2.1", "198.51.100.77"])
def test_the_explanation_is_what_the_server_does(tmp_path: Path, ip: str) -> None:
    here = world(tmp_path, EXTRA)
    for sender in SENDERS:
        for recipient in RECIPIENTS:
            if recipient == "SRS":
                continue
            found = explain(here.policy().rules, Question(ip, sender, recipient))
            assert str(found.reply) == served(here, ip, sender, recipient), (ip, sender, recipient)
            assert found.accepted == bool(found.targets)


@pytest.mark.parametrize("ip", ["203.0.113.5", "192.0.2.1"], ids=["stranger", "trusted"])
@pytest.mark.parametrize(
    ("sender", "recipient"), [("root", "joe@example.org"), ("", "joe"), ("", "nobody"), ("", "@far.example:joe")]
)
def test_a_local_part_alone_is_explained_as_the_server_answers(
    tmp_path: Path, ip: str, sender: str, recipient: str
) -> None:
    here = world(tmp_path, EXTRA)
    found = explain(here.policy().rules, Question(ip, sender, recipient))
    assert str(found.reply) == served(here, ip, sender, recipient)


@pytest.mark.parametrize("ip", ["203.0.113.5", "192.0.2.1"], ids=["stranger", "trusted"])
@pytest.mark.parametrize("sender", ["jörg@far.example", "joe@müller.example", "jörg@example.org"])
@pytest.mark.parametrize("recipient", ["joe@example.org", "x@elsewhere.example", "jörg@elsewhere.example"])
def test_a_utf8_sender_is_explained_as_the_server_answers(tmp_path: Path, ip: str, sender: str, recipient: str) -> None:
    here = world(tmp_path, EXTRA)
    talk: Talk = here.talk(ip)
    talk()
    talk.line("EHLO client.example")
    reply = talk.line(f"MAIL FROM:<{sender}> SMTPUTF8")
    if reply.startswith("250"):
        reply = talk.line(f"RCPT TO:<{recipient}>")
    found = explain(here.policy().rules, Question(ip, sender, recipient))
    assert str(found.reply) == reply
    assert not any(step.check == "syntax" for step in found.steps)


@pytest.mark.parametrize(
    ("question", "section", "option"),
    [
        (Question("203.0.113.5", "", "joe@example.org"), "server", "users_file"),
        (Question("203.0.113.5", "", "x@elsewhere.example"), "basic", "close_open_relay"),
        (Question("203.0.113.5", "joe@example.org", "x@elsewhere.example"), "basic", "require_auth_for_local_sender"),
        (Question("192.0.2.1", "", "x@elsewhere.example"), "trusted", "hosts"),
        (Question("203.0.113.5", "", "x@backup.example"), "open-relay", "domains"),
        (Question("203.0.113.5", "", "x@gate.example"), "direct gate.example", "open"),
        (Question("203.0.113.5", "joe@example.org", "x@elsewhere.example", "joe"), "server", "users_file"),
        (Question("203.0.113.5", "ann@example.org", "x@elsewhere.example", "joe"), "basic", "require_own_sender"),
        (Question("203.0.113.5", "x@elsewhere.example", "joe@example.org", "joe"), "basic", "require_local_sender"),
        (Question("192.0.2.1", "", "x@nowhere.example"), "remote", "look_up_mx"),
        (Question("203.0.113.5", "", "joe@example.org", size=10**9), "basic", "max_message_size"),
        (Question("203.0.113.5", "", "x@elsewhere.example", "away"), "server", "users_file"),
        (Question("203.0.113.5", "", "x@elsewhere.example", "nobody"), "server", "users_file"),
    ],
)
def test_the_option_that_decides_is_named_with_its_line(
    tmp_path: Path, question: Question, section: str, option: str
) -> None:
    here = world(tmp_path, EXTRA)
    found = explain(here.policy().rules, question)
    assert (found.decided.section, found.decided.option) == (section, option)
    line = here.config.lines.get((section, option))
    assert found.decided.place == (f"{here.config.path}:{line}" if line else here.config.path)


@pytest.mark.parametrize(
    ("question", "code"),
    [
        (Question("203.0.113.5", "not an address", "joe@example.org"), 501),
        (Question("203.0.113.5", "", "not an address"), 501),
        (Question("203.0.113.5", "", "Postmaster"), 250),
        (Question("203.0.113.5", "", "joe@EXAMPLE.org."), 250),
    ],
)
def test_addresses_as_people_type_them(tmp_path: Path, question: Question, code: int) -> None:
    assert explain(world(tmp_path, EXTRA).policy().rules, question).reply.code == code


def test_a_check_that_cannot_decide_defers_and_says_why(tmp_path: Path) -> None:
    here = world(tmp_path, users="this is no account\n")
    found = explain(here.policy().rules, Question("203.0.113.5", "", "joe@example.org"))
    assert found.reply.code == 451
    assert "this is not an account" in found.decided.outcome
    named = world(tmp_path, "[direct far.example]\nhosts = dead.partner.example\ntrust_hosts = yes\n")
    found = explain(named.policy().rules, Question("203.0.113.5", "", "x@elsewhere.example"))
    assert (found.reply.code, found.decided.check) == (451, "close_open_relay")


def test_the_listener_is_the_one_that_such_a_client_would_use(tmp_path: Path) -> None:
    here = world(tmp_path, "[listener strangers]\nport = 2525\nauth = none\n")
    assert likely_listener(here.config, login=False).name == "strangers"
    assert likely_listener(here.config, login=True).name == "smtp"
    question = Question("203.0.113.5", "", "joe@example.org")
    assert explanation(here.config, question, "submission", dns=RESOLVER).reply.code == 530
    assert explanation(here.config, question, dns=RESOLVER).reply.code == 250
    with pytest.raises(NoSuchListener):
        explanation(here.config, question, "nonsense", dns=RESOLVER)


def test_nobody_logs_in_where_no_login_is_offered(tmp_path: Path) -> None:
    here = world(tmp_path, "[listener strangers]\nport = 2525\nauth = none\n")
    rules = here.policy("strangers").rules
    found = explain(rules, Question("203.0.113.5", "joe@example.org", "joe@example.org", "joe"))
    assert (found.reply.code, found.decided.option) == (535, "auth")


CONFIG = """\
[server]
primary_domain = example.org
spool_folder = spool
mail_folder = mail
run_folder = run
[trusted]
hosts = 192.0.2.7
[remote]
relay_always = yes
relay_hosts = 198.51.100.1
[listener smtp]
port = 25
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "smtpd-classic.conf"
    path.write_text(CONFIG)
    (tmp_path / "users").write_text("joe@example.org:!x\n")
    (tmp_path / "aliases").write_text("postmaster: joe@example.org\n")
    return str(path)


def run(config: str, *words: str) -> int:
    return main(["--config", config, "explain", *words])


def test_the_command_works_before_the_server_has_ever_run(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "--ip", "192.0.2.7", "--from", "<>", "--to", "friend@elsewhere.example") == os.EX_OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("accepted: 250 2.1.5 ")
    assert lines[1] == f"because the client is trusted: 192.0.2.7 in Trusted Hosts ([trusted] hosts, {config}:7)"
    assert lines[2] == "goes to friend@elsewhere.example"
    assert sorted(os.listdir(os.path.dirname(config))) == ["aliases", "smtpd-classic.conf", "users"]


def test_the_command_as_json(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--ip", "203.0.113.5", "--from", "a@b.example", "--to", "friend@elsewhere.example", "--json")
    assert run(config, *words) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["accepted"] is False
    assert said["reply"].startswith("550 5.7.1 ")
    assert said["decided"]["option"] == "close_open_relay"
    later = [step["outcome"] for step in said["steps"] if step["command"] == "end" and step["outcome"] != "off"]
    assert set(later) == {"not asked: the message was refused before"}


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("--ip", "nonsense", "--from", "", "--to", "joe@example.org"), os.EX_USAGE, "is not an IP address"),
        (("--ip", "::1", "--from", "", "--to", "a@b", "--listener", "x"), os.EX_DATAERR, "There is no listener “x”"),
        (("--ip", "::1", "--from", ""), os.EX_USAGE, "--to"),
        (("--ip", "::1", "--from", "", "--to", "a@b", "--size", "big"), os.EX_USAGE, "is not a size"),
    ],
)
def test_a_question_that_cannot_be_asked(
    config: str, words: tuple[str, ...], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, *words) == status
    assert sentence in capsys.readouterr().err


def test_every_row_of_the_tables_is_shown(tmp_path: Path) -> None:
    here = world(tmp_path)
    found = explain(here.policy().rules, Question("203.0.113.5", "x@elsewhere.example", "joe@example.org"))
    shown = [(step.command, step.check) for step in found.steps]
    assert len(shown) == len(CHECKS) + len(CONTENT_CHECKS)
    assert {check for _, check in shown} == {row.option for row in CHECKS} | {row.option for row in CONTENT_CHECKS}
    outcomes = {(step.command, step.check): step.outcome for step in reversed(found.steps)}
    assert outcomes["header", "max_hops"] == outcomes["end", "quota"] == "not known before DATA"
    assert outcomes["RCPT", "close_open_relay"] == "joe@example.org is ours: account"
    assert outcomes["VRFY", "allow_vrfy_expn"] == "asked only at VRFY"
    assert outcomes["end", "bare_line_feeds"] == "off"


@pytest.mark.parametrize(
    ("mode", "recipient", "reply", "said"),
    [
        ("hold", "x@elsewhere.example", "250", "would be held: the limit of 2 recipients an hour is reached"),
        ("hold", "forward@example.org", "250", "would be held: the limit of 2 recipients an hour is reached"),
        ("hold", "ann@example.org", "250", ""),
        ("defer", "x@elsewhere.example", "450", "450 4.7.1"),
    ],
)
def test_a_message_over_a_limit_is_explained(tmp_path: Path, mode: str, recipient: str, reply: str, said: str) -> None:
    here = world(tmp_path, f"[limits]\nrecipients_per_hour = 2\nover_limit = {mode}\n")
    question = Question("203.0.113.5", "joe@example.org", recipient, login="joe@example.org")
    for number, expected in ((2, False), (1, bool(said))):
        found = explain(here.policy("submission").rules, question)
        steps = [step.outcome for step in found.steps if step.check == "over_limit" and step.outcome != "off"]
        assert any(said and said in each for each in steps) == (expected and number == 1)
        here.services.counters.take("account joe@example.org", [Amount("hour", number, 3600.0)])
    assert str(found.reply).startswith(reply)


@pytest.mark.parametrize(("hello", "reply"), [("friend", "550 5.7.1"), ("mx.example.org", "550 5.7.1"), ("", "250")])
def test_the_name_in_ehlo_is_explained(tmp_path: Path, hello: str, reply: str) -> None:
    here = world(tmp_path, "refuse_hellos = friend\n[basic]\nhelo_name = mx.example.org\n")
    question = Question("203.0.113.5", "x@elsewhere.example", "joe@example.org", hello=hello)
    assert str(explain(here.policy().rules, question).reply).startswith(reply)


def test_a_client_that_has_waited_is_explained_as_the_server_answers(tmp_path: Path) -> None:
    here = world(tmp_path, "greylist = suspicious\n")
    question = Question("198.51.100.77", "x@elsewhere.example", "joe@example.org")
    for wait, reply in ((0.0, "451 4.7.1"), (299.0, "451 4.7.1"), (300.0, "250")):
        if not wait:
            talk = here.talk(question.ip)
            talk.reception = Reception(talk.session, here.client(question.ip)._replace(name="unknown"), here.services)
            talk()
            for line in ("EHLO client.example", "MAIL FROM:<x@elsewhere.example>", "RCPT TO:<joe@example.org>"):
                talk.line(line)
        here.clock.now = NOON + wait
        found = explain(here.policy().rules, question, here.clock)
        assert str(found.reply).startswith(reply), wait
