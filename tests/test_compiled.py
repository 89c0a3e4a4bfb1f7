"""The modules that setup.py has compiled when asked to: where a compiled one would do otherwise than its source."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _compiled() -> list[Path]:
    """As setup.py lists them."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    listed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMPILED"
    )
    return [ROOT / folder / f"{name}.py" for folder, names in listed.items() for name in names.split()]


MODULES = _compiled()


def _functions(module: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def _own(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions within it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_name_holds_one_kind_of_exception(module: Path) -> None:
    """A compiled function has one type for a name: with the second kind of exception it would raise TypeError."""
    for function in _functions(module):
        kinds: dict[str, set[str]] = {}
        for node in _own(function):
            if isinstance(node, ast.ExceptHandler) and node.name and node.type is not None:
                kinds.setdefault(node.name, set()).add(ast.unparse(node.type))
        several = {name: found for name, found in kinds.items() if len(found) > 1}
        assert not several, f"{module}:{function.lineno}"


WITHOUT_EFFECT = {"len", "min", "max", "int", "start", "end", "find", "rfind", "index", "rindex", "bisect_left"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_bounds_of_a_slice_have_no_effect(module: Path) -> None:
    """Compiled code evaluates them twice if what is cut is no list, tuple, str or bytes: `left[send(left):]` on a
    memoryview sends everything twice.
    """
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Slice):
            for call in ast.walk(node):
                assert not isinstance(call, ast.NamedExpr), f"{module}:{call.lineno}"
                if isinstance(call, ast.Call):
                    assert ast.unparse(call.func).rpartition(".")[2] in WITHOUT_EFFECT, f"{module}:{call.lineno}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_generator_counts_on_being_closed(module: Path) -> None:
    """A compiled generator that nobody reads to its end does not run its `finally`, nor the end of its `with`."""
    for function in _functions(module):
        if any(
            ast.unparse(each) in {"contextmanager", "contextlib.contextmanager"} for each in function.decorator_list
        ):
            continue
        guards = [node for node in _own(function) if isinstance(node, ast.With | ast.Try)]
        for guard in guards:
            if isinstance(guard, ast.Try) and not guard.finalbody:
                continue
            inside = [node for part in guard.body for node in ast.walk(part)]
            assert not any(isinstance(node, ast.Yield | ast.YieldFrom) for node in inside), f"{module}:{guard.lineno}"


def test_the_compiler_takes_them(tmp_path: Path) -> None:
    """As far as C; what the machine code does, “make test-compiled” tests with everything here."""
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("smtpd_classic", "spool", "tui"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    done = subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=tmp_path,
        env={**os.environ, "SMTPD_CLASSIC_COMPILE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert any((tmp_path / "build").glob("**/*.c"))


def test_without_a_compiler_one_line_says_so() -> None:
    """And nothing is compiled."""
    environment = os.environ | {"SMTPD_CLASSIC_COMPILE": "1", "CC": "no-such-compiler"}
    command = [sys.executable, "setup.py", "-q", "build_ext"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        "Compiling needs a C compiler, and there is no no-such-compiler (Debian: apt-get install gcc python3-dev).\n"
    )
