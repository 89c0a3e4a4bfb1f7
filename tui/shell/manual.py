"""The key table of smtpd-classic-tui(8), from the data of `keys`; `python -m tui.shell.manual` writes the page."""

import sys
from pathlib import Path

from tui.shell.key_names import key_text
from tui.shell.keys import BINDINGS, CONTEXTS

__all__ = ["key_table", "with_key_table"]

_BEGIN = '.\\" The keys, made by python -m tui.shell.manual.\n'
_END = '.\\" The end of the keys.\n'


def key_table() -> str:
    lines = []
    for where, title in CONTEXTS.items():
        lines += [f".Ss {_text(title)}", ".Bl -tag -width Ds"]
        for each in BINDINGS:
            if each.where != where:
                continue
            names = " , ".join(f"Ic {_literal(key_text(key))}" for key in each.keys)
            lines += [f".It {names}", f"{_text(each.label)}: {_text(each.doc)}"]
        lines.append(".El")
    return "\n".join(lines) + "\n"


def _literal(text: str) -> str:
    """Return the text as an argument of a macro; punctuation of mdoc is escaped."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if len(text) == 1 else escaped


def _text(text: str) -> str:
    """As running text: one sentence a line, no line beginning with a control character."""
    shown = text.replace("\\", "\\e").replace("; ", ";\n").replace(". ", ".\n")
    return "\n".join(f"\\&{line}" if line[:1] in {".", "'"} else line for line in shown.split("\n"))


def with_key_table(page: str) -> str:
    """Return the page with the present table. Raises ValueError if it has no place for it."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError("The page has no place for the keys.")
    return f"{before}{begin}{key_table()}{end}{after}"


def main(path: Path) -> None:
    path.write_text(with_key_table(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "man" / "smtpd-classic-tui.8")
