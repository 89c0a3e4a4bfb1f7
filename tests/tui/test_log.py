"""The log: its end as it grows, what came before in blocks, filters that search all of it, actions on a line."""

import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd_classic.log_source import FileLog
from smtpd_classic.runtime import Runtime
from tests.tui.program import CONFIG, NOW, Tui, made
from tests.tui.test_text import HOSTILE, assert_harmless
from tui.log import suspects
from tui.log.actions import addresses_in, block
from tui.log.blocks import earlier, end_of, words_of
from tui.log.suspects import collect
from tui.log.times import time_of
from tui.log.window import LogWindow, parsed

ID = "6603A1B2C3D4E5F60789"


def stamp(at: float = NOW) -> str:
    return time.strftime("%b %e %H:%M:%S", time.localtime(at))


def line(text: str, part: str = "smtpd", at: float = NOW) -> str:
    return f"{stamp(at)} host smtpd-classic/{part}[123]: {text}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    lines = [line(f"connect from mx{number}.example.net[192.0.2.{number % 200}]") for number in range(500)]
    lines[100] = line(f"{ID}: client=mx.example.net[198.51.100.7]")
    lines[101] = line(f"{ID}: to=<ann@example.com>, relay=mx[198.51.100.7]:25, dsn=2.0.0, status=sent (250 OK)", "smtp")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def tui(tmp_path: Path, log: Path) -> Tui:
    return Tui(made(tmp_path, CONFIG.replace("[server]", f"[server]\nlog = {log}"))).go("Log")


def test_the_end_is_shown_first_and_followed(tui: Tui, log: Path) -> None:
    assert "mx499.example.net" in tui.text
    assert "following" in tui.text
    with log.open("a") as file:
        file.write(line("warning: something") + "\n")
    tui.shell.tick()
    assert "warning: something" in tui.text


def test_whoever_went_up_is_not_dragged_down(tui: Tui, log: Path) -> None:
    tui.press("up", "up")
    assert "not at the end" in tui.text
    with log.open("a") as file:
        file.write(line("one more") + "\n")
    tui.shell.tick()
    assert "mx497.example.net" in tui.look()[-6] + tui.look()[-7] + tui.text
    tui.press("F")
    assert "following" in tui.text
    assert "one more" in tui.text


def test_pausing_stops_it(tui: Tui, log: Path) -> None:
    tui.press("p")
    with log.open("a") as file:
        file.write(line("not yet") + "\n")
    tui.shell.tick()
    assert "paused" in tui.text
    assert "not yet" not in tui.text
    tui.press("p")
    tui.shell.tick()
    assert "not yet" in tui.text


def test_going_up_reads_what_came_before(tui: Tui) -> None:
    for _ in range(60):
        tui.press("page up")
    assert "mx0.example.net" in tui.text


@pytest.mark.parametrize("words", [ID, "ann@example.com", "198.51.100.7", "STATUS=sent ann"])
def test_a_filter_finds_what_is_far_back(tui: Tui, words: str) -> None:
    tui.press("/").type(words).press("enter")
    assert "mx499" not in tui.text
    assert ID in tui.text
    assert "filter" in tui.text
    tui.press("/", "ctrl u", "enter")
    assert "mx499" in tui.text


def test_new_lines_are_filtered_too(tui: Tui, log: Path) -> None:
    tui.press("/").type("needle").press("enter")
    with log.open("a") as file:
        file.write(line("haystack") + "\n" + line("a Needle") + "\n")
    tui.shell.tick()
    assert "a Needle" in tui.text
    assert "haystack" not in tui.text


def test_a_rotated_log_is_followed(tui: Tui, log: Path) -> None:
    log.rename(log.with_suffix(".1"))
    log.write_text(line("in the new file") + "\n")
    tui.shell.tick()
    tui.shell.tick()
    assert "in the new file" in tui.text


def test_enter_on_a_line_leads_from_the_address_to_an_action(tui: Tui, tmp_path: Path) -> None:
    tui.press("enter")
    assert "Block 192.0.2.99" in tui.dialog_text
    tui.find("Block 192.0.2.99").press("enter")
    assert "Block this address?" in tui.dialog_text
    assert not Runtime(str(tmp_path / "run")).blocks.blocked("192.0.2.99")
    tui.choose("Block 192.0.2.99")
    assert "192.0.2.99 is blocked for" in tui.status_line
    assert Runtime(str(tmp_path / "run")).blocks.blocked("192.0.2.99")


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "198.51.100.20"])
def test_the_administrators_own_address_is_never_blocked(
    ip: str, tui: Tui, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "198.51.100.20 50022 192.0.2.1 22")
    block(tui.shell.context, ip)
    assert f"{ip} is not blocked" in tui.status_line
    assert not tui.dialog()


