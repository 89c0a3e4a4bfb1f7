"""Each test has a limit of time, and a run without the programs that tests talk to ends with one sentence."""

import faulthandler
import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.once import begin_run
from tests.tools import TOOLS

# A start of the server in a test would compile its modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Each start and reload of a server would read the file of all authorities, a third of its processor time. No test needs
# one of them, and their folder is still searched.
os.environ["SSL_CERT_FILE"] = os.devnull

# Neither says anything of the program on a machine that does much else.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

LIMIT = 300  # seconds; a test that needs more belongs to “make torture” or “make peers”
LONG_LIMIT = 4 * 3600
_armed: dict[int, float] = {}  # the limit for which the last resort is armed, and since when


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
    _arm(limit)
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(limit)
    try:
        return (yield)
    finally:
        signal.alarm(0)


def _arm(limit: int) -> None:
    """Let the process end long after the limit, unless this is called again. It starts a thread: not for each test."""
    now = time.monotonic()
    if now - _armed.get(limit, now - LIMIT) >= LIMIT:
        _armed.clear()
        _armed[limit] = now
        faulthandler.dump_traceback_later(2 * LIMIT + limit, exit=True, file=2)


def pytest_sessionfinish() -> None:
    faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Let the collector of garbage leave alone the tests, which live as long as the process."""
    gc.disable()
    try:
        _import_share(session.config)
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def _import_share(config: pytest.Config) -> None:
    """Import a share of the modules of a whole run first: the processes would else all compile each module anew."""
    mine: dict[str, Any] = getattr(config, "workerinput", {})
    if not mine or [Path(each).name for each in config.args] != ["tests"]:
        return
    files = sorted((config.rootpath / "tests").rglob("test_*.py"))
    for file in files[int(mine["workerid"].removeprefix("gw")) :: mine["workercount"]]:
        with suppress(Exception):  # it is reported where the module is collected
            import_module(".".join(file.relative_to(config.rootpath).with_suffix("").parts))


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
