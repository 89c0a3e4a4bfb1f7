"""Approval without sockets: the addresses that decide, and the excerpt of a message."""

import base64
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd_classic.approval import APPROVE, Decision, deciding_address
from smtpd_classic.message.encoded_words import decoded
from smtpd_classic.message.excerpt import excerpt
from tests.reception.world import PASSWORD, USERS, world

SECTION = "[approval sales]\nsenders = joe@example.org\nmanagers = ann@example.org\nby_mail = yes\n"


def test_an_address_that_decides_is_unknown_before_there_is_a_secret(tmp_path: Path) -> None:
    talk = world(tmp_path, SECTION).talk()
    talk()
    talk.line("EHLO client.example")
    talk.line("MAIL FROM:<x@elsewhere.example>")
    assert talk.line("RCPT TO:<approve+4A-00@example.org>").startswith("550 5.1.1")


def test_an_excerpt_of_tags_that_never_end_costs_little() -> None:
    began = time.process_time()
    for piece in ("<", "<style>", "<script", "<style><"):
        excerpt(f"Content-Type: text/html\n\nText.{piece * (60_000 // len(piece))}".encode())
    assert time.process_time() - began < 1
    text = b"Content-Type: text/html\n\n<STYLE>p {}</style><p class='x'>Words</p> and <b>more"
    assert excerpt(text) == "Words and more"


@pytest.mark.parametrize(
    ("managers", "reply"),
    [("ann@example.org", "550 5.7.1"), ("clerk+boss@example.net", "250"), ("joe@example.org", "550 5.7.1")],
)
def test_only_the_account_of_a_manager_decides_after_a_login(tmp_path: Path, managers: str, reply: str) -> None:
    """The clerk may send as Ann, and is no manager for that."""
    users = USERS.replace("office@partner.example", "ann@example.org")
    here = world(tmp_path, SECTION.replace("ann@example.org", managers), users=users)
    address = deciding_address(here.config, Decision(APPROVE, "66166EC895EEB62D5636"))
    talk = here.talk(listener="submission", tls=True)
    talk()
    talk.line("EHLO client.example")
    login = base64.b64encode(f"\0clerk@example.org\0{PASSWORD}".encode()).decode()
    assert talk.line(f"AUTH PLAIN {login}").startswith("235")
    for line in ("MAIL FROM:<ann@example.org>", f"RCPT TO:<{address}>"):
        assert talk.line(line).startswith("250")
    talk.line("DATA")
    assert talk(b"From: ann@example.org\r\n\r\nYes.\r\n.\r\n").decode().startswith(reply)


_PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\n",
        b"Content-Type: multipart/mixed; boundary*0*=utf-16''%00; boundary*1=\n",
        b"Content-Type: text/plain; charset=punycode\n",
        b"Content-Type: text/plain; charset*=x\0'y'%FF%00\n",
        b'Content-Type: text/html; charset="utf-16\n',
        b"Content-Type: message/rfc822\n",
        b"Content-Type: message/delivery-status\n",
        b"Content-Transfer-Encoding: x-uuencode\n",
        b"Content-Transfer-Encoding: base64\n",
        b"Content-Disposition: attachment; filename*0*=hex''%zz; filename*=''\n",
        b"Content-Disposition\xff: \xe9\n",
        b"begin 644 x\n#86)C\n`\nend\n",
        b"--b\n",
        b"--b--\n",
        b"\n",
        b"From \0: x\n",
        b"Words.\n",
    ]
)


@given(st.lists(_PIECES | st.binary(max_size=40), max_size=30))
def test_an_excerpt_of_any_content_is_a_short_text(pieces: list[bytes]) -> None:
    assert len(excerpt(b"".join(pieces), 64).encode()) <= 64


@pytest.mark.parametrize(
    ("header", "body", "shown"),
    [
        ("Content-Type: text/plain; charset=klingon", "Grüße", "Grüße"),
        ("Content-Type: text/plain; charset=hex", "Words", "Words"),
        ("Content-Type: text/plain; charset*=x%00y''utf", "Words", "Words"),
        ("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64", "R3LDvMOfZQ==", "Grüße"),
    ],
)
def test_an_excerpt_shows_the_text_of_a_part_that_names_itself_wrongly(header: str, body: str, shown: str) -> None:
    assert excerpt(f"{header}\n\n{body}".encode()) == shown


def test_an_excerpt_shows_the_body_of_a_message_that_is_not_mime() -> None:
    """So many parts in one another are more than Python's reader can follow."""
    nested = "".join(f"Content-Type: multipart/mixed; boundary={each}\n\n--{each}\n" for each in range(1100))
    assert excerpt(f"{nested}\nWords".encode()).startswith("--0\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=?utf-8?q?Gr=C3?= =?UTF-8?Q?=BC=C3=9Fe?=", "Grüße"),
        ("=?utf-8?b?R3LD?=\n =?utf-8?b?vMOfZQ==?=", "Grüße"),
        ("=?utf-8?q?=C3?= =?iso-8859-1?q?=FC?=", "\ufffdü"),
        ("a =?utf-8?q?b?= c =?utf-8?b?Z?= d", "a b c =?utf-8?b?Z?= d"),
        ("=?utf-8?q?a?= =?klingon?q?b?= =?utf-8?q?c?=", "a=?klingon?q?b?=c"),
        ("=?iso-2022-jp?b?GyRCJCIbKEI=?= =?iso-2022-jp?b?GyRCJCQbKEI=?=", "あい"),
        ("=?unicode_escape?q?=5Cx41?=", "=?unicode_escape?q?=5Cx41?="),
    ],
)
def test_a_letter_that_is_cut_between_two_encoded_words_is_joined(text: str, shown: str) -> None:
    assert decoded(text) == shown


@pytest.mark.parametrize(
    ("senders", "sender"),
    [
        ("joe@example.net", "joe@example.net"),
        ("joe@example.net", "joe@example.org"),
        ("*@example.net", "joe@example.org"),
        ("example.net", "joe@example.net"),
        ("JOE@Example.ORG", "joe@example.net"),
    ],
)
def test_a_sender_is_known_under_each_name_of_its_domain(tmp_path: Path, senders: str, sender: str) -> None:
    here = world(tmp_path, SECTION.replace("joe@example.org", senders))
    talk = here.talk(listener="submission", local=True)
    talk()
    talk.line("EHLO client.example")
    for line in (f"MAIL FROM:<{sender}>", "RCPT TO:<x@elsewhere.example>"):
        assert talk.line(line).startswith("250")
    talk.line("DATA")
    assert talk(f"From: {sender}\r\n\r\nText.\r\n.\r\n".encode()).startswith(b"250")
    state = here.services.spool.read(here.queue()[0])[1]
    assert state.hold_reason == "waiting for approval"
