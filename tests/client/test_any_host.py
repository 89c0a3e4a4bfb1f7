"""Hosts that answer anything with anything: whatever they do, each recipient is settled once, and with what is true."""

import random

import pytest

from smtpd_classic.client.fallback import FallbackTransport
from smtpd_classic.client.mx import MxTransport
from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply
from spool import Recipient
from tests.client.fake_host import DROP, Answer, FakeHost, Talk, hosts
from tests.client.world import QUICK, config_of, deliver, job_for, network_of

REPLIES: tuple[Answer, ...] = (
    *(Reply(code, "", "temporary") for code in (421, 450, 451, 452)),
    *(Reply(code, "", "permanent") for code in (500, 501, 504, 550, 552, 554, 555)),
    *(Reply(452, "4.5.3", "too many recipients"), Reply(550, "5.5.3", "too many recipients")),
    DROP,
)
KEYWORDS = ("PIPELINING", "SIZE", "8BITMIME", "DSN", "SMTPUTF8")
ODD = (events.Connected, events.Hello, events.MailFrom, events.RcptTo, events.StartContent, events.EndContent)


class Moody:
    """Answers wrongly now and then, each kind of host in its own way."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._temper = chance.choice((0.02, 0.1, 0.3))
        self._kinds = tuple(kind for kind in ODD if chance.random() < 0.5)

    def __call__(self, event: Event, talk: Talk) -> Answer | None:
        if isinstance(event, self._kinds) and self._chance.random() < self._temper:
            return self._chance.choice(REPLIES)
        return None


@pytest.mark.parametrize("seed", range(60))
def test_whatever_hosts_answer(seed: int) -> None:
    chance = random.Random(seed)
    made = [
        FakeHost(
            f"mx{number}.example.org",
            script=Moody(chance),
            hidden=tuple(keyword for keyword in KEYWORDS if chance.random() < 0.3),
            most_recipients=chance.choice((0, 0, 3)),
        )
        for number in range(3)
    ]
    with hosts(*made):
        for _ in range(6):
            _check(chance, made)


def _check(chance: random.Random, made: list[FakeHost]) -> None:
    for host in made:
        host.got.clear()
    networks = [
        network_of(
            config_of("[remote]\ndead_host_time = 0\n"),
            mx={"example.org": [(1, f"{host.name}")]},
            addresses={host.name: [host.ip]},
            port=host.port,
            timeouts=QUICK,
        )
        for host in made
    ]
    wish = frozenset({"SUCCESS", "FAILURE"})
    recipients = [
        Recipient(f"user{number}@example.org", wish if chance.random() < 0.3 else frozenset())
        for number in range(chance.randrange(1, 9))
    ]
    content = b"Subject: x\n\n" + chance.choice((b"short\n", b".\n..\n", b"long line\n" * 5000, "ü\n".encode()))
    job = job_for(*recipients, content=content)._replace(ret="HDRS", envid="x")
    one, two, three = (MxTransport(network) for network in networks)
    outcomes = deliver(FallbackTransport(one, FallbackTransport(two, three)), job)
    for network in networks:
        network.connections.close_idle(all_of_them=True)
        assert network.connections.open == 0
    delivered = sorted(name for name, outcome in outcomes.items() if outcome.action.value == "delivered")
    got = sorted(path for host in made for each in host.got for path in each.recipients)
    assert got == delivered, job.transcript.text
    assert all(outcome.reply.positive == (name in delivered) for name, outcome in outcomes.items())
