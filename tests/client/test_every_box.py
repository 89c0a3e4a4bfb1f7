"""Every box of Remote Delivery and Direct Delivery, alone and combined, against servers that listen: which host got the
message, with which envelope, over TLS or not, logged in or not.
"""

import socket
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from smtpd_classic.client.routes import direct_domain_for
from smtpd_classic.dns import DnsFailure, NoSuchDomain, NullMx
from smtpd_classic.smtp import events
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import DROP, FakeHost, certificate, own_ip, trusting
from tests.client.world import config_of, deliver, job_for, network_of, routes_of

NAMES = ("mx1.test", "mx2.test", "relay.test", "relay2.test", "a.test", "b.test")
GOOD, WRONG = certificate(*NAMES), certificate("somebody.else.test")


def refusing(kind: type, reply: Reply) -> dict[str, Any]:
    return {"script": lambda event, talk: reply if isinstance(event, kind) else None}


def dropping(kind: type) -> dict[str, Any]:
    return {"script": lambda event, talk: DROP if isinstance(event, kind) else None}


UP: dict[str, Any] = {}
TLS: dict[str, Any] = {"tls": GOOD}
FALSE_TLS: dict[str, Any] = {"tls": WRONG}
BROKEN_TLS: dict[str, Any] = {"broken_tls": True}
SMTPS: dict[str, Any] = {"tls": GOOD, "implicit_tls": True}
AUTH: dict[str, Any] = {"tls": GOOD, "auth": ("PLAIN", "LOGIN"), "password": "secret"}
FALSE_AUTH = AUTH | {"tls": WRONG}
AUTH_IN_CLEAR: dict[str, Any] = {"auth": ("PLAIN",), "password": "secret", "auth_without_tls": True}
SMTPS_AUTH = AUTH | SMTPS
DOWN = None
GREETS_4, GREETS_5 = (refusing(events.Connected, Reply(code, "", "go away")) for code in (421, 554))
MAIL_4, MAIL_5 = (refusing(events.MailFrom, Reply(code, f"{code // 100}.1.0", "no")) for code in (451, 550))
RCPT_4, RCPT_5 = (refusing(events.RcptTo, Reply(code, f"{code // 100}.1.1", "no")) for code in (450, 550))
DATA_4, DATA_5 = (refusing(events.EndContent, Reply(code, f"{code // 100}.6.0", "no")) for code in (451, 554))
DROPS = dropping(events.StartContent)
NO_EHLO: dict[str, Any] = {
    "script": lambda event, talk: DROP if isinstance(event, events.Hello) and event.extended else None
}
NO_STARTTLS = TLS | dropping(events.StartTls)

MX_OFF = "look_up_mx = no\n"
ON_FAILURE = "relay_when_delivery_fails = yes\nrelay_hosts = relay.test:{relay.test}\n"
ALWAYS = "relay_always = yes\nrelay_hosts = relay.test:{relay.test}\n"
TWO = "relay_always = yes\nrelay_hosts = relay.test:{relay.test}, relay2.test:{relay2.test}\n"
LOGIN = "relay_auth = yes\nrelay_user = us\nrelay_password = secret\n"
BAD_LOGIN = "relay_auth = yes\nrelay_user = us\nrelay_password = expired\n"
SSL = "relay_ssl = yes\n"
ANY = "relay_accept_any_certificate = yes\n"
PLAIN = "opportunistic_tls = no\n"
FROM = "relay_mail_from = relay@us.test\n"
A = "[direct example.org]\nhosts = a.test:{a.test}\n"
AB = "[direct example.org]\nhosts = a.test:{a.test}\n  b.test:{b.test}\n"
A_SSL = "[direct example.org]\nhosts = a.test:{a.test} ssl\n"
A_LOGIN = "[direct example.org]\nhosts = a.test:{a.test} user=us password=secret\n"
A_BAD_LOGIN = "[direct example.org]\nhosts = a.test:{a.test} user=us password=expired\n"
A_ANY = "accept_any_certificate = yes\n"
FALL_BACK = "[direct]\nfall_back_to_remote = yes\n"

