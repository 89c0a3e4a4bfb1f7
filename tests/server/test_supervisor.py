"""The supervisor with children that behave as badly as they can; each in a process of its own, since it forks."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from smtpd_classic.runtime import DaemonStatus
from tests.server.daemons import Daemon, daemon
from tests.waiting import until

SCRIPT = """
import os, signal, sys, time
from smtpd_classic.daemon.instance import Instance
from smtpd_classic.daemon.lifecycle import ControlChannel
from smtpd_classic.daemon.startup import start
from smtpd_classic.daemon.supervisor import Supervisor

def live(setting, link):
    with open(f"{setting.config.server.run_folder}/lives", "a") as lives:
        lives.write(f"{os.getpid()} {time.monotonic()}\\n")
    BEHAVIOUR
    orders = ControlChannel(link)
    orders.ready()
    while not orders.word():
        orders.wait()

def sweep(setting, link):
    pass

instance = Instance(start(sys.argv[1]))
sys.exit(Supervisor(instance, {"receiver": live}, ["receiver"] * 2, sweep).run())
"""


@contextmanager
def supervised(behaviour: str) -> Iterator[Daemon]:
    with daemon("workers = 2") as found:
        script = SCRIPT.replace("BEHAVIOUR", behaviour)
        with (found.folder / "stderr").open("w") as errors:
            found.process = subprocess.Popen([sys.executable, "-c", script, str(found.file)], stderr=errors, text=True)
        yield found
        assert found.process is not None
        if found.process.poll() is None:
            found.process.terminate()
            assert found.wait(20) == 0, found.said()


def state_is(found: Daemon, state: str) -> DaemonStatus | None:
    status = found.status()
    return status if status is not None and status.state == state else None


def test_children_that_cannot_start_end_the_server() -> None:
    with supervised("raise ValueError('no way')") as found:
        assert found.wait() == os.EX_SOFTWARE
        assert "fatal: receiver: ValueError: no way" in found.log()
        assert "fatal: a process could not start" in found.log()


def test_a_child_that_is_killed_before_it_is_ready_gets_another_chance() -> None:
    killed = "'{setting.config.server.run_folder}/killed'"
    behaviour = f"""if not os.path.exists(f{killed}):
        open(f{killed}, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)"""
    with supervised(behaviour) as found:
        until(lambda: state_is(found, "running"))
        assert len(found.children()) == 2
        assert "ended before it was ready" in found.log()


def test_a_generation_that_cannot_start_leaves_the_old_one_in_place() -> None:
    with supervised("assert setting.config.helo_name != 'bad.example', 'bad name'") as found:
        until(lambda: state_is(found, "running"))
        before = found.children()
        found.write("workers = 2", "[basic]\nhelo_name = bad.example\n")
        status = found.reload()
        assert status.error == "The processes for the new configuration could not start; the log says why."
        assert found.children() == before
        assert all(os.path.exists(f"/proc/{pid}") for pid in before.values())
        assert "fatal: receiver: AssertionError: bad name" in found.log()
        found.write("workers = 2", "[basic]\nhelo_name = good.example\n")
        assert found.reload().error == ""
        assert set(found.children().values()).isdisjoint(before.values())


def test_children_that_die_again_and_again_are_not_forked_without_pause() -> None:
    behaviour = "ControlChannel(link).ready(); time.sleep(0.05); os._exit(7)"
    with supervised(behaviour) as found:
        lives = found.folder / "run/lives"
        until(lambda: len(lives.read_text().splitlines()) >= 8 if lives.exists() else False, 30)
        births = [float(line.split()[1]) for line in lives.read_text().splitlines()]
        # Pairs at 0, then after 0.1, 0.2, 0.4 s …: eight births cannot be closer together than that.
        assert births[7] - births[0] > 0.3
        assert "ended with status 7; another takes its place" in found.log()


def test_a_child_that_does_not_end_is_killed() -> None:
    behaviour = "signal.signal(signal.SIGTERM, signal.SIG_IGN); link.send(b'r'); time.sleep(1000)"
    with supervised(behaviour) as found:
        until(lambda: state_is(found, "running"))
        children = found.children()
        found.signal(signal.SIGTERM)
        assert found.wait(30) == 0
        assert not any(os.path.exists(f"/proc/{pid}") for pid in children.values())


def test_a_signal_to_the_whole_group_ends_it_once() -> None:
    """As Ctrl-C at a terminal does."""
    with daemon("workers = 2") as found:
        found.start()
        assert found.process is not None
        os.killpg(found.process.pid, signal.SIGINT)
        assert found.wait() == 0
        assert found.log().count("daemon stopped") == 1
        assert "another takes its place" not in found.log()


def test_sigterm_to_all_processes_at_once_is_a_stop() -> None:
    """As systemd does without KillMode=mixed: a child that ends by itself then is no accident."""
    with daemon("workers = 2") as found:
        found.start()
        assert found.process is not None
        os.killpg(found.process.pid, signal.SIGTERM)
        assert found.wait() == 0
        assert json.loads((found.folder / "run/status.json").read_text())["state"] == "stopped"
