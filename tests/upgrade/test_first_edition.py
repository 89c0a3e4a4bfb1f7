"""A folder that the first edition wrote is taken over as it is, with nothing lost.

`first_edition.tar.gz` holds the configuration with its versions, accounts, aliases, a mailbox, and a spool: messages
that are half delivered, deferred, held and new, and one in maildrop/. Version 0.1.0 wrote all of it; keep it as it is.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smtpd_classic.accounts import Accounts
from smtpd_classic.accounts.passwords import verify
from smtpd_classic.config import Config
from smtpd_classic.config.editing import Edited, restore, versions
from smtpd_classic.config.load import parse
from smtpd_classic.dns import FixedResolver
from smtpd_classic.log import Log
from smtpd_classic.mailstore.store import MailStore
from smtpd_classic.retry import RetryThread, network_for
from smtpd_classic.runtime import Runtime
from smtpd_classic.services import Services
from smtpd_classic.srs import srs_for
from smtpd_classic.submission.pickup import Pickup
from spool import Spool
from tests.client.fake_host import FakeHost
from tests.client.world import PATIENT, Clock
from tests.tools import need
from tests.waiting import until

WRITTEN = 1795926200.0  # a little later than the last file
HALF, DEFERRED, HELD, WAITING = (
    "66162A1ED705DB5EFD80",
    "66162A1EDBFC8D31AEF3",
    "66162A1EDC84846BA6BD",
    "66162A1EDE48673C3AC4",
)


class Instance:
    """The unpacked folder, with a relay of the test instead of the old one, and a clock that stands still."""

    def __init__(self, folder: Path) -> None:
        archive = Path(__file__).with_name("first_edition.tar.gz")
        subprocess.run([need("tar"), "--no-same-owner", "-xpzf", archive, "-C", folder], check=True)
        self.folder = folder
        self.file = folder / "smtpd-classic.conf"
        self.relay = FakeHost()
        text = self.file.read_text().replace("/tmp/firstinst", str(folder))
        self.file.write_text(text.replace("127.43.171.2:43705", f"{self.relay.ip}:{self.relay.port}"))
        self.config: Config = parse(self.file.read_text(), str(self.file))
        self.clock = Clock(WRITTEN)
        (folder / "log").mkdir()
        self.spool = Spool(self.config.server.spool_folder)
        self.services = Services(
            config=self.config,
            accounts=Accounts(self.config),
            dns=FixedResolver({}, {}),
            runtime=Runtime(self.config.server.run_folder),
            spool=self.spool,
            mail_store=MailStore(self.config.server.mail_folder, "example.test"),
            log=Log(self.config.server.log),
            clock=self.clock,
        )
        self.spool.make()
        self.services.runtime.make()

    def queue(self) -> list[str]:
        return [each.queue_id for each in self.spool.list()]

    def mailbox(self, domain: str, local: str) -> list[str]:
        new = self.folder / "mail" / domain / local / "new"
        return sorted(_subject(path.read_text()) for path in new.iterdir()) if new.is_dir() else []

    def log(self) -> str:
        return Path(self.config.server.log).read_text()


def _subject(message: str) -> str:
    found = re.search(r"^Subject: (.*)$", message, re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Instance]:
    instance = Instance(tmp_path)
    yield instance
    instance.relay.close()
    instance.services.log.close()
    instance.services.runtime.counters.close()


def test_its_configuration_is_accepted_and_its_versions_can_be_restored(old: Instance) -> None:
    edited = Edited(old.file)
    assert not [str(problem) for problem in edited.problems() if problem.is_error]
    assert old.config.remote.relay_always
    assert [each.name for each in old.config.domains] == ["second.test"]
    assert {each.name: each.port for each in old.config.listeners} == {
        "smtp": 21525,
        "submission": 21587,
        "submissions": 21465,
    }
    kept = versions(old.file)
    assert len(kept) == 9
    oldest = min(kept, key=lambda each: each.at)
    restore(old.file, oldest.name)
    assert "second.test" not in old.file.read_text()
    assert len(versions(old.file)) == 10


def test_its_accounts_log_in_and_its_aliases_lead_where_they_led(old: Instance) -> None:
    passwords = {
        "joe@example.test": "secret word",
        "ann@example.test": "another word",
        "o.brien@second.test": "third word",
    }
    lines = dict(line.split(":")[:2] for line in (old.folder / "users").read_text().splitlines())
    assert {name: verify(lines[name], password) for name, password in passwords.items()} == dict.fromkeys(lines, True)
    targets = {}
    for name in ("sales@example.test", "away@example.test", "postmaster@example.test"):
        found = old.services.accounts.find(name)
        assert found is not None
        targets[name] = sorted(found.targets)
    assert targets == {
        "sales@example.test": ["ann@example.test", "joe@example.test"],
        "away@example.test": ["ext@far.example"],
        "postmaster@example.test": ["joe@example.test"],
    }


def test_its_queue_is_read_with_every_attempt_and_the_hold(old: Instance) -> None:
    states = {queue_id: old.spool.read(queue_id)[1] for queue_id in old.queue()}
    assert len(states) == 6
    tried = {name: states[name] for name in (HALF, DEFERRED, HELD, WAITING)}
    assert {name: [row.state for row in state.recipients] for name, state in tried.items()} == {
        HALF: ["delivered", "waiting"],
        DEFERRED: ["waiting"],
        HELD: ["delivered", "waiting"],
        WAITING: ["waiting"],
    }
    assert [name for name, state in states.items() if state.held] == [HELD]
    assert {name: state.attempts for name, state in states.items() if state.attempts} == dict.fromkeys(tried, 1)
    assert "451 4.7.1 greylisted" in states[HALF].transcript
    assert states[HALF].next_attempt == pytest.approx(WRITTEN + 3516, abs=1)
    assert not list((old.folder / "spool/quarantine").iterdir())


def test_each_of_its_messages_arrives_once_and_the_held_one_when_it_is_released(old: Instance) -> None:
    network = replace(network_for(old.services), timeouts=PATIENT)
    thread, pickup = RetryThread(old.services, network=network), Pickup(old.services)
    thread.start()
    pickup.start()
    try:
        until(lambda: len(old.queue()) == 4 and old.mailbox("second.test", "o.brien"), explain=old.log)
        assert [_subject(each.content.decode()) for each in old.relay.got] == ["queued"]
        old.clock.now += 2 * 3600
        until(lambda: old.queue() == [HELD], explain=old.log)
        held = old.spool.claim(HELD)
        assert held is not None
        held.release()
        old.spool.release(HELD, now=old.clock.now)
        assert old.services.runtime.wake(HELD)
        until(lambda: not old.queue(), explain=old.log)
        until(lambda: "written by sendmail" in old.mailbox("example.test", "joe"), explain=old.log)
    finally:
        pickup.stop(10.0)
        assert thread.stop(10.0)
    sent = sorted((_subject(each.content.decode()), each.rcpts[0].forward_path) for each in old.relay.got)
    assert sent == [
        ("deferred", "later@far.example"),
        ("forwarded", "slow@far.example"),
        ("half delivered", "later@far.example"),
        ("held", "slow@far.example"),
        ("queued", "ok@far.example"),
    ]
    assert all(len(each.rcpts) == 1 for each in old.relay.got)
    assert old.mailbox("example.test", "joe") == ["queued", "written by sendmail"]
    assert old.mailbox("example.test", "ann") == ["in the mailbox", "queued for mailboxes"]
    assert old.mailbox("second.test", "o.brien") == ["queued for mailboxes"]
    assert not list((old.folder / "spool/maildrop").iterdir())


def test_bounces_to_its_rewritten_senders_still_find_their_way(old: Instance) -> None:
    today = datetime.fromtimestamp(WRITTEN, UTC).date()
    srs = srs_for(old.config.server.spool_folder, "example.test")
    assert srs.reverse("SRS0=USLCSC=tn=other.example=stranger@example.test", today) == "stranger@other.example"
