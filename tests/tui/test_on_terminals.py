"""The promises of the screens on terminals of 80x24 and 60x20, with a running server and the hosts that fail it.

Mail waits for a relay with a wrong password, a host with a wrong certificate, a closed port, and a name for which no
name server answers; one more delivery has begun and does not end. The tests of one size share a terminal.
"""

import base64
import re
import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import pytest

from smtpd_classic.config import load
from smtpd_classic.doctor.examination import key_store
from smtpd_classic.keys.store import IN_USE, RETIRED
from spool import Listed, Spool
from tests.client.fake_host import FakeHost, certificate, own_ip
from tests.instance import Instance, running
from tests.tui.terminal import Terminal
from tests.waiting import until
from tui.screens import MENU_ENTRIES

SIZES = [(80, 24), (60, 20)]
STRANGER = "198.51.100.66"


class World(NamedTuple):
    """The server, and its queue."""

    instance: Instance

    def queue(self) -> list[Listed]:
        return list(Spool(load(self.instance.file).server.spool_folder).list())

    def id_for(self, domain: str) -> str:
        spool = Spool(load(self.instance.file).server.spool_folder)
        rows = ((each.queue_id, spool.read(each.queue_id)[0]) for each in self.queue())
        return next(key for key, entry in rows if entry.envelope.recipients[0].address.endswith(f"@{domain}"))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with ExitStack() as stack:
        go_on = threading.Event()
        login = FakeHost("relay.test", tls=certificate("relay.test"), auth=("PLAIN",), password="good")
        slow = FakeHost("slow.test", wait=partial(wait, go_on))
        for host in (login, slow):
            stack.callback(host.close)
        closed = own_ip()
        with socket.create_server((closed, 0)) as listening:
            port = listening.getsockname()[1]
        direct = {
            "certificate.example": f"{login.ip}:{login.port} user=us password=good",
            "port.example": f"{closed}:{port}",
            "dns.example": "mx.dead.example",
            "slow.example": f"{slow.ip}:{slow.port}",
        }
        options = {f"direct {domain}__hosts": hosts for domain, hosts in direct.items()}
        options |= {
            "server__name_servers": f"{closed}:{port}",
            "remote__relay_always": "yes",
            "remote__look_up_mx": "no",
            "remote__relay_hosts": f"{login.ip}:{login.port}",
            "remote__relay_accept_any_certificate": "yes",
            "remote__relay_auth": "yes",
            "remote__relay_user": "us",
            "remote__relay_password": "bad",
        }
        instance = stack.enter_context(running(**options))
        stack.callback(go_on.set)
        world = World(instance)
        send(instance, "relay.example", *direct)
        until(lambda: sum(each.attempted for each in world.queue()) >= 4, 60, instance.log)
        with open(load(instance.file).server.log, "a", encoding="utf-8") as log:
            stamp = time.strftime("%b %e %H:%M:%S")
            line = f"NOQUEUE: reject: RCPT from unknown[{STRANGER}]: 550 5.7.1 <x@far.example>: log in first; "
            log.write(f"{stamp} host smtpd-classic/smtpd[7]: {line}from=<a@b.example> to=<x@far.example>\n")
        yield world


def wait(event: threading.Event) -> None:
    event.wait(120)


def send(instance: Instance, *domains: str) -> None:
    with smtplib.SMTP("127.0.0.1", instance.ports["submission"], timeout=30) as client:
        client.starttls(context=instance.tls())
        client.login(instance.login, instance.password)
        for domain in domains:
            client.sendmail(instance.login, f"ann@{domain}", "Subject: hello\r\n\r\nhello\r\n")


class Screen:
    """A terminal, on which a test goes to a screen and reads it through."""

    def __init__(self, terminal: Terminal, size: tuple[int, int]) -> None:
        self.terminal = terminal
        self.size = size

    def go(self, words: str, title: str) -> "Screen":
        """Go to a screen by the palette."""
        self.terminal.press("f7").shows("Find an option").press(words).shows("screen").press("enter")
        self.terminal.shows(f"› {title}").hides("Find an option")
        return self

    def press(self, *keys: str) -> "Screen":
        self.terminal.press(*keys)
        return self

    def shows(self, *words: str) -> "Screen":
        self.terminal.shows(*words, timeout_s=60)
        return self

    def close(self, words: str) -> "Screen":
        """Close the dialog that shows these words."""
        self.terminal.press("esc").hides(words)
        return self

    def reads(self, *words: str) -> "Screen":
        """Scroll down until all these words have been seen, wherever their lines break."""
        seen = ""
        for _ in range(60):
            seen += self.text
            if all(each in seen for each in words):
                return self
            before, late = self.terminal.text, time.monotonic() + 1
            self.terminal.press("down")
            until(partial(self._moved, before, late))
        raise AssertionError(f"{[each for each in words if each not in seen]} not in:\n{self.terminal.text}")

    def _moved(self, before: str, late: float) -> bool:
        return self.terminal.text != before or time.monotonic() > late

    @property
    def text(self) -> str:
        """The screen without its menu, in one line."""
        lines = self.terminal.text.split("\n")
        lines = [line[22:] if line[21:22] == "│" else line for line in lines]
        return " ".join(" ".join(lines).split()) + " "


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def screen(world: World, request: pytest.FixtureRequest) -> Iterator[Screen]:
    with Terminal(world.instance.file, size=request.param) as terminal:
        terminal.shows("smtpd-classic ›", "running for")
        yield Screen(terminal, request.param)
        terminal.press("meta q")
        assert terminal.ends() == 0


