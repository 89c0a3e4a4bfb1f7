"""The configuration of a Postfix on this machine: its parameters, as postconf(1) prints them, and its tables."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from smtpd_classic.config.names import is_ip

__all__ = [
    "NextHop",
    "PostfixConfig",
    "PostfixUnreadable",
    "TableUnreadable",
    "parse_next_hop",
    "parse_parameters",
    "parse_table",
    "read_postfix",
    "read_table",
    "words",
]

_PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
_WITH_DEFAULTS = (
    "mydestination",
    "mynetworks",
    "myorigin",
    "parent_domain_matches_subdomains",
    "alias_maps",
)
_TEXT_TYPES = ("btree", "cdb", "dbm", "hash", "lmdb", "sdbm", "texthash")
_TIMEOUT_S = 30
_PORTS = {"smtp": 25, "submission": 587, "smtps": 465, "submissions": 465}


class PostfixUnreadable(Exception):
    """Raised when there is no configuration to read; `str()` gives the reason."""


class TableUnreadable(Exception):
    """Raised for a table that cannot be read; `str()` gives the reason."""


@dataclass(frozen=True, slots=True)
class PostfixConfig:
    """The parameters with their values expanded. `read` returns the text of a table such as hash:/etc/aliases, and
    raises TableUnreadable.
    """

    written: Mapping[str, str]
    """The parameters that main.cf sets."""
    defaults: Mapping[str, str]
    """Some parameters with the values in force, also when main.cf does not set them."""
    read: Callable[[str], str]

    def value(self, name: str) -> str:
        return self.written.get(name, self.defaults.get(name, ""))


def read_postfix(folder: str) -> PostfixConfig:
    """Return the configuration in a folder. Raises PostfixUnreadable."""
    written = parse_parameters(_postconf(folder, "-nx"))
    return PostfixConfig(written, parse_parameters(_postconf(folder, "-x", *_WITH_DEFAULTS)), read_table)


def _postconf(folder: str, *words: str) -> str:
    program = shutil.which("postconf", path=_PLACES)
    if program is None:
        raise PostfixUnreadable("there is no program postconf here; run this on the machine of the Postfix.")
    try:
        done = subprocess.run(
            [program, "-c", folder, *words],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PostfixUnreadable(f"postconf does not end within {_TIMEOUT_S} seconds.") from None
    if done.returncode:
        raise PostfixUnreadable(f"postconf says: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def parse_parameters(text: str) -> dict[str, str]:
    """Return the parameters of the output of postconf, in its order."""
    rows = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, equals, value in rows if equals and name.strip()}


def parse_table(text: str) -> Iterator[tuple[str, str]]:
    """Yield the keys and values of a table in the form of postmap(1): a line that begins with a blank goes on."""
    whole: list[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and whole:
            whole[-1] += " " + line.strip()
        else:
            whole.append(line.strip())
    for line in whole:
        found = re.match(r'("(?:[^"\\]|\\.)*"\S*|\S+)\s*(.*)', line)
        if found:
            yield found[1].lower(), found[2].strip()


def read_table(name: str) -> str:
    """Return the text from which a table is made. Raises TableUnreadable, without the values of “static:user:pass”."""
    kind, colon, path = name.removeprefix("proxy:").partition(":")
    if kind not in _TEXT_TYPES or not path.startswith("/"):
        of_type = f" of the type {kind}" if colon and re.fullmatch("[a-z]+", kind) else ""
        raise TableUnreadable(f"a table{of_type}{f' ({path})' if path.startswith('/') else ''} cannot be read here")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as problem:
        raise TableUnreadable(f"{path} cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise TableUnreadable(f"{path} is not in UTF-8") from None


class NextHop(NamedTuple):
    """A next hop of transport(5). `port` 0 means the usual one; without `is_host` it is a domain with MX records."""

    name: str
    port: int
    is_host: bool


def parse_next_hop(text: str) -> NextHop | None:
    """Return the parts of [host]:port or domain:port; None if it is neither."""
    match = re.fullmatch(r"(\[)?([^\[\]]+?)(?(1)\])(?::(\w+))?", text, re.ASCII)
    if match is None:
        return None
    port = match[3] or "0"
    name = match[2].removeprefix("IPv6:").removeprefix("ipv6:")
    if not port.isdigit() and port not in _PORTS:
        return None
    return NextHop(name, int(_PORTS.get(port, port)), bool(match[1]) or is_ip(name))


def words(value: str) -> list[str]:
    """Return the words of a list, which are parted by blanks or commas."""
    return [word for word in re.split(r"[,\s]+", value) if word]
