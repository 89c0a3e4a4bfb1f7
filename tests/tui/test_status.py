"""Status, Explain and Access Control: what the server says of itself, and what it would say."""

import json
import os
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
import urwid.testing as ut

from smtpd_classic.config import load
from smtpd_classic.runtime import Listening, Runtime
from smtpd_classic.runtime.status import own_status
from tests.tui.program import CONFIG, NOW, Tui, made
from tui.shell.header import daemon_words
from tui.shell.health import attention
from tui.status.survey import days_left
from tui.widgets.graph import Bars, bars


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made(tmp_path)


@pytest.fixture
def runtime(path: Path) -> Runtime:
    """This process is the daemon."""
    config = load(path)
    runtime = Runtime(config.server.run_folder)
    runtime.make()
    status = own_status(str(path), config.digest, "0")
    listening = (Listening("smtp", "127.0.0.1", 2525, "starttls"),)
    runtime.status.write(replace(status, state="running", generation=1, listening=listening, receivers=2))
    return runtime


def test_a_daemon_that_is_up_is_described(path: Path, runtime: Runtime) -> None:
    tui = Tui(path, (132, 50))
    assert "running for" in tui.look()[0]
    assert f"process {os.getpid()}, 2 receivers" in tui.text
    assert "2525 (starttls) on 127.0.0.1" in tui.text


def test_a_milter_that_is_down_and_a_list_that_is_off_are_shown(tmp_path: Path) -> None:
    text = "[milter rspamd]\naddress = unix:/run/none\n[filter]\nblocklists = list.example, good.example\n"
    path = made(tmp_path, CONFIG + text)
    config = load(path)
    runtime = Runtime(config.server.run_folder)
    runtime.make()
    runtime.status.write(replace(own_status(str(path), config.digest, "0"), state="running", generation=1))
    runtime.milters.report("rspamd", "unix:/run/none: No such file or directory", 0.1)
    runtime.lists.report("list.example", "the list refuses to answer this resolver", 0.0)
    runtime.lists.report("good.example", "", 0.0)
    tui = Tui(path, (132, 50))
    assert "✗ rspamd is down since" in tui.text
    assert "messages are deferred: unix:/run/none" in tui.text
    assert "! list.example is not used: the list refuses to answer this resolver" in tui.text
    assert "good.example" not in tui.text
    found = attention(tui.shell.context)
    assert (found["Milters"], found["SMTP Filter"]) == ("A milter is down.", "A DNS list is not used.")
    runtime.milters.report("rspamd", "", 0.1)
    tui.press("f5")
    assert "rspamd is down" not in tui.text


def test_a_daemon_that_died_is_down(path: Path, runtime: Runtime) -> None:
    runtime.status.write(replace(own_status(str(path), "", "0"), state="running", born=1))
    tui = Tui(path)
    assert "daemon is down" in tui.look()[0]
    assert "Not running; settings" in tui.text


def buttons(tui: Tui) -> list[str]:
    """The labels in the line of buttons."""
    line = next(line for line in tui.text.splitlines() if "[Refresh]" in line)
    return re.findall(r"\[([^]]+)\]", line)


def key_bar(tui: Tui) -> str:
    return tui.text.rstrip().splitlines()[-1]


def test_the_buttons_and_keys_fit_the_state_of_the_server(path: Path, runtime: Runtime) -> None:
    status = replace(own_status(str(path), "", "0"), state="running")
    runtime.status.write(replace(status, born=1))
    tui = Tui(path).go("Status")
    assert buttons(tui) == ["Refresh", "Start", "Test message"]
    assert re.search(r"Start +[^\n]*Test message", key_bar(tui))
    assert "Reload" not in key_bar(tui)
    tui.to("Start")
    runtime.status.write(status)
    tui.shell.tick()
    assert buttons(tui) == ["Refresh", "Reload", "Test message"]
    assert re.search(r"Reload +[^\n]*Test message", key_bar(tui))
    assert "Start" not in key_bar(tui)
    assert getattr(tui.leaf(), "text", "") == "[Reload]"
    Path(runtime.status.path).unlink()
    tui.to("Test message").shell.tick()
    assert buttons(tui) == ["Refresh", "Start", "Test message"]
    assert getattr(tui.leaf(), "text", "") == "[Test message]"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_state_that_may_not_be_read_is_not_called_down() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        path = made(folder)
        path.chmod(0o644)
        (folder / "run").mkdir(mode=0o755)
        status = replace(own_status(str(path), "", "0"), state="running")
        Runtime(str(folder / "run")).status.write(status)
        (folder / "run" / "status.json").chmod(0o600)
        os.seteuid(65534)
        try:
            tui = Tui(path)
        finally:
            os.seteuid(0)
        assert "state of the daemon unknown" in tui.text
        assert "Unknown: you may not read" in tui.text
        assert buttons(tui) == ["Refresh", "Test message"]


