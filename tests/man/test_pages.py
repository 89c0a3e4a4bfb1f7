"""The manuals: well-formed, complete, and every command line in them works."""

import argparse
import html
import json
import os
import re
import shlex
import smtplib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pexpect
import pytest

from smtpd_classic.cli import whole_parser
from tests.forking import forking_program
from tests.instance import Instance, running
from tests.tools import need
from tests.waiting import until
from tui.screens import MENU_ENTRIES

MAN = Path(__file__).parents[2] / "man"
PAGES = sorted(MAN.glob("*.[1-8]"))
COMMANDS = [page for page in PAGES if page.suffix != ".5"]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"MANROFFSEQ": ""})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
class TestPage:
    def test_mandoc_finds_nothing_wrong(self, page: Path) -> None:
        found = run(need("mandoc"), "-T", "lint", "-W", "warning", str(page))
        assert (found.returncode, found.stdout) == (0, "")

    def test_man_finds_nothing_wrong(self, page: Path) -> None:
        found = run(need("man"), "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(page))
        assert (found.returncode, found.stderr) == (0, "")

    def test_it_has_what_an_administrator_looks_for(self, page: Path) -> None:
        found = set(re.findall(r"^\.Sh (.*)$", page.read_text(encoding="utf-8"), re.M))
        wanted = {"NAME", "DESCRIPTION", "FILES", "EXAMPLES", "SEE ALSO"} | (
            {"EXIT STATUS"} if page in COMMANDS else set()
        )
        assert wanted - found == set()

    def test_what_it_refers_to_is_there(self, page: Path) -> None:
        """As far as it is ours."""
        ours = set(re.findall(r"^\.Xr (smtpd-classic\S*|sendmail|mailq|newaliases) (\d)", page.read_text(), re.M))
        missing = {f"{name}.{section}" for name, section in ours} - {each.name for each in PAGES}
        assert missing == set()


def test_the_421_to_idle_clients_at_a_reload_is_in_the_manual() -> None:
    text = (MAN / "smtpd-classic.8").read_text(encoding="utf-8")
    assert "idle gets the reply 421" in text.partition(".It Cm reload")[2].partition("\n.It ")[0]


def leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Each command in all its words, with its options."""
    below = next((each for each in parser._actions if isinstance(each, argparse._SubParsersAction)), None)
    if below is not None:
        for name, command in below.choices.items():
            yield from leaves(command, (*words, name))
        return
    yield words, {option for each in parser._actions for option in each.option_strings} - {"-h", "--help"}


def as_mdoc(option: str) -> str:
    return f"Fl Fl {option[2:]}" if option.startswith("--") else f"Fl {option[1:]}"


LEAVES = dict(leaves(whole_parser()))


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_is_in_the_manual_with_its_options(words: tuple[str, ...]) -> None:
    if words[0] == "queue":
        text = (MAN / "smtpd-classic-queue.8").read_text(encoding="utf-8")
        said = text if re.search(rf"^\.It Cm {words[1]}$", text, re.M) else ""
    else:
        text = (MAN / "smtpd-classic.8").read_text(encoding="utf-8")
        said = re.split(rf"^\.It Cm {' '.join(words)}\b", text, maxsplit=1, flags=re.M)[-1]
        assert said != text, f"{' '.join(words)} is not in the manual"
        said = re.split(r"^\.It |^\.El", said, maxsplit=1, flags=re.M)[0]
    missing = {option for option in LEAVES[words] if not re.search(rf"\b{re.escape(as_mdoc(option))}\b", said)}
    assert missing == set()


# What man calls a line of display (.Dl) in the EXAMPLES of a command is a line for the shell.
_ESCAPES = {r"\(dq": '"', r"\(aq": "'", r"\e": "\\", r"\-": "-", r"\&": "", r"\(ti": "~", r"\(ga": "`", r"\(ha": "^"}


def examples(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8").partition(".Sh EXAMPLES\n")[2]
    text = re.split(r"^\.Sh ", text, maxsplit=1, flags=re.M)[0]
    lines = re.findall(r"^\.Dl (.*)$", text, re.M)
    for block in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.M | re.S):
        lines += block.strip().splitlines()
    typed = [line[2:] for line in lines if line.startswith(("$ ", "# "))]
    return [_plain(line) for line in typed or lines]


def _plain(line: str) -> str:
    for escape, character in _ESCAPES.items():
        line = line.replace(escape, character)
    return html.unescape(line)


@pytest.fixture(scope="module")
def here() -> Iterator[Instance]:
    """A server with a message that waits, because the host for it is down."""
    with running("example.org") as instance:
        assert instance.run("config", "set", "direct elsewhere.example", "hosts", "127.0.0.1:1").returncode == 0
        assert instance.run("reload").returncode == 0
        yield instance


def waiting(here: Instance) -> str:
    """The id of a message that waits."""
    with smtplib.SMTP("127.0.0.1", here.ports["submission"], timeout=20) as client:
        client.starttls(context=here.tls())
        client.login(here.login, here.password)
        client.sendmail(
            here.login, ["friend@elsewhere.example"], f"From: {here.login}\r\nSubject: waits\r\n\r\nHello.\r\n"
        )
    found = until(lambda: here.run("queue", "list", "--json", "--state", "waiting").stdout, 20)
    return str(json.loads(found.splitlines()[0])["queue_id"])


PROGRAMS = {
    "smtpd-classic": "smtpd_classic.cli",
    "smtpd-classic-tui": "tui.app",
    "sendmail": "smtpd_classic.sendmail",
    "mailq": "smtpd_classic.sendmail",
    "newaliases": "smtpd_classic.sendmail",
}


def programs(folder: Path) -> dict[str, str]:
    """An environment in which the programs are those of this tree, under the names that they have when installed."""
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    for name, module in PROGRAMS.items():
        code = f"import sys; sys.argv[0] = '{name}'; from {module} import main; sys.exit(main())"
        (place / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "{code}" "$@"\n')
        (place / name).chmod(0o755)
    return os.environ | {"PATH": f"{place}:{os.environ['PATH']}", "PYTHONPATH": str(MAN.parent)}


def as_typed(line: str, folder: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the line; once more while the message is being delivered, which an example before it has begun."""
    command = ["sh", "-c", line]
    given = subprocess.DEVNULL

    def done() -> subprocess.CompletedProcess[str] | None:
        ran = subprocess.run(command, cwd=folder, env=environ, stdin=given, capture_output=True, text=True, timeout=60)
        return None if ran.returncode == os.EX_TEMPFAIL and "being delivered" in ran.stderr else ran

    found = until(done, 30)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["smtpd-classic.8", "smtpd-classic-queue.8", "sendmail.1"])
