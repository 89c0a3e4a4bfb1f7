"""Approval without sockets: the addresses that decide, and the excerpt of a message."""

import time
from pathlib import Path

from smtpd_classic.message.excerpt import excerpt
from tests.reception.world import world

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
