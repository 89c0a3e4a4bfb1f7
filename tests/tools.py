"""The programs that tests talk to. A missing one fails the test and says how to get it: nothing is skipped quietly."""

import os
import shutil
from pathlib import Path

import pytest

__all__ = ["TOOLS", "need"]

TOOLS = Path(__file__).parent.parent / ".tools"
_PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/lib/postfix/sbin"])


def need(command: str) -> str:
    """The path of a program, or a failed test."""
    found = shutil.which(command, path=_PLACES)
    if found is None:
        pytest.fail(f"{command} is missing: “make tools” installs it.", pytrace=False)
    return found