def test_an_address_of_the_log_becomes_trusted_when_it_is_applied(tui: Tui) -> None:
    tui.press("f4")
    tui.find("Trust 192.0.2.99").press("enter")
    assert tui.shell.current == "Trusted Hosts"
    assert "*192.0.2.99" in tui.text
    tui.press("f2").choose("Apply")
    assert "hosts = 192.168.0.0/16, 192.0.2.99" in Path(tui.shell.context.path).read_text()


def test_only_what_belongs_together_is_shown(tui: Tui) -> None:
    tui.press("/").type("client=").press("enter", "enter")
    tui.find(f"Show only message {ID}").press("enter")
    assert "status=sent" in tui.text
    assert "client=mx.example.net" in tui.text


def test_suspects_are_counted_and_blocked_with_one_key(tui: Tui, log: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "blocked").mkdir(parents=True)
    with log.open("a") as file:
        for _ in range(3):
            file.write(line("warning: unknown[203.0.113.5]: SASL LOGIN authentication failed: x") + "\n")
        file.write(line("NOQUEUE: reject: RCPT from unknown[203.0.113.9]: 550 5.7.1 <a@b>: log in first") + "\n")
        file.write(line("old: reject: RCPT from unknown[203.0.113.77]: 550", at=NOW) + "\n")
    found, _ = collect(FileLog(str(log)), NOW - 6 * 3600, NOW)
    assert [(each.ip, each.logins, each.refused) for each in found[:2]] == [
        ("203.0.113.5", 3, 0),
        ("203.0.113.77", 0, 1),
    ]
    tui.press("x")
    assert "203.0.113.5 3" in tui.dialog_text
    tui.press("b").choose("Block 203.0.113.5")
    assert "203.0.113.5 is blocked" in tui.status_line
    assert Runtime(str(tmp_path / "run")).blocks.blocked("203.0.113.5")
    tui.press("down", "enter")
    assert not tui.dialog()
    assert "203.0.113" in tui.text


def test_what_is_hours_old_makes_nobody_suspicious(tmp_path: Path) -> None:
    path = tmp_path / "log"
    old = line("NOQUEUE: reject: RCPT from unknown[203.0.113.9]: 550", at=NOW - 90_000)
    path.write_text("\n".join([old] * 30_000 + [line("connect from a[192.0.2.1]")]) + "\n")
    found, whole = collect(FileLog(str(path)), NOW - 6 * 3600, NOW)
    assert found == []
    assert whole


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_a_stranger_wrote_gets_through(text: str, tui: Tui, log: Path) -> None:
    with log.open("ab") as file:
        file.write(
            line(f"connect from {text}[192.0.2.1]").encode("utf-8", "surrogateescape" if text.isascii() else "replace")
        )
        file.write(b"\xff\xfe\x1b]0;title\x07 raw\n")
    tui.shell.tick()
    for size in ((80, 24), (132, 50), (40, 10)):
        tui.size = size
        for shown in tui.look():
            assert_harmless(shown)
    tui.press("enter")
    for shown in tui.look():
        assert_harmless(shown)


@pytest.fixture
def aged(tmp_path: Path) -> Path:
    """A log of four refusals: 30 minutes, 5 hours, 20 hours and 5 days ago."""
    path = tmp_path / "aged"
    ages = {5: 5 * 86400, 4: 20 * 3600, 3: 5 * 3600, 2: 1800}
    text = "NOQUEUE: reject: RCPT from unknown[203.0.113.{}]: 550 5.7.1 <a@b>: log in first"
    path.write_text("".join(line(text.format(number), at=NOW - age) + "\n" for number, age in ages.items()))
    return path


