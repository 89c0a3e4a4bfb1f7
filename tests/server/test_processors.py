"""Where the processes of a real server run, as the kernel tells it."""

import os
import signal
import smtplib
from pathlib import Path

import pytest

from smtpd_classic.daemon.processors import least_used
from tests.server.daemons import PASSWORD, USER, Daemon, daemon
from tests.tools import need
from tests.waiting import until

ALL = os.sched_getaffinity(0)
several = pytest.mark.skipif(len(ALL) < 2, reason="this machine lets us have one processor only")


def of_role(found: Daemon, role: str) -> dict[int, set[int]]:
    """The children of a role, and on which processors they may run."""
    return {pid: os.sched_getaffinity(pid) for name, pid in found.children().items() if name.startswith(role)}


def test_each_child_keeps_to_one_processor_and_the_supervisor_to_none() -> None:
    with daemon("workers = 2") as found:
        found.start()
        assert found.process is not None
        assert os.sched_getaffinity(found.process.pid) == ALL
        receivers = list(of_role(found, "receiver").values())
        assert [len(each) for each in receivers] == [1, 1]
        assert len(set.union(*receivers)) == min(2, len(ALL))
        assert [len(each) for each in of_role(found, "delivery").values()] == [1]
        assert {os.sched_getscheduler(pid) for pid in found.children().values()} == {os.SCHED_BATCH}


def test_receivers_step_back_behind_what_delivers() -> None:
    with daemon("workers = 2") as found:
        found.start()
        (delivery,) = of_role(found, "delivery")
        before = os.getpriority(os.PRIO_PROCESS, delivery)
        assert all(os.getpriority(os.PRIO_PROCESS, pid) > before for pid in of_role(found, "receiver"))


@several
def test_who_takes_the_place_of_a_dead_one_takes_its_processor() -> None:
    with daemon("workers = 2") as found:
        found.start()
        before = of_role(found, "receiver")
        dead = max(before)
        os.kill(dead, signal.SIGKILL)
        until(lambda: dead not in found.children().values() and len(of_role(found, "receiver")) == 2, 20)
        (successor,) = of_role(found, "receiver").keys() - before.keys()
        until(lambda: os.sched_getaffinity(successor) == before[dead], 20)  # it settles after its fork


@several
def test_passwords_are_verified_on_any_processor() -> None:
    with daemon("workers = 2", "[basic]\nallow_auth_without_tls = yes", "tls = none\nauth = offered") as found:
        found.start()
        with smtplib.SMTP("127.0.0.1", found.port) as client:
            client.login(USER, PASSWORD)
        tasks = [task for pid in of_role(found, "receiver") for task in Path(f"/proc/{pid}/task").iterdir()]
        assert any(os.sched_getaffinity(int(task.name)) == ALL for task in tasks)


def test_where_all_of_that_is_forbidden_the_server_serves_all_the_same() -> None:
    """As under a service manager that filters system calls."""
    calls = "sched_setaffinity,sched_setscheduler,setpriority"
    watch = ("-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:error=EPERM")
    with daemon("workers = 2") as found:
        found.start(need("strace"), *watch)
        assert [each for each in found.children() if each.startswith("receiver")] == ["receiver 1", "receiver 2"]
        assert all(os.sched_getaffinity(pid) == ALL for pid in found.children().values())
        with found.dial() as dialog:
            assert dialog.reply() == "220 test.example ESMTP"
        assert "fatal" not in found.log()


def test_the_next_one_goes_where_there_are_fewest() -> None:
    assert least_used((0, 1, 2), ()) == 0
    assert least_used((0, 1, 2), (0, 0, 2)) == 1
    assert least_used((0, 1), (0, 1)) == 0
    assert least_used((3, 5), (3, 7)) == 5
