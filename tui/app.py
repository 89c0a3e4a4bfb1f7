"""smtpd-classic-tui: build the program and run it."""

import argparse
import base64
import gc
import locale
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import urwid
from urwid.command_map import Command

from tui.screens import MENU_ENTRIES
from tui.shell.background import AtOnce, Background, Threads
from tui.shell.context import AppContext
from tui.shell.guard import Guard
from tui.shell.main_shell import MainShell
from tui.shell.pop_ups import PopUpLayer
from tui.widgets.ascii import Ascii
from tui.widgets.palette import no_colour_wanted, palette

__all__ = ["App", "main"]

gc.freeze()  # all that was imported lives as long as the program
gc.set_threshold(20_000, 20, 20)

T = TypeVar("T")
_DEFAULT_CONFIG = "/etc/smtpd-classic/smtpd-classic.conf"
_EDITING = {
    Command.DELETE_TO_LINE_START: "ctrl u",
    Command.DELETE_TO_LINE_END: "ctrl k",
    Command.DELETE_WORD_LEFT: "ctrl w",
    Command.WORD_LEFT: "ctrl left",
    Command.WORD_RIGHT: "ctrl right",
}


class App:
    """The program. `screen` is the terminal or a scripted one; without `threads` all work runs at once, in the loop."""

    def __init__(
        self,
        config: str,
        *,
        screen: urwid.BaseScreen | None = None,
        ascii_only: bool = False,
        light: bool = False,
        mouse: bool = False,
        threads: bool = True,
    ) -> None:
        _bind_editing_keys()
        self.background: Background = AtOnce()
        self.shell = MainShell(lambda shell: AppContext(config, shell, _Later(lambda: self.background)), MENU_ENTRIES)
        picture: urwid.AbstractWidget = PopUpLayer(self.shell, self.shell.in_focus)
        if ascii_only:
            urwid.set_encoding("utf8")  # keep UTF-8 inside: Ascii translates the picture, and urwid would print “?”
            picture = Ascii(picture)
        root = Guard(picture, self.shell.context.failure)
        self.loop = urwid.MainLoop(
            root, palette(light=light), screen=screen, handle_mouse=mouse, unhandled_input=lambda _: True
        )
        self._mouse = mouse
        self._exit_code: int | None = None  # set by a signal that ends the program
        self.shell.switch_mouse = self._switch_mouse
        self.shell.write_clipboard = self._write_clipboard
        if threads:
            self.background = Threads(self.loop, self.shell.context.failure)

    def run(self) -> None:
        self.shell.begin()
        self.loop.set_alarm_in(1, self._tick)
        self.loop.run()

    def leave(self, number: int, _: object) -> None:
        """End the program after a signal; unwinding the stack restores the terminal. Raises SystemExit."""
        self._exit_code = 128 + number
        raise SystemExit(self._exit_code)

    def _tick(self, loop: urwid.MainLoop, _: object) -> None:
        if self._exit_code is not None:  # Python drops an exception that is raised while it destroys an object
            raise SystemExit(self._exit_code)
        loop.set_alarm_in(1, self._tick)  # set it first: a failure below must not stop the ticks
        self.shell.tick()

    def _write_clipboard(self, text: str) -> None:
        """Send the text with OSC 52, which also reaches the clipboard of a terminal at the other end of SSH."""
        screen = self.loop.screen
        if isinstance(screen, urwid.display.raw.Screen):
            screen.write(f"\x1b]52;c;{base64.b64encode(text.encode()).decode('ascii')}\x07")
            screen.flush()

    def _switch_mouse(self) -> str:
        self._mouse = not self._mouse
        self.loop.screen.set_mouse_tracking(self._mouse)
        return (
            "The mouse is on; the terminal selects text only with Shift while you drag."
            if self._mouse
            else "The mouse is off: the terminal's own copy and paste work."
        )


class _Later:
    """A Background that is chosen later, because threads need the loop, which does not exist yet."""

    def __init__(self, chosen: Callable[[], Background]) -> None:
        self._chosen = chosen

    def run(self, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[Exception], None]) -> None:
        self._chosen().run(work, done, failed)

    def call(self, work: Callable[[], None]) -> None:
        self._chosen().call(work)


def _bind_editing_keys() -> None:
    for key in ("ctrl p", "ctrl n"):  # urwid takes them for Tab; here Ctrl-P finds
        with suppress(KeyError):
            del urwid.command_map[key]
    for command, key in _EDITING.items():
        urwid.command_map.bind(command, key)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        sys.stderr.write("smtpd-classic-tui needs a terminal.\n")
        return 64
    locale.setlocale(locale.LC_ALL, "")
    _log_to(options.log or _log_file(os.environ))
    screen = _terminal(os.environ)
    app = App(
        options.config,
        screen=screen,
        ascii_only=options.ascii or not _draws_lines(os.environ),
        light=options.light,
        mouse=options.mouse if options.mouse is not None else not _is_remote(os.environ),
    )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, app.leave)
    with suppress(KeyboardInterrupt):
        app.run()
    return 0


def _terminal(environ: Mapping[str, str]) -> urwid.display.raw.Screen:
    screen = urwid.display.raw.Screen(bracketed_paste_mode=True)
    if no_colour_wanted(environ):
        screen.set_terminal_properties(colors=1)
    # Ctrl-C asks before leaving, and Ctrl-S and Ctrl-Q are ordinary keys: the terminal must not act on them.
    screen.tty_signal_keys(intr="undefined", quit="undefined", start="undefined", stop="undefined")
    return screen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smtpd-classic-tui", description="Set up and watch smtpd-classic in a terminal."
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=os.environ.get("SMTPD_CLASSIC_CONFIG") or _DEFAULT_CONFIG,
        help="the configuration file (default: %(default)s)",
    )
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    parser.add_argument("--light", action="store_true", help="colours for a light background")
    parser.add_argument(
        "--mouse",
        action=argparse.BooleanOptionalAction,
        help="use the mouse; by default not over SSH, where it would take away the terminal's own copy and paste",
    )
    parser.add_argument("--log", metavar="FILE", help="the file for errors of this program")
    return parser


def _draws_lines(environ: Mapping[str, str]) -> bool:
    # Python itself changes the locale C to C.UTF-8 (PEP 538) and sets LC_CTYPE=C.UTF-8.
    chosen = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "C"
    if chosen == "C.UTF-8" and not environ.get("LC_ALL") and environ.get("LANG", "C") in {"", "C", "POSIX"}:
        chosen = "C"
    if chosen in {"C", "POSIX"}:
        return False
    encoding = locale.getpreferredencoding(do_setlocale=False).lower().replace("-", "")
    return encoding == "utf8" and environ.get("TERM", "") not in {"vt100", "dumb", "vt220"}


def _is_remote(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"))


def _log_file(environ: Mapping[str, str]) -> str:
    if os.geteuid() == 0:
        return "/var/log/smtpd-classic-tui.log"
    state = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return str(Path(state) / "smtpd-classic" / "tui.log")


def _log_to(path: str) -> None:
    """Write errors into a file, never to the terminal, where they would overwrite the screen."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = logging.FileHandler(path, delay=True)
        if not os.access(Path(path).parent, os.W_OK):
            raise PermissionError(path)
    except OSError:
        handler = logging.FileHandler(
            str(Path(tempfile.gettempdir()) / f"smtpd-classic-tui-{os.geteuid()}.log"), delay=True
        )
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    handler.setLevel(logging.ERROR)
    logging.basicConfig(handlers=[handler], level=logging.ERROR, force=True)
