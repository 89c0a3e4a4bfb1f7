"""Each test has a limit of time, and a run without the programs that tests talk to ends with one sentence."""

import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import pytest

from tests.once import begin_run
from tests.tools import TOOLS

# A start of the server in a test would compile its modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

LIMIT = 300  # seconds; a test that needs more belongs to “make torture” or “make peers”
LONG_LIMIT = 4 * 3600


class TestTookTooLong(Exception):
    """Raised in a test that is over its limit of time."""

    __test__ = False


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise TestTookTooLong(f"over {LIMIT} s")


def pytest_configure(config: pytest.Config) -> None:
    end = begin_run()  # the processes of the run are started later, and inherit it
    if end is not None:
        config.add_cleanup(end)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Interrupt a test over its limit; one that cannot be interrupted ends the run, with every thread's stack."""
    limit = LONG_LIMIT if any(item.get_closest_marker(name) for name in ("torture", "peers")) else LIMIT
    faulthandler.dump_traceback_later(limit + 60, exit=True, file=2)
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(limit)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse to begin when a test needs programs that were never installed."""
    if TOOLS.exists() or config.option.collectonly:
        return
    tests = [item for item in items if isinstance(item, pytest.Function) and _needs_programs(item)]
    if tests:
        files = ", ".join(sorted({item.path.name for item in tests}))
        pytest.exit(f"“make tools” installs the programs that these tests need; “make quick” needs none: {files}", 2)


def _needs_programs(item: pytest.Function) -> bool:
    homes = {getattr(value, "__module__", None) or "" for value in vars(item.module).values()}
    return any(home.startswith(("tests.tools", "tests.peers")) for home in homes)


@pytest.fixture(scope="module", autouse=True)
def _closed_worlds() -> Iterator[None]:
    yield
    made = sys.modules.get("tests.reception.world")
    if made is not None:
        made.close_worlds()
