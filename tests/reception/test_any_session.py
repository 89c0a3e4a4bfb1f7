"""Whatever a client sends: no exception, no leftovers, and exactly the acknowledged messages exist."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reception.world import unchecked_world

COMMANDS = st.sampled_from(
    [
        b"EHLO client.example\r\n",
        b"HELO client.example\r\n",
        b"MAIL FROM:<x@elsewhere.example>\r\n",
        b"MAIL FROM:<> SIZE=100 BODY=8BITMIME\r\n",
        b"MAIL FROM:<joe@example.org>\r\n",
        b"RCPT TO:<joe@example.org>\r\n",
        b"RCPT TO:<mix@example.org>\r\n",
        b"RCPT TO:<team@example.org> NOTIFY=SUCCESS\r\n",
        b"RCPT TO:<friend@elsewhere.example>\r\n",
        b"RCPT TO:<nobody@example.org>\r\n",
        b"RCPT TO:<postmaster>\r\n",
        b"DATA\r\n",
        b"From: joe@example.org\r\nSubject: x\r\n\r\nbody\r\n.\r\n",
        b"no header\r\n.\r\n",
        b".\r\n",
        b"BDAT 10\r\n12345678\r\n",
        b"BDAT 6 LAST\r\nlast\r\n",
        b"BDAT 0 LAST\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"VRFY joe\r\n",
        b"EXPN team\r\n",
        b"HELP\r\n",
        b"STARTTLS\r\n",
        b"AUTH PLAIN AGpvZQB0ZWEgZm9yIHR3bw==\r\n",
        b"AUTH LOGIN\r\n",
        b"am9l\r\n",
        b"*\r\n",
        b"QUIT\r\n",
    ]
)
PIECE = st.one_of(
    COMMANDS, COMMANDS, COMMANDS, st.binary(max_size=30), st.binary(max_size=20).map(lambda x: x + b"\r\n")
)


@pytest.mark.parametrize("examples", [150, pytest.param(5_000, marks=pytest.mark.torture)])
def test_what_is_acknowledged_is_there_and_nothing_else(tmp_path: Path, examples: int) -> None:
    here = unchecked_world(
        tmp_path, "[basic]\nallow_auth_without_tls = yes\nallow_vrfy_expn = yes\npostmaster = joe@example.org\n"
    )
    seen = {"queued": 0, "delivered": 0}

    @settings(max_examples=examples, deadline=None)
    @given(
        start=st.sampled_from([b"", b"EHLO x\r\n", b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<joe@example.org>\r\n"]),
        pieces=st.lists(PIECE, max_size=25),
    )
    def runs(start: bytes, pieces: list[bytes]) -> None:
        talk = here.talk()
        said = talk() + talk(start)
        for piece in pieces:
            said += talk(piece)
        talk.end("lost connection")
        assert not here.leftovers()
        accepted = said.count(b"250 2.0.0 Queued as ")
        totals = here.services.runtime.counters.totals()
        new = {"queued": len(here.queue()), "delivered": totals["delivered"]}
        received = totals["received"]
        assert received == accepted + seen.get("received", 0)
        assert (new["queued"] + new["delivered"] > seen["queued"] + seen["delivered"]) == bool(accepted)
        seen.update(new, received=received)

    runs()
    log = here.log()
    assert not [line for line in log if "deferred:" in line or "cannot decide" in line or "not taken" in line]
    assert len(here.mailbox("joe@example.org")) + len(here.mailbox("ann@example.org")) == seen["delivered"]
