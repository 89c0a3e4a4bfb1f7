"""Files that are replaced in one step: a process killed on the way leaves a draft that is swept."""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from smtpd_classic import atomic_file
from smtpd_classic.client.health import Health
from smtpd_classic.client.transport import Peer
from smtpd_classic.counters import FileCounterStore
from smtpd_classic.runtime import NeighbourStates, Runtime
from smtpd_classic.runtime.status import own_status
from smtpd_classic.server.self_signed import make_self_signed
from smtpd_classic.srs import srs_secret
from tests.server.daemons import daemon
from tests.waiting import until

HOURS = 7200.0


def _health(folder: Path) -> None:
    health = Health(lambda: 1000.0, 60.0)
    health.failed(Peer("mx.example", "192.0.2.1", 25), "no answer", dead=True)
    health.save(str(folder / "hosts"))


def _runtime(folder: Path) -> None:
    Runtime(str(folder)).make()


def _block(folder: Path) -> None:
    (folder / "blocked").mkdir(exist_ok=True)
    Runtime(str(folder)).blocks.block("192.0.2.1", 60, "test")


WRITERS: dict[str, Callable[[Path], object]] = {
    "status": lambda folder: Runtime(str(folder)).status.write(own_status("/x.conf", "digest", "0")),
    "counters of the run folder": _runtime,
    "a block": _block,
    "the state of a milter": lambda folder: NeighbourStates(str(folder)).report("rspamd", "it is down", 0.1),
    "hosts that failed": _health,
    "counters of limits": lambda folder: FileCounterStore(str(folder)).put("joe", "sent", 1, 60),
    "a text of the counters": lambda folder: FileCounterStore(str(folder)).write_text("joe", "reason", "too much"),
    "the secret of SRS": lambda folder: srs_secret(str(folder)),
    "the certificate": lambda folder: make_self_signed(str(folder / "c.pem"), str(folder / "k.pem"), ("test.example",)),
}


def killed(*names: Any, **more: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_that_is_killed_leaves_a_draft_that_is_swept(tmp_path: Path, writer: str) -> None:
    child = os.fork()
    if not child:
        os.replace = os.rename = os.link = killed  # the step after the last octet
        try:
            WRITERS[writer](tmp_path)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(left) == 1
    for path in left:
        atomic_file.sweep(str(path.parent), now=path.stat().st_mtime + HOURS)
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_whose_disk_is_full_leaves_no_draft(tmp_path: Path, writer: str) -> None:
    child = os.fork()
    if not child:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file may get an octet
            WRITERS[writer](tmp_path)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_start_sweeps_the_drafts_in_the_folders_of_the_server() -> None:
    with daemon() as found:
        places = ["run", "run/blocked", "run/milters", "spool", "spool/limits", "spool/limits/texts", "spool/greylist"]
        drafts = [found.folder / place / f".some.{'0' * 16}" for place in places]
        for draft in drafts:
            draft.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text("half")
            os.utime(draft, (1000, 1000))
        found.give()
        found.start()
        until(lambda: not any(draft.exists() for draft in drafts), 20, lambda: str([*map(str, drafts)]))
