"""Junk and reports that are old are removed, and nothing else."""

import os
from pathlib import Path

import pytest

from smtpd_classic.mailstore.expiry import ExpiringFolder, MailExpiry
from smtpd_classic.mailstore.folders import make_maildir
from smtpd_classic.mailstore.quota import QuotaCache
from smtpd_classic.mailstore.store import MailStore

DAY = 86_400.0
MESSAGE = b"Return-Path: <a@example.org>\nEnvelope-To: <u@example.net>\nSubject: x\n\n"


class Mailbox:
    """A Maildir with junk that the server has delivered, and an expiry on a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mail" / "u"
        store = MailStore(str(folder / "mail"), "mx")
        make_maildir(str(self.folder))
        with store.incoming() as message:
            message.write(MESSAGE)
            message.deliver([f"{self.folder}/.Junk"], is_junk=True)
        (self.junk,) = (self.folder / ".Junk" / "new").iterdir()
        self.said: list[str] = []
        self.now = self.junk.stat().st_mtime
        names = (f"{self.folder}/.Junk", f"{folder}/nobody/.Junk")
        folders = [ExpiringFolder(name, 30 * DAY, "junk folders") for name in names]
        self.expiry = MailExpiry(lambda: folders, 60.0, lambda: self.now, self.said.append)


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path)


def test_junk_is_removed_after_its_time_wherever_it_was_read(mailbox: Mailbox) -> None:
    read = mailbox.folder / ".Junk" / "cur" / f"{mailbox.junk.name}:2,S"
    read.write_bytes(MESSAGE)
    read.chmod(0o640)
    (mailbox.folder / "new" / "kept").write_bytes(MESSAGE)
    mailbox.now += 30 * DAY - 1
    assert mailbox.expiry.step() == 0
    mailbox.now += 60
    assert mailbox.expiry.step() == 2
    assert not mailbox.junk.exists()
    assert not read.exists()
    assert (mailbox.folder / "new" / "kept").exists()
    assert mailbox.said == ["removed 2 messages from the junk folders: their time is over"]


def test_a_message_that_a_user_moved_there_counts_from_that_moment(mailbox: Mailbox) -> None:
    moved = mailbox.folder / ".Junk" / "cur" / "1.M1P1.mx:2,S"
    moved.write_bytes(MESSAGE)
    os.utime(moved, (1, 1))
    os.utime(mailbox.junk, (1, 1))
    assert mailbox.expiry.step() == 1
    assert moved.exists()
    assert not mailbox.junk.exists()


def test_a_folder_that_cannot_be_read_is_told_and_the_others_go_on(mailbox: Mailbox) -> None:
    (mailbox.folder / ".Junk" / "new").rename(mailbox.folder / ".Junk" / "away")
    (mailbox.folder / ".Junk" / "new").write_text("no folder")
    (mailbox.folder / ".Junk" / "cur" / "old").write_bytes(MESSAGE)
    mailbox.now += 31 * DAY
    assert mailbox.expiry.step() == 1
    assert "cannot be removed: Not a directory" in mailbox.said[0]


def test_junk_does_not_count_for_the_quota(mailbox: Mailbox) -> None:
    (mailbox.folder / "new" / "1.M1P1Q1.mx,S=1000").write_bytes(b"")
    assert QuotaCache().used(str(mailbox.folder)) == 1000 + len(MESSAGE)
    assert QuotaCache().used(str(mailbox.folder), f"{mailbox.folder}/.Junk") == 1000
