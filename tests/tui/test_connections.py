"""Connected clients and running deliveries: from real sockets and real locks."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from smtpd_classic.config import load
from smtpd_classic.runtime import Listening, Runtime
from smtpd_classic.runtime.status import own_status
from spool import Spool
from tests.tui.program import NOW, Tui, made
from tests.tui.test_queue import put
from tui.status.connections import RunningDeliveries, connected_clients


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with socket.socket(request.param) as listening:
        listening.bind(("127.0.0.1" if request.param == socket.AF_INET else "::1", 0))
        listening.listen()
        yield listening


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Spool(str(tmp_path / "spool")).make()
    return made(tmp_path)


def running(path: Path, port: int) -> None:
    """This process is the daemon, and listens on this port."""
    config = load(path)
    runtime = Runtime(config.server.run_folder)
    runtime.make()
    status = own_status(str(path), config.digest, "0")
    runtime.status.write(
        replace(status, state="running", generation=1, listening=(Listening("smtp", "127.0.0.1", port, "none"),))
    )


def test_the_clients_of_our_ports_are_found(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert connected_clients(os.getpid(), [port]) == []
    with socket.create_connection(listener.getsockname()[:2]) as client:
        found = connected_clients(os.getpid(), [port])
        assert [(each.ip, each.port, each.to_port) for each in found] == [(*client.getsockname()[:2], port)]
        assert connected_clients(os.getpid(), [1]) == []
    assert connected_clients(0, [port]) == []


def test_status_names_the_clients_while_they_are_connected(listener: socket.socket, path: Path) -> None:
    port = listener.getsockname()[1]
    running(path, port)
    with socket.create_connection(listener.getsockname()[:2]) as client:
        assert f"{client.getsockname()[0]} → {port}" in Tui(path, (132, 50)).text
        others = [socket.create_connection(listener.getsockname()[:2]) for _ in range(5)]
        assert "and 2 more" in Tui(path, (132, 50)).text
        for other in others:
            other.close()
    assert "Clients " not in Tui(path, (132, 50)).text


def test_status_names_the_running_deliveries(path: Path) -> None:
    running(path, 1)
    spool = Spool(str(path.parent / "spool"))
    first = put(spool, "ann@example.org", "bob@example.net", NOW)
    put(spool, "eve@example.org", "bob@example.net", NOW)
    claim = spool.claim(first)
    assert claim is not None
    with claim:
        text = Tui(path, (132, 50)).text
        assert "ann@example.org → bob@example.net" in text
        assert "eve@example.org" not in text
    assert "Delivering" not in Tui(path, (132, 50)).text


def test_the_screen_lists_all_clients_and_deliveries_live(listener: socket.socket, path: Path) -> None:
    port = listener.getsockname()[1]
    running(path, port)
    spool = Spool(str(path.parent / "spool"))
    claim = spool.claim(put(spool, "ann@example.org", "bob@example.net", NOW))
    assert claim is not None
    tui = Tui(path, (132, 50)).go("Connections")
    with claim, ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(listener.getsockname()[:2])) for _ in range(7)]
        tui.shell.screen.show()
        for client in clients:
            assert f":{client.getsockname()[1]} " in tui.text
        assert f"smtp ({port})" in tui.text
        assert "delivery ann@example.org" in " ".join(tui.text.split())
        assert "7 clients, 1 delivery" in tui.text
        tui.press("end", "enter")
        assert tui.shell.current == "Log"
    tui.go("Connections")
    assert "No client is connected" in tui.text


def test_a_client_is_blocked_from_the_list(listener: socket.socket, path: Path) -> None:
    running(path, listener.getsockname()[1])
    tui = Tui(path, (80, 24)).go("Connections")
    with socket.create_connection(listener.getsockname()[:2]):
        tui.shell.screen.show()
        tui.press("b")
        assert "is not blocked: it is this machine" in tui.status_line


def test_a_message_that_is_being_received_is_no_delivery(path: Path) -> None:
    spool = Spool(str(path.parent / "spool"))
    with spool.draft("6603A1B2C3D4E5F60789") as draft:
        draft.write(b"Subject: half")
        assert RunningDeliveries(spool.path).now() == []
