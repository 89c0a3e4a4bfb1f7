"""The program on a real pseudo-terminal: keys go in as bytes, the screen comes out as a terminal would draw it."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pexpect
import pyte

from tests.waiting import until

__all__ = ["KEYS", "Terminal"]

KEYS = {
    "enter": "\r",
    "tab": "\t",
    "shift tab": "\x1b[Z",
    "esc": "\x1b",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "page down": "\x1b[6~",
    "page up": "\x1b[5~",
    "insert": "\x1b[2~",
    "delete": "\x1b[3~",
    "backspace": "\x7f",
    "ctrl page down": "\x1b[6;5~",
    "f1": "\x1bOP",
    "f2": "\x1bOQ",
    "f3": "\x1bOR",
    "f4": "\x1bOS",
    "f5": "\x1b[15~",
    "f7": "\x1b[18~",
    "f8": "\x1b[19~",
    "f9": "\x1b[20~",
    "f10": "\x1b[21~",
}


class Terminal:
    def __init__(
        self,
        config: Path,
        *options: str,
        size: tuple[int, int] = (80, 24),
        environ: Mapping[str, str] | None = None,
        before: str = "",
    ) -> None:
        """`before`: Python that runs in the same process before the program."""
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            **(environ or {}),
        }
        program = f"{before}\nimport sys; from tui.app import main; sys.exit(main())"
        self.log = config.with_name("tui.log")
        arguments = ["-c", program, "--config", str(config), "--log", str(self.log), *options]
        self.child = pexpect.spawn(
            sys.executable,
            arguments,
            env=environment,
            dimensions=(size[1], size[0]),
            timeout=0,
            cwd=str(Path(__file__).parents[2]),
            use_poll=True,  # select() takes no descriptor over 1,023
        )
        self.child.delaybeforesend = None

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up, and read until the end of the program: it cannot end while it waits to write."""
        self.child.kill(signal.SIGHUP)
        self.ends()
        self.child.close()

    def _read(self) -> None:
        while True:
            try:
                found: Any = self.child.read_nonblocking(65536, timeout=0)
            except (pexpect.TIMEOUT, pexpect.EOF):
                return
            octets = bytes(found)  # without an encoding, pexpect gives bytes
            self.raw += octets
            self._stream.feed(octets)

    @property
    def text(self) -> str:
        self._read()
        return "\n".join(line.rstrip() for line in self._screen.display)

    def shows(self, *words: str, timeout_s: float = 60) -> "Terminal":
        """Wait until the screen shows all of this."""
        until(lambda: all(each in self.text for each in words), timeout_s, lambda: f"no {words} in:\n{self.text}")
        return self

    def hides(self, *words: str, timeout_s: float = 60) -> "Terminal":
        until(lambda: not any(each in self.text for each in words), timeout_s, lambda: f"{words} in:\n{self.text}")
        return self

    def press(self, *keys: str) -> "Terminal":
        """Keys by name; what has no name is text or a control character (`ctrl x`, `meta x`)."""
        for key in keys:
            if key.startswith("ctrl ") and len(key) == 6:
                self.child.send(chr(ord(key[5]) & 0x1F))
            elif key.startswith("meta ") and len(key) == 6:
                self.child.send("\x1b" + key[5])
            else:
                self.child.send(KEYS.get(key, key))
        return self

    def resize(self, columns: int, rows: int) -> None:
        self._screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def ends(self, timeout_s: float = 60) -> int:
        """Wait until the program has ended; its exit code."""

        def ended() -> bool:
            self._read()
            return not self.child.isalive()

        until(ended, timeout_s, lambda: f"still there:\n{self.text}")
        self._read()
        return int(self.child.exitstatus if self.child.exitstatus is not None else -(self.child.signalstatus or 0))
