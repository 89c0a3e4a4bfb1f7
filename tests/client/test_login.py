"""Our login at another server: mechanisms, tokens, refusals; and nothing of it in a transcript."""

import socket
import sys
import threading
from dataclasses import dataclass, replace
from hashlib import pbkdf2_hmac, sha256
from hmac import digest
from pathlib import Path
from typing import Any

import pytest

from smtpd_classic.client.login import LoginProblem, log_in
from smtpd_classic.client.network import RelayLogin
from smtpd_classic.client.relay import smarthost
from smtpd_classic.client.transcript import Transcript
from smtpd_classic.client.transport import DeliveryJob, Outcome
from smtpd_classic.client.wire import ClientWire
from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import FakeHost, Talk, certificate, hosts, trusting
from tests.client.test_hosts import when
from tests.client.world import config_of, deliver, job_for, network_of

BOB = "bob@example.org"
SECRET = "Käse & Brot"
FILES = certificate("relay.test")


@dataclass(frozen=True)
class Keys:
    salt: bytes = b"salt of the test"
    iterations: int = 4096
    password: str = SECRET

    @property
    def _salted(self) -> bytes:
        return pbkdf2_hmac("sha256", self.password.encode(), self.salt, self.iterations)

    @property
    def stored_key(self) -> bytes:
        return sha256(digest(self._salted, b"Client Key", "sha256")).digest()

    @property
    def server_key(self) -> bytes:
        return digest(self._salted, b"Server Key", "sha256")


def send(host: FakeHost, *, token_command: str = "", heard: list[str] | None = None) -> tuple[Outcome, DeliveryJob]:
    config = config_of(f"[remote]\nrelay_hosts = relay.test:{host.port}\nrelay_auth = yes\nrelay_user = us\n")
    remote = replace(config.remote, relay_password=SECRET, relay_token_command=token_command)
    network = network_of(config, addresses={"relay.test": [host.ip]}, verified=trusting(FILES[0]))
    network = replace(network, login_refused=lambda target, reply: (heard if heard is not None else []).append(reply))
    job = job_for(BOB)
    with hosts(host):
        outcome = deliver(smarthost(remote, network), job)[BOB]
        network.connections.close_idle(all_of_them=True)
    return outcome, job


@pytest.mark.parametrize("name", ["strasse.test", "xn--strae-oqa.test"])
def test_the_certificate_is_that_of_the_name_that_dns_was_asked_for(name: str) -> None:
    """straße.test is xn--strae-oqa.test (RFC 5891); by the older IDNA 2003 it would be strasse.test."""
    files = certificate(name)
    host = FakeHost(name, tls=files, auth=("PLAIN",), password=SECRET)
    config = config_of(f"[remote]\nrelay_hosts = straße.test:{host.port}\nrelay_auth = yes\nrelay_user = us\n")
    remote = replace(config.remote, relay_password=SECRET)
    network = network_of(config, addresses={"straße.test": [host.ip]}, verified=trusting(files[0]))
    with hosts(host):
        outcome = deliver(smarthost(remote, network), job_for(BOB))[BOB]
        network.connections.close_idle(all_of_them=True)
    assert bool(host.got) == (name == "xn--strae-oqa.test")
    assert outcome.action.value == ("delivered" if host.got else "delayed")


def relay(**more: Any) -> FakeHost:
    usual: dict[str, Any] = {"password": SECRET, "scram": Keys()}
    return FakeHost("relay.test", tls=FILES, **(usual | more))


@pytest.mark.parametrize(
    ("offered", "used"),
    [
        (("PLAIN", "LOGIN", "SCRAM-SHA-256"), "SCRAM-SHA-256"),
        (("LOGIN", "PLAIN"), "PLAIN"),
        (("LOGIN",), "LOGIN"),
    ],
    ids=["SCRAM first", "then PLAIN", "then LOGIN"],
)
def test_the_best_mechanism_that_is_offered(offered: tuple[str, ...], used: str) -> None:
    host = relay(auth=offered)
    outcome, job = send(host)
    assert (outcome.action.value, host.got[0].login) == ("delivered", "us")
    assert [command.split()[1] for command in host.commands if command.startswith("AUTH")] == [used]
    assert f"C: AUTH {used}" in job.transcript.text


def test_no_password_in_the_transcript() -> None:
    for mechanism in ("PLAIN", "LOGIN", "SCRAM-SHA-256"):
        host = relay(auth=(mechanism,))
        _, job = send(host)
        commands = host.commands
        answers = [
            line for line in commands[commands.index("EHLO us.test") + 1 :] if not line.startswith(("MAIL", "RCPT"))
        ]
        secret = [word for line in answers for word in line.split() if len(word) >= 16]
        assert secret, commands
        assert not any(word in job.transcript.text for word in secret)
        assert "********" in job.transcript.text


def test_a_mechanism_that_is_announced_and_not_meant_is_passed_over() -> None:
    def script(event: Event, talk: Talk) -> Reply | None:
        if isinstance(event, events.Auth) and event.mechanism != "LOGIN":
            return Reply(504, "5.5.4", "mechanism not supported")
        return None

    host = relay(auth=("SCRAM-SHA-256", "PLAIN", "LOGIN"), script=script)
    outcome, _ = send(host)
    assert (outcome.action.value, host.got[0].login) == ("delivered", "us")


