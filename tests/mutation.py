"""Random mutants of modules, each tried by the tests nearest to it: `python -m tests.mutation MODULE… --tests TEST…`.

    --seed N     the choice of mutants (0)
    --number N   mutants in all (20)
    --limit N    seconds for the tests of one mutant; a mutant over it counts as killed (120)

It works on a copy of the tree and prints each survivor with its line.
"""

import argparse
import ast
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Mutant", "main", "mutants"]

ROOT = Path(__file__).parent.parent
COPIED = ("smtpd_classic", "spool", "tui", "tests", "man", "conf", "pyproject.toml", "README.md", "setup.py")
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


class Mutant(NamedTuple):
    path: Path
    line: int
    source: str
    change: str


def _edit(node: ast.AST) -> Callable[[], str] | None:
    """Return a function that changes the node and names the change; None if the node has no mutant."""

    def compare() -> str:
        assert isinstance(node, ast.Compare)
        node.ops[0] = _OPPOSITE[type(node.ops[0])]()
        return "comparison"

    def boolean() -> str:
        assert isinstance(node, ast.BoolOp)
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return "and / or"

    def constant() -> str:
        assert isinstance(node, ast.Constant)
        node.value = (not node.value) if isinstance(node.value, bool) else node.value + 1  # type: ignore[operator]
        return "constant"

    def condition() -> str:
        assert isinstance(node, ast.If)
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return "condition turned round"

    def statement() -> str:
        assert isinstance(node, ast.Expr)
        node.value = ast.Constant(None)
        return "call left out"

    if isinstance(node, ast.Compare) and type(node.ops[0]) in _OPPOSITE:
        return compare
    if isinstance(node, ast.BoolOp):
        return boolean
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return constant
    if isinstance(node, ast.If):
        return condition
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return statement
    return None


def mutants(path: Path, chance: random.Random, number: int) -> list[Mutant]:
    """Make at most `number` mutants of a module, chosen by `chance`."""
    source = path.read_text(encoding="utf-8")
    places = [place for place, node in enumerate(ast.walk(ast.parse(source))) if _edit(node)]
    made = []
    for place in chance.sample(places, min(number, len(places))):
        tree = ast.parse(source)
        node = list(ast.walk(tree))[place]
        edit = _edit(node)
        assert edit
        change = edit()
        text = ast.unparse(ast.fix_missing_locations(tree))
        made.append(Mutant(path.relative_to(ROOT), getattr(node, "lineno", 0), text, change))
    return made


def _survives(mutant: Mutant, copy: Path, tests: list[str], limit: float) -> bool:
    original = (copy / mutant.path).read_text(encoding="utf-8")
    (copy / mutant.path).write_text(mutant.source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-m", "not torture and not peers", *tests]
    try:
        done = subprocess.run(command, cwd=copy, capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return False
    finally:
        (copy / mutant.path).write_text(original, encoding="utf-8")
    return done.returncode == 0


def main(modules: list[Path], tests: list[str], *, seed: int, number: int, limit: float) -> int:
    """Try the mutants and print the survivors; return 1 if there are any."""
    chance = random.Random(seed)
    every = [mutant for path in modules for mutant in mutants(path.resolve(), chance, number)]
    chosen = chance.sample(every, min(number, len(every)))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            place = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            place(ROOT / name, copy / name)
        (copy / ".tools").symlink_to(ROOT / ".tools")
        survivors = [mutant for mutant in chosen if _survives(mutant, copy, tests, limit)]
    for mutant in survivors:
        print(f"{mutant.path}:{mutant.line}: {mutant.change}")
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants were killed (seed {seed})")
    return 1 if survivors else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("modules", nargs="+", type=Path)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--limit", type=float, default=120)
    given = parser.parse_args()
    sys.exit(main(given.modules, given.tests, seed=given.seed, number=given.number, limit=given.limit))
