"""The story of a message, Explain filled in, search in texts and in the log, and copies by OSC 52."""

import base64
import time
from pathlib import Path

import pytest

from spool import Envelope, Recipient, Spool, new_queue_id
from tests.tui.program import CONFIG, NOW, Tui, made
from tests.tui.terminal import Terminal
from tests.tui.test_queue import defer
from tui.log.story import question_in


def line(text: str, part: str = "smtpd") -> str:
    return f"{time.strftime('%b %e %H:%M:%S', time.localtime(NOW - 60))} host smtpd-classic/{part}[123]: {text}"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(str(tmp_path / "spool"))
    spool.make()
    return spool


@pytest.fixture
def queue_id(spool: Spool) -> str:
    fields = "Authentication-Results: mail.example.org; spf=pass\n smtp.mailfrom=ann@far.example\n"
    with spool.draft(new_queue_id(NOW - 60)) as draft:
        draft.write(b"Subject: a story\nMessage-ID: <1@x>\n\nbody\n")
        envelope = Envelope(
            "ann@far.example",
            (Recipient("bob@elsewhere.example"),),
            client="pc.far.example[192.168.7.7]",
            fields=fields,
        )
        queue_id = draft.commit(envelope, NOW - 60)
    defer(spool, queue_id, "451 4.3.0 come back later", "220 there\nEHLO us\n451 4.3.0 come back later\n")
    return queue_id


@pytest.fixture
def path(tmp_path: Path, queue_id: str) -> Path:
    lines = [
        line("connect from mx.far.example[203.0.113.7]"),
        line(f"{queue_id}: client=mx.far.example[203.0.113.7]"),
        line(f"{queue_id}: from=<ann@far.example>, size=40, nrcpt=1 (queue active)", "qmgr"),
        *(line(f"connect from other{number}[192.0.2.9]") for number in range(500)),
        line("NOQUEUE: reject: RCPT from unknown[198.51.100.5]: 550 5.7.1; from=<a@b.example> to=<c@d.example>"),
    ]
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    return made(tmp_path, CONFIG.replace("[server]", f"[server]\nlog = {tmp_path}/log"))


def test_the_story_of_a_queued_message_is_one_page(path: Path, queue_id: str) -> None:
    tui = Tui(path, (130, 60)).go("Queue").press("i")
    for words in (
        "Log: 2 lines",
        "client=mx.far.example[203.0.113.7]",
        "(queue active)",
        "bob@elsewhere.example: waiting",
        "spf=pass smtp.mailfrom=ann@far.example",
        "EHLO us",
        "Subject: a story",
    ):
        assert words in tui.dialog_text
    assert "other499" not in tui.dialog_text


def test_the_story_of_a_message_that_is_gone_is_in_the_log(path: Path, spool: Spool, queue_id: str) -> None:
    spool.delete(queue_id)
    (path.parent / "log").rename(path.parent / "log.1")  # the log was rotated meanwhile
    (path.parent / "log").write_text(line(f"{queue_id}: removed", "qmgr") + "\n")
    tui = Tui(path, (130, 60)).go("Log").press("enter").choose_word(f"The whole story of message {queue_id}")
    assert "Log: 3 lines" in tui.dialog_text
    assert "not in the queue any more" in tui.dialog_text


def test_explain_is_filled_in_from_a_queued_message(path: Path) -> None:
    tui = Tui(path, (130, 60)).go("Queue").press("e")
    assert tui.shell.current == "Explain"
    for words in ("192.168.7.7", "ann@far.example", "bob@elsewhere.example"):
        assert words in tui.text
    assert "ACCEPTED" in tui.text


def test_explain_is_filled_in_from_a_line_of_the_log(path: Path) -> None:
    tui = Tui(path, (130, 60)).go("Log").press("enter").choose_word("Explain this decision")
    assert tui.shell.current == "Explain"
    for words in ("198.51.100.5", "a@b.example", "c@d.example", "REFUSED: 550"):
        assert words in tui.text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ID: client=x[2001:db8::1], sasl_method=PLAIN, sasl_username=joe", {"ip": "2001:db8::1", "login": "joe"}),
        ("ID: from=<>, size=812, nrcpt=1", {"sender": "", "size": "812"}),
        ("ID: to=<b@x>, orig_to=<a@x>, relay=mx[203.0.113.1]:25", {"recipient": "b@x"}),
        ("disconnect", {}),
    ],
)
def test_the_facts_of_a_line_are_found(text: str, found: dict[str, str]) -> None:
    assert question_in([text]) == found


def test_a_text_is_searched_as_one_types(path: Path) -> None:
    tui = Tui(path, (80, 24)).go("Queue").press("i", "/").type("EHLO")
    assert "/EHLO" in tui.text
    tui.press("enter")
    assert "EHLO us" in tui.text
    assert "/EHLO" not in tui.text
    tui.press("/").type("later").press("enter")
    top = tui.shell._layers.top
    assert top is not None
    first = top.list.focus_position
    tui.press("n")
    assert top.list.focus_position != first
    tui.press("N")
    assert top.list.focus_position == first
    tui.press("/").type("nothing like it")
    assert "not found" in tui.text
    tui.press("esc", "esc")
    assert not tui.dialog()


def test_find_in_the_log_goes_to_earlier_lines_and_back(path: Path, queue_id: str) -> None:
    tui = Tui(path).go("Log").press("/").type(queue_id).choose("Find")
    assert "nrcpt=1 (queue active)" in tui.text  # the line in focus, whole below the list
    assert "other0[" in tui.text  # the lines around it stay in view
    window = tui.shell.screen._window  # type: ignore[attr-defined]
    latest = window.line(window.focus)
    tui.press("n")
    assert "client=" in window.line(window.focus)
    tui.press("N")
    assert window.line(window.focus) == latest
    tui.press("n", "n")
    assert "No earlier line with these words." in tui.status_line


def test_ids_and_lines_are_copied_through_the_terminal(path: Path, queue_id: str) -> None:
    with Terminal(path) as terminal:
        terminal.shows("Status").press("ctrl p", "queue").shows("screen").press("enter").shows("by created", "1/1")
        terminal.press("y").shows("Copied 20 characters")
        assert f"\x1b]52;c;{base64.b64encode(queue_id.encode()).decode()}\x07".encode() in terminal.raw