def test_a_wrong_password_is_refused_once_and_reported() -> None:
    heard: list[str] = []
    host = relay(auth=("SCRAM-SHA-256", "PLAIN", "LOGIN"), scram=Keys(password="another"))
    outcome, _ = send(host, heard=heard)
    assert (outcome.action.value, outcome.reply.code, outcome.soft) == ("delayed", 535, False)
    assert heard == ["535 5.7.8 Login failed; check the user name and password."]
    assert not host.got
    assert len([command for command in host.commands if command.startswith("AUTH")]) == 1


def test_a_login_that_is_put_off_is_soft_and_nobody_is_told() -> None:
    heard: list[str] = []
    script = when(events.Auth, Reply(454, "4.7.0", "busy"))
    outcome, _ = send(relay(auth=("PLAIN",), script=script), heard=heard)
    assert (outcome.reply.code, outcome.soft, heard) == (454, True, [])


def test_a_server_that_does_not_know_the_password_is_not_believed() -> None:
    """It says yes to everything; SCRAM shows that it has no right to."""

    def script(event: Event, talk: Talk) -> Reply | None:
        return Reply(235, "2.7.0", "welcome") if isinstance(event, events.AuthResponse) else None

    outcome, _ = send(relay(auth=("SCRAM-SHA-256",), script=script))
    assert (outcome.action.value, outcome.soft) == ("delayed", False)
    assert "did not show that it knows the password" in outcome.reply.text


def test_a_token_from_a_command(tmp_path: Path) -> None:
    token = "ya29." + "t" * 1500
    program = tmp_path / "a token.py"
    program.write_text(f"import sys\nassert sys.argv[1:] == ['--for', 'us & them']\nprint({token!r})\n")
    host = relay(auth=("XOAUTH2", "PLAIN"), token=token)
    outcome, job = send(host, token_command=f"{sys.executable} '{program}' --for 'us & them'")
    assert (outcome.action.value, host.got[0].login) == ("delivered", "by token")
    assert "ya29" not in job.transcript.text


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/nonexistent/program", "the token command /nonexistent/program cannot be run: No such file or directory"),
        ("false", "ended with 1"),
        ("true", "0 characters"),
        ("'", "cannot be run: a quotation in it is not closed"),
    ],
)
def test_a_token_command_that_fails_defers(command: str, said: str) -> None:
    outcome, _ = send(relay(auth=("XOAUTH2",)), token_command=command)
    assert (outcome.action.value, outcome.soft) == ("delayed", False)
    assert said in outcome.reply.text


def refusal(mechanism: str, answers: list[bytes]) -> str:
    """The reason that a login fails with, when the server gives these answers; the last one again and again."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs, theirs.makefile("rwb") as file:
            for number, line in enumerate(file):
                last = b"501 cancelled" if line == b"*\r\n" else answers[min(number, len(answers) - 1)]
                file.write(last + b"\r\n")
                file.flush()

    thread = threading.Thread(target=serve)
    thread.start()
    wire = ClientWire(ours, Transcript())
    with pytest.raises(LoginProblem) as problem:
        log_in(wire, (mechanism,), RelayLogin("us", "secret"), 5.0)
    wire.close()
    thread.join()
    return str(problem.value)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("challenge", [b"334 ", b"334 VXNlcm5hbWU6", b"334 Username:", b"334", b"334 \xff"])
def test_a_server_that_asks_for_ever_is_named_as_the_reason(mechanism: str, challenge: bytes) -> None:
    assert refusal(mechanism, [challenge]) == f"{mechanism}: the server asks for more than the mechanism has"


@pytest.mark.parametrize("challenge", [b"334 Username:", b"334 a", b"334 \xc3\xa4"])
def test_a_challenge_that_is_not_base64_is_named_as_the_reason(challenge: bytes) -> None:
    text = challenge.decode().partition(" ")[2]
    assert refusal("SCRAM-SHA-256", [challenge]) == f"SCRAM-SHA-256: the server's challenge is not base64: “{text}”"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([b"334 "], "the server's first SCRAM message cannot be read"),
        ([b"334 cj0x"], "the server's first SCRAM message cannot be read"),
        ([b"334 /w=="], "the server's SCRAM message is not UTF-8"),
        ([b"235 welcome"], "the server did not show that it knows the password"),
        ([b"250 fine"], "the server answered 250 fine"),
    ],
)
def test_every_failure_of_scram_has_a_reason(answers: list[bytes], said: str) -> None:
    assert refusal("SCRAM-SHA-256", answers) == f"SCRAM-SHA-256: {said}"


def test_a_challenge_without_base64_does_not_stop_login() -> None:
    """Some servers write “334 Username:” as it is."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"334 Username:\r\n334 Password:\r\n235 welcome\r\n")
        log_in(ClientWire(ours, Transcript()), ("LOGIN",), RelayLogin("us", "secret"), 5.0)
        assert theirs.recv(1000) == b"AUTH LOGIN\r\ndXM=\r\nc2VjcmV0\r\n"


def test_with_a_token_command_the_password_is_not_used() -> None:
    outcome, _ = send(relay(auth=("PLAIN", "LOGIN")), token_command="true")
    assert (outcome.action.value, "XOAUTH2" in outcome.reply.text) == ("delayed", True)


def test_a_login_is_not_shown_by_repr() -> None:
    config = config_of(
        "[remote]\nrelay_hosts = relay.test\nrelay_auth = yes\nrelay_user = us\nrelay_password = hidden\n"
    )
    assert "hidden" not in repr(smarthost(config.remote, network_of(config)))
