"""Each check at what switches it on and off, and what they look things up in."""

import ipaddress
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.config.schema import SECTIONS
from smtpd_classic.dns import FixedResolver, MxRecord
from smtpd_classic.domain_patterns import DomainPatterns
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy import CHECKS, Client, ClientContext, ResolvedRecipient, Transaction
from smtpd_classic.policy.hosts import HostPatterns
from smtpd_classic.policy.limits import content_limit
from smtpd_classic.policy.networks import Networks
from smtpd_classic.policy.recipients import resolve
from smtpd_classic.smtp.events import Connected, EndContent, Event, HeaderRead, MailFrom, RcptTo, StartContent
from tests.reception.world import CONFIG, RESOLVER, World, world

OPTIONS = {option.name for section in SECTIONS for option in section.options()}
# Checks of something that is no option: of accounts, of our own trace header.
OF_ACCOUNTS = {"status", "quota"}
WITH_MAX_HOPS = {"delivered_to"}


def short(reply: object) -> str:
    return " ".join(str(reply).split(" ")[:2])


def asked(here: World, event: Event, *, ip: str = "203.0.113.5", listener: str = "smtp", login: str = "") -> str:
    policy = here.policy(listener)
    account = here.services.accounts.account(login) if login else None
    peer = ClientContext(here.client(ip, listener), policy.rules, account)
    sender, size = (event.reverse_path, event.size or 0) if isinstance(event, MailFrom) else ("", 0)
    return short(policy.first_objection(Transaction(peer, policy.rules, sender, size), event))


def test_a_check_is_named_after_its_option() -> None:
    names = {row.option for row in CHECKS}
    assert names - OPTIONS == OF_ACCOUNTS | WITH_MAX_HOPS


@pytest.mark.parametrize(
    ("on", "off", "event", "objection"),
    [
        ("[access]\nrefuse = 203.0.113.0/24", "", Connected(), "554 5.7.1"),
        ("[access]\nallow_only = 192.0.2.0/24", "[access]\nallow_only = 203.0.113.0/24", Connected(), "554 5.7.1"),
        ("[basic]\nmax_message_size = 99", "[basic]\nmax_message_size = 0", MailFrom("", 100), "552 5.3.4"),
        ("[basic]\nmin_free_space = 99999T", "[basic]\nmin_free_space = 0", MailFrom(""), "452 4.3.1"),
        (
            "[basic]\nrequire_auth_for_local_sender = yes",
            "[basic]\nrequire_auth_for_local_sender = no",
            MailFrom("joe@example.org"),
            "530 5.7.0",
        ),
        ("[basic]\nclose_open_relay = yes", "[basic]\nclose_open_relay = no", RcptTo("x@nowhere.example"), "550 5.7.1"),
        (
            "[basic]\nbare_line_feeds = reject",
            "[basic]\nbare_line_feeds = normalise",
            EndContent(bare=True),
            "554 5.6.0",
        ),
    ],
)
def test_a_stranger_is_refused_while_the_option_says_so(
    tmp_path: Path, on: str, off: str, event: Event, objection: str
) -> None:
    assert asked(world(tmp_path, on), event) == objection
    assert asked(world(tmp_path, off), event) == "None"


@pytest.mark.parametrize(
    ("option", "event", "objection"),
    [
        ("require_local_sender", MailFrom("joe@partner.example"), "550 5.1.0"),
        ("require_own_sender", MailFrom("ann@example.org"), "553 5.7.1"),
    ],
)
def test_who_has_logged_in_is_refused_while_the_option_says_so(
    tmp_path: Path, option: str, event: Event, objection: str
) -> None:
    both_off = "[basic]\nrequire_local_sender = no\nrequire_own_sender = no\n"
    one_on = both_off.replace(f"{option} = no", f"{option} = yes")
    assert asked(world(tmp_path, one_on), event, login="joe") == objection
    assert asked(world(tmp_path, both_off), event, login="joe") == "None"
    assert asked(world(tmp_path, one_on), MailFrom(""), login="joe") == "None"


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ("[access]\nrefuse = 203.0.113.5\n", "554 554"),
        ("[listener other]\nport = 26\nrefuse = 203.0.113.5\n", "None 554"),
        ("[listener other]\nport = 26\nallow_only = 192.0.2.0/24\n", "None 554"),
        (
            "[access]\nallow_only = 203.0.113.0/24\n[listener other]\nport = 26\nallow_only = 203.0.113.5\n",
            "None None",
        ),
        (
            "[access]\nallow_only = 203.0.113.0/24\n[listener other]\nport = 26\nallow_only = 192.0.2.0/24\n",
            "None 554",
        ),
        (
            "[access]\nallow_only = 203.0.113.0/24\nrefuse = 203.0.113.5\n[listener other]\nport = 26\n",
            "554 554",
        ),
    ],
)
def test_lists_of_one_listener_are_its_own(tmp_path: Path, lists: str, expected: str) -> None:
    here = world(tmp_path, lists if "[listener other]" in lists else lists + "[listener other]\nport = 26\n")
    found = [asked(here, Connected(), listener=name).split(" ")[0] for name in ("smtp", "other")]
    assert " ".join(found) == expected


