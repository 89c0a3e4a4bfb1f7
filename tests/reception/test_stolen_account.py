"""A stolen password and a first month, on the clock of a server: the limits hold, and the office works on."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spool import Entry, State
from tests.reception.world import NOON, PASSWORD, Talk, World, world

THIEF, ANN, POSTMASTER = "joe@example.org", "ann@example.org", "clerk@example.org"
DAY = 86_400.0
LIMIT = 200


@contextmanager
def logged_in(here: World, login: str, ip: str = "203.0.113.5") -> Iterator[Talk]:
    talk = here.talk(ip, "submission", tls=True)
    talk()
    talk.line("EHLO client.example")
    words = base64.b64encode(f"\0{login}\0{PASSWORD}".encode()).decode()
    assert talk.line(f"AUTH PLAIN {words}").startswith("235")
    yield talk
    talk.end()


def write(talk: Talk, login: str, *recipients: str) -> str:
    """Send a message. Return the reply to its content."""
    for line in (f"MAIL FROM:<{login}>", *(f"RCPT TO:<{each}>" for each in recipients)):
        assert talk.line(line).startswith("250")
    talk.line("DATA")
    return talk(f"From: {login}\r\nSubject: hello\r\n\r\nText.\r\n.\r\n".encode()).decode()


def strangers(first: int, number: int) -> list[str]:
    return [f"stranger{each}@elsewhere.example" for each in range(first, first + number)]


def queued(here: World) -> list[tuple[Entry, State]]:
    return [here.services.spool.read(queue_id) for queue_id in here.queue()]


def recipients(here: World, *, held: bool) -> list[str]:
    """Return the recipients elsewhere of the messages in the queue that are, or are not, over a limit."""
    return [
        recipient.address
        for entry, state in queued(here)
        if (state.hold is not None) == held
        for recipient in entry.envelope.recipients
        if recipient.address.endswith("@elsewhere.example")
    ]


def notices(here: World) -> list[tuple[float, bytes]]:
    """Return the mail of this server to its postmaster, each with its time."""
    found = []
    for entry, _ in queued(here):
        if [entry.envelope.sender, *(each.address for each in entry.envelope.recipients)] == ["", POSTMASTER]:
            with here.services.spool.open_content(entry.queue_id) as content:
                found.append((entry.arrival, content.read()))
    return found


@pytest.mark.parametrize("messages", [100, pytest.param(5000, marks=pytest.mark.torture)])
def test_a_stolen_account_is_stopped_within_a_minute(tmp_path: Path, messages: int) -> None:
    """One login writes to 5,000 new recipients in ten minutes, while Ann writes to customers and to a colleague."""
    here = world(tmp_path, f"[basic]\npostmaster = {POSTMASTER}\n")
    for login in (THIEF, ANN):
        with logged_in(here, login) as talk:
            assert write(talk, login, "friend@elsewhere.example").startswith("250")
    for queue_id in here.queue():
        here.services.spool.delete(queue_id)
    begin = here.clock.now = NOON + 40 * DAY
    each, customers = 5000 // messages, []
    with logged_in(here, THIEF, "198.51.100.66") as thief, logged_in(here, ANN) as ann:
        for number in range(messages):
            assert write(thief, THIEF, *strangers(number * each, each)).startswith("250")
            here.clock.now = begin + 600.0 * (number + 1) / messages
            if number % (messages // 20) == 0:
                customers.append(f"customer{number}@elsewhere.example")
                assert write(ann, ANN, customers[-1], "clerk@example.org").startswith("250")
    sent, held = recipients(here, held=False), recipients(here, held=True)
    assert sorted([*sent, *held]) == sorted([*strangers(0, 5000), *customers])
    assert len(sent) == LIMIT + len(customers)
    assert not set(held) & set(customers)
    told = notices(here)
    assert [words.count(b"has reached a sending limit") for _, words in told].count(1) == 1
    assert len(told) == 2
    assert max(at for at, _ in told) <= begin + 60
    assert b"198.51.100.66" in told[-1][1]


def test_new_recipients_only_warn_in_the_first_month(tmp_path: Path) -> None:
    limits = "[limits]\nrecipients_per_hour = 0\nrecipients_per_day = 0\nnew_recipients_per_day = 20\n"
    here = world(tmp_path, limits)
    for day, new, is_held in (
        (0.0, 21, False),
        (29.9, 21, False),
        (31.0, 21, True),
        (31.0, 20, False),
        (31.1, 1, True),
    ):
        before = len(recipients(here, held=is_held))
        here.clock.now = NOON + day * DAY
        with logged_in(here, THIEF) as talk:
            assert write(talk, THIEF, *strangers(int(day * 1000) + 30 * is_held, new)).startswith("250")
        assert len(recipients(here, held=is_held)) == before + new
    assert sum("which only warns in its first month" in line for line in here.log()) == 2


def test_known_recipients_are_not_new(tmp_path: Path) -> None:
    limits = "[limits]\nrecipients_per_hour = 0\nrecipients_per_day = 0\nnew_recipients_per_day = 20\n"
    here = world(tmp_path, limits)
    with logged_in(here, THIEF) as talk:
        for day in (0, 20, 40):  # each message renews them for 30 days
            here.clock.now = NOON + day * DAY
            assert write(talk, THIEF, *strangers(0, 60)).startswith("250")
        assert recipients(here, held=True) == []
        assert write(talk, THIEF, *strangers(60, 21)).startswith("250")
    assert sorted(recipients(here, held=True)) == sorted(strangers(60, 21))


def test_an_address_counts_once_however_it_is_written(tmp_path: Path) -> None:
    """What RCPT has accepted is not refused after the content."""
    limits = "[limits]\nrecipients_per_hour = 2\nover_limit = refuse\n"
    here = world(tmp_path, limits)
    with logged_in(here, THIEF) as talk:
        names = ("Bob@elsewhere.example", "bob@elsewhere.example", "eve@ELSEWHERE.example")
        assert write(talk, THIEF, *names).startswith("250")
        assert talk.line(f"MAIL FROM:<{THIEF}>").startswith("250")
        assert talk.line("RCPT TO:<eve@elsewhere.example>").startswith("550 5.7.1")


def test_a_host_without_a_limit_is_reported_at_5000_recipients_an_hour(tmp_path: Path) -> None:
    """A list server or a shop: nothing is held, and the postmaster gets one mail a day."""
    here = world(tmp_path, f"[basic]\npostmaster = {POSTMASTER}\n[trusted]\nhosts = 192.0.2.7\n")
    talk = here.talk("192.0.2.7")
    talk()
    talk.line("EHLO shop.example")
    for number in range(104):
        assert write(talk, "shop@example.org", *strangers(50 * number, 50)).startswith("250")
        if number in {98, 99}:
            assert len(notices(here)) == (number == 99)
        here.clock.now += 1
    talk.end()
    assert recipients(here, held=True) == []
    [(_, text)] = notices(here)
    assert b"192.0.2.7" in text
    assert b"5000 recipients" in b" ".join(text.split())
