"""The commented sample of the configuration file: every option with the manual's words and its default.

It is a file that loads: a server for example.org on the three usual ports.
"""

import textwrap
from collections.abc import Iterator

from smtpd_classic.config.kinds import Kind
from smtpd_classic.config.option import Option, Section
from smtpd_classic.config.schema import SECTIONS

__all__ = ["sample"]

_WIDTH = 78
_HEAD = """\
# The configuration of smtpd-classic; smtpd-classic.conf(5) is its manual.
#
# Every option stands here with its default, commented out. Take the “#” away,
# change the value, try it with “smtpd-classic check”, and reload the server.
# Comments have lines of their own; behind a value they would be part of it.
"""

# The values that the sample sets. The first row of the listeners shows all options; the others set theirs alone.
_ROWS = {
    "server": (("server", {"primary_domain": "example.org"}),),
    "listener": (
        ("listener smtp", {"port": "25"}),
        ("listener submission", {"port": "587", "auth": "required"}),
        ("listener submissions", {"port": "465", "tls": "implicit", "auth": "required"}),
    ),
}


def sample() -> str:
    parts = [_HEAD]
    for section in SECTIONS:
        parts += _table(section) if section.is_table else _plain(section)
    return "\n".join(parts)


def _plain(section: Section) -> Iterator[str]:
    title, values = _ROWS.get(section.word, ((section.word, {}),))[0]
    yield f"\n{_comment(section.doc)}\n[{title}]\n"
    for option in section.options():
        yield _explained(option, _setting(option, values))


def _table(section: Section) -> Iterator[str]:
    """Rows of a table: those that the sample has, else one as an example, commented out."""
    rows = _ROWS.get(section.word)
    if rows is None:
        title = f"{section.word} {section.name_example}"
        yield f"\n{_comment(section.doc)}\n# [{title}]\n"
        for option in section.options():
            yield _explained(option, f"# {option.name} = {_example(option)}")
        return
    title, values = rows[0]
    yield f"\n{_comment(section.doc)}\n[{title}]\n"
    for option in section.options():
        yield _explained(option, _setting(option, values))
    for title, values in rows[1:]:
        settings = "\n".join(f"{name} = {value}" for name, value in values.items())
        yield f"[{title}]\n{settings}\n"


def _setting(option: Option, values: dict[str, str]) -> str:
    if option.name in values:
        return f"{option.name} = {values[option.name]}"
    return f"# {option.name} = {option.default_text}".rstrip()


def _example(option: Option) -> str:
    kind: Kind[object] = option.kind
    return kind.example if option.required else option.default_text


def _explained(option: Option, setting: str) -> str:
    restart = "; a change waits for a restart" if option.restart else ""
    return f"{_comment(f'{option.label}: {option.doc} ({option.kind.name}{restart})')}\n{setting}\n"


def _comment(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
