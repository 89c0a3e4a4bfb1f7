"""SCRAM over several receiving processes."""

import base64
import smtplib

from smtpd_classic.accounts.passwords import scram_hash
from tests.instance import Instance, running
from tests.waiting import until


def salt_of(server: Instance, login: str) -> str:
    """What the server asks about a name: its salt and number of rounds."""
    with smtplib.SMTP_SSL("127.0.0.1", server.ports["submissions"], timeout=20, context=server.tls()) as client:
        client.ehlo()
        first = base64.b64encode(f"n,,n={login},r=clientnonce".encode()).decode()
        code, text = client.docmd("AUTH", f"SCRAM-SHA-256 {first}")
        assert code == 334, text
        client.docmd("*")
        return base64.b64decode(text).decode().partition(",s=")[2]


def test_name_that_does_not_exist_is_asked_the_same_by_every_process() -> None:
    with running(server__workers="3") as server:
        users = server.folder / "users"
        users.write_text(f"{server.login}:{scram_hash(server.password, 4096)}\n", encoding="utf-8")
        server.reload()
        until(lambda: "reload --" in server.log(), 20, server.log)
        salts = {salt_of(server, f"nobody@{server.domain}") for _ in range(24)}
        assert len(salts) == 1
        assert salts != {salt_of(server, f"nobody-else@{server.domain}")}
