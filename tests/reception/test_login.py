"""Logins: mechanisms, failures, blocks, and what a login is good for."""

import base64
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from smtpd_classic.accounts.passwords import scram_hash
from smtpd_classic.smtp.exchange import BadChallenge
from smtpd_classic.smtp.sasl import login, plain, scram_sha_256
from tests.reception.world import PASSWORD, USERS, Talk, World, world

SCRAM_USERS = f"joe@example.org:{scram_hash(PASSWORD, 4096)}\nann@example.org:{scram_hash('other', 4096)}\n"


def encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def logged_in(talk: Talk, mechanism: str, client: "Iterator[bytes | None]") -> str:
    """The reply that ends the exchange; the client goes through it as `sasl` says."""
    first = next(client)
    said = talk.line(f"AUTH {mechanism}" + ("" if first is None else f" {encoded(first)}"))
    with suppress(StopIteration, BadChallenge):
        while said.startswith("334"):
            response = client.send(base64.b64decode(said[4:]))  # type: ignore[attr-defined]
            said = talk.line(encoded(response))
    return said


def greeted(here: World, ip: str = "203.0.113.5") -> Talk:
    talk = here.talk(ip, tls=True)
    talk()
    talk.line("EHLO client.example")
    return talk


@pytest.mark.parametrize("name", ["joe@example.org", "joe", "JOE@example.net"])
@pytest.mark.parametrize(("mechanism", "client"), [("PLAIN", plain), ("LOGIN", login)])
def test_a_login_by_any_of_its_names(tmp_path: Path, mechanism: str, client: object, name: str) -> None:
    here = world(tmp_path)
    talk = greeted(here)
    assert logged_in(talk, mechanism, client(name, PASSWORD)).startswith("235 2.7.0")  # type: ignore[operator]
    assert talk.line("MAIL FROM:<joe@example.org>").startswith("250")
    assert talk.line("RCPT TO:<friend@elsewhere.example>").startswith("250")


def test_scram_is_there_when_every_account_is_stored_for_it(tmp_path: Path) -> None:
    here = world(tmp_path, users=SCRAM_USERS)
    talk = greeted(here)
    assert "AUTH PLAIN LOGIN SCRAM-SHA-256" in talk.line("EHLO client.example")
    assert logged_in(talk, "SCRAM-SHA-256", scram_sha_256("joe@example.org", PASSWORD)).startswith("235 2.7.0")
    talk.line("MAIL FROM:<joe@example.org>")
    talk.line("RCPT TO:<friend@elsewhere.example>")
    talk.line("DATA")
    assert talk(b"From: joe@example.org\r\n\r\n.\r\n").startswith(b"250")
    assert any("sasl_method=SCRAM-SHA-256, sasl_username=joe@example.org" in line for line in here.log())


@pytest.mark.parametrize("name", ["joe@example.org", "nobody@example.org"])
def test_scram_with_a_wrong_password_or_name_fails_alike(tmp_path: Path, name: str) -> None:
    here = world(tmp_path, users=SCRAM_USERS)
    talk = greeted(here)
    assert logged_in(talk, "SCRAM-SHA-256", scram_sha_256(name, "wrong")).startswith("535 5.7.8")
    line = f"SASL SCRAM-SHA-256 authentication failed: authentication failure, sasl_username={name}"
    assert any(line in each for each in here.log())


@pytest.mark.parametrize("name", ["gone@example.org", "away@example.org", "nobody@example.org", "sales@example.org"])
def test_who_cannot_log_in_is_told_nothing_else(tmp_path: Path, name: str) -> None:
    talk = greeted(world(tmp_path))
    wrong = logged_in(talk, "PLAIN", plain("joe", "wrong"))
    assert logged_in(talk, "PLAIN", plain(name, PASSWORD)) == wrong
    assert wrong == "535 5.7.8 Login failed; check the user name and password."


RULES = "[access]\nmax_failures = 4\nfailure_window = 10m\nblock_time = 1h\n[trusted]\nhosts = 192.0.2.7\n"


