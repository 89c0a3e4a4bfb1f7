"""Verification of recipients at the server of a direct domain, without the server that asks."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from smtpd_classic.client.verifier import RecipientVerifier, Verification
from smtpd_classic.config import parse
from smtpd_classic.dns import FixedResolver
from smtpd_classic.smtp import events
from smtpd_classic.smtp.events import Event
from smtpd_classic.smtp.reply import Reply
from tests.client.fake_host import FakeHost, Talk, hosts

CONFIG = "[server]\nprimary_domain = us.test\n[direct away.test]\nhosts = {ip}:{port}\nverify_recipients = yes\n"


def test_a_question_that_waits_for_its_turn_has_its_whole_time(tmp_path: Path) -> None:
    """Two sessions answer slowly; the third question begins when one of them is free, and is answered too."""

    def script(event: Event, talk: Talk) -> Reply | None:
        if not isinstance(event, events.RcptTo):
            return None
        if event.forward_path.startswith("slow"):
            time.sleep(1.2)
        return Reply(550, "5.1.1", "unknown")

    said: list[str] = []
    with hosts(peer := FakeHost(script=script)):
        config = parse(CONFIG.format(ip=peer.ip, port=peer.port), tmp_path / "smtpd-classic.conf")
        [direct] = config.direct_domains
        asked = RecipientVerifier(config, direct, FixedResolver(), said.append, limit_s=2.0)
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(asked.verify, (f"slow{number}@away.test" for number in range(3))))
        for session in asked._idle:
            session.end()
    assert (set(found), said) == ({Verification.UNKNOWN}, [])