def test_access_lists_are_not_for_the_local_socket(tmp_path: Path) -> None:
    here = world(tmp_path, "[access]\nallow_only = 192.0.2.0/24\nrefuse = 0.0.0.0/0\n")
    policy = here.policy()
    transaction = Transaction(ClientContext(here.client("", local=True), policy.rules), policy.rules)
    assert policy.first_objection(transaction, Connected()) is None


@pytest.mark.parametrize("ip", ["203.0.113.5", "::ffff:203.0.113.5", "2001:db8::7"])
def test_a_block_is_for_all_but_who_is_trusted(tmp_path: Path, ip: str) -> None:
    here = world(tmp_path, "[trusted]\nhosts = 203.0.113.6\n")
    assert asked(here, Connected(), ip=ip) == "None"
    here.services.runtime.blocks.block(ip, 60)
    here.services.runtime.blocks.block("203.0.113.6", 60)
    assert asked(here, Connected(), ip=ip) == "421 4.7.0"
    assert asked(here, Connected(), ip="203.0.113.6") == "None"


@pytest.mark.parametrize(
    ("mode", "login", "local", "excess", "at_data"),
    [
        ("automatic", "", False, "452 4.5.3", "None"),
        ("automatic", "joe", False, "550 5.5.3", "554 5.5.3"),
        ("automatic", "", True, "550 5.5.3", "554 5.5.3"),
        ("defer", "joe", False, "452 4.5.3", "None"),
        ("reject", "", False, "550 5.5.3", "554 5.5.3"),
    ],
)
def test_recipients_over_the_limit(
    tmp_path: Path, mode: str, login: str, excess: str, at_data: str, *, local: bool
) -> None:
    here = world(tmp_path, f"[basic]\nmax_recipients = 2\nover_max_recipients = {mode}\npostmaster = joe@example.org\n")
    policy = here.policy()
    account = here.services.accounts.account(login) if login else None
    transaction = Transaction(ClientContext(here.client(local=local), policy.rules, account), policy.rules)
    for recipient in ("joe@example.org", "ann@example.org"):
        assert policy.first_objection(transaction, RcptTo(recipient)) is None
        transaction.recipients.append(ResolvedRecipient(recipient, "example.org", "account", (recipient,)))
    assert policy.first_objection(transaction, StartContent(chunking=False)) is None
    assert short(policy.first_objection(transaction, RcptTo("ann@second.example"))) == excess
    assert policy.first_objection(transaction, RcptTo("postmaster")) is None
    assert short(policy.first_objection(transaction, StartContent(chunking=False))) == at_data


HERE = ResolvedRecipient("joe@example.org", "example.org", "account", ("joe@example.org",))
THERE = ResolvedRecipient("x@elsewhere.example", "elsewhere.example", "remote", ("x@elsewhere.example",))


@pytest.mark.parametrize(
    ("whole", "incoming", "outgoing", "recipients", "known", "limit"),
    [
        (0, 0, 0, [HERE, THERE], False, 0),
        (100, 0, 0, [HERE], False, 100),
        (100, 50, 0, [HERE], False, 50),
        (100, 50, 0, [HERE], True, 100),
        (100, 50, 0, [THERE], False, 100),
        (100, 200, 0, [HERE], False, 100),
        (0, 50, 40, [HERE, THERE], False, 40),
        (0, 50, 60, [HERE, THERE], False, 50),
        (0, 50, 60, [HERE, THERE], True, 60),
        (0, 50, 60, [HERE], True, 0),
    ],
)
def test_the_smallest_limit_that_is_not_zero_wins(
    tmp_path: Path,
    whole: int,
    incoming: int,
    outgoing: int,
    recipients: list[ResolvedRecipient],
    limit: int,
    *,
    known: bool,
) -> None:
    sizes = f"max_message_size = {whole}\nmax_incoming_size = {incoming}\nmax_outgoing_size = {outgoing}\n"
    here = world(tmp_path, f"[basic]\n{sizes}[trusted]\nhosts = 192.0.2.1\n")
    rules = here.policy().rules
    peer = ClientContext(here.client("192.0.2.1" if known else "203.0.113.5"), rules)
    transaction = Transaction(peer, rules)
    transaction.recipients = recipients
    assert content_limit(transaction) == limit


