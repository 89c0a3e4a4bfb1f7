"""[Test]: the way to the relay, to direct hosts and to our own listeners, on a terminal with real servers behind."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.client.fake_host import FakeHost, certificate, own_ip
from tests.instance import running
from tests.milter.fake import FakeFilter
from tests.tui.program import CONFIG, Tui, made
from tests.tui.terminal import Terminal

LOGIN = "relay_auth = yes\nrelay_user = us\nrelay_password = bad\n"
ANY = "relay_accept_any_certificate = yes\n"


class Case(NamedTuple):
    """The settings of a relay, and the words that its test shows."""

    remote: str
    shown: tuple[str, ...]
    server: str = ""


def text_of(case: Case) -> str:
    return (
        f"[server]\nprimary_domain = example.org\nrun_folder = run\nspool_folder = spool\nmail_folder = mail\n"
        f"{case.server}[listener smtp]\naddress = 127.0.0.1\nport = 2525\n"
        f"[remote]\nrelay_always = yes\nlook_up_mx = no\n{case.remote}"
    )


@pytest.fixture(scope="module")
def relays() -> Iterator[dict[str, Case]]:
    with ExitStack() as stack:
        login = FakeHost("relay.test", tls=certificate("relay.test"), auth=("PLAIN",), password="good")
        stack.callback(login.close)
        good = FakeHost("relay.test", tls=certificate("relay.test"), auth=("PLAIN",), password="bad")
        stack.callback(good.close)
        closed = own_ip()
        with socket.create_server((closed, 0)) as listening:
            port = listening.getsockname()[1]

        def hosts(host: FakeHost) -> str:
            return f"relay_hosts = {host.ip}:{host.port}\n"

        yield {
            "password": Case(hosts(login) + ANY + LOGIN, ("✗ login: 535", "user and password", "[Go there]")),
            "port": Case(f"relay_hosts = {closed}:{port}\n", ("✗ connect", "refused", "firewall")),
            "certificate": Case(hosts(login) + LOGIN, ("✗ certificate", "[Go there]")),
            "dns": Case("relay_hosts = relay.test\n", ("✗ resolve", "spelling"), f"name_servers = {closed}:{port}\n"),
            "good": Case(hosts(good) + ANY + LOGIN, ("✓ login accepted for us", "It works.", "no test message was")),
        }


@pytest.mark.parametrize("size", [(80, 24), (60, 20)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_step_at_fault_is_shown_with_advice(relays: dict[str, Case], tmp_path: Path, size: tuple[int, int]) -> None:
    file = made(tmp_path, text_of(relays["password"]))
    with Terminal(file, size=size) as terminal:
        terminal.shows("smtpd-classic ›").press("down", "down", "enter").shows("[Test]")
        for case in relays.values():
            file.write_text(text_of(case), encoding="utf-8")
            place = case.remote.split()[2]
            terminal.shows(place).press("ctrl e").shows("Test of the relay", *case.shown, timeout_s=60)
            terminal.press("esc").hides("Test of the relay")
        terminal.press("meta q")
        assert terminal.ends() == 0


@pytest.mark.parametrize("size", [(80, 24), (60, 20)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_milter_that_runs_is_closed_or_answers_nonsense(tmp_path: Path, size: tuple[int, int]) -> None:
    nonsense = FakeFilter(answers={"O": b"HTTP/1.1 400 Bad Request\r\n\r\n"}).listen()
    good = FakeFilter().listen()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        closed = f"127.0.0.1:{listening.getsockname()[1]}"
    shown = {
        good.address: ("It works.",),
        closed: ("✗ connect", "refused"),
        nonsense.address: ("✗ connect", "octets"),
    }
    sections = [f"[milter m{at}]\naddress = {address}\n" for at, address in enumerate(shown)]
    with ExitStack() as stack:
        stack.callback(good.close)
        stack.callback(nonsense.close)
        terminal = stack.enter_context(Terminal(made(tmp_path, CONFIG + "".join(sections)), size=size))
        terminal.shows("smtpd-classic ›").press("f7").shows("Find an option").press("milters").shows("screen")
        terminal.press("enter").shows("› Milters", "[Test]", "m0")
        for number, words in enumerate(shown.values()):
            terminal.press("ctrl e").shows(f"Test of the milter m{number}", *words, timeout_s=60)
            terminal.press("esc").hides("Test of the milter").press("down")
        terminal.press("meta q")
        assert terminal.ends() == 0


def test_go_there_leads_to_the_option_at_fault(relays: dict[str, Case], tmp_path: Path) -> None:
    tui = Tui(made(tmp_path, text_of(relays["password"]))).go("Remote Delivery").press("ctrl e")
    assert "✗ login: 535" in tui.dialog_text
    tui.to("Go there").press("enter")
    assert not tui.dialog()
    assert tui.shell.current == "Remote Delivery"
    assert "(relay_password)" in tui.text


def test_changes_that_are_not_applied_yet_are_tested(relays: dict[str, Case], tmp_path: Path) -> None:
    tui = Tui(made(tmp_path, text_of(relays["password"])))
    tui.shell.go("Remote Delivery", "relay_password")
    tui.type("good").press("ctrl e")
    assert "✓ login accepted for us" in tui.dialog_text
    assert "It works" in tui.dialog_text
    assert "relay_password = bad" in (tmp_path / "smtpd-classic.conf").read_text()


def test_settings_with_an_error_are_not_tested(tmp_path: Path) -> None:
    tui = Tui(made(tmp_path))
    tui.shell.go("Basic Parameters", "max_recipients")
    tui.press("ctrl u").type("many").go("Remote Delivery").press("ctrl e")
    assert "Not tested" in tui.dialog_text
    assert "many" in tui.dialog_text


def test_direct_hosts_have_a_test_too(relays: dict[str, Case], tmp_path: Path) -> None:
    host = relays["good"].remote.split()[2]
    tui = Tui(made(tmp_path, text_of(relays["good"]) + f"[direct partner.example]\nhosts = {host}\n"))
    tui.go("Direct Delivery").choose("Test")
    assert "Test of partner.example" in tui.dialog_text
    assert f"✓ {host.partition(':')[0]}" in tui.dialog_text
    tui.press("esc").go("Trusted Hosts").press("ctrl e")
    assert not tui.dialog()


def test_a_listener_of_the_running_server_is_tested_as_a_client_would() -> None:
    with running() as instance:
        tui = Tui(instance.file).go("Listeners & TLS").choose("Test")
        assert "Test of the listener smtp" in tui.dialog_text
        assert f"✓ 127.0.0.1 port {instance.ports['smtp']} answers" in tui.dialog_text