def test_status_says_why_mail_waits(screen: Screen, world: World) -> None:
    screen.go("status", "Status").press("end", "home").reads("Login failed", "refused", "mx.dead.example")


def test_a_reason_is_tested_where_it_stands(screen: Screen) -> None:
    screen.go("status", "Status").press("end", "home", "down", "enter")
    screen.shows("Test of", "✗", "[Go there]").close("Test of")


def test_the_menu_counts_the_queue_and_marks_it(screen: Screen) -> None:
    screen.go("status", "Status").press("f9")
    screen.shows("more !").press("end").shows("Queue", "!").press("home").shows("› Status")


def test_clients_and_deliveries_are_live_lists(screen: Screen, world: World) -> None:
    screen.go("connections", "Connections").shows("delivery", "ann@slow.example")
    with socket.create_connection(("127.0.0.1", world.instance.ports["smtp"])) as client:
        screen.shows(f"127.0.0.1:{client.getsockname()[1]}", "smtp (")
    screen.shows("0 clients")


def test_apply_asks_with_a_list_of_changes_and_a_version_takes_it_back(screen: Screen, world: World) -> None:
    screen.go("trusted", "Trusted Hosts").press("a").shows("OK").press("192.0.2.0/24", "f2").shows("192.0.2.0/24")
    screen.press("f2").shows("Apply these changes?", "+ 192.0.2.0/24", "nothing waits")
    screen.press("f8").shows("The changes of the file", "@@").close("The changes of the file")
    screen.press("enter").shows("Applied. The daemon runs with it.")
    assert "192.0.2.0/24" in map(str, load(world.instance.file).trusted.hosts)
    screen.go("file versions", "File Versions").shows("settings").press("u").shows("Restore this version")
    screen.press("enter").shows("Restored. The daemon runs with it.")
    assert "192.0.2.0/24" not in map(str, load(world.instance.file).trusted.hosts)


def test_reset_and_leaving_with_changes(screen: Screen) -> None:
    screen.go("basic parameters", "Basic Parameters").press("x").shows("*Postmaster", "Basic Parameters *")
    screen.press("f10").shows("Changes are not applied").press("enter")
    screen.terminal.hides("Changes are not applied")
    screen.press("f3").shows("Changes discarded.").terminal.hides("*Postmaster")


def test_a_wrong_value_is_explained_and_not_applied(screen: Screen) -> None:
    screen.go("basic parameters", "Basic Parameters")
    screen.press("down", "down", "down").shows("(max_recipients)").press("ctrl u", "many")
    screen.shows("“many” is not a whole number").press("f2").shows("Not applied").close("─ Not applied ─")
    screen.shows("Not applied: the server would refuse it.").press("backspace")
    screen.terminal.hides("Not applied:")
    screen.press("f3").shows("Changes discarded.")


def test_keys_have_versions_too(screen: Screen, world: World) -> None:
    store = key_store(load(world.instance.file))
    (domain,) = store.domains()
    key = store.keys(domain)[0]
    before = key.state
    store.set_state(key, RETIRED if before != RETIRED else IN_USE, 1.8e9)
    screen.go("file versions", "File Versions").shows("keys").press("u").shows(f"{key.selector}: {before} instead of")
    screen.press("enter").shows("The keys are as they were.")
    assert store.keys(domain)[0].state == before


def test_notes_tell_what_blank_means_and_which_option_has_no_effect(screen: Screen) -> None:
    screen.go("basic parameters", "Basic Parameters").reads("blank → postmaster@example.test")
    screen.go("remote delivery", "Remote Delivery").reads("no effect while “Use relay always” is on")


