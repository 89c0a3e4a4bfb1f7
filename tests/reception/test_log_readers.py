"""The log of sessions, as the programs that administrators have read it."""

import re
import subprocess
from pathlib import Path

from tests.reception.test_content import sent
from tests.reception.world import world
from tests.tools import need


def written(folder: Path) -> Path:
    """A log with two local messages, one for the queue, two refused recipients and three failed logins."""
    here = world(folder)
    sent(here, b"Message-ID: <1@x>\n\none\n", "joe@example.org")
    sent(here, b"\ntwo\n", "joe@example.org", "ann@example.org")
    sent(here, b"\nthree\n", "mix@example.org")
    talk = here.talk(tls=True)
    talk()
    for line in ("EHLO client.example", "MAIL FROM:<x@elsewhere.example>", "RCPT TO:<friend@elsewhere.example>"):
        talk.line(line)
    talk.line("RCPT TO:<nobody@example.org>")
    talk.line("RSET")
    for _ in range(3):
        talk.line("AUTH PLAIN AGpvZQB3cm9uZw==")
    talk.end()
    return folder / "log"


def test_pflogsumm_counts_what_happened(tmp_path: Path) -> None:
    command = [need("pflogsumm"), "--syslog-name=smtpd-classic", str(written(tmp_path))]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    numbers = {name: int(count) for count, name in re.findall(r"^\s+(\d+)\s+([a-z ]+?)(?:\s+\(.*)?$", said, re.M)}
    assert (numbers["received"], numbers["delivered"], numbers["rejected"]) == (3, 3, 2)
    assert numbers["recipients"] == 2
    assert "Relay access denied (total: 1)" in said
    assert re.search(r"User unknown here \(total: 1\)\s+1\s+nobody@example.org", said)
    assert re.search(r"SASL PLAIN authentication failed", said)
    assert "joe@example.org" in said


def test_fail2ban_finds_who_guesses(tmp_path: Path) -> None:
    """With its filter for Postfix, told our name."""
    daemon = r"postfix[mode=extra,_daemon=smtpd-classic/\w+]"
    command = [need("fail2ban-regex"), "--print-all-matched", str(written(tmp_path)), daemon]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert re.search(r"^Lines: \d+ lines, \d+ ignored, 5 matched", said, re.M), said
