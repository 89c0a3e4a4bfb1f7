"""The cost of the program: nothing is read, listed or drawn while nothing changes, and one picture a burst of keys."""

import gc
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urwid
import urwid.testing as ut

from spool import Spool
from tests.tui.cost import server
from tests.tui.program import NOW, Tui, made
from tests.tui.test_queue import put
from tui.shell.remembered import Remembered, is_settled, signature


@pytest.fixture
def path(tmp_path: Path) -> Path:
    spool = Spool(str(tmp_path / "spool"))
    spool.make()
    for number in range(3):
        put(spool, f"s{number}@example.org", f"r{number}@example.net", NOW - 3600 + number)
    past = time.time() - 60
    for folder in ("", "new", "cur", "state"):
        os.utime(tmp_path / "spool" / folder, (past, past))  # changed long ago: the kernel's clock is coarse
    return made(tmp_path)


def opened_files(work: object) -> list[str]:
    """Return the files and folders that are opened or listed while this works."""
    found: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event in {"open", "os.scandir", "os.listdir"}:
            found.append(str(arguments[0]))

    sys.addaudithook(hook)
    work()  # type: ignore[operator]
    watching = False
    return found


def test_an_idle_status_lists_and_draws_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tui = Tui(path)
    tui.shell.tick()
    before = tui.root.render(tui.size, True)
    later = time.monotonic() + 60  # the pause after a look is over
    monkeypatch.setattr(time, "monotonic", lambda: later)
    opened = opened_files(tui.shell.tick)
    assert not [name for name in opened if "spool" in name or "log" in name]
    assert tui.root.render(tui.size, True) is before


def test_an_idle_queue_lists_nothing_until_it_changes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tui = Tui(path).go("Queue").press("f5")
    later = [time.monotonic() + 60]
    monkeypatch.setattr(time, "monotonic", lambda: later[0])
    tui.shell.tick()
    later[0] += 60
    assert not [name for name in opened_files(tui.shell.tick) if "spool" in name]
    put(Spool(str(path.parent / "spool")), "new@example.org", "r@example.net", NOW)
    tui.shell.tick()
    assert "new@example.org" in tui.text


def calls(work: Callable[[], object]) -> int:
    """Return the number of functions that are called while this works: a cost that no busy machine changes."""
    number = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal number
        number += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return number


@pytest.mark.parametrize("name", ["Queue", "Log"])
def test_a_key_costs_the_same_over_a_queue_and_a_log_of_any_length(tmp_path: Path, name: str) -> None:
    costs: list[int] = []
    for number, (messages, megabytes) in enumerate(((200, 1), (2000, 10))):
        folder = tmp_path / str(number)
        folder.mkdir()
        tui = Tui(server(folder, messages, megabytes)).go(name).press("down", "up", "page down")
        costs.append(calls(lambda tui=tui: tui.press("down", "up", "page down", "page up")))  # type: ignore[misc]
        opened = opened_files(lambda tui=tui: tui.press("page down"))
        assert len([each for each in opened if "/spool/" in each]) <= 2 * tui.size[1]
    assert costs[1] < 1.3 * costs[0]


