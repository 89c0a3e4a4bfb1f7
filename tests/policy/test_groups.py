"""The authors who may write to a group, whichever spelling of their address the configuration has."""

import base64
from pathlib import Path

import pytest

from smtpd_classic.dns import FixedResolver
from tests.reception.world import PASSWORD, world

GROUP = "[group staff@example.org]\nmembers = {members}\nowner = ann@example.org\npost = {post}\n"
RECORDS: dict[str, list[bytes]] = {
    "partner.example": [b"v=spf1 ip4:203.0.113.5 -all"],
    "_dmarc.partner.example": [b"v=DMARC1; p=reject"],
    "xn--bcher-kva.example": [b"v=spf1 ip4:203.0.113.5 -all"],
    "_dmarc.xn--bcher-kva.example": [b"v=DMARC1; p=reject"],
}


@pytest.mark.parametrize(
    ("post", "reply"),
    [
        ("joe@example.net", "250"),
        ("*@example.net", "250"),
        ("example.net", "250"),
        ("j*@example.net", "250"),
        ("ann@example.net, *@second.example", "550 5.7.1"),
        (".example.net", "550 5.7.1"),
    ],
)
def test_a_user_is_known_under_each_name_of_its_domain(tmp_path: Path, post: str, reply: str) -> None:
    here = world(tmp_path, GROUP.format(members="ann@example.org", post=post))
    talk = here.talk(listener="submission", tls=True)
    talk()
    talk.line("EHLO client.example")
    login = base64.b64encode(f"\0joe@example.org\0{PASSWORD}".encode()).decode()
    assert talk.line(f"AUTH PLAIN {login}").startswith("235")
    talk.line("MAIL FROM:<joe@example.org>")
    assert talk.line("RCPT TO:<staff@example.org>").startswith(reply)


@pytest.mark.parametrize(
    ("member", "author"),
    [
        ("Eve@partner.example", "eve@Partner.example"),
        ("eve@bücher.example", "eve@xn--bcher-kva.example"),
        ("eve@xn--bcher-kva.example", "eve@xn--bcher-kva.example"),
        ("bob@partner.example", ""),
    ],
)
def test_a_member_elsewhere_is_known_in_each_spelling(tmp_path: Path, member: str, author: str) -> None:
    resolver = FixedResolver(txt=RECORDS)
    extra = GROUP.format(members=f"ann@example.org, {member}", post="members")
    talk = world(tmp_path, extra, resolver=resolver).talk()
    talk()
    talk.line("EHLO client.example")
    sender = author or "eve@partner.example"
    for line in (f"MAIL FROM:<{sender}>", "RCPT TO:<staff@example.org>"):
        assert talk.line(line).startswith("250"), line
    talk.line("DATA")
    reply = talk(f"From: {sender}\r\nSubject: a\r\n\r\nText.\r\n.\r\n".encode()).decode()
    assert reply.startswith("250" if author else "550 5.7.1"), reply


@pytest.mark.parametrize(
    ("group", "parameter", "field"),
    [
        ("staff@bücher.example", "", b"Reply-To: <staff@xn--bcher-kva.example>\n"),
        ("grüppe@bücher.example", " SMTPUTF8", "Reply-To: <grüppe@xn--bcher-kva.example>\n".encode()),
        ("grüppe@bücher.example", "", b""),
    ],
)
def test_a_reply_to_is_ascii_in_an_ascii_message(tmp_path: Path, group: str, parameter: str, field: bytes) -> None:
    extra = f"[domain bücher.example]\n[group {group}]\nmembers = ann@example.org\nowner = ann@example.org\n"
    here = world(tmp_path, f"{extra}reply_to = group\n", aliases="staff-alias: grüppe@bücher.example\n")
    talk = here.talk(local=True)
    talk()
    talk.line("EHLO client.example")
    named = "staff@xn--bcher-kva.example" if group.startswith("staff") else "staff-alias@example.org"
    for line in (f"MAIL FROM:<joe@example.org>{parameter}", f"RCPT TO:<{named}>", "DATA"):
        assert talk.line(line)[0] in "23", line
    assert talk(b"From: joe@example.org\r\nSubject: a\r\n\r\nText.\r\n.\r\n").startswith(b"250")
    with here.services.spool.open_content(here.queue()[0]) as source:
        content = source.read()
    assert field in content
    assert (b"Reply-To" in content) == bool(field)