@pytest.mark.parametrize(
    ("size", "here", "there"),
    [(0, "None", "None"), (50, "None", "None"), (51, "552 5.3.4", "None"), (61, "552 5.3.4", "552 5.3.4")],
)
def test_the_declared_size_is_measured_at_each_recipient(tmp_path: Path, size: int, here: str, there: str) -> None:
    limits = "max_incoming_size = 50\nmax_outgoing_size = 60\n"
    policy = world(tmp_path, f"[basic]\n{limits}[open-relay]\ndomains = elsewhere.example\n").policy()
    peer = ClientContext(Client("203.0.113.5", 1, "x", policy.rules.listener), policy.rules)
    for recipient, wanted in (("joe@example.org", here), ("x@elsewhere.example", there)):
        reply = policy.first_objection(Transaction(peer, policy.rules, "", size), RcptTo(recipient))
        assert short(reply) == wanted


def test_forwarded_mail_obeys_the_limit_of_outgoing_mail(tmp_path: Path) -> None:
    policy = world(tmp_path, "[basic]\nmax_outgoing_size = 60\n").policy()
    peer = ClientContext(Client("203.0.113.5", 1, "x", policy.rules.listener), policy.rules)
    for recipient, wanted in (("forward", "552 5.3.4"), ("mix", "552 5.3.4"), ("sales", "None")):
        transaction = Transaction(peer, policy.rules, "", 61)
        assert short(policy.first_objection(transaction, RcptTo(f"{recipient}@example.org"))) == wanted
        transaction = Transaction(peer, policy.rules, "", 0)
        assert policy.first_objection(transaction, RcptTo(f"{recipient}@example.org")) is None
        assert transaction.recipient is not None
        transaction.recipients = [transaction.recipient]
        assert content_limit(transaction) == (25 * 1024**2 if wanted == "None" else 60)


class Asked(FixedResolver):
    """A resolver that remembers how long it was given."""

    def __init__(self) -> None:
        self.bounds: list[float] = []

    def mx(self, domain: str, *, timeout_s: float = 10.0) -> tuple[MxRecord, ...]:
        self.bounds.append(timeout_s)
        return RESOLVER.mx(domain, timeout_s=timeout_s)

    def addresses(self, host: str, *, timeout_s: float = 10.0, version: int = 0) -> tuple[str, ...]:
        return RESOLVER.addresses(host, timeout_s=timeout_s, version=version)

    def host_name(self, ip: str) -> str:
        return ""


@pytest.mark.parametrize(
    ("extra", "ip", "lookups"),
    [
        ("", "192.0.2.1", 1),
        ("", "203.0.113.5", 0),
        ("[remote]\nlook_up_mx = no\nrelay_always = yes\nrelay_hosts = relay.example\n", "192.0.2.1", 0),
        ("[remote]\nrelay_always = yes\nrelay_hosts = relay.example\n", "192.0.2.1", 0),
        ("[remote]\nrelay_when_delivery_fails = yes\nrelay_hosts = relay.example\n", "192.0.2.1", 1),
        ("[direct elsewhere.example]\nhosts = 198.51.100.1\n", "192.0.2.1", 0),
        ("[direct .elsewhere.example]\nhosts = 198.51.100.1\n", "192.0.2.1", 1),
    ],
)
def test_recipients_are_looked_up_for_who_is_known_and_within_two_seconds(
    tmp_path: Path, extra: str, ip: str, lookups: int
) -> None:
    dns = Asked()
    here = world(tmp_path, f"[trusted]\nhosts = 192.0.2.1\n{extra}", resolver=dns)
    asked(here, RcptTo("x@elsewhere.example"), ip=ip)
    asked(here, RcptTo("joe@example.org"), ip=ip)
    assert dns.bounds == [2.0] * lookups


