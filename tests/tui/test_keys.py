"""Keys are declared once; what is made of them is in step, and no terminal is left without a way."""

import subprocess
from pathlib import Path

import pytest

from tests.tools import need
from tui.shell.key_names import key_text
from tui.shell.keys import BINDINGS, CONTEXTS, EVERYWHERE, Binding, binding, bindings_of, command_for
from tui.shell.manual import with_key_table

PAGE = Path(__file__).parents[2] / "man" / "smtpd-classic-tui.8"
TOGETHER = [
    ("settings",),
    ("list", "order", "settings"),
    ("list", "settings"),
    ("blocked", "settings"),
    ("accounts", "list"),
    ("list",),
    ("queue",),
    ("log",),
    ("status",),
    ("connections",),
    ("explain",),
    ("versions",),
    ("message", "dialog"),
    ("suspects", "dialog"),
]


@pytest.mark.parametrize("contexts", TOGETHER, ids=" ".join)
def test_a_key_means_one_thing_at_a_time(contexts: tuple[str, ...]) -> None:
    seen: dict[str, Binding] = {}
    for each in bindings_of(contexts):
        for key in each.keys:
            other = seen.setdefault(key, each)
            assert other.command == each.command, f"{key} is {other.command} and {each.command}"


def test_every_context_is_named_and_used() -> None:
    assert {each.where for each in BINDINGS} == set(CONTEXTS)


@pytest.mark.parametrize("each", BINDINGS, ids=lambda each: f"{each.where} {each.command}")
def test_every_command_has_a_key_without_f(each: Binding) -> None:
    plain = [key for key in each.keys if not (key[0] == "f" and key[1:].isdigit())]
    assert plain, each


@pytest.mark.parametrize("command", ["help", "menu", "find", "refresh", "quit", "apply", "reset", "diff"])
def test_what_forms_need_has_keys_that_are_no_text(command: str) -> None:
    where = "settings" if command in {"apply", "reset", "diff"} else EVERYWHERE
    keys = [key for key in binding(where, command).keys if len(key) > 1]
    assert any(key.startswith("f") for key in keys)
    assert any(key.startswith("ctrl") for key in keys)


def test_the_usual_function_keys_do_what_is_usual() -> None:
    expected = {"f1": "help", "f2": "apply", "f3": "reset", "f5": "refresh", "f8": "diff", "f10": "quit"}
    assert {key: command_for(key, ("settings",)) for key in expected} == expected


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("ctrl s", "Ctrl-S"),
        ("meta a", "Alt-A"),
        ("f10", "F10"),
        (" ", "Space"),
        ("ctrl page up", "Ctrl-PgUp"),
        ("K", "K"),
    ],
)
def test_keys_read_as_people_write_them(key: str, text: str) -> None:
    assert key_text(key) == text


def test_the_manual_page_has_these_keys() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_key_table(page), "run: make generated"


def test_the_manual_page_is_sound() -> None:
    done = subprocess.run([need("mandoc"), "-T", "lint", "-W", "warning", PAGE], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
