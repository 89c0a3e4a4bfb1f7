"""The program without a terminal: on a file of its own, with keys pressed by hand and the screen as text."""

import os
from pathlib import Path

import urwid
import urwid.testing as ut

from tests.once import quick_hash
from tui.app import App
from tui.shell.main_shell import MainShell
from tui.widgets.focus import leaf_of

__all__ = ["CONFIG", "NOW", "PASSWORD", "Tui", "made"]

NOW = 1_790_000_000.0
PASSWORD = "secret word"
JOES_HASH = quick_hash(PASSWORD)
CONFIG = """\
# kept by hand
[server]
primary_domain = example.org
run_folder = run
spool_folder = spool
mail_folder = mail

[listener smtp]
address = 127.0.0.1
port = 2525

[basic]
# how long we try
queue_lifetime = 3d
max_recipients = 100

[remote]
relay_hosts = smtp.example.net
relay_user = us
relay_password = geheim123
relay_auth = yes
relay_always = yes
look_up_mx = no

[open-relay]
domains =
    # our sister
    sister.example
    .branch.example

[trusted]
hosts = 192.168.0.0/16

[direct example.net]
hosts =
    mail.example.net:465 ssl user=joe password=topsecret
    10.0.0.1

[direct .example.com]
hosts = mx.example.com

[replace Sales <sales@example.org>]
addresses = joe@pc.lan; root@pc.lan
"""


def made(folder: Path, text: str = CONFIG) -> Path:
    """The file of a server, with an account and an alias beside it."""
    path = folder / "smtpd-classic.conf"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o640)
    (folder / "users").write_text(f"joe@example.org:{JOES_HASH}:::Joe Doe:::\n", encoding="utf-8")
    (folder / "aliases").write_text("postmaster@example.org: joe@example.org\n", encoding="utf-8")
    for name in ("users", "aliases"):
        (folder / name).chmod(0o600)
    return path


class Tui:
    """`size` may be changed between keys. All work is done at once, in this thread."""

    def __init__(self, path: Path, size: tuple[int, int] = (80, 24), *, ascii_only: bool = False) -> None:
        os.environ.pop("SMTPD_CLASSIC_CONFIG", None)
        self.size = size
        self.app = App(str(path), screen=ut.ScriptedScreen(size=size), threads=False, ascii_only=ascii_only)
        self.shell: MainShell = self.app.shell
        self.shell.context.clock = lambda: NOW
        self.root: urwid.AbstractWidget = self.app.loop.widget
        self.shell.begin()
        self.look()

    def look(self) -> list[str]:
        """The screen as it is now."""
        return ut.render_text(self.root, self.size, focus=True)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.look())

    def press(self, *keys: str) -> "Tui":
        """Press keys, each drawn before the next as on a terminal."""
        for key in keys:
            self.root.keypress(self.size, key)
            self.root.render(self.size, focus=True)
        return self

    def type(self, text: str) -> "Tui":
        return self.press(*text)

    def go(self, title: str, *, enter: bool = True) -> "Tui":
        self.shell.show(title)
        if enter:
            self.shell.go(title)
        self.look()
        return self

    def leaf(self) -> urwid.AbstractWidget:
        """The widget that gets the keys."""
        return leaf_of(self.shell._layers)

    def to(self, label: str) -> "Tui":
        """Go on with Tab until the button with this label has the focus."""
        return self.find(f"[{label}]")

    def find(self, text: str, key: str = "tab") -> "Tui":
        """Go on until what has the focus reads like this."""
        for _ in range(80):
            if str(getattr(self.leaf(), "text", "")).strip() == text:
                return self
            self.press(key)
        raise AssertionError(f"no {text} in:\n{self.text}")

    def choose(self, label: str) -> "Tui":
        """Press a button."""
        return self.to(label).press("enter")

    def choose_word(self, text: str) -> "Tui":
        """Press a word of a list."""
        return self.find(text, "down").press("enter")

    @property
    def status_line(self) -> str:
        return self.look()[-2].strip()

    def dialog(self) -> bool:
        return self.shell._layers.top is not None

    @property
    def dialog_text(self) -> str:
        """The words of the dialog, wherever its lines break."""
        top = self.shell._layers.top
        assert top is not None, f"there is no dialog:\n{self.text}"
        lines = ut.render_text(top, (min(top.width, self.size[0]), 60), focus=True)
        return " ".join(" ".join(line.strip("│█ ") for line in lines).split())
