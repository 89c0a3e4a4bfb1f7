"""The result of iprev (RFC 8601 3): whether the address of the client leads to a name that leads back to it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from smtpd_classic.dns import DnsFailure, FixedResolver
from smtpd_classic.message.headers import HeaderBlock
from smtpd_classic.policy import Client, ClientContext, Transaction
from smtpd_classic.policy.content import Disposition
from smtpd_classic.policy.mail_authentication import MailAuthentication
from tests.reception.world import world

IP, IP6 = "203.0.113.5", "2001:db8::5"
SILENCE = DnsFailure("silence")
Answers = Mapping[str, Sequence[str] | Exception]


def iprev(folder: Path, name: str, ip: str, resolver: FixedResolver) -> str:
    """Return the words of the field about the address of a client with this verified name."""
    here = world(folder, resolver=resolver)
    rules = here.policy().rules
    peer = ClientContext(Client(ip, 4711, name, here.listener("smtp")), rules)
    check = MailAuthentication(Transaction(peer, rules, "ann@elsewhere.example"))
    header = HeaderBlock(b"From: ann@elsewhere.example\n")
    check.header(header)
    disposition = Disposition(header, 100, lambda: iter([b"x\n"]))
    check.end(disposition)
    field = check.fields(disposition).decode().replace("\n\t", " ").partition("\n")[0]
    return field.partition(" iprev=")[2]


@pytest.mark.parametrize(
    ("pointers", "addresses", "word"),
    [
        ({IP: ["mx.example"]}, {"mx.example": [IP]}, "pass"),
        ({IP: ["other.example", "mx.example"]}, {"mx.example": ["192.0.2.1", IP]}, "pass"),
        ({IP: ["slow.example", "mx.example"]}, {"slow.example": SILENCE, "mx.example": [IP]}, "pass"),
        ({IP: ["mx.example"]}, {"mx.example": ["192.0.2.1"]}, "fail"),
        ({IP: ["mx.example"]}, {"mx.example": ["2001:db8::5"]}, "fail"),
        ({IP: ["gone.example"]}, {}, "fail"),
        ({IP: [f"h{number}.example" for number in range(20)]}, {"h9.example": [IP]}, "pass"),
        ({IP: [f"h{number}.example" for number in range(20)]}, {"h10.example": [IP]}, "fail"),
        ({}, {}, "permerror"),
        ({IP: []}, {}, "permerror"),
        ({IP: SILENCE}, {}, "temperror"),
        ({IP: ["mx.example"]}, {"mx.example": SILENCE}, "temperror"),
        ({IP: ["mx.example", "slow.example"]}, {"mx.example": ["192.0.2.1"], "slow.example": SILENCE}, "temperror"),
    ],
)
def test_each_word_of_iprev(tmp_path: Path, pointers: Answers, addresses: Answers, word: str) -> None:
    resolver = FixedResolver(addresses=addresses, pointers=pointers)
    assert iprev(tmp_path, "unknown", IP, resolver) == f"{word} policy.iprev={IP}"


def test_an_ipv6_address_leads_back_in_any_spelling(tmp_path: Path) -> None:
    resolver = FixedResolver(addresses={"mx.example": ["2001:0db8:0::0:5"]}, pointers={IP6: ["mx.example"]})
    assert iprev(tmp_path, "unknown", IP6, resolver) == f'pass policy.iprev="{IP6}"'


def test_a_name_that_the_server_has_verified_is_not_asked_for_again(tmp_path: Path) -> None:
    assert iprev(tmp_path, "mx.example", IP, FixedResolver()) == f"pass policy.iprev={IP}"
