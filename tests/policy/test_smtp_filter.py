"""The SMTP Filter without sockets: for each check, the clients and answers that it leaves alone."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from smtpd_classic.dns import DnsFailure, FixedResolver
from smtpd_classic.reception import Reception
from tests.reception.world import CONFIG, RESOLVER, World, world

IP = "203.0.113.5"
FAILS = DnsFailure("SERVFAIL")
TRUSTED = "192.0.2.7"
LISTED: dict[str, list[str] | Exception] = {
    "2.0.0.127.list.example": ["127.0.0.2"],
    "5.113.0.203.list.example": ["127.0.0.4"],
    "7.2.0.192.list.example": ["127.0.0.4"],
}
LISTS = ("2.0.0.127", "5.113.0.203")
ALIASES = "postmaster: joe@example.org\nabuse: joe@example.org\nPostmaster@second.example: joe@example.org\n"
LOCAL = ("joe@example.org", "postmaster@example.org", "abuse@example.org", "Postmaster@second.example", "Postmaster")


def filtered(folder: Path, options: str, resolver: FixedResolver = RESOLVER, more: str = "") -> World:
    """A server with the options in place of those of the section."""
    text = CONFIG.replace("[filter]\nsender_domain = no\n", f"[filter]\n{options}\n[trusted]\nhosts = {TRUSTED}\n")
    return world(folder, more, config=text, resolver=resolver, aliases=ALIASES)


def reply(
    here: World,
    recipient: str = "joe@example.org",
    *,
    sender: str = "x@elsewhere.example",
    hello: str = "client.example",
    ip: str = IP,
    name: str = "unknown",
    parameters: str = "",
) -> str:
    """The reply to RCPT of a client without a confirmed host name."""
    talk = here.talk(ip)
    talk.reception = Reception(talk.session, here.client(ip)._replace(name=name), here.services)
    talk()
    talk.line(f"EHLO {hello}")
    assert talk.line(f"MAIL FROM:<{sender}>{parameters}").startswith("250"), "all objections are made at RCPT"
    answer = talk.line(f"RCPT TO:<{recipient}>")
    talk.end()
    return answer


OBJECTIONS: Mapping[str, tuple[str, str]] = {
    "sender_domain": ("sender_domain = refuse\nown_hello = no", "550 5.1.8"),
    "reverse_name": ("sender_domain = no\nown_hello = no\nreverse_name = refuse", "550 5.7.25"),
    "own_hello": ("sender_domain = no", "550 5.7.1"),
    "refuse_senders": ("sender_domain = no\nrefuse_senders = nowhere.example", "550 5.7.1"),
    "refuse_hellos": ("sender_domain = no\nown_hello = no\nrefuse_hellos = [192.0.2.99]", "550 5.7.1"),
    "blocklists": ("sender_domain = no\nown_hello = no\nblocklists = list.example", "550 5.7.1"),
    "greylist": ("sender_domain = no\nown_hello = no\ngreylist = suspicious", "451 4.7.1"),
}
OWN_ADDRESS = "[listener other]\nport = 2525\naddress = 192.0.2.99\n"


@pytest.mark.parametrize("name", OBJECTIONS)
def test_an_objection_is_for_strangers_and_leaves_the_postmaster_reachable(tmp_path: Path, name: str) -> None:
    options, expected = OBJECTIONS[name]
    here = filtered(tmp_path, options, FixedResolver(addresses=LISTED), OWN_ADDRESS)
    asked = {"sender": "x@nowhere.example", "hello": "[192.0.2.99]"}
    answers = {recipient: reply(here, recipient, **asked).startswith(f"{expected} ") for recipient in LOCAL}
    assert answers == {recipient: recipient.startswith("joe@") for recipient in LOCAL}
    assert reply(here, "abuse@example.org", **asked).startswith("250")
    assert reply(here, ip=TRUSTED, **asked).startswith("250")


@pytest.mark.parametrize("domain", ["bücher.example", "BÜCHER.example", "xn--bcher-kva.example"])
def test_a_pattern_matches_a_domain_in_both_spellings(tmp_path: Path, domain: str) -> None:
    off = "sender_domain = no\nown_hello = no\n"
    here = filtered(
        tmp_path, f"{off}refuse_senders = x@xn--bcher-kva.example\nrefuse_hellos = .xn--bcher-kva.example\n"
    )
    assert reply(here, sender=f"x@{domain}", parameters=" SMTPUTF8").startswith("550 5.7.1")
    assert reply(here, sender=f"y@{domain}", parameters=" SMTPUTF8").startswith("250")
    assert reply(here, hello=f"mx.{domain}").startswith("550 5.7.1")


@pytest.mark.parametrize("name", ["sender_domain", "refuse_senders"])
def test_the_null_sender_is_always_taken(tmp_path: Path, name: str) -> None:
    here = filtered(tmp_path, OBJECTIONS[name][0], FixedResolver(addresses=LISTED))
    assert reply(here, sender="").startswith("250")


@pytest.mark.parametrize("option", ["sender_domain = refuse", "reverse_name = refuse", "greylist = suspicious"])
def test_a_look_up_that_fails_is_never_a_reason(tmp_path: Path, option: str) -> None:
    failing = FixedResolver(
        mx={"elsewhere.example": FAILS}, addresses={"elsewhere.example": FAILS}, pointers={IP: FAILS}
    )
    more = "" if option.startswith("sender_domain") else "sender_domain = no\n"
    assert reply(filtered(tmp_path, more + option, failing)).startswith("250")


def test_a_server_that_greets_with_our_address_or_name_is_refused(tmp_path: Path) -> None:
    here = filtered(tmp_path, "sender_domain = no", more=f"{OWN_ADDRESS}[basic]\nhelo_name = mx.example.org\n")
    for hello, refused in {"[192.0.2.99]": 1, "MX.example.org": 1, "[192.0.2.98]": 0, "example.org": 0}.items():
        assert reply(here, hello=hello).startswith("550 5.7.1" if refused else "250"), hello
    assert reply(here, hello="mx.example.org", ip="192.0.2.99").startswith("250")


@pytest.mark.parametrize(
    ("hello", "refused"),
    [
        ("[IPv6:2001:db8::99]", True),
        ("[ipv6:2001:DB8:0:0::99]", True),
        ("[IPv6:2001:db8::98]", False),
        ("mx.bücher.example", True),
        ("MX.xn--bcher-kva.example.", True),
        ("mx.xn--bche-kva.example", False),
    ],
)
def test_our_address_and_name_are_known_in_every_spelling(tmp_path: Path, hello: str, refused: bool) -> None:
    more = "[listener other]\nport = 2525\naddress = 2001:db8::99\n[basic]\nhelo_name = mx.bücher.example\n"
    here = filtered(tmp_path, "sender_domain = no", more=more)
    assert reply(here, hello=hello).startswith("550 5.7.1" if refused else "250")


def test_our_name_is_no_fault_of_a_client_that_spf_authorises_or_where_it_is_a_mail_domain(tmp_path: Path) -> None:
    """A web server at a hoster greets with the name of the company."""
    spf = FixedResolver(txt={"elsewhere.example": [f"v=spf1 ip4:{IP} -all".encode()]})
    here = filtered(tmp_path, "sender_domain = no", spf, "[basic]\nhelo_name = mx.example.org\n")
    assert reply(here, hello="mx.example.org").startswith("250")
    (tmp_path / "second").mkdir()
    here = filtered(tmp_path / "second", "sender_domain = no", more="[basic]\nhelo_name = example.org\n")
    assert reply(here, hello="example.org").startswith("250")


def test_own_hello_can_be_turned_off(tmp_path: Path) -> None:
    more = "[basic]\nhelo_name = mx.example.org\n"
    assert (
        reply(filtered(tmp_path, "sender_domain = no\nown_hello = no", more=more), hello="mx.example.org")[:3] == "250"
    )


def test_a_client_with_a_name_or_an_spf_pass_is_not_suspicious(tmp_path: Path) -> None:
    spf = FixedResolver(txt={"good.example": [f"v=spf1 ip4:{IP} -all".encode()]})
    here = filtered(tmp_path, "sender_domain = no\ngreylist = suspicious", spf)
    assert reply(here, name="mx.good.example").startswith("250")
    assert reply(here, sender="x@good.example").startswith("250")
    assert reply(here, sender="x@bad.example").startswith("451 4.7.1")


def test_an_allowlist_is_asked_before_the_blocklists(tmp_path: Path) -> None:
    asked: list[str] = []

    class Noting(FixedResolver):
        def address_records(self, host: str, version: int, *, timeout_s: float = 10.0) -> tuple[str, ...]:
            if ".127." not in host:
                asked.append(host)
            return super().address_records(host, version, timeout_s=timeout_s)

    good: dict[str, list[str] | Exception] = {
        "2.0.0.127.good.example": ["127.0.0.2"],
        "5.113.0.203.good.example": ["127.0.5.1"],
    }
    options = "sender_domain = no\nblocklists = list.example\nallowlists = good.example=127.0.5.1-3\n"
    here = filtered(tmp_path, f"{options}greylist = suspicious\nreverse_name = refuse", Noting(addresses=LISTED | good))
    assert reply(here).startswith("250")
    assert set(asked) == {"5.113.0.203.good.example"}


@pytest.mark.parametrize("action", ["mark", "refuse"])
def test_a_list_outside_ascii_has_a_field_and_a_reply_in_ascii(tmp_path: Path, action: str) -> None:
    """The room for the field is kept in a large message before it is known whether the list has the client."""
    zone = "bücher.example"
    listed = {f"{address}.{name}": ["127.0.0.2"] for name in (zone, "xn--bcher-kva.example") for address in LISTS}
    options = f"sender_domain = no\nblocklists = {zone}\nblocklist_action = {action}"
    here = filtered(tmp_path, options, FixedResolver(addresses=dict(listed)))
    talk = here.talk(IP)
    talk()
    talk.line("EHLO client.example")
    talk.line("MAIL FROM:<x@elsewhere.example>")
    answer = talk.line("RCPT TO:<joe@example.org>")
    if action == "refuse":
        assert answer.startswith("550 5.7.1 203.0.113.5 is listed in b")
        assert answer.isascii()
        return
    talk.line("DATA")
    assert talk(b"From: x@elsewhere.example\r\nX-Kept: 1\r\n\r\n" + b"y" * 70_000 + b"\r\n.\r\n").startswith(b"250")
    [message] = here.mailbox("joe@example.org")
    assert b"X-Blocklist: xn--bcher-kva.example (127.0.0.2)\n" in message
    assert b"\nReceived: from client.example" in message


def test_a_rule_that_accepts_by_the_envelope_cancels_the_greylist(tmp_path: Path) -> None:
    rule = "[filter-rule good]\nfield = sender\ntext = @elsewhere.example\naction = accept\n"
    here = filtered(tmp_path, "sender_domain = no\ngreylist = suspicious", more=rule)
    assert reply(here).startswith("250")
    assert reply(here, sender="x@bad.example").startswith("451 4.7.1")