CLEAR, ENCRYPTED = False, True


class To(NamedTuple):
    """Who got it, and how."""

    host: str
    encrypted: bool = CLEAR
    login: str = ""
    sender: str = "joe@us.test"


class Not(NamedTuple):
    """Nobody got it. `enhanced` is the status; `soft` that another transport might have tried."""

    action: str
    enhanced: str
    soft: bool = True


@dataclass
class Row:
    says: str
    remote: str
    hosts: dict[str, dict[str, Any] | None]
    expected: To | Not
    direct: str = ""
    mx: Any = ((10, "mx1.test"), (20, "mx2.test"))
    sender: str = "joe@us.test"
    untouched: tuple[str, ...] = field(default=())


ROWS = [
    # look_up_mx
    Row("MX: the best one", "", {"mx1.test": UP, "mx2.test": UP}, To("mx1.test"), untouched=("mx2.test",)),
    Row("MX: the second when the first is down", "", {"mx1.test": DOWN, "mx2.test": UP}, To("mx2.test")),
    Row("MX: the second when the first greets with 421", "", {"mx1.test": GREETS_4, "mx2.test": UP}, To("mx2.test")),
    Row("MX: the second when the first greets with 554", "", {"mx1.test": GREETS_5, "mx2.test": UP}, To("mx2.test")),
    Row("MX: the second when the first defers", "", {"mx1.test": RCPT_4, "mx2.test": UP}, To("mx2.test")),
    Row("MX: the second when the first hangs up", "", {"mx1.test": DROPS, "mx2.test": UP}, To("mx2.test")),
    Row(
        "MX: a refusal is final",
        "",
        {"mx1.test": RCPT_5, "mx2.test": UP},
        Not("failed", "5.1.1", soft=False),
        untouched=("mx2.test",),
    ),
    Row("MX: all down", "", {"mx1.test": DOWN, "mx2.test": DOWN}, Not("delayed", "4.4.1")),
    Row("MX: all defer", "", {"mx1.test": DATA_4, "mx2.test": RCPT_4}, Not("delayed", "4.1.1")),
    Row("MX: no such domain", "", {}, Not("failed", "5.1.2", soft=False), mx=NoSuchDomain()),
    Row("MX: a domain that takes no mail", "", {}, Not("failed", "5.1.10", soft=False), mx=NullMx()),
    Row("MX: DNS fails", "", {}, Not("delayed", "4.4.3"), mx=DnsFailure("no answer")),
    Row("MX: without MX, the address", "", {"example.org": UP}, To("example.org"), mx=None),
    Row("MX: hosts that do not resolve", "", {}, Not("delayed", "4.4.4")),
    # opportunistic_tls
    Row("TLS when offered", "", {"mx1.test": TLS}, To("mx1.test", ENCRYPTED)),
    Row("TLS when offered, with any certificate", "", {"mx1.test": FALSE_TLS}, To("mx1.test", ENCRYPTED)),
    Row("plaintext to the same host when TLS fails", "", {"mx1.test": BROKEN_TLS, "mx2.test": TLS}, To("mx1.test")),
    Row("HELO to the same host when it closes at EHLO", "", {"mx1.test": NO_EHLO, "mx2.test": UP}, To("mx1.test")),
    Row("plaintext to the same host when it closes at STARTTLS", "", {"mx1.test": NO_STARTTLS}, To("mx1.test")),
    Row(
        "no plaintext when it closes at STARTTLS and TLS is required",
        ALWAYS + SSL,
        {"relay.test": NO_STARTTLS},
        Not("delayed", "4.4.2"),
    ),
    Row("no TLS when it is off", PLAIN, {"mx1.test": TLS}, To("mx1.test")),
    Row("no TLS to the relay when it is off", PLAIN + ALWAYS, {"relay.test": TLS}, To("relay.test")),
    # relay_always
    Row("relay always", ALWAYS, {"mx1.test": UP, "relay.test": UP}, To("relay.test"), untouched=("mx1.test",)),
    Row("relay always, MX off", MX_OFF + ALWAYS, {"relay.test": UP}, To("relay.test")),
    Row("relay always, and it is down", ALWAYS, {"mx1.test": UP, "relay.test": DOWN}, Not("delayed", "4.4.1")),
    Row("relay always, and it refuses", ALWAYS, {"relay.test": MAIL_5}, Not("failed", "5.1.0", soft=False)),
    Row(
        "relay always, for a domain that is not in DNS", ALWAYS, {"relay.test": UP}, To("relay.test"), mx=NoSuchDomain()
    ),
    Row("relay always takes TLS when offered", ALWAYS, {"relay.test": FALSE_TLS}, To("relay.test", ENCRYPTED)),
    Row(
        "two relays: the first",
        TWO,
        {"relay.test": UP, "relay2.test": UP},
        To("relay.test"),
        untouched=("relay2.test",),
    ),
    Row(
        "two relays: the second when the first is down", TWO, {"relay.test": DOWN, "relay2.test": UP}, To("relay2.test")
    ),
    Row(
        "two relays: the second when the first defers",
        TWO,
        {"relay.test": MAIL_4, "relay2.test": UP},
        To("relay2.test"),
    ),
    Row(
        "two relays: a refusal is final",
        TWO,
        {"relay.test": DATA_5, "relay2.test": UP},
        Not("failed", "5.6.0", soft=False),
    ),
    # relay_ssl
    Row("relay with SSL", ALWAYS + SSL, {"relay.test": TLS}, To("relay.test", ENCRYPTED)),
    Row("relay with SSL from the first byte", ALWAYS + SSL, {"relay.test": SMTPS}, To("relay.test", ENCRYPTED)),
    Row("relay with SSL, and it offers none", ALWAYS + SSL, {"relay.test": UP}, Not("delayed", "4.7.4")),
    Row("relay with SSL, certificate not verified", ALWAYS + SSL, {"relay.test": FALSE_TLS}, Not("delayed", "4.7.5")),
    Row("relay with SSL, any certificate", ALWAYS + SSL + ANY, {"relay.test": FALSE_TLS}, To("relay.test", ENCRYPTED)),
    Row("relay with SSL, TLS broken", ALWAYS + SSL + ANY, {"relay.test": BROKEN_TLS}, Not("delayed", "4.7.5")),
    Row(
        "relay with SSL in spite of no opportunism",
        PLAIN + ALWAYS + SSL,
        {"relay.test": TLS},
        To("relay.test", ENCRYPTED),
    ),
    # relay_auth
    Row("relay with login", ALWAYS + LOGIN, {"relay.test": AUTH}, To("relay.test", ENCRYPTED, "us")),
    Row("relay with login and SSL", ALWAYS + LOGIN + SSL, {"relay.test": AUTH}, To("relay.test", ENCRYPTED, "us")),
    Row(
        "relay with login, TLS from the first byte",
        ALWAYS + LOGIN + SSL,
        {"relay.test": SMTPS_AUTH},
        To("relay.test", ENCRYPTED, "us"),
    ),
    Row("login never in the clear", ALWAYS + LOGIN, {"relay.test": AUTH_IN_CLEAR}, Not("delayed", "4.7.4")),
    Row("login never to a stranger's certificate", ALWAYS + LOGIN, {"relay.test": FALSE_AUTH}, Not("delayed", "4.7.5")),
    Row(
        "login with any certificate",
        ALWAYS + LOGIN + ANY,
        {"relay.test": FALSE_AUTH},
        To("relay.test", ENCRYPTED, "us"),
    ),
    Row("login refused: it waits", ALWAYS + BAD_LOGIN, {"relay.test": AUTH}, Not("delayed", "5.7.8", soft=False)),
    Row("no login offered: it waits", ALWAYS + LOGIN, {"relay.test": TLS}, Not("delayed", "4.7.0", soft=False)),
    Row(
        "login refused: not to the next transport",
        ON_FAILURE + BAD_LOGIN,
        {"mx1.test": DOWN, "relay.test": AUTH},
        Not("delayed", "5.7.8", soft=False),
    ),
    # relay_mail_from
    Row("another sender to the relay", ALWAYS + FROM, {"relay.test": UP}, To("relay.test", sender="relay@us.test")),
    Row("the null sender stays", ALWAYS + FROM, {"relay.test": UP}, To("relay.test", sender=""), sender=""),
    Row("another sender to the relay only", ON_FAILURE + FROM, {"mx1.test": UP, "relay.test": UP}, To("mx1.test")),
    Row(
        "another sender to the relay after MX",
        ON_FAILURE + FROM,
        {"relay.test": UP},
        To("relay.test", sender="relay@us.test"),
    ),
    # relay_when_delivery_fails
    Row(
        "relay on failure, not needed",
        ON_FAILURE,
        {"mx1.test": UP, "relay.test": UP},
        To("mx1.test"),
        untouched=("relay.test",),
    ),
    Row(
        "relay when all MX are down",
        ON_FAILURE,
        {"mx1.test": DOWN, "mx2.test": DOWN, "relay.test": UP},
        To("relay.test"),
    ),
    Row("relay when MX defers", ON_FAILURE, {"mx1.test": RCPT_4, "relay.test": UP}, To("relay.test")),
    Row("relay when MX greets with 554", ON_FAILURE, {"mx1.test": GREETS_5, "relay.test": UP}, To("relay.test")),
    Row("relay when DNS fails", ON_FAILURE, {"relay.test": UP}, To("relay.test"), mx=DnsFailure("no answer")),
    Row(
        "no relay after a refusal",
        ON_FAILURE,
        {"mx1.test": DATA_5, "relay.test": UP},
        Not("failed", "5.6.0", soft=False),
        untouched=("relay.test",),
    ),
    Row(
        "no relay for no domain",
        ON_FAILURE,
        {"relay.test": UP},
        Not("failed", "5.1.2", soft=False),
        mx=NoSuchDomain(),
        untouched=("relay.test",),
    ),
    Row(
        "no relay for a domain that we are an MX of",
        ON_FAILURE,
        {"mx1.test": DOWN, "relay.test": UP},
        Not("delayed", "4.4.1", soft=False),
        mx=((10, "mx1.test"), (20, "us.test")),
        untouched=("relay.test",),
    ),
    Row(
        "relay on failure with login",
        ON_FAILURE + LOGIN,
        {"mx1.test": DOWN, "relay.test": AUTH},
        To("relay.test", ENCRYPTED, "us"),
    ),
    Row(
        "relay on failure with SSL",
        ON_FAILURE + SSL,
        {"mx1.test": MAIL_4, "relay.test": TLS},
        To("relay.test", ENCRYPTED),
    ),
    Row("both are down", ON_FAILURE, {"mx1.test": DOWN, "relay.test": DOWN}, Not("delayed", "4.4.1")),
    Row(
        "MX off, relay on failure: the relay",
        MX_OFF + ON_FAILURE,
        {"mx1.test": UP, "relay.test": UP},
        To("relay.test"),
        untouched=("mx1.test",),
    ),
    Row(
        "neither MX nor relay: it bounces",
        MX_OFF,
        {"mx1.test": UP},
        Not("failed", "5.4.4", soft=False),
        untouched=("mx1.test",),
    ),
    # direct domains
    Row("direct", "", {"mx1.test": UP, "a.test": UP}, To("a.test"), A, untouched=("mx1.test",)),
    Row("direct, relay always", ALWAYS, {"relay.test": UP, "a.test": UP}, To("a.test"), A, untouched=("relay.test",)),
    Row("direct: the second host", "", {"a.test": DOWN, "b.test": UP}, To("b.test"), AB),
    Row("direct: the second host when the first defers", "", {"a.test": DATA_4, "b.test": UP}, To("b.test"), AB),
    Row(
        "direct: down, no fallback",
        "",
        {"mx1.test": UP, "a.test": DOWN},
        Not("delayed", "4.4.1"),
        A,
        untouched=("mx1.test",),
    ),
    Row("direct with SSL", "", {"a.test": TLS}, To("a.test", ENCRYPTED), A_SSL),
    Row("direct with SSL from the first byte", "", {"a.test": SMTPS}, To("a.test", ENCRYPTED), A_SSL),
    Row("direct with SSL, none offered", "", {"a.test": UP}, Not("delayed", "4.7.4"), A_SSL),
    Row("direct with SSL, false certificate", "", {"a.test": FALSE_TLS}, Not("delayed", "4.7.5"), A_SSL),
    Row("direct with SSL, any certificate", "", {"a.test": FALSE_TLS}, To("a.test", ENCRYPTED), A_SSL + A_ANY),
    Row("direct with login", "", {"a.test": AUTH}, To("a.test", ENCRYPTED, "us"), A_LOGIN),
    Row("direct with login, never in the clear", "", {"a.test": AUTH_IN_CLEAR}, Not("delayed", "4.7.4"), A_LOGIN),
    Row("direct with login, refused", "", {"a.test": AUTH}, Not("delayed", "5.7.8", soft=False), A_BAD_LOGIN),
    Row("direct is no relay: the sender stays", FROM, {"a.test": UP}, To("a.test"), A),
    Row("direct, then MX", "", {"mx1.test": UP, "a.test": DOWN}, To("mx1.test"), FALL_BACK + A),
    Row("direct, then MX, after a deferral", "", {"mx1.test": UP, "a.test": RCPT_4}, To("mx1.test"), FALL_BACK + A),
    Row(
        "direct: no MX after a refusal",
        "",
        {"mx1.test": UP, "a.test": RCPT_5},
        Not("failed", "5.1.1", soft=False),
        FALL_BACK + A,
        untouched=("mx1.test",),
    ),
    Row(
        "direct, then the relay",
        ALWAYS + LOGIN,
        {"relay.test": AUTH, "a.test": DOWN},
        To("relay.test", ENCRYPTED, "us"),
        FALL_BACK + A,
    ),
    Row(
        "direct, then MX, then the relay",
        ON_FAILURE + FROM,
        {"mx1.test": MAIL_4, "relay.test": UP, "a.test": DOWN},
        To("relay.test", sender="relay@us.test"),
        FALL_BACK + A,
    ),
    Row("direct with SSL, then MX", "", {"mx1.test": UP, "a.test": FALSE_TLS}, To("mx1.test"), FALL_BACK + A_SSL),
    Row(
        "direct, login refused: nowhere else",
        "",
        {"mx1.test": UP, "a.test": AUTH},
        Not("delayed", "5.7.8", soft=False),
        FALL_BACK + A_BAD_LOGIN,
        untouched=("mx1.test",),
    ),
    Row(
        "direct: all are down",
        ON_FAILURE,
        {"mx1.test": DOWN, "relay.test": DOWN, "a.test": DOWN},
        Not("delayed", "4.4.1"),
        FALL_BACK + A,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_every_box(row: Row) -> None:
    made = _made(row)
    try:
        _check(row, made)
    finally:
        for host in made.values():
            host.close()


def _made(row: Row) -> dict[str, FakeHost]:
    """MX hosts share a port, as those of the world do; all others have their own."""
    made: dict[str, FakeHost] = {}
    port = 0
    for name, behaviour in row.hosts.items():
        if behaviour is not None:
            is_mx = name not in {"relay.test", "relay2.test", "a.test", "b.test"}
            made[name] = FakeHost(name, port=port if is_mx else 0, **behaviour)
            port = made[name].port if is_mx else port
    return made


def _check(row: Row, made: dict[str, FakeHost]) -> None:
    closed = _closed_port()
    ports = {name: made[name].port if name in made else closed for name in (*NAMES, "example.org")}
    addresses = {name: [made[name].ip] if name in made else [own_ip()] for name in row.hosts}
    config = config_of("[remote]\n" + _filled(row.remote, ports) + _filled(row.direct, ports))
    smtps = next((host.port for name, host in made.items() if (row.hosts[name] or {}).get("implicit_tls")), 465)
    mx_ports = [host.port for name, host in made.items() if name in {"mx1.test", "mx2.test", "example.org"}]
    network = network_of(
        config,
        mx={} if row.mx is None else {"example.org": row.mx},
        addresses=addresses,
        port=mx_ports[0] if mx_ports else closed,
        smtps_port=smtps,
        verified=trusting(GOOD[0], WRONG[0]),
    )
    job = job_for("bob@example.org", sender=row.sender)
    outcome = deliver(routes_of(config, network).route("bob@example.org").transport, job)["bob@example.org"]
    network.connections.close_idle(all_of_them=True)
    got = [
        To(name, each.encrypted, each.login, each.sender)
        for name, host in made.items()
        for each in host.got
        if each.recipients == ("bob@example.org",)
    ]
    for name in row.untouched:
        assert name not in made or not made[name].connections, f"{name} was spoken to\n{job.transcript.text}"
    if isinstance(row.expected, To):
        assert got == [row.expected], job.transcript.text
        assert outcome.action.value == "delivered"
        assert outcome.peer is not None
        assert (outcome.peer.name, outcome.peer.ip) == (row.expected.host, made[row.expected.host].ip)
    else:
        assert not got
        found = Not(outcome.action.value, outcome.reply.enhanced, outcome.soft)
        assert found == row.expected, f"{outcome}\n{job.transcript.text}"


@pytest.mark.parametrize("written", ["bücher.example", "xn--bcher-kva.example"])
@pytest.mark.parametrize("prefix", ["", "."])
def test_a_direct_domain_covers_both_spellings_of_its_name(written: str, prefix: str) -> None:
    config = config_of(f"[direct {prefix}{written}]\nhosts = a.test\n")
    routes = routes_of(config, network_of(config))
    below = "mail." if prefix else ""
    for domain in ("bücher.example", "xn--bcher-kva.example"):
        assert routes.route(f"bob@{below}{domain}").destination == f"direct {prefix}{written}"
    assert routes.route("bob@buecher.example").destination == "mx buecher.example"


def test_the_direct_domain_of_a_test_is_that_of_the_mail() -> None:
    names = (".example", "a.example", ".b.example", "bücher.test")
    config = config_of("".join(f"[direct {name}]\nhosts = host.test\n" for name in names))
    expected = {
        "a.example": "a.example",
        "x.example": ".example",
        "x.b.example": ".b.example",
        ".b.example": ".b.example",
        "xn--bcher-kva.test": "bücher.test",
        "other.test": None,
    }
    for domain, name in expected.items():
        found = direct_domain_for(config, domain)
        assert (found.name if found else None) == name, domain


@pytest.mark.parametrize(
    ("address", "destination"),
    [
        ("joe@bücher.test", "direct bücher.test"),
        ("joe@xn--bcher-kva.test", "direct bücher.test"),
        ("joe@a.xn--bcher-kva.test", "mx a.xn--bcher-kva.test"),
        ("joe@straße.test", "direct xn--strae-oqa.test"),
        ("joe@a.xn--gre-6ka8l.test", "direct .grüße.test"),
        ("joe@grüße.test", "mx grüße.test"),
    ],
)
def test_a_direct_domain_is_meant_in_both_spellings(address: str, destination: str) -> None:
    names = ("bücher.test", "xn--strae-oqa.test", ".grüße.test")
    config = config_of("".join(f"[direct {name}]\nhosts = 192.0.2.9\n" for name in names))
    assert routes_of(config, network_of(config)).route(address).destination == destination


def _filled(text: str, ports: dict[str, int]) -> str:
    for name, port in ports.items():
        text = text.replace("{" + name + "}", str(port))
    return text


def _closed_port() -> int:
    """A port on which nobody listens at the addresses of this test."""
    with socket.create_server((own_ip(), 0)) as taken:
        return int(taken.getsockname()[1])