def test_what_needs_attention_is_said_in_words(path: Path, runtime: Runtime) -> None:
    status = runtime.status.read()
    assert status is not None
    runtime.status.write(
        replace(
            status,
            error="line 3: what is this?",
            digest="other",
            waiting_for_restart=("workers in [server] takes effect after a restart.",),
            not_listening=("port 25 is taken",),
        )
    )
    tui = Tui(path, (132, 50))
    for words in ("the last reload was refused", "line 3: what is this?", "changed since the server read it"):
        assert words in tui.text
    for words in ("workers in [server] takes effect after a restart.", "port 25 is taken"):
        assert words in tui.text


def test_messages_per_minute_are_drawn(path: Path, runtime: Runtime) -> None:
    runtime.counters.attach(1)
    runtime.counters.count("received", 8)
    runtime.counters.count("rejected", 2)
    tui = Tui(path, (132, 50))
    lines = tui.text.splitlines()
    into = next(line for line in lines if "│In " in line)
    assert "8" in into
    assert "█" in tui.text
    assert "█" not in Tui(path, (132, 50), ascii_only=True).text


@pytest.mark.parametrize(
    ("values", "width", "height", "expected"),
    [
        ([0, 1, 8], 3, 1, [" ▁█"]),
        ([0, 4, 8], 3, 2, ["  █", " █" + "█"]),
        ([1000, 1], 2, 1, ["█▁"]),
        ([5, 5, 5, 5], 2, 1, ["██"]),
        ([8], 3, 1, ["███"]),
        ([], 4, 1, ["    "]),
        ([1, 2], 0, 1, [""]),
    ],
)
def test_bars_are_as_high_as_their_numbers(values: list[int], width: int, height: int, expected: list[str]) -> None:
    assert bars(values, width, height, max(values, default=0)) == expected


@pytest.mark.parametrize("height", [1, 2, 4])
def test_bars_fit_any_width(height: int) -> None:
    widget = Bars("In", "graph in")
    widget.show(range(60), height)
    for width in (1, 10, 19, 20, 40, 130):
        assert len(ut.render_text(widget, (width,))) == height


def test_the_words_for_the_daemon(path: Path) -> None:
    status = replace(own_status(str(path), "", "0"), state="running", since=time.time() - 7200)
    assert daemon_words(status, time.time()) == ("running for 2h", True)
    assert daemon_words(None, 0) == ("daemon is down", False)
    assert daemon_words(replace(status, error="x"), time.time())[1] is False


def test_a_certificate_that_cannot_be_read_has_no_days(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nonsense")
    assert days_left(str(tmp_path / "none.pem"), 0) is None
    assert days_left(str(tmp_path / "missing.pem"), 0) is None


def test_explain_names_the_line_that_decides(path: Path) -> None:
    (path.parent / "spool").mkdir()
    tui = Tui(path, (250, 50)).go("Explain")
    tui.press("ctrl u").type("203.0.113.9").press("tab").type("a@elsewhere.example").press("tab", "ctrl u")
    tui.type("b@far.example").press("f2")
    assert "REFUSED: 550 5.7.1" in tui.text
    assert "close_open_relay" in tui.text
    tui.press("shift tab", "shift tab", "ctrl u").type("192.168.7.7").press("f2")
    assert "ACCEPTED" in tui.text
    line = CONFIG[: CONFIG.index("hosts = 192")].count("\n") + 1
    assert f"[trusted] hosts, {path}:{line}" in tui.text


def test_explain_wants_what_it_needs(path: Path) -> None:
    tui = Tui(path).go("Explain").press("ctrl u", "f2")
    assert "cannot be left blank" in tui.status_line


def test_blocked_addresses_are_shown_and_let_in_again(path: Path, runtime: Runtime) -> None:
    runtime.blocks.block("203.0.113.9", 3600, "10 failed logins")
    tui = Tui(path, (100, 40)).go("Access Control")
    assert "203.0.113.9" in tui.text
    assert "10 failed logins" in tui.text
    for _ in range(40):
        if "b Unblock" in tui.look()[-1]:
            break
        tui.press("tab")
    tui.press("b")
    assert not runtime.blocks.blocked("203.0.113.9")
    assert "No address is blocked." in tui.text
    assert "203.0.113.9 may connect again." in tui.status_line


def test_hosts_that_failed_are_named_until_their_time_is_over(path: Path, runtime: Runtime) -> None:
    until = NOW + 300
    mark = {"host": "10.0.0.1:25", "since": NOW, "until": until, "reason": "connection refused", "dead": True}
    rows = [mark, mark | {"host": "old.test:25", "until": NOW - 1}]
    Path(runtime.folder, "hosts.json").write_text(json.dumps(rows), encoding="utf-8")
    tui = Tui(path, (132, 50))
    tui.look()
    assert "10.0.0.1:25: not tried until" in tui.text
    assert "connection refused" in tui.text
    assert "old.test" not in tui.text
    tui.go("Direct Delivery")
    assert "mail.example.net:465, 10.0.0.1 (failing)" in tui.text