def test_a_long_log_is_opened_at_its_end(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        costs: list[tuple[int, int]] = []
        for megabytes in (2, 40):
            folder = tmp_path / str(megabytes)
            folder.mkdir()
            tui = Tui(server(folder, 1, megabytes))
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            number = calls(lambda tui=tui: tui.go("Log"))  # type: ignore[misc]
            costs.append((number, tracemalloc.get_traced_memory()[1] - before))
        assert costs[1][0] < 1.3 * costs[0][0]
        assert costs[1][1] < 1.3 * costs[0][1] + 1_000_000
    finally:
        tracemalloc.stop()


def test_a_burst_of_keys_costs_one_look_at_marks_and_keys(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tui = Tui(path)
    tui.shell.go("Basic Parameters", "postmaster")
    tui.look()
    shown: list[int] = []
    refresh = tui.shell._refresh
    monkeypatch.setattr(tui.shell, "_refresh", lambda: shown.append(1) or refresh())  # type: ignore[func-returns-value]
    for key in "x" * 200:
        tui.root.keypress(tui.size, key)
    tui.look()
    assert len(shown) == 1
    assert "*Postmaster" in tui.text


def test_keys_in_the_menu_make_only_the_screen_that_is_drawn(path: Path) -> None:
    tui = Tui(path)
    for _ in range(9):
        tui.root.keypress(tui.size, "down")
    tui.look()
    assert tui.shell.current == "Authentication"
    assert set(tui.shell._screens) == {"Status", "Authentication"}


def test_a_screen_that_comes_back_is_not_drawn_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tui = Tui(path).press("down", "down", "down", "up", "up", "up", "down")
    drawn: list[str] = []
    render = urwid.Text.render

    def counted(self: urwid.Text, size: Any, focus: bool = False) -> urwid.Canvas:
        drawn.append(str(self.text))
        return render(self, size, focus)

    monkeypatch.setattr(urwid.Text, "render", counted)
    tui.press("down")
    assert tui.shell.current == "Remote Delivery"
    assert len(drawn) < 12, drawn


def test_a_file_is_read_again_only_when_it_is_another_one(tmp_path: Path) -> None:
    file = tmp_path / "status"
    remembered: Remembered[str] = Remembered()
    reads: list[str] = []

    def read() -> str:
        reads.append(file.read_text())
        return reads[-1]

    file.write_text("one")
    assert [remembered.get(str(file), read) for _ in range(3)] == ["one"] * 3
    assert reads == ["one"]
    (tmp_path / "draft").write_text("two")
    (tmp_path / "draft").replace(file)
    assert remembered.get(str(file), read) == "two"
    assert not is_settled(signature((str(file),)))
    os.utime(file, (1, 1))
    assert is_settled(signature((str(file), str(tmp_path / "missing"))))


def test_modules_are_loaded_only_when_they_are_used() -> None:
    program = """
import os, sys, tui.app
late = "_ctypes asyncio.events email filelock._core lzma random smtpd_classic.shared_state spool.entry ssl"
late += " urwid.ansi_parser ast dis textwrap tokenize wcwidth._width wcwidth.sgr_state"
print([name for name in late.split() if name in sys.modules])
import asyncio.events, tempfile
print(asyncio.run is asyncio.runners.run)
from spool.claim import lock_descriptor
with tempfile.TemporaryFile() as file, open(file.fileno(), closefd=False) as again:
    lock_descriptor(file.fileno(), blocking=False)
print("filelock._core" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nTrue\nTrue\n"


def test_few_modules_are_loaded_before_the_first_screen(path: Path) -> None:
    """A start consists of imports: raise the number only for a module that the first screen needs."""
    program = """
import sys, tui.app, urwid
app = tui.app.App(sys.argv[1], screen=urwid.display.raw.Screen())
app.shell.begin()
app.loop.widget.render((80, 24), True)
real = {name for name, module in sys.modules.items() if type(module).__name__ != "_DeferredModule"}
ours = {name for name in real if name.partition(".")[0] in {"smtpd_classic", "spool", "tui"}}
print(len(ours), len(real - ours), sorted(name for name in ours if "_screen" in name or name.startswith("spool")))
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    ours, others, screens = done.stdout.split(maxsplit=2)
    assert screens == "['tui.status.status_screen']\n"
    assert int(ours) <= 110
    assert int(others) <= 215


def test_no_screen_of_the_configuration_loads_the_checks_of_the_server() -> None:
    """They take a quarter of a second, with the libraries of signatures and passwords."""
    program = """
import pkgutil, sys, tui.app, tui.config
for each in pkgutil.iter_modules(tui.config.__path__, "tui.config."):
    __import__(each.name)
    if "smtpd_classic.policy" in sys.modules:
        sys.exit(each.name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_of_a_deferred_module_serves_as_the_class_itself() -> None:
    program = """
import sys, tui, urwid
stand_in = urwid.TreeNode
print(sys.modules["urwid.widget.treetools"].__spec__.loader)
class Node(urwid.TreeNode):
    pass
from urwid.widget.treetools import TreeNode
print(Node.__mro__[1] is TreeNode, issubclass(Node, stand_in), isinstance(Node("value"), stand_in))
print(stand_in("value").get_value(), stand_in.get_depth is TreeNode.get_depth)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "None\nTrue True True\nvalue True\n"


def test_the_functions_of_a_deferred_module_give_the_results_of_the_real_ones() -> None:
    program = """
import sys, tui, inspect, gettext, wcwidth
class Base:
    shown = property(id)
class Derived(Base):
    def method(self, one, two=2): pass
print(inspect.getattr_static(Derived, "shown") is vars(Base)["shown"], gettext.ngettext("one", "more", 2))
print("ast" in sys.modules, inspect.signature(Derived.method), "ast" in sys.modules, inspect.isclass(Base))
print(inspect.signature(Derived.method), wcwidth.clip("\\u4f60\\u597d", 0, 2), wcwidth.strip_sequences("\\x1b[1mx"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "True more",
        "False (self, one, two=2) True True",
        "(self, one, two=2) \u4f60 x",
    ]


def test_a_start_compiles_few_functions() -> None:
    """Each class of `dataclasses` compiles six functions at each start; those of the configuration do not."""
    program = """
import sys
compiled = []
sys.addaudithook(lambda event, arguments: event == "compile" and compiled.append(1))
import tui, urwid
before = len(compiled)
import tui.app
print(len(compiled) - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100


def test_the_first_screen_is_drawn_before_any_work_beside_it(path: Path) -> None:
    tui = Tui(path)
    lines = ut.render_text(tui.root, tui.size, focus=True)
    assert "Status" in lines[0]
    assert gc.get_threshold()[0] >= 10_000