def test_different_passwords_block_the_address(tmp_path: Path) -> None:
    here = world(tmp_path, RULES)
    for guess in range(3):
        assert logged_in(greeted(here), "PLAIN", plain("joe", f"guess {guess}")).startswith("535")
    talk = greeted(here)
    assert logged_in(talk, "PLAIN", plain("joe", "guess 3")).startswith("421 4.7.0")
    assert talk.closed
    assert here.talk()().startswith(b"421 4.7.0")
    assert here.talk("203.0.113.6")().startswith(b"220")
    assert any("203.0.113.5] is blocked for a while: too many failed logins" in line for line in here.log())
    totals = here.services.runtime.counters.totals()
    assert (totals["logins_failed"], totals["blocked"]) == (4, 1)
    here.services.runtime.blocks.unblock("203.0.113.5")
    assert here.talk()().startswith(b"220")


def test_the_same_wrong_password_again_and_again_is_one_failure(tmp_path: Path) -> None:
    here = world(tmp_path, RULES)
    for _ in range(20):
        assert logged_in(greeted(here), "LOGIN", login("joe", "the old one")).startswith("535")
    assert here.talk()().startswith(b"220")


@pytest.mark.parametrize(("switch", "ip"), [("yes", "192.0.2.7"), ("no", "203.0.113.5")], ids=["trusted", "off"])
def test_nobody_is_blocked(tmp_path: Path, switch: str, ip: str) -> None:
    rules = RULES.replace("[access]", f"[access]\nauto_block = {switch}")
    here = world(tmp_path, rules)
    for guess in range(20):
        talk = greeted(here, ip)
        assert logged_in(talk, "PLAIN", plain("joe", f"guess {guess}")).startswith("535")
        talk.line("nonsense")
        talk.end()
    assert here.talk(ip)().startswith(b"220")


def test_protocol_errors_block_and_refused_recipients_do_not(tmp_path: Path) -> None:
    here = world(tmp_path, RULES)
    talk = greeted(here)
    talk.line("MAIL FROM:<x@elsewhere.example>")
    for number in range(10):
        assert talk.line(f"RCPT TO:<guess{number}@example.org>").startswith("550")
    talk.end()
    assert here.talk()().startswith(b"220")
    talk = greeted(here)
    for _ in range(4):
        assert talk.line("frobnicate").startswith("500")
    assert here.talk()().startswith(b"220")
    talk.end()
    assert here.talk()().startswith(b"421 4.7.0")


@pytest.mark.parametrize(("attempts", "greeting"), [(5, b"220"), (6, b"421 4.7.0")])
def test_refused_relaying_blocks_in_numbers(tmp_path: Path, attempts: int, greeting: bytes) -> None:
    """A device that was set up wrongly tries once or twice."""
    here = world(tmp_path, RULES)
    talk = greeted(here)
    talk.line("MAIL FROM:<x@elsewhere.example>")
    for number in range(attempts):
        assert talk.line(f"RCPT TO:<victim{number}@elsewhere.example>").startswith("550 5.7.1")
    talk.end()
    assert here.talk()().startswith(greeting)


def test_a_broken_users_file_is_no_wrong_password(tmp_path: Path) -> None:
    here = world(tmp_path, users="this is no account\n")
    talk = greeted(here)
    assert logged_in(talk, "PLAIN", plain("joe", PASSWORD)).startswith("454 4.7.0")
    assert here.services.runtime.counters.totals()["logins_failed"] == 0
    assert any("login cannot be decided" in line for line in here.log())


def test_no_password_is_ever_written(tmp_path: Path) -> None:
    here = world(tmp_path)
    talk = greeted(here)
    logged_in(talk, "PLAIN", plain("joe", "a wrong secret"))
    logged_in(talk, "LOGIN", login("joe", PASSWORD))
    talk.end()
    for path in (*tmp_path.rglob("*"),):
        if path.is_file() and path.name != "users":
            content = path.read_bytes()
            for secret in (b"a wrong secret", PASSWORD.encode(), base64.b64encode(PASSWORD.encode())):
                assert secret not in content, path


def test_a_name_with_control_characters_is_harmless_in_the_log(tmp_path: Path) -> None:
    here = world(tmp_path)
    logged_in(greeted(here), "PLAIN", plain("joe\r\nevil: line \x1b[2J", "x"))
    [line] = [each for each in here.log() if "authentication failed" in each]
    assert line.endswith(r"sasl_username=joe\x0d\x0aevil: line \x1b[2J")


def test_users_of_the_test_world_are_those_of_the_file(tmp_path: Path) -> None:
    here = world(tmp_path)
    assert len(here.services.accounts.addresses()) == len(USERS.splitlines())
