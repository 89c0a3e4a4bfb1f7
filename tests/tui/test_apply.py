"""Apply: check, diff, write, reload, read back, say what happened; and nobody's work is lost on the way."""

import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from smtpd_classic.config import load
from smtpd_classic.config.versions import forget, keep, versions
from smtpd_classic.runtime import Runtime
from smtpd_classic.runtime.status import own_status
from tests.test_dns import name_server
from tests.tui.program import CONFIG, Tui, made
from tui.config import reload
from tui.config.reload import ReloadOutcome


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made(tmp_path)


def edit(tui: Tui, screen: str, option: str, text: str) -> Tui:
    """Put the text into a text field as a person does."""
    tui.shell.go(screen, option)
    return tui.press("ctrl u").type(text)


@contextmanager
def daemon(path: Path, answer: Callable[[str], str]) -> Iterator[Runtime]:
    """This process as the daemon: it has read the file, and at SIGHUP takes it unless `answer` objects to its text."""
    config = load(path)
    runtime = Runtime(config.server.run_folder)
    os.makedirs(config.server.run_folder, exist_ok=True)
    state = replace(own_status(str(path), config.digest, "test"), state="running", generation=1)
    runtime.status.write(state)

    def reloaded(*_: object) -> None:
        nonlocal state
        objection = answer(path.read_text())
        digest = state.digest if objection else load(path).digest
        state = replace(state, generation=state.generation + 1, digest=digest, error=objection)
        runtime.status.write(state)

    before = signal.signal(signal.SIGHUP, reloaded)
    try:
        yield runtime
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_dns_list_that_does_not_work_is_named_before_apply(tmp_path: Path) -> None:
    """It would be switched off without a word on this screen."""
    zone = ["host-record=2.0.0.127.list.test,127.0.0.2", "host-record=2.0.0.127.closed.test,127.255.255.254"]
    process, port = name_server(tmp_path, [*zone, "address=/all.test/127.0.0.2"])
    path = made(tmp_path, CONFIG.replace("[server]", f"[server]\nname_servers = 127.0.0.1:{port}"))
    tui = edit(Tui(path), "SMTP Filter", "blocklists", "list.test, closed.test, all.test").press("f2")
    assert "Apply these changes?" in tui.text
    assert "! the list closed.test is not used: the list refuses" in tui.text
    assert "! the list all.test is not used: the list has" in tui.text
    assert "! the list list.test" not in tui.text
    process.terminate()
    process.wait(10)


