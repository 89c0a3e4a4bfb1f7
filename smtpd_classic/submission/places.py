"""The places of the server, for users who may not read its configuration.

In this order: the file that `-C` or SMTPD_CLASSIC_CONFIG names; the usual file, if it can be read; the usual folders.
"""

import os
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["DEFAULT_CONFIG", "NotReadable", "Places", "places"]

DEFAULT_CONFIG = "/etc/smtpd-classic/smtpd-classic.conf"
RUN_FOLDER = "/run/smtpd-classic"
SPOOL_FOLDER = "/var/spool/smtpd-classic"


class NotReadable(Exception):
    """Raised for a named configuration that cannot be read; `problem` is the error of the system."""

    def __init__(self, path: str, problem: OSError) -> None:
        super().__init__(f"{path} cannot be read: {problem.strerror}")
        self.problem = problem


class Places(NamedTuple):
    config: str
    socket: str
    spool: str


def places(config: str = "") -> Places:
    """Return the places; `config` is the file that `-C` names, or blank. Raises NotReadable."""
    path = os.path.abspath(config or os.environ.get("SMTPD_CLASSIC_CONFIG") or DEFAULT_CONFIG)
    folders = {"run_folder": RUN_FOLDER, "spool_folder": SPOOL_FOLDER}
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            folders |= _folders(file, os.path.dirname(path))
    except OSError as problem:
        if path != DEFAULT_CONFIG:
            raise NotReadable(path, problem) from None
    return Places(path, os.path.join(folders["run_folder"], "submit"), folders["spool_folder"])


def _folders(lines: Iterable[str], above: str) -> dict[str, str]:
    """Return the two options of `[server]` that name folders. To read the whole configuration would take ten times as
    long as the rest of a submission."""
    found: dict[str, str] = {}
    section = ""
    for line in lines:
        if line.startswith("["):
            section = line.strip(" \t\r\n[]")
            continue
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if section == "server" and equals and value and name in {"run_folder", "spool_folder"} and line[0] not in " \t":
            found[name] = os.path.normpath(os.path.join(above, value))
    return found