def test_what_cannot_be_decided_is_deferred_and_told(tmp_path: Path) -> None:
    here = world(tmp_path, users="this is no account\n")
    assert asked(here, RcptTo("joe@example.org")) == "451 4.3.0"
    assert "warning: resolve cannot decide, the client is deferred: AccountsUnreadable" in here.log()[-1]
    assert asked(here, RcptTo("x@elsewhere.example")) == "550 5.7.1"


OWN = [
    (b"From: joe@example.org\n", "None"),
    (b"From: Joe <JOE@Example.NET>\nSender: sales@example.org\n", "None"),
    (b"From: joe+tag@example.org, office@example.org\n", "None"),
    (b"FROM : joe@example.org\n", "None"),
    (b"From: team: joe@example.org, sales@example.org;\n", "None"),
    (b"Subject: no From, it is added\n", "None"),
    (b"From: Doe, Joe <joe@example.org>;\n", "None"),
    (b"From: joe\n", "None"),
    (b"From: Joe <joe>\n", "None"),
    (b"From: ann\n", "550 5.7.1"),
    (b"From: joe@example.org\nFrom: joe@example.org\n", "550 5.7.1"),
    (b"From: joe@example.org\nfrom : ann@example.org\n", "550 5.7.1"),
    (b"From:\n", "550 5.7.1"),
    (b"From: nobody in particular:;\n", "550 5.7.1"),
    (b"From: Joe Doe\n", "550 5.7.1"),
    (b"From: ann@example.org\n", "550 5.7.1"),
    (b"From: joe@example.org, ann@example.org\n", "550 5.7.1"),
    (b"From: ann@example.org <joe@example.org>\n", "550 5.7.1"),
    (b"From: joe@example.org <ann@example.org>\n", "550 5.7.1"),
    (b'From: "ann@example.org" <joe@example.org>\n', "550 5.7.1"),
    (b'From: "joe@example.org" <joe@example.org>\n', "None"),
    (b"From: joe@example.org\nSender: ann@example.org\n", "550 5.7.1"),
    (b"From: joe@example.org\nSender: joe@example.org\nSender: ann@example.org\n", "550 5.7.1"),
    (b"From: joe@example.org\nSender: unreadable\n", "550 5.7.1"),
    (b"From: <joe@example.org\n", "None"),
    (b"From: <ann@example.org\n", "550 5.7.1"),
    (b"not a field\nFrom: joe@example.org\n", "550 5.7.1"),
    (b"From: joe@example.org\nnot a field\nFrom: ann@example.org\n", "550 5.7.1"),
    (b"From: joe@example.org\nnot a field\n", "None"),
    (b"From: team@example.org\n", "550 5.7.1"),
    (b"From: joe@example.org.evil.example\n", "550 5.7.1"),
    (b"From:\n ann@example.org\n", "550 5.7.1"),
    (b"From: =?utf-8?q?ann=40example=2Eorg?= <joe@example.org>\n", "550 5.7.1"),
]


@pytest.mark.parametrize(("header", "objection"), OWN, ids=[repr(header) for header, _ in OWN])
def test_from_and_sender_belong_to_the_login(tmp_path: Path, header: bytes, objection: str) -> None:
    here = world(tmp_path)
    policy = here.policy()
    joe = here.services.accounts.account("joe@example.org")
    transaction = Transaction(ClientContext(here.client(), policy.rules, joe), policy.rules)
    transaction.header = HeaderBlock(header)
    assert short(policy.first_objection(transaction, HeaderRead())) == objection
    transaction.peer.login = None
    assert policy.first_objection(transaction, HeaderRead()) is None


@pytest.mark.parametrize(
    ("listening", "path", "resolved"),
    [
        ("192.0.2.80", "joe@[192.0.2.80]", "joe@example.org"),
        ("192.0.2.80", "PostMaster@[192.0.2.80]", "postmaster@example.org"),
        ("2001:db8::80", "joe@[IPv6:2001:db8::80]", "joe@example.org"),
        ("0.0.0.0, ::", "joe@[127.0.0.1]", "joe@example.org"),
        ("192.0.2.80", "joe@[192.0.2.81]", "remote"),
        ("0.0.0.0, ::", "joe@[192.0.2.81]", "remote"),
        ("0.0.0.0", "joe@[0.0.0.0]", "remote"),
    ],
)
def test_users_and_the_postmaster_are_reached_by_our_own_address(
    tmp_path: Path, listening: str, path: str, resolved: str
) -> None:
    config = CONFIG.replace("[listener smtp]\n", f"[listener smtp]\naddress = {listening}\n")
    found = resolve(world(tmp_path, config=config).policy().rules, path)
    assert (found.how if found.remote else found.address) == resolved


