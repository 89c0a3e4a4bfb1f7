"""A newcomer's first hour, typed: each step is right on disk, and the keys besides text are counted."""

import os
from pathlib import Path

import pytest

from smtpd_classic.accounts import list_accounts, list_aliases
from smtpd_classic.config import load
from smtpd_classic.runtime import Runtime
from tests.tui.program import Tui
from tests.tui.test_assistant import taken

__all__ = ["taken"]

ASSISTANT_KEYS = 25
HOUR_KEYS = 80


class Typist:
    """Presses keys and counts them; text is not counted."""

    def __init__(self, tui: Tui) -> None:
        self.tui = tui
        self.keys = 0

    def press(self, *keys: str) -> "Typist":
        self.keys += len(keys)
        self.tui.press(*keys)
        return self

    def type(self, text: str) -> "Typist":
        self.tui.type(text)
        return self

    def go(self, words: str) -> "Typist":
        """Go to a screen by the palette."""
        return self.press("ctrl p").type(words).press("enter")

    def close(self) -> "Typist":
        """Close the dialogs that are open."""
        while self.tui.dialog():
            self.press("esc")
        return self


@pytest.fixture
def typist(tmp_path: Path, taken: None) -> Typist:
    return Typist(Tui(tmp_path / "etc" / "smtpd-classic.conf"))


def assistant(typist: Typist) -> None:
    for text in ("example.org", "mail.example.org", "ann"):
        typist.press("enter", "ctrl u").type(text)
    typist.press(*["enter"] * 5, "right", "enter").type("smtp.example.net:587").press("enter").type("us")
    typist.press("enter").type("s3cret word").press("enter", "enter", "enter")
    if os.geteuid() == 0:
        typist.press("ctrl u").type("nobody")
    typist.press("enter", "enter")


def test_the_first_hour(typist: Typist, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "smtpd-classic.conf"
    assistant(typist)
    typist.close()
    assert path.exists()
    assert typist.keys <= ASSISTANT_KEYS

    typist.go("domains").press("a").type("second.example").press("f2", "f2", "enter")
    typist.go("trusted").press("a").type("192.168.7.0/24").press("f2", "f2", "enter")
    typist.go("direct").press("a").type("partner.example").press("enter")
    typist.press("a").type("10.0.0.6").press("f2", "a").type("10.0.0.5").press("f2", "f2", "f2", "enter")
    typist.go("header replace").press("a").type("Sales <sales@example.org>").press("enter").type("joe@pc.lan").press(
        "f2"
    )
    typist.press("f2", "enter")
    config = load(path)
    assert "second.example" in [row.name for row in config.domains]
    assert [str(network) for network in config.trusted.hosts] == ["192.168.7.0/24"]
    assert [(row.name, [host.name for host in row.hosts]) for row in config.direct_domains] == [
        ("partner.example", ["10.0.0.6", "10.0.0.5"])
    ]
    assert len(config.replacements) == 1

    typist.go("accounts").press("a").type("bob@second.example").press("enter").type("Bob").press("f2").close()
    typist.go("aliases").press("a").type("info@second.example").press("enter").type("bob@second.example").press("f2")
    assert {account.address for account in list_accounts(config)} == {"ann@example.org", "bob@second.example"}
    assert dict(list_aliases(config))["info@second.example"] == ("bob@second.example",)

    typist.go("recipients").press("ctrl u").type("1").press("f2", "enter")  # a mistake
    assert load(path).basic.max_recipients == 1
    typist.go("file versions").press("u", "enter")
    assert load(path).basic.max_recipients == config.basic.max_recipients

    meanwhile_a_stranger_guesses(path, tmp_path)
    typist.tui.shell.tick()  # the file is another one, as the second shows
    typist.go("log").press("enter", "enter", "tab", "enter")
    assert Runtime(str(tmp_path / "run")).blocks.blocked("203.0.113.66")
    assert typist.keys <= HOUR_KEYS, typist.keys


def meanwhile_a_stranger_guesses(path: Path, folder: Path) -> None:
    """Let the log hold the line of a stranger; log and run folder are of this test."""
    line = "warning: unknown[203.0.113.66]: SASL LOGIN authentication failed: x"
    (folder / "log").write_text(f"Sep 21 14:10:09 host smtpd-classic/smtpd[7]: {line}\n")
    kept = [each for each in path.read_text().splitlines() if not each.startswith(("log =", "run_folder ="))]
    at = kept.index("[server]") + 1
    path.write_text("\n".join([*kept[:at], f"log = {folder}/log", f"run_folder = {folder}/run", *kept[at:], ""]))
