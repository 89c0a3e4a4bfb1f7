"""The probe of a way out: each step by itself, nothing sent, and a sentence for each that fails."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from smtpd_classic.client.network import Network, TlsContexts
from smtpd_classic.client.probe import (
    FAILED,
    NOT_DONE,
    OK,
    HostProbe,
    ProbeStep,
    probe_direct,
    probe_listener,
    probe_network,
    probe_relay,
)
from smtpd_classic.config import Config, parse
from smtpd_classic.config.schema import DirectDomain
from smtpd_classic.dns import MxRecord
from smtpd_classic.dns.fixed import FixedResolver
from smtpd_classic.smtp.events import Connected, Event
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import Answer, FakeHost, Talk, certificate, own_ip, trusting

NAME = "relay.example.net"
LOGIN = "relay_auth = yes\nrelay_user = me\nrelay_password = secret\n"
CERTIFICATE = certificate(NAME)


def config(host: FakeHost, more: str = "") -> Config:
    return parse(
        f"[server]\nprimary_domain = example.org\n[remote]\nrelay_hosts = {NAME}\nrelay_port = {host.port}\n{more}"
        "[listener smtp]\nport = 2525\naddress = 127.0.0.1\n",
        "smtpd-classic.conf",
    )


def network(made: Config, host: FakeHost) -> Network:
    resolver = FixedResolver(addresses={NAME: (host.ip,)}, mx={"far.example": (MxRecord(10, NAME),)})
    found = probe_network(made, resolver)
    contexts = TlsContexts(verified=trusting(CERTIFICATE[0]))
    return replace(found, tls=contexts, smtp_port=host.port, timeouts=found.timeouts.scaled(0.2))


def states(found: tuple[HostProbe, ...]) -> str:
    letters = {OK: "+", FAILED: "!", NOT_DONE: "-"}
    return "".join(letters[step.state] for step in found[0].steps)


@contextmanager
def fake(**words: object) -> Iterator[FakeHost]:
    host = FakeHost(NAME, **words)  # type: ignore[arg-type]
    try:
        yield host
    finally:
        host.close()


def test_a_relay_that_works_has_every_step_and_gets_no_message() -> None:
    told: list[tuple[str, ProbeStep]] = []
    with fake(tls=CERTIFICATE, auth=("PLAIN",), password="secret") as host:
        made = config(host, "relay_ssl = yes\n" + LOGIN)
        found = probe_relay(made, network(made, host), lambda name, step: told.append((name, step)))
        assert host.got == []
        assert not any(line.startswith("MAIL") for line in host.commands)
    assert states(found) == "++++++", found
    assert found[0].works
    assert [step for _, step in told] == list(found[0].steps)
    assert {name for name, _ in told} == {f"{NAME}:{host.port}"}


@pytest.mark.parametrize(
    ("words", "more", "expected", "said"),
    [
        ({"tls": CERTIFICATE, "auth": ("PLAIN",), "password": "other"}, LOGIN, "+++++!", "535"),
        ({"tls": CERTIFICATE}, LOGIN, "+++++!", "offers no login"),
        ({"tls": certificate("other.example")}, "relay_ssl = yes\n", "++++!-", "certificate"),
        (
            {"tls": certificate("other.example")},
            "relay_ssl = yes\nrelay_accept_any_certificate = yes\n",
            "++++--",
            "any certificate",
        ),
        ({}, "relay_ssl = yes\n", "+++!--", "STARTTLS"),
        ({"broken_tls": True}, "relay_ssl = yes\n", "+++!--", ""),
        ({}, "", "+++---", "plaintext"),
    ],
)
def test_the_step_at_fault_is_named(words: dict[str, object], more: str, expected: str, said: str) -> None:
    with fake(**words) as host:
        made = config(host, more)
        found = probe_relay(made, network(made, host))
    assert states(found) == expected, found
    assert found[0].works is ("!" not in expected)
    assert said in " ".join(f"{step.text} {step.advice}" for step in found[0].steps)


def test_a_host_that_refuses_us_or_expects_tls_at_once_is_told_apart() -> None:
    def refuse(event: Event, talk: Talk) -> Answer | None:
        return Reply(554, "5.7.1", "not you") if isinstance(event, Connected) else None

    with fake(script=refuse) as host:
        made = config(host)
        found = probe_relay(made, network(made, host))
        assert states(found) == "++!---"
        assert "not you" in found[0].steps[2].text
    with fake(tls=CERTIFICATE, implicit_tls=True) as host:
        made = config(host)
        found = probe_relay(made, network(made, host))
        assert states(found) == "++!---"
        assert "465" in found[0].steps[2].advice


def test_a_host_that_is_not_there_is_told_apart_from_a_name_that_is_not() -> None:
    with socket.create_server((own_ip(), 0)) as closed:
        ip, port = closed.getsockname()[:2]
    with fake() as host:
        made = config(host)
        wrong = probe_relay(made, replace(network(made, host), resolver=FixedResolver(addresses={NAME: (ip,)})))
        unknown = probe_relay(made, replace(network(made, host), resolver=FixedResolver()))
    del port
    assert states(wrong) == "+!----"
    assert "refused" in wrong[0].steps[1].text
    assert "firewall" in wrong[0].steps[1].advice
    assert states(unknown) == "!-----"
    assert NAME in unknown[0].steps[0].text


def test_a_domain_is_tried_at_its_mail_servers_and_a_listener_at_its_address() -> None:
    with fake() as host:
        made = config(host)
        found = probe_direct(made, DirectDomain(name="far.example", hosts=()), network(made, host))
        assert states(found) == "+++---"
        assert found[0].host == f"{NAME}:{host.port}"
        nowhere = probe_direct(made, DirectDomain(name="gone.example", hosts=()), network(made, host))
        assert states(nowhere) == "!-----"
        listener = replace(made.listeners[0], address=(host.ip,), port=host.port, tls="none")
        assert states(probe_listener(made, listener, network(made, host))) == "+++---"