def test_a_name_server_that_never_answers_delays_apply_by_two_seconds_at_most(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = f"[server]\nname_servers = 127.0.0.1:{silent.getsockname()[1]}"
        lists = ", ".join(f"list{number}.test" for number in range(40))
        path = made(tmp_path, CONFIG.replace("[server]", server))
        tui = Tui(path).go("SMTP Filter")
        row = tui.shell.context.draft.single("filter")
        row.set(row.section.option("blocklists"), lists)
        began = time.monotonic()
        tui.press("f2")
        assert time.monotonic() - began < 6  # one after the other, they would take a minute
        assert "Apply these changes?" in tui.text
        assert "DNS could not be asked within 2 seconds; these lists are not tested: list0.test," in tui.dialog_text


def test_apply_without_a_daemon_writes_the_file_and_says_so(path: Path) -> None:
    tui = edit(Tui(path), "Basic Parameters", "max_recipients", "250")
    tui.press("f2")
    assert "Max. recipients: 100 → 250" in tui.text
    tui.press("f8")
    assert "-max_recipients = 100" in tui.text
    assert "+max_recipients = 250" in tui.text
    tui.press("esc")
    assert path.read_text() == CONFIG
    tui.choose("Apply")
    assert path.read_text() == CONFIG.replace("max_recipients = 100", "max_recipients = 250")
    assert "Applied. The daemon is down" in tui.status_line
    assert not tui.shell.context.draft.changed()
    assert "*" not in tui.look()[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [Path(each.path).read_text() for each in versions(path)] == [CONFIG]


def test_the_diff_can_be_looked_at_and_left(path: Path) -> None:
    tui = edit(Tui(path), "Basic Parameters", "max_recipients", "250")
    tui.press("f8")
    assert "The changes of the file" in tui.text
    tui.press("esc", "f2", "esc")
    assert path.read_text() == CONFIG
    assert tui.shell.context.draft.changed()


def test_secrets_are_in_no_diff(path: Path) -> None:
    tui = edit(Tui(path), "Remote Delivery", "relay_password", "newsecret").press("f8")
    assert "relay_password" in tui.text
    assert "newsecret" not in tui.text
    assert "geheim123" not in tui.text
    tui.press("esc", "f2").choose("Apply")
    assert "relay_password = newsecret" in path.read_text()


def test_what_the_server_would_refuse_is_not_written(path: Path) -> None:
    tui = edit(Tui(path), "Basic Parameters", "max_recipients", "many").press("f2")
    assert "Not applied" in tui.text
    assert "Basic Parameters, Max. recipients: “many” is not a whole number" in tui.dialog_text
    assert path.read_text() == CONFIG
    tui.press("esc")
    tui.go("Trusted Hosts").press("f2").choose("Go there")
    assert tui.shell.current == "Basic Parameters"
    assert "(max_recipients)" in tui.text
    tui.press("f3")
    tui = edit(tui, "Remote Delivery", "relay_hosts", "").press("f2")
    assert "Not applied" in tui.text
    assert path.read_text() == CONFIG


def test_the_daemon_takes_it(path: Path) -> None:
    tui = Tui(path)
    with daemon(path, lambda _: ""):
        edit(tui, "Basic Parameters", "max_recipients", "250").press("f2").choose("Apply")
    assert tui.status_line == "✓ Applied. The daemon runs with it."


def test_a_daemon_that_refuses_gets_the_old_file_back(path: Path) -> None:
    tui = Tui(path)
    with daemon(path, lambda text: "no such port" if "250" in text else ""):
        edit(tui, "Basic Parameters", "max_recipients", "250").press("f2").choose("Apply")
    assert path.read_text() == CONFIG
    assert "no such port" in tui.text
    assert "The old file is back" in tui.text
    assert versions(path) == ()
    tui.press("esc")
    assert tui.shell.context.draft.changed("basic")
    assert "Max. recipients            250" in tui.text


def test_options_that_wait_for_a_restart_are_named(path: Path) -> None:
    tui = edit(Tui(path), "Server", "workers", "2").press("f2")
    assert "takes effect after a restart" in " ".join(tui.text.replace("│", " ").split())
    assert path.read_text() == CONFIG


def test_a_daemon_of_another_file_is_left_alone(path: Path, tmp_path: Path) -> None:
    with daemon(path, lambda _: "must not be asked") as runtime:
        runtime.status.write(replace(own_status(str(path), "", "test"), config_path="/elsewhere.conf"))
        answer = reload.reload(runtime, str(path), "x")
    assert answer.took is ReloadOutcome.UNKNOWN
    assert "/elsewhere.conf" in answer.text


def test_a_daemon_that_says_nothing_is_not_waited_for_for_ever(path: Path) -> None:
    with daemon(path, lambda _: "") as runtime:
        signal.signal(signal.SIGHUP, lambda *_: None)
        answer = reload.reload(runtime, str(path), "x", patience_s=0.3)
    assert answer.took is ReloadOutcome.UNKNOWN


def test_a_file_changed_meanwhile_is_never_overwritten(path: Path) -> None:
    tui = edit(Tui(path), "Basic Parameters", "max_recipients", "250")
    theirs = CONFIG.replace("queue_lifetime = 3d", "queue_lifetime = 9d")
    path.write_text(theirs)
    tui.press("f2")
    assert "The file has changed meanwhile" in tui.text
    assert "+queue_lifetime = 9d" in tui.text
    tui.press("enter")
    assert path.read_text() == theirs
    tui.press("f2").choose("Keep mine on top")
    assert "Max. recipients            250" in tui.text
    tui.press("f2").choose("Apply")
    assert path.read_text() == theirs.replace("max_recipients = 100", "max_recipients = 250")


def test_mine_can_be_discarded_for_theirs(path: Path) -> None:
    tui = edit(Tui(path), "Basic Parameters", "max_recipients", "250")
    path.write_text(CONFIG.replace("max_recipients = 100", "max_recipients = 150"))
    tui.press("f2").choose("Discard mine")
    assert "Max. recipients            150" in tui.text
    assert not tui.shell.context.draft.changed()


def test_a_change_between_the_diff_and_the_writing_is_noticed(path: Path) -> None:
    tui = edit(Tui(path), "Basic Parameters", "max_recipients", "250").press("f2")
    path.write_text(CONFIG + "# theirs\n")
    tui.choose("Apply")
    assert "The file has changed meanwhile" in tui.text
    assert path.read_text() == CONFIG + "# theirs\n"


def test_what_others_write_is_shown_at_once_when_nothing_was_edited(path: Path) -> None:
    tui = Tui(path).go("Basic Parameters")
    path.write_text(CONFIG.replace("max_recipients = 100", "max_recipients = 150"))
    tui.shell.tick()
    assert "Max. recipients            150" in tui.text
    assert "Another program has changed the file" in tui.status_line
    edit(tui, "Basic Parameters", "max_recipients", "7")
    path.write_text(CONFIG)
    tui.shell.tick()
    assert "Apply will show it and ask" in tui.status_line
    assert "Max. recipients            7" in tui.text


def test_two_at_once_do_not_write_over_each_other(path: Path) -> None:
    first = edit(Tui(path), "Basic Parameters", "max_recipients", "250")
    second = edit(Tui(path), "Basic Parameters", "max_hops", "30")
    first.press("f2").choose("Apply")
    second.press("f2")
    assert "The file has changed meanwhile" in second.text
    second.choose("Keep mine on top").press("f2").choose("Apply")
    assert "max_recipients = 250" in path.read_text()
    assert "max_hops = 30" in path.read_text()


def test_who_holds_the_lock_is_named(path: Path) -> None:
    tui = edit(Tui(path), "Basic Parameters", "max_recipients", "250").press("f2")
    program = (
        "import sys; from smtpd_classic.config.lock import locked\n"
        "with locked(sys.argv[1]):\n    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        tui.choose("Apply")
        other.communicate("")
    assert f"pid {other.pid}" in tui.status_line
    assert path.read_text() == CONFIG
    assert tui.shell.context.draft.changed()


def test_a_full_disk_leaves_the_old_file_whole(path: Path) -> None:
    tui = edit(Tui(path), "Basic Parameters", "max_recipients", "250").press("f2")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        tui.choose("Apply")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "✗" in tui.status_line
    assert path.read_text() == CONFIG
    assert tui.shell.context.draft.changed()
    assert sorted(
        each.name for each in path.parent.iterdir() if each.is_file() and not each.name.endswith(".lock")
    ) == [
        "aliases",
        "smtpd-classic.conf",
        "users",
    ]
    tui.press("f2").choose("Apply")
    assert "max_recipients = 250" in path.read_text()


def test_an_open_relay_must_be_wanted_in_words(path: Path) -> None:
    path.write_text(CONFIG.replace("address = 127.0.0.1", "address = 0.0.0.0"))
    tui = Tui(path)
    tui.shell.go("Basic Parameters", "close_open_relay")
    tui.press(" ", "f2")
    assert "EVERY host on the Internet" in tui.text
    tui.press("enter")
    assert "close_open_relay" not in path.read_text()
    tui.press("f2").choose("Yes, open the relay")
    assert "yes → no" in tui.text
    assert "no → yes" in tui.text
    tui.choose("Apply")
    assert "open_relay_confirmed = yes" in path.read_text()
    assert "OPEN RELAY: " in tui.text


def test_apply_on_leaving(path: Path) -> None:
    tui = edit(Tui(path), "Basic Parameters", "max_recipients", "250").press("f10").choose("Apply").choose("Apply")
    assert "max_recipients = 250" in path.read_text()
    assert "Applied." in tui.status_line


def test_reset_is_for_the_screen_in_view(path: Path) -> None:
    tui = edit(Tui(path), "Basic Parameters", "max_recipients", "250")
    edit(tui, "Server", "workers", "2")
    assert "Server*" in tui.text
    tui.press("ctrl r")
    assert [title for title in tui.shell._titles if tui.shell._has_changes(title)] == ["Basic Parameters"]
    assert "Receiving processes        0" in tui.text


def test_nothing_changed_offers_a_reload_when_the_daemon_is_behind(path: Path) -> None:
    with daemon(path, lambda _: ""):
        path.write_text(CONFIG.replace("max_recipients = 100", "max_recipients = 150"))
        tui = Tui(path).go("Basic Parameters").press("f2")
        assert "Reload?" in tui.text
        tui.press("enter")
        assert "The daemon runs with it." in tui.status_line
        tui.press("f2")
        assert "Nothing has been changed." in tui.status_line


def test_who_may_not_write_may_look() -> None:
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = made(Path(folder), CONFIG.replace("relay_password = geheim123\n", "").replace("relay_auth = yes\n", ""))
        path.chmod(0o444)
        os.chmod(folder, 0o555)
        try:
            if root:
                os.seteuid(65534)
            tui = Tui(path)
            assert "read-only" in tui.look()[0]
            assert "Read-only: " in tui.status_line
            edit(tui, "Basic Parameters", "max_recipients", "250").press("f2")
            assert "no write permission" in tui.status_line
        finally:
            if root:
                os.seteuid(0)
            os.chmod(folder, 0o755)
        assert "250" not in path.read_text()


def test_an_earlier_version_comes_back(path: Path) -> None:
    tui = edit(Tui(path), "Basic Parameters", "max_recipients", "250").press("f2").choose("Apply")
    tui.go("File Versions").press("enter")
    assert "-max_recipients = 250" in tui.text
    assert "+max_recipients = 100" in tui.text
    tui.choose("Restore this version")
    assert path.read_text() == CONFIG
    assert "Restored." in tui.status_line
    tui.go("Basic Parameters")
    assert "Max. recipients            100" in tui.text


def test_a_version_is_forgotten_by_its_name(tmp_path: Path) -> None:
    path = made(tmp_path)
    first, second = (keep(str(path), data) for data in (b"one", b"two"))
    forget(path, first)
    assert [each.name for each in versions(path)] == [second]
    forget(path, first)


def test_the_diff_shows_what_another_program_changed_meanwhile(path: Path) -> None:
    tui = edit(Tui(path), "Basic Parameters", "max_recipients", "250")
    path.write_text(CONFIG.replace("queue_lifetime = 3d", "queue_lifetime = 4d"))
    tui.press("f8")
    assert "The file has changed meanwhile" in tui.dialog_text
    assert "+queue_lifetime = 4d" in tui.dialog_text
    assert tui.shell.context.draft.changed("basic")