@pytest.mark.parametrize(("hours", "ips"), [(1, [2]), (6, [2, 3]), (24, [2, 3, 4]), (168, [2, 3, 4, 5])])
def test_suspects_are_counted_by_age(aged: Path, hours: int, ips: list[int]) -> None:
    found, whole = collect(FileLog(str(aged)), NOW - hours * 3600, NOW)
    assert sorted(each.ip for each in found) == [f"203.0.113.{each}" for each in ips]
    assert whole


def test_a_log_that_is_too_long_to_be_read_whole_is_said_so(
    tmp_path: Path, aged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with aged.open("a") as file:
        file.write((line("connect from x[192.0.2.1]") + "\n") * 30_000)
    monkeypatch.setattr(suspects, "_MOST_BYTES", 1 << 20)
    found, whole = collect(FileLog(str(aged)), NOW - 6 * 3600, NOW)
    assert (found, whole) == ([], False)
    tui = Tui(made(tmp_path, CONFIG.replace("[server]", f"[server]\nlog = {aged}"))).go("Log").press("x")
    assert "The last 6 hours, as far as the log could be read." in tui.dialog_text


def test_a_suspect_has_the_times_of_its_first_and_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    times = (NOW - 7200, NOW - 3600, NOW - 60)
    path.write_text("".join(line("x: reject: RCPT from y[203.0.113.5]: 550", at=at) + "\n" for at in times))
    found, _ = collect(FileLog(str(path)), NOW - 6 * 3600, NOW)
    assert [(each.refused, each.first, each.last) for each in found] == [(3, int(times[0]), int(times[2]))]


def test_the_period_of_the_suspects_is_chosen_with_a_key(tmp_path: Path, aged: Path) -> None:
    tui = Tui(made(tmp_path, CONFIG.replace("[server]", f"[server]\nlog = {aged}"))).go("Log").press("x")
    assert "The last 6 hours." in tui.dialog_text
    assert "203.0.113.4" not in tui.dialog_text
    tui.press("t")
    assert "The last 24 hours." in tui.dialog_text
    assert "203.0.113.4" in tui.dialog_text
    tui.press("t")
    assert "The last 7 days." in tui.dialog_text
    assert time.strftime("%b %d %H:%M", time.localtime(NOW - 5 * 86400)) in tui.dialog_text
    tui.choose("Period")
    assert "The last hour." in tui.dialog_text


def test_a_period_of_the_log_is_chosen(tmp_path: Path, aged: Path) -> None:
    tui = Tui(made(tmp_path, CONFIG.replace("[server]", f"[server]\nlog = {aged}"))).go("Log")
    assert "aged: 4 lines" in tui.text
    tui.press("t").find("The last 24 hours").press("enter")
    assert "aged: 3 lines, the last 24 hours" in tui.text
    day = time.strftime("%Y-%m-%d", time.localtime(NOW - 5 * 86400))
    tui.press("t", *["tab"] * 5)
    tui.type("29 Nov").press("enter")
    assert "is not a day" in tui.dialog_text
    tui.press("ctrl u").type(day).press("enter")
    assert f"aged: 1 line, {day}" in tui.text
    assert time.strftime("%b %e", time.localtime(NOW - 5 * 86400)) in tui.text
    with aged.open("a") as file:
        file.write(line("connect from late[192.0.2.1]") + "\n")
    tui.shell.tick()
    assert "late" not in tui.text
    tui.press("t").find("All lines").press("enter")
    assert "late" in tui.text


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (line("x", at=NOW), int(NOW)),
        (line("x", at=NOW - 300 * 86400), int(NOW - 300 * 86400)),
        ("2026-11-22T09:00:01.5+01:00 host smtpd-classic/smtp[7]: x", 1795334401.5),
        ("2026-11-22T08:00:01Z host smtpd-classic/smtp[7]: x", 1795334401.0),
        ("Feb 30 10:00:00 host x", None),
        ("2026-99-99T99:99:99 host x", None),
        ("no time at all", None),
        ("", None),
    ],
)
def test_the_time_of_a_line(text: str, at: float | None) -> None:
    assert time_of(text, NOW) == at


JOURNALCTL = """#!{python}
import sys, time
if "--follow" in sys.argv:
    time.sleep(60)
lines = {lines!r}
print("\\n".join(reversed(lines) if "--reverse" in sys.argv else lines))
"""


