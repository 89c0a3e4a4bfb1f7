"""The whole program on a real pseudo-terminal of 80 columns and 24 rows."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tui.program import CONFIG, made
from tests.tui.terminal import Terminal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made(tmp_path)


def test_a_field_is_changed_applied_and_the_program_left(path: Path) -> None:
    with Terminal(path) as terminal:
        terminal.shows("smtpd-classic › Status", "daemon is down", "F10 Quit")
        terminal.press("down", "enter").shows("(postmaster)")
        terminal.press("down", "down", "down").shows("(max_recipients)")
        terminal.press("backspace", "backspace", "backspace", "250").shows("*Max. recipients", "250")
        terminal.press("f2").shows("Apply these changes?", "Max. recipients: 100 → 250")
        terminal.press("f8").shows("The changes of the file", "+max_recipients = 250")
        terminal.press("esc").shows("Apply these changes?")  # Esc and Enter at once would be Alt-Enter
        terminal.press("enter").shows("Applied. The daemon is down")
        assert path.read_text() == CONFIG.replace("max_recipients = 100", "max_recipients = 250")
        terminal.press("f10")
        assert terminal.ends() == 0
        assert b"\x1b[?1049l" in terminal.raw
        assert b"\x1b[?2004h" in terminal.raw  # bracketed paste


def test_the_same_without_f_keys(path: Path) -> None:
    with Terminal(path) as terminal:
        terminal.shows("Status").press("down", "enter").shows("(postmaster)")
        terminal.press("down", "down", "down").shows("(max_recipients)").press("ctrl u", "250").shows(
            "*Max. recipients"
        )
        terminal.press("ctrl s").shows("Apply these changes?").press("enter").shows("Applied.")
        terminal.press("ctrl g").shows("Help and keys").press("esc").hides("Enter runs")
        terminal.press("meta q")
        assert terminal.ends() == 0
    assert "max_recipients = 250" in path.read_text()


def test_the_guard_at_the_door(path: Path) -> None:
    with Terminal(path) as terminal:
        terminal.shows("Status").press("down", "enter").shows("(postmaster)").press("x").shows("*Postmaster")
        terminal.press("ctrl q").shows("Changes are not applied", "Basic Parameters")
        terminal.press("enter").hides("Changes are not applied").shows("*Postmaster")
        terminal.press("ctrl c").shows("Changes are not applied").press("tab", "tab", "enter")
        assert terminal.ends() == 0
    assert path.read_text() == CONFIG


def test_ctrl_c_asks_and_twice_leaves(path: Path) -> None:
    with Terminal(path) as terminal:
        terminal.shows("Status").press("ctrl c").shows("Leave?").press("esc").hides("Leave?")
        terminal.press("ctrl c").shows("Leave?").press("ctrl c")
        assert terminal.ends() == 0


def test_ctrl_s_and_ctrl_q_freeze_nothing(path: Path) -> None:
    with Terminal(path) as terminal:
        terminal.shows("Status").press("down").shows("› Basic Parameters")
        terminal.press("ctrl s").shows("Nothing has been changed.")
        terminal.press("down").shows("› Remote Delivery")


def test_what_is_pasted_into_a_list_does_nothing(path: Path) -> None:
    with Terminal(path) as terminal:
        terminal.shows("Status").press("down", "down", "down", "down", "enter").shows("› Trusted Hosts")
        terminal.press("\x1b[200~ddddq\r\n\x1b[201~").press("right").shows("192.168.0.0/16")
        terminal.press("f5").shows("Read again.", "192.168.0.0/16")


def test_the_window_changes_its_size(path: Path) -> None:
    with Terminal(path) as terminal:
        terminal.shows("Status", "Trusted Hosts")
        terminal.resize(30, 8)
        terminal.shows("30x8 is too small")
        terminal.resize(132, 50)
        terminal.shows("Trusted Hosts", "F10 Quit")


def test_no_colour_and_ascii(path: Path) -> None:
    with Terminal(path, "--ascii", environ={"NO_COLOR": "1"}) as terminal:
        terminal.shows("smtpd-classic > Status").press("down").shows("> Basic Parameters")
        assert terminal.text.isascii()
        assert b"\x1b[38;5;" not in terminal.raw
        assert b";44m" not in terminal.raw


def test_a_terminal_that_is_not_utf8_gets_ascii(path: Path) -> None:
    with Terminal(
        path, environ={"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ) as terminal:
        terminal.shows("smtpd-classic > Status")
        assert terminal.text.isascii()


@pytest.mark.parametrize("options", [("--mouse",), ("--no-mouse",)])
def test_the_mouse_is_used_or_not(path: Path, options: tuple[str, ...]) -> None:
    with Terminal(path, *options) as terminal:
        terminal.shows("Status")
        assert (b"\x1b[?1000h" in terminal.raw) is (options == ("--mouse",))
        terminal.press("meta o").shows("The mouse is")


def test_the_mouse_is_left_to_the_terminal_over_ssh(path: Path) -> None:
    with Terminal(path, environ={"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}) as terminal:
        terminal.shows("Status")
        assert b"\x1b[?1000h" not in terminal.raw


def test_the_terminal_is_restored_when_it_is_killed_politely(path: Path) -> None:
    with Terminal(path) as terminal:
        terminal.shows("Status")
        terminal.child.kill(signal.SIGTERM)
        terminal.ends()
        assert b"\x1b[?1049l" in terminal.raw


def test_a_signal_that_python_drops_ends_the_program_too(path: Path) -> None:
    """What is raised inside the garbage collector is written to standard error and forgotten."""
    before = """
import gc, os, signal
def hang_up(phase, about):
    gc.callbacks.remove(hang_up)
    os.kill(os.getpid(), signal.SIGHUP)
    list(range(10))
def collect(number, frame):
    gc.callbacks.append(hang_up)
    gc.collect()
signal.signal(signal.SIGUSR1, collect)
"""
    with Terminal(path, before=before) as terminal:
        terminal.shows("Status")
        terminal.child.kill(signal.SIGUSR1)
        assert terminal.ends() == 128 + signal.SIGHUP
        assert b"\x1b[?1049l" in terminal.raw


def test_without_a_terminal_it_says_so(path: Path) -> None:
    program = "import sys; from tui.app import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "--config", str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (64, "smtpd-classic-tui needs a terminal.\n")


def test_nothing_a_stranger_wrote_reaches_the_terminal(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_bytes(
        b"Nov 22 09:00:00 h smtpd-classic/smtpd[1]: \x1b]0;owned\x07\x1b[2J\xe2\x80\xaegnp.exe \x9b31m end\n"
    )
    path = made(tmp_path, CONFIG.replace("[server]", f"[server]\nlog = {log}"))
    with Terminal(path) as terminal:
        terminal.shows("Status").press("end", "up", "up", "up", "up", "up", "enter").shows("› Log", "end")
        for harmful in (b"\x1b]0;owned", b"\x1b[2J\xe2", "\u202e".encode(), b"\x9b31m"):
            assert harmful not in terminal.raw
