"""The division of a message between those who get it now and those who wait: junk, holds, approval, groups."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd_classic.counters.sender_limits import HOUR, group_of
from spool import Entry, State
from tests.reception.world import NOON, PASSWORD, World, world

JOE, ANN, FRIEND, PAL = "joe@example.org", "ann@example.org", "friend@elsewhere.example", "pal@elsewhere.example"
GROUPS = (
    f"[group staff@example.org]\nmembers = {ANN}, {FRIEND}\nowner = {JOE}\n"
    f"[group afar@example.org]\nmembers = {FRIEND}\nowner = {JOE}\n"
    f"[group here@example.org]\nmembers = {ANN}\nowner = {JOE}\n"
)
JUNK = "[filter-rule junk]\nfield = subject\nmatch = is\ntext = Junk\naction = junk\ndirection = both\n"
HOLD = "[filter-rule hold]\nfield = subject\nmatch = is\ntext = Hold\naction = hold\ndirection = both\n"
APPROVAL = f"[approval sales]\nsenders = {JOE}\nmanagers = {ANN}\n"


def send(here: World, subject: str, *recipients: str, login: str = "", sender: str = "eve@there.example") -> str:
    """Send a message. Return the reply to its content."""
    talk = here.talk(listener="submission" if login else "smtp", tls=bool(login))
    talk()
    talk.line("EHLO client.example")
    if login:
        words = base64.b64encode(f"\0{login}\0{PASSWORD}".encode()).decode()
        assert talk.line(f"AUTH PLAIN {words}").startswith("235")
    for line in (f"MAIL FROM:<{login or sender}>", *(f"RCPT TO:<{each}>" for each in recipients)):
        answer = talk.line(line)
        assert answer.startswith("250"), answer
    talk.line("DATA")
    author = login or sender or "postmaster@there.example"
    reply = talk(f"From: {author}\r\nSubject: {subject}\r\n\r\nText.\r\n.\r\n".encode()).decode()
    talk.end()
    return reply


def entries(here: World) -> Iterator[tuple[Entry, State]]:
    return (here.services.spool.read(queue_id) for queue_id in here.queue())


def places(here: World) -> dict[str, str]:
    """Return the recipients in the queue, each with its hold, or “junk folder”, or blank."""
    return {
        each.address: str(state.hold or "") or ("junk folder" if entry.envelope.junk else "")
        for entry, state in entries(here)
        for each in entry.envelope.recipients
    }


def test_junk_for_a_group_reaches_the_junk_folders_of_members_here(tmp_path: Path) -> None:
    here = world(tmp_path, GROUPS + JUNK)
    assert send(here, "Junk", "staff@example.org").startswith("250")
    assert places(here) == {ANN: "junk folder", FRIEND: "junk"}


def test_junk_is_refused_if_all_members_are_elsewhere(tmp_path: Path) -> None:
    here = world(tmp_path, GROUPS + JUNK)
    for recipients in (("afar@example.org",), ("afar@example.org", "forward@example.org")):
        assert send(here, "Junk", *recipients).startswith("550 5.7.1")
    assert send(here, "Junk", "afar@example.org", "here@example.org").startswith("250")
    assert places(here) == {ANN: "junk folder", FRIEND: "junk"}


@pytest.mark.parametrize(
    ("group", "sender"),
    [("empty@example.org", "eve@there.example"), ("staff@example.org", "")],
    ids=["empty", "notice"],
)
def test_a_redirect_to_a_group_that_does_not_distribute_loses_no_mail(tmp_path: Path, group: str, sender: str) -> None:
    """A group without members that get mail, and automatic mail, which no group distributes."""
    empty = f"[group empty@example.org]\nmembers = gone@example.org\nowner = {JOE}\n"
    rule = f"[filter-rule away]\nfield = subject\nmatch = is\ntext = Away\naction = redirect {group}\n"
    here = world(tmp_path, GROUPS + empty + rule)
    assert send(here, "Away", ANN, sender=sender).startswith("250")
    assert len(here.mailbox(ANN)) + len(here.queue()) == 1


@pytest.mark.parametrize("address", [ANN, "ann@example.net", "ann+tag@example.org"])
def test_a_mailbox_that_forwards_and_keeps_its_mail_gets_its_junk_alone(tmp_path: Path, address: str) -> None:
    here = world(tmp_path, JUNK, aliases=f"ann: \\ann, {FRIEND}\n")
    assert send(here, "Junk", address).startswith("250")
    (place,) = places(here).items()
    assert place[0].startswith("ann")
    assert place[1] == "junk folder"


@pytest.mark.parametrize(
    ("scope", "waits"), [("outside", {FRIEND, PAL}), ("inside", {JOE, ANN}), ("both", {JOE, ANN, FRIEND, PAL})]
)
def test_approval_is_needed_after_the_release_of_a_hold(tmp_path: Path, scope: str, waits: set[str]) -> None:
    """A rule holds the message and its copies; those that need approval wait again when an administrator lets go."""
    here = world(tmp_path, f"{GROUPS}{HOLD}{APPROVAL}scope = {scope}\n")
    assert send(here, "Hold", JOE, PAL, "staff@example.org", login=JOE).startswith("250")
    everyone = (JOE, ANN, FRIEND, PAL)
    assert places(here) == dict.fromkeys(everyone, "quarantine: filter rule hold")
    spool = here.services.spool
    for queue_id in here.queue():
        spool.release(queue_id, now=NOON + 60)
    waiting = "waiting for approval: sales"
    assert places(here) == {each: waiting if each in waits else "" for each in everyone}
    for entry, state in entries(here):
        assert state.uncounted
        if state.hold is not None:
            assert (state.hold.since, state.held_s, state.quarantined) == (NOON + 60, 60.0, True)
            spool.decide(entry.queue_id, ANN, approved=True, now=NOON + 90)
    assert places(here) == dict.fromkeys(everyone, "")


def test_junk_that_an_administrator_lets_go_needs_approval_too(tmp_path: Path) -> None:
    here = world(tmp_path, f"{GROUPS}{JUNK}{APPROVAL}")
    assert send(here, "Junk", JOE, "forward@example.org", "staff@example.org", login=JOE).startswith("250")
    assert places(here) == {JOE: "junk folder", ANN: "junk folder", FRIEND: "junk"}
    for queue_id in here.queue():
        here.services.spool.release(queue_id, now=NOON + 60)
    assert places(here)[FRIEND] == "waiting for approval: sales"


def test_a_hold_by_hand_does_not_replace_approval(tmp_path: Path) -> None:
    here = world(tmp_path, APPROVAL)
    assert send(here, "Hello", FRIEND, login=JOE).startswith("250")
    spool, (queue_id,) = here.services.spool, here.queue()
    spool.hold(queue_id)
    assert places(here) == {FRIEND: "by hand"}
    spool.hold(queue_id)
    spool.release(queue_id, now=NOON + 60)
    assert places(here) == {FRIEND: "waiting for approval: sales"}
    spool.release(queue_id, now=NOON + 90)
    assert places(here) == {FRIEND: ""}
    assert spool.read(queue_id)[1].decision == "approved by the administrator"


def test_a_copy_of_a_group_knows_its_author(tmp_path: Path) -> None:
    here = world(tmp_path, GROUPS + APPROVAL)
    assert send(here, "Hello", "afar@example.org", PAL, login=JOE).startswith("250")
    found = {
        (entry.envelope.sender, entry.envelope.author, entry.envelope.origin, str(state.hold))
        for entry, state in entries(here)
    }
    hold = "waiting for approval: sales"
    assert found == {("afar-bounces@example.org", JOE, JOE, hold), (JOE, "", JOE, hold)}


def test_a_message_that_cannot_be_archived_is_deferred_and_not_counted(tmp_path: Path) -> None:
    here = world(tmp_path, f"[archive]\noutgoing = {ANN}\n")
    secret = Path(here.config.server.spool_folder, "srs-secret")
    secret.write_text("short")
    assert send(here, "x", FRIEND, login=JOE).startswith("451")
    assert not here.queue()
    group = group_of(JOE, "")
    assert here.services.counters.numbers(group, [HOUR])[HOUR].value == 0
    secret.unlink()
    assert send(here, "x", FRIEND, login=JOE).startswith("250")
    assert here.services.counters.numbers(group, [HOUR])[HOUR].value == 1
    secret.write_text("short")  # it is read once
    assert send(here, "x", FRIEND, login=JOE).startswith("250")


@pytest.mark.parametrize(
    ("recipients", "listed"),
    [((JOE,), f"{JOE},\n\t{FRIEND}"), ((JOE, ANN), f"{JOE},\n\t{ANN},\n\t{FRIEND}")],
)
def test_a_redirected_message_is_archived_with_the_recipients_that_it_came_for(
    tmp_path: Path, recipients: tuple[str, ...], listed: str
) -> None:
    """A rule that sends the mail of this server elsewhere must not keep it out of the archive."""
    rule = f"[filter-rule away]\nfield = recipient\nmatch = is\ntext = {JOE}\naction = redirect {FRIEND}\n"
    here = world(tmp_path, f"[archive]\nincoming = clerk@example.org\n{rule}")
    assert send(here, "Text", *recipients).startswith("250")
    [fields] = [entry.envelope.fields for entry, _ in entries(here) if entry.envelope.archive]
    assert f"X-Envelope-To: {listed}\n" in fields
    assert FRIEND in places(here)
