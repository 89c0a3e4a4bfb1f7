"""A host that sends no greeting: one that expects TLS at once is told apart and named, and a slow one is waited for."""

import threading

from smtpd_classic.client import silent_host
from smtpd_classic.client.network import Timeouts
from smtpd_classic.client.transport import Outcome
from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from tests.client.fake_host import FakeHost, Talk, certificate, hosts
from tests.client.world import QUICK, config_of, deliver, job_for, network_of, routes_of

BOB = "bob@example.org"
TIMES = QUICK._replace(greeting=10.0, silence=0.2)


def sent_to(host: FakeHost) -> Outcome:
    """Send a message through a direct host that must have TLS, on a port that is not 465."""
    config = config_of(f"[direct example.org]\nhosts = mx.example.org:{host.port} ssl\naccept_any_certificate = yes\n")
    network = network_of(config, addresses={"mx.example.org": [host.ip]}, timeouts=TIMES)
    try:
        return deliver(routes_of(config, network).route(BOB).transport, job_for(BOB))[BOB]
    finally:
        network.connections.close_idle(all_of_them=True)


def test_a_host_that_expects_tls_at_once_is_told_apart_and_named() -> None:
    host = FakeHost(tls=certificate("mx.example.org"), implicit_tls=True)
    with hosts(host):
        outcome = sent_to(host)
    assert (outcome.action.value, outcome.reply.enhanced) == ("delayed", "4.7.4")
    expected = f"mx.example.org[{host.ip}]:{host.port} expects TLS from the first octet, but port {host.port} is used"
    assert expected in outcome.reply.text
    assert "name port 465" in outcome.reply.text
    assert not host.got


def test_it_is_told_apart_within_thirty_seconds() -> None:
    assert Timeouts().silence + 2 * silent_host.TRY_S <= 30.0


def test_a_host_that_is_slow_to_greet_is_waited_for() -> None:
    second = threading.Event()

    def script(event: Event, talk: Talk) -> None:
        if isinstance(event, events.Connected):
            if host.connections > 1:
                second.set()
            assert second.wait(10)

    host = FakeHost(tls=certificate("mx.example.org"), script=script)
    with hosts(host):
        assert sent_to(host).action.value == "delivered"
    assert host.connections == 2
    assert host.got[0].encrypted