def test_the_journal_is_read_where_there_is_no_log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    lines = [line(f"NOQUEUE: reject: RCPT from x[203.0.113.{number}]: 550", at=NOW - 600) for number in range(9)]
    (programs / "journalctl").write_text(JOURNALCTL.format(python=sys.executable, lines=lines))
    (programs / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    tui = Tui(made(tmp_path, CONFIG.replace("[server]", "[server]\nlog = stderr"))).go("Log")
    assert "the journal: 9 lines" in tui.text
    assert "203.0.113.8" in tui.text
    tui.press("/").type("113.4").press("enter")
    assert "the journal: 1 line" in tui.text
    tui.press("x")
    assert "203.0.113.7" in tui.dialog_text


def test_status_shows_the_warnings_of_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    lines = [line("warning: the disk is nearly full", at=NOW - 600), line("connect from x[203.0.113.9]")]
    (programs / "journalctl").write_text(JOURNALCTL.format(python=sys.executable, lines=lines))
    (programs / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    tui = Tui(made(tmp_path, CONFIG.replace("[server]", "[server]\nlog = stderr")), (132, 50)).go("Status")
    assert "the disk is nearly full" in tui.text


def test_no_log_that_can_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tui = Tui(made(tmp_path, CONFIG.replace("[server]", "[server]\nlog = stderr"))).go("Log")
    assert "The server logs to standard error, and this system has no journal" in tui.text
    tui = Tui(made(tmp_path, CONFIG.replace("[server]", f"[server]\nlog = {tmp_path}/none"))).go("Log")
    assert "No such file" in tui.text


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=400), max_size=60
    ),
    st.integers(min_value=1, max_value=20),
)
def test_reading_backwards_gives_every_line_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], most: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_text("".join(each + "\n" for each in lines), encoding="utf-8", newline="")
    found: list[str] = []
    start = end_of(str(path))
    while start > 0:
        piece = earlier(str(path), start, (), most)
        assert piece.start < start
        found[:0] = piece.lines
        start = piece.start
    assert found == lines


def test_a_gigabyte_is_searched_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.write(line(f"{ID}: removed").encode() + b"\n")
        file.truncate(1 << 30)  # a hole: no line ends for a gigabyte
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"\n".join(line(f"connect from a[192.0.2.{n % 200}]").encode() for n in range(9000)) + b"\n")
    began = time.process_time()
    first = earlier(str(path), end_of(str(path)), (), 200)
    assert len(first.lines) >= 200
    assert time.process_time() - began < 0.1
    start, longest, pieces = end_of(str(path)), 0.0, 0
    words = words_of("removed")
    found: list[str] = []
    while start > 0 and not found:
        began = time.process_time()
        piece = earlier(str(path), start, words, 200)
        longest = max(longest, time.process_time() - began)
        found, start, pieces = piece.lines, piece.start, pieces + 1
    assert [ID in each for each in found] == [True]
    assert pieces >= 16
    assert longest < 1.0


def test_memory_is_bounded_however_long_it_is_followed() -> None:
    window = LogWindow(lambda _: None)
    for number in range(300):
        window.append([f"{number} {each}" for each in range(1000)], follow=True)
    assert len(window) <= 51_000
    assert window.line(window.focus) == "299 999"


def test_lines_that_were_read_later_stand_above_in_their_order() -> None:
    window = LogWindow(lambda _: None)
    window.append(["7", "8"], follow=True)
    window.prepend(["4", "5", "6"])
    window.prepend(["2", "3"])
    assert [window.line(at) for at in range(window.first, window.last + 1)] == ["2", "3", "4", "5", "6", "7", "8"]
    assert window.line(window.focus) == "8"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("connect from mx[192.0.2.1]", ["192.0.2.1"]),
        ("from mx[2001:db8::1] to 192.0.2.9", ["2001:db8::1", "192.0.2.9"]),
        ("999.1.1.1 [nonsense] [::g]", []),
    ],
)
def test_addresses_are_found_in_lines(text: str, found: list[str]) -> None:
    assert list(addresses_in(text)) == found


def test_lines_of_syslog_and_of_rsyslogs_newer_form_are_understood() -> None:
    assert parsed("2026-11-22T09:00:01.123456+01:00 host smtpd-classic/smtp[7]: x").part == "smtp"
    assert parsed("Nov  2 09:00:01 host smtpd-classic/qmgr[7]: x")[:3] == ("Nov  2", "09:00:01", "qmgr")
    assert parsed("something else")[:2] == ("", "")
