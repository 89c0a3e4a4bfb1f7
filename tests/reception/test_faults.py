"""Full disks, broken folders, no more files: the right 4xx, one line in the log, and the service goes on."""

import gc
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.reception.test_content import begun, sent
from tests.reception.world import World, unchecked_world

BIG = b"Subject: x\n\n" + b"0123456789\n" * 50_000


@contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    """A limit of this very process, for a moment."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def told(here: World, text: str) -> int:
    return sum(text in line for line in here.log())


@pytest.mark.parametrize("recipient", ["joe@example.org", "friend@elsewhere.example"])
def test_a_full_disk_is_452_and_nothing_is_left(tmp_path: Path, recipient: str) -> None:
    here = unchecked_world(tmp_path, "[trusted]\nhosts = 203.0.113.5\n")
    with limited(resource.RLIMIT_FSIZE, 200_000):
        assert sent(here, BIG, recipient).startswith("452 4.3.1 ")
    assert told(here, "the message was not taken") == 1
    assert not here.leftovers()
    assert sent(here, BIG, recipient).startswith("250")


def test_a_disk_that_is_full_for_the_message_keeps_no_copy_of_a_group(tmp_path: Path) -> None:
    """The copy for the group fits, and the message with its many recipients does not."""
    group = "[group staff@example.org]\nmembers = ann@example.org\nowner = joe@example.org\n"
    here = unchecked_world(tmp_path, f"[trusted]\nhosts = 203.0.113.5\n{group}")
    everyone = ["staff@example.org", *(f"friend{number}@elsewhere.example" for number in range(90))]
    with limited(resource.RLIMIT_FSIZE, len(BIG) + 3000):
        assert sent(here, BIG, *everyone).startswith("452 4.3.1 ")
    assert here.queue() == here.leftovers() == []
    assert sent(here, BIG, *everyone).startswith("250")
    assert len(here.queue()) == 2


@pytest.mark.parametrize("recipient", ["joe@example.org", "friend@elsewhere.example"])
def test_a_disk_that_was_full_for_many_messages_keeps_nobody_waiting(tmp_path: Path, recipient: str) -> None:
    here = unchecked_world(tmp_path, "[trusted]\nhosts = 203.0.113.5\n")
    with limited(resource.RLIMIT_FSIZE, 0):
        assert all(sent(here, b"\nsmall\n", recipient).startswith("452 ") for _ in range(100))
    assert not here.leftovers()
    assert sent(here, b"\nsmall\n", recipient).startswith("250")


@pytest.mark.parametrize("recipient", ["joe@example.org", "friend@elsewhere.example"])
def test_no_more_files_is_451_and_nothing_is_left(tmp_path: Path, recipient: str) -> None:
    here = unchecked_world(tmp_path, "[trusted]\nhosts = 203.0.113.5\n")
    assert sent(here, b"\nfirst\n", recipient).startswith("250")
    gc.collect()  # what tests before this one have left is not to be closed in the middle of it
    open_files = len(os.listdir("/proc/self/fd"))
    held = [os.dup(0) for _ in range(3)]  # the numbers below the limit are taken
    with limited(resource.RLIMIT_NOFILE, max(held) + 1):
        while True:
            try:
                held.append(os.dup(0))
            except OSError:
                break
        reply = sent(here, b"\nsecond\n", recipient)
    for descriptor in held:
        os.close(descriptor)
    assert reply.startswith("451 4.3.0 ")
    assert told(here, "the message was not taken") == 1
    assert sent(here, b"\nthird\n", recipient).startswith("250")
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_a_spool_that_is_gone_is_451_and_the_service_goes_on(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path, "[basic]\nmin_free_space = 0\n")
    shutil.move(tmp_path / "spool" / "new", tmp_path / "away")
    assert sent(here, b"\nx\n", "mix@example.org").startswith("451 4.3.0 ")
    assert sent(here, b"\nx\n", "joe@example.org").startswith("250")
    shutil.move(tmp_path / "away", tmp_path / "spool" / "new")
    assert sent(here, b"\nx\n", "mix@example.org").startswith("250")


def test_a_spool_that_cannot_be_looked_at_is_451_at_mail(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    shutil.move(tmp_path / "spool" / "new", tmp_path / "away")
    talk = here.talk()
    talk()
    talk.line("EHLO client.example")
    assert talk.line("MAIL FROM:<x@elsewhere.example>").startswith("451 4.3.0 ")
    assert told(here, "min_free_space cannot decide") == 1
    shutil.move(tmp_path / "away", tmp_path / "spool" / "new")
    assert talk.line("MAIL FROM:<x@elsewhere.example>").startswith("250")


def broken(here: World, name: str) -> None:
    """A Maildir that no message gets into: a file is where a folder should be."""
    folder = here.folder / "mail" / "example.org" / name
    folder.mkdir(parents=True)
    (folder / "new").write_text("in the way")


def test_who_has_no_mailbox_just_now_is_queued_for(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    broken(here, "ann")
    content = b"Subject: x\n\nbody\n"
    assert sent(here, content, "joe@example.org", "ann@example.org").startswith("250")
    assert len(here.mailbox("joe@example.org")) == 1
    [queue_id] = here.queue()
    entry = here.services.spool.read(queue_id)[0]
    assert [each.address for each in entry.envelope.recipients] == ["ann@example.org"]
    stored = here.services.spool.open_content(queue_id).read()
    assert stored.startswith(b"Received: ")
    assert stored.endswith(content)
    assert told(here, f"{queue_id}: to=<joe@example.org>, relay=local") == 1
    assert told(here, f"{queue_id}: removed") == 0
    assert told(here, "queued for") == 1
    assert not here.leftovers()


def test_a_single_recipient_without_mailbox_is_queued_for(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    broken(here, "ann")
    assert sent(here, BIG, "ann@example.org").startswith("250")
    [queue_id] = here.queue()
    stored = here.services.spool.open_content(queue_id).read()
    assert stored.startswith(b"Received: ")
    assert stored.endswith(BIG)


@pytest.mark.parametrize("recipients", [["ann@example.org"], ["joe@example.org", "ann@example.org"]])
def test_neither_mailbox_nor_queue_is_a_refusal_that_leaves_no_copy(tmp_path: Path, recipients: list[str]) -> None:
    """A client's next try must not multiply what the others have got."""
    here = unchecked_world(tmp_path, "[basic]\nmin_free_space = 0\n")
    broken(here, "ann")
    shutil.rmtree(tmp_path / "spool" / "new")
    assert sent(here, b"\nx\n", *recipients).startswith("45")
    assert not here.mailbox("joe@example.org")
    assert not list((tmp_path / "mail" / ".incoming").iterdir())


def test_a_connection_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    for recipient in ("joe@example.org", "mix@example.org"):
        talk = begun(here, recipient)
        talk(b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 20_000)
        assert here.leftovers()
        talk.end("lost connection")
        assert not here.leftovers()
    assert told(here, "lost connection after DATA from client.example[203.0.113.5]") == 2
    assert not here.queue()


def test_a_log_that_cannot_be_written_does_not_stop_mail(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    here = unchecked_world(tmp_path)
    assert sent(here, b"\nx\n", "joe@example.org").startswith("250")


def test_a_users_file_that_breaks_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    (tmp_path / "users").write_text("nonsense\n")
    assert sent(here, b"\nx\n", "joe@example.org").startswith("250")


def test_free_space_is_asked_once_a_second(tmp_path: Path) -> None:
    here = unchecked_world(tmp_path)
    free = here.services.sources.free_bytes
    before = free()
    shutil.move(tmp_path / "spool" / "new", tmp_path / "away")
    assert free() == before
    here.clock.now += 1.5
    with pytest.raises(Exception, match="spool folder"):
        free()