# Networks and patterns -------------------------------------------------------------------------------------------

V4 = st.integers(0, 2**32 - 1).map(lambda number: ipaddress.IPv4Address(number & 0xC0A800FF))
V6 = st.integers(0, 2**16 - 1).map(lambda number: ipaddress.IPv6Address((0x20010DB8 << 96) + (number << 80)))
ADDRESS = st.one_of(V4, V6)


def network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int) -> object:
    return ipaddress.ip_network(f"{address}/{length % (address.max_prefixlen + 1)}", strict=False)


@given(st.lists(st.builds(network, ADDRESS, st.integers(0, 128)), max_size=8), ADDRESS)
def test_networks_say_what_ipaddress_says(networks: Iterable[ipaddress.IPv4Network], address: object) -> None:
    plain = [each for each in networks if each.version == address.version]  # type: ignore[attr-defined]
    holding = [each for each in plain if address in each]
    found = Networks(networks).find(str(address))
    assert (found is not None) == bool(holding)
    if found is not None:
        assert found.prefixlen == max(each.prefixlen for each in holding)


@pytest.mark.parametrize(
    ("network", "ip", "inside"),
    [
        ("192.0.2.0/24", "::ffff:192.0.2.9", True),
        ("::ffff:192.0.2.0/120", "192.0.2.9", True),
        ("::ffff:192.0.2.0/120", "192.0.3.9", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("192.0.2.0/24", "local", False),
        ("192.0.2.0/24", "", False),
        ("0.0.0.0/0", "2001:db8::1", False),
    ],
)
def test_networks_and_odd_addresses(network: str, ip: str, inside: bool) -> None:
    assert (Networks([ipaddress.ip_network(network)]).find(ip) is not None) == inside


@pytest.mark.parametrize(
    ("patterns", "domain", "found"),
    [
        (("example.org",), "example.org", "example.org"),
        (("example.org",), "a.example.org", ""),
        (("example.org",), "evilexample.org", ""),
        ((".example.org",), "a.b.example.org", ".example.org"),
        ((".example.org",), "example.org", ""),
        ((".example.org",), "evilexample.org", ""),
        ((".b.example.org", ".example.org"), "a.b.example.org", ".b.example.org"),
        ((".example.org", ".b.example.org"), "a.b.example.org", ".b.example.org"),
        ((".example.org", "a.example.org"), "a.example.org", "a.example.org"),
        (("*", ".example.org"), "a.example.org", ".example.org"),
        ((".b.example.org", ".example.org"), ".b.example.org", ".b.example.org"),
        (("*",), "anything.example", "*"),
        ((".",), "anything.example", "."),
        (("grüße.example",), "xn--gre-6ka8l.example", "grüße.example"),
        (("xn--gre-6ka8l.example",), "grüße.example", "xn--gre-6ka8l.example"),
        ((".grüße.example",), "a.xn--gre-6ka8l.example", ".grüße.example"),
        (("example.org",), "EXAMPLE.org.", "example.org"),
        ((), "example.org", ""),
        (("example.org",), "", ""),
    ],
)
def test_patterns(patterns: tuple[str, ...], domain: str, found: str) -> None:
    assert DomainPatterns(patterns).find(domain) == found


@pytest.mark.parametrize(
    ("pattern", "name", "holds"),
    [
        ("grüße.example", "xn--gre-6ka8l.example", True),
        (".grüße.example", "mx.xn--gre-6ka8l.example", True),
        (".grüße.example", "xn--gre-6ka8l.example", False),
        ("mx.example.org", "MX.example.org", True),
    ],
)
def test_hosts_are_known_by_the_name_that_dns_has(pattern: str, name: str, *, holds: bool) -> None:
    assert HostPatterns([pattern]).holds("192.0.2.1", name) == holds


def test_facts_are_asked_for_not_looked_up(tmp_path: Path) -> None:
    """The policy gets from its caller what only the disk knows."""
    rules = world(tmp_path).policy().rules
    assert {field.name for field in fields(rules)} >= {"sources", "accounts", "dns"}
    assert rules.sources.free_bytes() > 0
    assert rules.sources.quota_used(str(tmp_path / "nowhere"), "") == 0
