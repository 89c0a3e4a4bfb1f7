"""Health: a mark in the menu beside each screen that needs a look, and on Status the reasons why mail waits."""

import json
from pathlib import Path

import pytest

from spool import Spool
from tests.instance import running
from tests.tui.program import NOW, Tui, made
from tests.tui.terminal import Terminal
from tests.tui.test_queue import ids, put

REASON = "no connection: timed out"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three messages wait for the relay, one for another host, and one is new."""
    spool = Spool(str(tmp_path / "spool"))
    spool.make()
    for number in range(5):
        put(spool, f"s{number}@example.org", f"r{number}@elsewhere.example", NOW - 3600 + number)
    for number, queue_id in enumerate(ids(spool)[:4]):
        host, reply = (
            ("smtp.example.net[192.0.2.9]:25", REASON) if number < 3 else ("mx.far.example[192.0.2.8]:25", "450")
        )
        claim = spool.claim(queue_id)
        assert claim is not None
        with claim:
            state = claim.state
            waiting = tuple(each._replace(attempts=1, last_reply=reply, host=host, at=NOW) for each in state.recipients)
            claim.record(state._replace(recipients=waiting, attempts=1, last_attempt=NOW, next_attempt=NOW + 900))
    path = made(tmp_path)
    (tmp_path / "run").mkdir()
    mark = {
        "host": "smtp.example.net",
        "port": 25,
        "since": NOW - 600,
        "until": NOW + 1e9,
        "reason": REASON,
        "dead": True,
    }
    (tmp_path / "run" / "hosts.json").write_text(json.dumps([mark]))
    return path


def menu_line(tui: Tui, title: str) -> str:
    return next(line[:21] for line in tui.look() if line[1:].startswith(title))


def test_the_reasons_are_grouped_by_next_hop(path: Path) -> None:
    text = " ".join(Tui(path, (160, 50)).text.split())
    assert "3 messages wait for" in text
    assert "smtp.example.net:25" in text
    assert REASON in text
    assert "1 message waits for" in text
    assert "mx.far.example:25" in text


def test_the_menu_marks_each_screen_that_needs_a_look(path: Path) -> None:
    tui = Tui(path, (80, 40))
    for title in ("Status", "Remote Delivery"):
        assert menu_line(tui, title).endswith("!"), title
    assert menu_line(tui, "Queue").endswith("5!")
    for title in ("Basic Parameters", "Direct Delivery", "Access Control", "Accounts"):
        assert "!" not in menu_line(tui, title), title


def test_the_end_of_the_menu_tells_of_marks_out_of_view(path: Path) -> None:
    tui = Tui(path)
    assert "Queue" not in "".join(line[:21] for line in tui.look())
    assert tui.look()[-3].startswith(" ▼ 14 more !")
    tui.press("end")
    assert tui.look()[-3].startswith(" ▲ 14 !")
    tui.shell.go("Basic Parameters", "postmaster")
    tui.type("x").press("f9", "end")
    assert tui.look()[-3].startswith(" ▲ 14 *!")
    tui.size = (80, 40)
    assert "more" not in "".join(line[:21] for line in tui.look())


def test_a_reason_leads_to_its_messages_and_to_the_test(path: Path) -> None:
    tui = Tui(path).go("Status").find("[Queue]").press("enter")
    assert tui.shell.current == "Queue"
    assert "3 found" in tui.text
    tui.go("Status").find("[Test]").press("enter")
    assert "Test of the relay" in tui.dialog_text


@pytest.mark.parametrize("size", [(80, 24), (60, 20)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_health_on_a_terminal(path: Path, size: tuple[int, int]) -> None:
    with Terminal(path, size=size) as terminal:
        if size[0] < 64:  # menu and screen take turns
            terminal.shows("Remote Delivery    !").press("enter")
        terminal.shows("3 messages", "wait for", "smtp.example.net", "[Test] [Queue]")
        terminal.press("enter" if size[0] >= 64 else "home").press("tab").press("tab")
        terminal.press("meta q")
        assert terminal.ends() == 0


def test_hosts_that_back_off_are_listed_with_their_mail(path: Path) -> None:
    tui = Tui(path, (132, 40)).go("Hosts")
    line = next(line for line in tui.look() if "smtp.example.net:25" in line)
    assert "3" in line.split()
    assert REASON in line
    tui.press("enter")
    assert tui.shell.current == "Queue"
    assert "3 found" in tui.text
    tui.go("Hosts").choose("Test")
    assert "Test of the relay" in tui.dialog_text


def test_mail_for_a_host_is_tried_at_once() -> None:
    with running() as instance:
        tui = Tui(instance.file).go("Hosts").choose("Try all mail now")
        assert "To be tried now: 0" in tui.status_line
