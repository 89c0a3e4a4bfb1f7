"""The program and a running server: what is applied on the screen is what the wire shows."""

import smtplib
from collections.abc import Iterator

import pytest

from tests.instance import Instance, free_port, running
from tests.tui.terminal import Terminal


@pytest.fixture
def server() -> Iterator[Instance]:
    with running() as instance:
        yield instance


def extensions(server: Instance) -> dict[str, str]:
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=10) as client:
        client.ehlo("client.example")
        return dict(client.esmtp_features)


def test_what_is_applied_is_in_force_at_once(server: Instance) -> None:
    with Terminal(server.file) as terminal:
        terminal.shows("running for").press("f7").shows("Find an option").press("max recipients", "enter")
        terminal.shows("(max_recipients)").press("ctrl u", "7").shows("*Max. recipients")
        terminal.press("f2").shows("Apply these changes?", "Max. recipients: 100 → 7", "nothing waits").press("enter")
        terminal.shows("Applied. The daemon runs with it.")
        assert extensions(server)["limits"].split()[0] == "RCPTMAX=7"
        terminal.press("meta q")
        assert terminal.ends() == 0


def test_a_new_port_is_opened_at_once(server: Instance) -> None:
    port = free_port()
    with Terminal(server.file) as terminal:
        terminal.shows("running for")
        for _ in range(7):
            terminal.press("down")
        terminal.shows("› Listeners & TLS").press("enter", "a").shows("Listeners & TLS: new")
        terminal.press("extra", "tab", "ctrl u", "127.0.0.1", "tab", str(port), *["tab"] * 8)
        terminal.press("enter").shows(str(port)).press("f2").shows("Apply these changes?").press("enter")
        terminal.shows("Applied. The daemon runs with it.")
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        assert client.noop()[0] == 250
