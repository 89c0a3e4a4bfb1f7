"""Pictures of the screens in the colours of a terminal, for the README and the manual.

`python -m tests.tui.pictures [NAME …]` draws them anew. They are drawn from the program itself, on a made-up server
with made-up mail.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Collection, Hashable, Iterator
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape

import urwid
import urwid.testing as ut

from smtpd_classic.config import load
from smtpd_classic.runtime import Listening, Runtime
from smtpd_classic.runtime.status import own_status
from spool import Envelope, Recipient, Spool, new_queue_id
from tests.tui.program import CONFIG, Tui, made
from tui.screens import MENU_ENTRIES
from tui.widgets.palette import palette

__all__ = ["as_svg", "file_name", "main"]

FOLDER = Path(__file__).parents[2] / "man" / "pictures"
SIZE = (100, 30)
CELL, LINE = 8.4, 18
BACKGROUND, FOREGROUND = "#141414", "#d4d4d4"
_LISTENING = (("smtp", 25, "starttls"), ("submission", 587, "starttls"), ("submissions", 465, "implicit"))
_REPLY = "450 4.2.0 greylisted, come back later"
_RANDOM = random.Random(5321)


def as_svg(runs: list[list[tuple[Hashable, str]]], columns: int) -> str:
    """The screen as an SVG: a rectangle for each background, the text above it, cell by cell where it belongs."""
    width, height = columns * CELL, len(runs) * LINE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" font-family="monospace">',
        f'<rect width="100%" height="100%" fill="{BACKGROUND}"/>',
    ]
    for row, line in enumerate(ut.resolve_runs(runs, palette(), colors=256)):
        lines += _row(line, row)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _row(line: list[tuple[urwid.AttrSpec, str]], row: int) -> Iterator[str]:
    column = 0
    for spec, text in line:
        width = urwid.calc_width(text, 0, len(text))
        red, green, blue, back_red, back_green, back_blue = spec.get_rgb_values()
        x, span = column * CELL, width * CELL
        if back_red is not None:
            fill = f"#{back_red:02x}{back_green:02x}{back_blue:02x}"
            yield f'<rect x="{x:g}" y="{row * LINE}" width="{span:g}" height="{LINE}" fill="{fill}"/>'
        if text.strip():
            colour = FOREGROUND if red is None else f"#{red:02x}{green:02x}{blue:02x}"
            bold = ' font-weight="bold"' if spec.bold else ""
            place = f'x="{x:g}" y="{row * LINE + 13}" textLength="{span:g}" lengthAdjust="spacingAndGlyphs"'
            look = f'font-size="14" xml:space="preserve" fill="{colour}"{bold}'
            yield f"<text {place} {look}>{escape(text)}</text>"
        column += width


def _server(folder: Path) -> Path:
    """A server that has been busy for an hour."""
    now = time.time()
    (folder / "log").write_text("\n".join(_log(now)) + "\n", encoding="utf-8")
    path = made(folder, CONFIG.replace("[server]", f"[server]\nlog = {folder}/log"))
    spool = Spool(str(folder / "spool"))
    spool.make()
    for number in range(40):
        at = now - 400 * number - 30
        with spool.draft(new_queue_id(at)) as draft:
            draft.write(b"Subject: hello\n\n" + b"x" * _RANDOM.randrange(200_000))
            domain = _RANDOM.choice(["example.net", "slow.example"])
            recipient = Recipient(f"{_RANDOM.choice(['ann', 'bob', 'eve'])}@{domain}")
            queue_id = draft.commit(Envelope(f"{_RANDOM.choice(['joe', 'sales'])}@example.org", (recipient,)), at)
        if number > 3:
            _defer(spool, queue_id, now, hold=number % 9 == 0)
    runtime = Runtime(str(folder / "run"))
    runtime.make()
    status = own_status(str(path), load(path).digest, "0")
    listening = tuple(Listening(name, "127.0.0.1", port, tls) for name, port, tls in _LISTENING)
    runtime.status.write(
        replace(status, state="running", generation=1, receivers=2, since=now - 300_000, listening=listening)
    )
    return path


def _defer(spool: Spool, queue_id: str, now: float, *, hold: bool) -> None:
    claim = spool.claim(queue_id)
    if claim is None:
        return
    with claim:
        recipients = tuple(
            each._replace(attempts=2, last_reply=_REPLY, host="mx.slow.example", at=now)
            for each in claim.state.recipients
        )
        claim.record(
            claim.state._replace(
                recipients=recipients,
                attempts=_RANDOM.randrange(1, 7),
                last_attempt=now - 600,
                next_attempt=now + _RANDOM.randrange(60, 9000),
                held=hold,
            )
        )


def _hour(most: int) -> list[int]:
    """Mail of an hour, minute by minute."""
    return [int(most * (0.5 + 0.5 * _RANDOM.random() * ((minute % 17) / 17))) for minute in range(60)]


def _log(now: float) -> Iterator[str]:
    for number in range(120):
        stamp = time.strftime("%b %e %H:%M:%S", time.localtime(now - 2 * (120 - number)))
        queue_id = new_queue_id(now - 240 + number)
        began = f"{stamp} mail smtpd-classic"
        yield f"{began}/smtpd[812]: {queue_id}: client=mx.example.net[198.51.100.{number % 9}]"
        yield f"{began}/qmgr[813]: {queue_id}: from=<ann@example.net>, size=2381, nrcpt=1 (queue active)"
        yield (
            f"{began}/smtp[813]: {queue_id}: to=<bob@example.com>, relay=mx.example.com[203.0.113.7]:25, "
            "delay=0.8, delays=0/0/0.5/0.3, dsn=2.0.0, status=sent (250 2.0.0 OK)"
        )
        if number % 7 == 3:
            yield (
                f"{began}/smtpd[812]: warning: unknown[203.0.113.66]: SASL LOGIN authentication failed: "
                "authentication failure, sasl_username=info"
            )
            yield (
                f"{began}/smtpd[812]: NOQUEUE: reject: RCPT from unknown[203.0.113.66]: 550 5.7.1 "
                "<x@far.example>: log in first; from=<a@b.example> to=<x@far.example> proto=ESMTP helo=<b>"
            )


def _pictures(path: Path) -> Iterator[tuple[str, Tui]]:
    """Yield each screen of the menu, and the dialogs that the README shows."""
    tui = Tui(path, SIZE)
    tui.shell.context.clock = time.time
    tui.shell.run("refresh")
    for bar, most in zip(tui.shell.screen._bars, (30, 28, 6, 11), strict=True):  # type: ignore[attr-defined]
        bar.show(_hour(most), 2)
    yield "status", tui
    for place in MENU_ENTRIES[1:]:
        yield file_name(place.title), tui.go(place.title)
    tui.shell.go("Basic Parameters", "max_recipients")
    yield "apply", tui.press("ctrl u").type("250").press("f2")
    tui.press("esc", "f3")
    yield "story", tui.go("Queue").press("down", "down", "down", "down", "down", "i")


def file_name(title: str) -> str:
    return title.lower().replace(" & ", "-").replace(" ", "-")


def main(wanted: Collection[str]) -> None:
    """Draw the wanted pictures; all of them if none is named."""
    FOLDER.mkdir(exist_ok=True)
    for old in () if wanted else FOLDER.glob("*.svg"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name, tui in _pictures(_server(Path(folder))):
            if wanted and name not in wanted:
                continue
            tui.look()
            svg = as_svg(ut.render_runs(tui.root, SIZE, focus=True), SIZE[0])
            (FOLDER / f"{name}.svg").write_text(svg.replace(folder, "/srv"), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
