"""A lint of words and names: `python -m tests.words`, or with -l for every line that it counts.

It counts two habits that make English hard to read, over docstrings, comments, strings and manuals: clauses that begin
with “what” or “whose”, and “somebody” or “nobody” as the subject. It finds public class names that are used twice.
"""

import ast
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Count", "classes_used_twice", "count", "main", "texts", "words_of"]

ROOT = Path(__file__).parent.parent
PACKAGES = ("smtpd_classic", "spool", "tui")
DOCUMENTS = ("man", "README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")
RELATIVES = frozenset({"what", "whom", "whoever", "whose", "whatever"})
BODIES = frozenset({"somebody", "nobody", "anybody", "everybody"})
MOST_RELATIVES = 3.0  # in 1,000 words
MOST_BODIES = 0.5

# part: (relatives, bodies) in 1,000 words, where a part is not there yet. A figure only goes down, and then away.
BOUNDS: dict[str, tuple[float, float]] = {
    "smtpd_classic/retry": (3, 0.8),
}
# The name of a section of the configuration, or of an SMTP event, may be the right word elsewhere too.
MAY_REPEAT = ("smtpd_classic/config/schema", "smtpd_classic/smtp/events.py")
CLASSES_TWICE = 0


class Count(NamedTuple):
    words: int
    relatives: int
    bodies: int

    def per_thousand(self) -> tuple[float, float]:
        return 1000 * self.relatives / max(self.words, 1), 1000 * self.bodies / max(self.words, 1)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each text that a reader meets in a file, with its line."""
    if path.suffix != ".py":
        lines = path.read_text(encoding="utf-8").splitlines()
        yield from ((number, re.sub(r"^\.\w+ ?", "", line)) for number, line in enumerate(lines, 1))
        return
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield from enumerate(node.value.splitlines(), node.lineno)
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def words_of(text: str) -> list[str]:
    """Return the words of a text, in small letters."""
    return re.findall(r"[\w’']+", text.lower())


def files(part: str) -> list[Path]:
    """Return the files of a part: a file, a package with everything below it, or a folder of manuals."""
    path = ROOT / part
    if path.is_file():
        return [path]
    return sorted(
        each for each in path.rglob("*") if each.suffix in {".py", ".1", ".5", ".8"} and not each.is_symlink()
    )


def parts() -> Iterator[str]:
    """Yield the parts that have a bound each: the packages, single modules at the top, and the documents."""
    top = ROOT / "smtpd_classic"
    yield from (f"smtpd_classic/{path.name}" for path in sorted(top.iterdir()) if (path / "__init__.py").exists())
    yield from (f"smtpd_classic/{path.name}" for path in sorted(top.glob("*.py")))
    yield from (*PACKAGES[1:], *DOCUMENTS)


def count(part: str, *, show: bool = False) -> Count:
    """Count the words of a part; `show` prints the lines."""
    words = relatives = bodies = 0
    for path in files(part):
        for number, text in texts(path):
            found = words_of(text)
            bad = [word for word in found if word in RELATIVES | BODIES]
            words += len(found)
            relatives += sum(word in RELATIVES for word in bad)
            bodies += sum(word in BODIES for word in bad)
            if show and bad:
                print(f"{path.relative_to(ROOT)}:{number}: {text.strip()}")
    return Count(words, relatives, bodies)


def classes_used_twice() -> dict[str, list[str]]:
    """Return the public names of classes that more than one module defines, with the modules."""
    found: dict[str, list[str]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if not name.startswith(MAY_REPEAT):
                for node in ast.parse(path.read_text(encoding="utf-8")).body:
                    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                        found.setdefault(node.name, []).append(name)
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def main(*, show: bool = False) -> int:
    """Print each part over its bound and each name used twice; return 1 if there is one."""
    wrong = 0
    for part in parts():
        counted = count(part, show=show)
        # A short file may hold one of each: a rate says nothing there.
        short = counted.relatives <= 1 and counted.bodies == 0
        bounds = BOUNDS.get(part, (MOST_RELATIVES, MOST_BODIES))
        for name, rate, bound in zip(("free relatives", "-bodies"), counted.per_thousand(), bounds, strict=True):
            if rate > bound and not short:
                print(f"{part}: {rate:.1f} {name} in 1,000 words; at most {bound} (python -m tests.words -l)")
                wrong = 1
    twice = classes_used_twice()
    if len(twice) > CLASSES_TWICE or show:
        print(*(f"{name} is defined in {', '.join(modules)}" for name, modules in sorted(twice.items())), sep="\n")
        print(f"{len(twice)} public class names are used twice; at most {CLASSES_TWICE}")
    return 1 if wrong or len(twice) > CLASSES_TWICE else 0


if __name__ == "__main__":
    sys.exit(main(show="-l" in sys.argv))