def test_lists_and_texts_are_searched_as_one_types(screen: Screen, world: World) -> None:
    screen.go("direct delivery", "Direct Delivery").press("/", "slow").shows("/slow").press("enter", "enter")
    screen.shows("slow.example", "[OK]").close("[OK]")
    screen.go("queue", "Queue").press("+").shows("Tag by pattern").press("*@port.example", "enter").shows("1 tagged")
    screen.press("u").terminal.hides("1 tagged")
    screen.press("i").shows("The story of", "[Close]").press("/", "EHLO").shows("/EHLO").press("enter", "n", "N")
    screen.close("The story of")


def test_the_last_edit_of_a_list_is_undone(screen: Screen) -> None:
    screen.go("trusted", "Trusted Hosts").press("a").shows("OK").press("192.0.2.9", "f2").shows("192.0.2.9")
    screen.press("u").terminal.hides("192.0.2.9")


def test_a_message_is_explained_and_told_as_one_page(screen: Screen, world: World) -> None:
    key = world.id_for("relay.example")
    screen.go("queue", "Queue").press("/").shows("Search the queue").press("relay.example", "enter").shows("1 found")
    screen.press("i").shows(f"The story of {key}").reads("sasl_username", "535", "Subject: hello").close("The story of")
    screen.press("e").shows("› Explain", "ann@relay.example").reads("ACCEPTED")
    screen.go("queue", "Queue").press("/").shows("Search the queue").press("ctrl u", "enter").terminal.hides("found")


def test_a_line_of_the_log_is_explained(screen: Screen) -> None:
    screen.go("log", "Log").press("/").shows("Filter the log").press("ctrl u", STRANGER, "enter")
    screen.shows("filter “").press("enter").shows("This line").reads("Explain this decision")
    screen.press("down", "down", "down", "enter").shows("› Explain", STRANGER).reads("REFUSED")


def test_suspects_and_the_log_have_dates_and_periods(screen: Screen) -> None:
    screen.go("log", "Log").press("x").shows("Suspects", STRANGER, "Refused").press("t").shows("24 hours")
    screen.close("─ Suspects ─").press("t").shows("Period of the log", "The last hour").press("down", "enter")
    screen.shows("hour")


def test_keys_without_f_keys_do_the_same(screen: Screen) -> None:
    screen.press("ctrl p").shows("Find an option").press("status").shows("screen").press("enter").shows("› Status")
    screen.press("ctrl p").shows("Find an option").press("max. recipients").shows("Basic Parameters").press("enter")
    screen.shows("(max_recipients)").press("enter").shows("(over_max_recipients)")
    screen.press("up", "up", "down").shows("(max_recipients)")
    screen.press("ctrl s").shows("Nothing has been changed.").press("ctrl g").shows("Help and keys")
    screen.close("Help and keys")


def test_the_help_scrolls(screen: Screen) -> None:
    screen.press("f7").shows("Find an option").press("require own").shows("From and account").press("enter")
    screen.shows("(require_own", "▼ more").press("meta .").shows("▲").press("meta ,")
    screen.terminal.hides("▲")


def test_a_new_password_has_its_strength_below(screen: Screen) -> None:
    screen.go("accounts", "Accounts").press("p").shows("Password of").press("joe").shows("■□□□ weak")
    screen.press("ctrl u", "secret worDs 4 you").shows("■■■■ strong").press("esc").shows("Discard").press(
        "tab", "enter"
    )
    screen.terminal.hides("Password of")


def test_the_traffic_has_an_axis_and_a_peak(screen: Screen) -> None:
    screen.go("status", "Status").press("end", "home").reads("per minute", "peak", "-60 min", "now")


def test_the_mouse_is_on_by_a_key_that_says_its_cost(screen: Screen) -> None:
    screen.go("status", "Status").press("meta o").shows("The mouse is")
    screen.press("meta o").shows("The mouse is")
    assert b"\x1b[?1000h" in screen.terminal.raw
    assert b"\x1b[?1000l" in screen.terminal.raw


def test_a_queue_id_is_copied(screen: Screen, world: World) -> None:
    screen.go("queue", "Queue").press("home", "y").shows("Copied 20 characters")
    found = re.findall(rb"\x1b\]52;c;([^\x07]+)\x07", screen.terminal.raw)
    assert base64.b64decode(found[-1]).decode() in [each.queue_id for each in world.queue()]


def test_every_screen_opens_by_the_palette(screen: Screen) -> None:
    """Each size has half of the screens."""
    log = screen.terminal.log
    for place in MENU_ENTRIES[SIZES.index(screen.size) :: 2]:
        screen.go(place.title.lower(), place.title)
        assert "A mistake in this program" not in screen.terminal.text
    assert not log.exists() or not log.read_text(encoding="utf-8")
