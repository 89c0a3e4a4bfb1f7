"""A primary domain outside ASCII: other servers see its A-labels only (RFC 6531 3.7.1); both forms are known here."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.once import quick_hash
from tests.reception.world import CONFIG, World, world

IDN, A_LABELS = "bücher.example", "xn--bcher-kva.example"


def books(folder: Path, extra: str = "") -> World:
    config = CONFIG.replace("primary_domain = example.org", f"primary_domain = {IDN}")
    users = f"joe@{IDN}:{quick_hash('secret word')}::::::\n"
    return world(folder, f"{extra}[authentication]\ncheck = no\n", users=users, aliases="", config=config)


def test_greeting_and_hello_have_a_labels(tmp_path: Path) -> None:
    talk = books(tmp_path).talk()
    assert talk() == f"220 {A_LABELS} ESMTP\r\n".encode()
    assert talk.line("EHLO client.example").startswith(f"250-{A_LABELS}\r\n")


def test_what_the_server_adds_to_a_message_is_ascii(tmp_path: Path) -> None:
    here = books(tmp_path)
    talk = here.talk(local=True)
    talk()
    for line in ("EHLO localhost", "MAIL FROM:<root>", "RCPT TO:<joe>"):
        assert talk.line(line).startswith("250"), line
    talk.line("DATA")
    assert talk.line("From: root\r\nSender: daemon\r\n\r\nHello.\r\n.").startswith("250")
    (text,) = here.mailbox(f"joe@{IDN}")
    assert text.isascii()
    assert f"Return-Path: <root@{A_LABELS}>\n".encode() in text
    assert f"From: root@{A_LABELS}\nSender: daemon@{A_LABELS}\n".encode() in text


def test_the_postmaster_writes_with_a_labels(tmp_path: Path) -> None:
    assert books(tmp_path).config.postmaster == f"postmaster@{A_LABELS}"
    (tmp_path / "second").mkdir()
    named = books(tmp_path / "second", f"[basic]\npostmaster = joe@{IDN}\nhelo_name = mx.{IDN}\n").config
    assert (named.postmaster, named.helo_name) == (f"joe@{A_LABELS}", f"mx.{A_LABELS}")


@pytest.mark.parametrize("domain", [IDN, A_LABELS])
def test_a_bounce_to_a_rewritten_sender_comes_back(tmp_path: Path, domain: str) -> None:
    here = books(tmp_path)
    today = datetime.fromtimestamp(here.clock.now, UTC).date()
    srs = here.services.srs()
    sent = srs.forward("someone@elsewhere.example", today)
    assert sent.endswith(f"@{A_LABELS}")
    assert srs.forward(f"joe@{domain}", today) == f"joe@{domain}"
    talk = here.talk()
    talk()
    talk.line("EHLO client.example")
    talk.line("MAIL FROM:<> SMTPUTF8")
    assert talk.line(f"RCPT TO:<{sent.rpartition('@')[0]}@{domain}>").startswith("250 2.1.5")