def test_every_example_works(name: str, here: Instance) -> None:
    # Beside the instance: “init” as root wants a place that the service user may enter.
    place = here.folder.parent / name
    place.mkdir(mode=0o755)
    (place / "letter.txt").write_text("To: joe@example.org\nSubject: A letter\n\nHello.\n")
    queue_id = waiting(here)
    lines = examples(MAN / name)
    assert len(lines) > 5
    environ = programs(place) | {"SMTPD_CLASSIC_CONFIG": str(here.file)}
    with forking_program(place / "bin" / "smtpd-classic"):
        for line in lines:
            done = as_typed(line.replace("0QUEUEID", queue_id), place, environ)
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def test_the_manual_of_the_screens_describes_each_of_the_menu() -> None:
    page = (MAN / "smtpd-classic-tui.8").read_text().replace("\\\n", "")
    screens = page.partition(".Sh SCREENS")[2].partition(".Sh ")[0]
    titles = {title for item in re.findall(r"^\.It (.*)", screens, re.MULTILINE) for title in item.split(" , ")}
    assert {each.title for each in MENU_ENTRIES} <= titles


def test_the_examples_of_the_screens_work(here: Instance, tmp_path: Path) -> None:
    (tmp_path / "instance").symlink_to(here.folder)
    for line in examples(MAN / "smtpd-classic-tui.8"):
        local = line.partition("sudo ")[2] or line
        environ = programs(tmp_path) | {"SMTPD_CLASSIC_CONFIG": str(here.file), "TERM": "xterm"}
        with pexpect.spawn(
            "sh", ["-c", f"exec {local}"], cwd=str(tmp_path), env=environ, timeout=20, dimensions=(24, 80)
        ) as terminal:
            terminal.expect("Postmaster|Queue|Log")
            terminal.send("\x11")
            terminal.expect(pexpect.EOF)
        assert terminal.exitstatus == 0
