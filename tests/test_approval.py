"""Approval without sockets: the addresses that decide, and the excerpt of a message."""

import base64
import time
from pathlib import Path

import pytest

from smtpd_classic.approval import APPROVE, Decision, deciding_address
from smtpd_classic.message.excerpt import excerpt
from smtpd_classic.srs import srs_secret
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
    srs_secret(here.config.server.spool_folder)
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
