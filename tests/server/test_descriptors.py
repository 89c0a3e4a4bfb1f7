"""The limit of open files at the start, in a process that may not raise the hard limit."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.serving import text_of
from tests.tools import need

ASK = """
import os, resource, sys
from smtpd_classic.config import parse
from smtpd_classic.daemon import startup
config = parse(sys.argv[1], "/nowhere/smtpd-classic.conf")
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
print(*startup._raise_descriptors(config))
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


WARNING = (
    "The system allows 700 open files, enough for 500 connections and too few for max_connections = 1000 in "
    "[access]; raise LimitNOFILE or “ulimit -n”."
)


@pytest.mark.parametrize(
    ("limits", "warned", "left"),
    [
        ("256:2000", "", "2000 2000"),
        ("256:700", WARNING, "700 700"),
    ],
)
def test_the_limit_is_raised_to_the_hard_one_and_the_warning_is_true(
    tmp_path: Path, limits: str, warned: str, left: str
) -> None:
    text = text_of(tmp_path, access="max_connections = 1000")
    command = [need("prlimit"), f"--nofile={limits}", sys.executable, "-c", ASK, text]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [warned, left]
