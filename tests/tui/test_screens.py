"""How every screen looks, kept as text: at 80x24, 132x50 and 40x10, and in ASCII. UPDATE_SCREENS=1 writes them anew."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool import Envelope, Recipient, Spool, new_queue_id
from tests.tui.program import CONFIG, NOW, Tui, made
from tui.screens import MENU_ENTRIES
from tui.shell.menu import WIDTH
from tui.shell.screen import MenuEntry

KEPT = Path(__file__).parent / "screens"
SIZES = [(80, 24), (132, 50), (40, 10)]
NARROW = 64
EDGES = "│┌└├|+"
LOG = """\
Sep 21 14:10:01 host smtpd-classic/smtpd[7]: connect from mx.example.net[198.51.100.7]
Sep 21 14:10:01 host smtpd-classic/smtpd[7]: 6603A1B2C3D4E5F60789: client=mx.example.net[198.51.100.7]
Sep 21 14:10:02 host smtpd-classic/qmgr[8]: 6603A1B2C3D4E5F60789: from=<ann@example.net>, size=812, nrcpt=1 \
(queue active)
Sep 21 14:10:03 host smtpd-classic/smtp[8]: 6603A1B2C3D4E5F60789: to=<joe@example.com>, relay=mx[203.0.113.1]:25, \
delay=1, delays=0/0/1/0, dsn=4.7.0, status=deferred (421 4.7.0 try again later)
Sep 21 14:10:09 host smtpd-classic/smtpd[7]: warning: unknown[203.0.113.5]: SASL LOGIN authentication failed: x
"""


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    text = CONFIG.replace("mail_folder = mail", "mail_folder = /srv/mail")
    spool = Spool(str(tmp_path / "spool"))
    spool.make()
    for number in range(3):
        at = NOW - 3600 * (number + 1)
        with spool.draft(new_queue_id(at)[:13] + f"{number:07}") as draft:
            draft.write(b"Subject: hello\n\nbody\n")
            draft.commit(Envelope(f"s{number}@example.org", (Recipient(f"r{number}@example.net"),)), at)
    return made(tmp_path, text)


def opened(place: MenuEntry, path: Path, size: tuple[int, int] = (80, 24), *, ascii_only: bool = False) -> Tui:
    if place.title in {"Log", "Status"}:
        log = path.with_name("mail.log")
        log.write_text(LOG)
        path.write_text(path.read_text().replace("[server]", f"[server]\nlog = {log}"))
    return Tui(path, size, ascii_only=ascii_only).go(place.title)


def shown(tui: Tui, path: Path) -> str:
    """Return the screen without its menu, so that a new entry of the menu does not change every kept screen."""
    lines = [without_menu(line).rstrip() if tui.size[0] >= NARROW else line.rstrip() for line in tui.look()]
    assert str(path.parent) not in "\n".join(lines), "a kept screen must not show the folder of the test"
    return "\n".join(lines) + "\n"


def without_menu(line: str) -> str:
    """Cut the line at the rule, or at the edge of the dialog, that ends the menu."""
    edge = next((at for at, char in enumerate(line[: WIDTH + 1]) if char in EDGES), 0)
    return line[edge:]


def compare(name: str, text: str) -> None:
    kept = KEPT / f"{name}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        kept.write_text(text, encoding="utf-8")
    assert kept.exists(), f"{kept} is missing: run with UPDATE_SCREENS=1 and look at what it writes"
    assert text == kept.read_text(encoding="utf-8")


def file_name(title: str) -> str:
    return title.lower().replace(" & ", "-").replace(" ", "-")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("place", MENU_ENTRIES, ids=lambda place: file_name(place.title))
def test_every_screen_looks_as_it_did(place: MenuEntry, size: tuple[int, int], path: Path) -> None:
    tui = opened(place, path, size)
    compare(f"{file_name(place.title)}-{size[0]}x{size[1]}", shown(tui, path))


@pytest.mark.parametrize("place", MENU_ENTRIES, ids=lambda place: file_name(place.title))
def test_every_screen_looks_as_it_did_in_ascii(place: MenuEntry, path: Path) -> None:
    tui = opened(place, path, ascii_only=True)
    text = shown(tui, path)
    assert text.isascii()
    compare(f"{file_name(place.title)}-ascii", text)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_dialogs_look_as_they_did(size: tuple[int, int], path: Path) -> None:
    tui = Tui(path, size)
    tui.press("f1")
    compare(f"help-{size[0]}x{size[1]}", shown(tui, path))
    tui.press("esc").go("Basic Parameters").shell.go("Basic Parameters", "max_recipients")
    tui.type("0").press("f2")
    compare(f"apply-{size[0]}x{size[1]}", shown(tui, path))
    tui.press("esc", "f10")
    compare(f"leaving-{size[0]}x{size[1]}", shown(tui, path))
    tui.press("esc").go("Direct Delivery").press("enter")
    compare(f"row-{size[0]}x{size[1]}", shown(tui, path))
