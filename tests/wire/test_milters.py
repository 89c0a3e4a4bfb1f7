"""Milters: each option is set on the page, and messages fare as it says."""

import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import Milter, Milters
from smtpd_classic.milter.packets import packet
from tests.milter.fake import CONTINUE, SILENT, FakeFilter, add
from tests.waiting import until
from tests.wire.panel import Panel, options
from tests.wire.world import JOE, Sections, World

pytestmark = pytest.mark.screen

PAGE = "Milters"
ALL, ROW = options("milter"), options("milter", named=True)
STRANGER = "x@plain.test"


def test_every_option_has_a_test() -> None:
    names = [each.name for section in (Milters, Milter) for each in options_of(section)]
    assert [name for name in names if f"test_{name}" not in globals()] == []


@contextmanager
def filtering(**answers: bytes) -> Iterator[FakeFilter]:
    found = FakeFilter(dict(answers)).listen()
    try:
        yield found
    finally:
        found.close()


def at(found: FakeFilter, **values: str) -> Sections:
    return {"milter alpha": {"address": found.address, **values}}


def reply(world: World, tag: str = "", *, size: int = 0) -> str:
    """The last reply to a stranger."""
    with world.client() as client:
        answer = client.envelope(STRANGER, JOE)
        text = world.text(tag or world.tag(), STRANGER, body="A line.\n" + "x" * 70 * (size // 70) * (size > 0))
        return client.content(text) if answer.startswith("250") else answer


def row(world: World) -> Panel:
    return world.panel.open(PAGE).row("alpha").button("Edit").shows(f"{PAGE}: alpha")


def set_row(world: World, name: str, value: str) -> None:
    row(world).fill(ROW[name], value).button("OK").hides(f"{PAGE}: alpha").shows("*alpha")
    world.panel.apply(f"{name} = ")


def test_address(world: World) -> None:
    with filtering() as first, filtering() as second:
        world.given(at(first))
        assert reply(world).startswith("250")
        set_row(world, "address", second.address)
        assert reply(world).startswith("250")
        assert (len(first.connections), len(second.connections)) == (1, 1)


def test_for(world: World) -> None:
    with filtering() as found:
        world.given(at(found))
        world.send(JOE)
        assert found.connections == []
        set_row(world, "for", "both")
        world.send(JOE)
        assert found.macros("M")["{auth_authen}"] == JOE


def test_when_down(world: World) -> None:
    found = FakeFilter().listen()
    found.close()
    world.given(at(found))
    (before,) = json.loads(world.command("status", "--json").stdout)["milters"]
    assert reply(world).startswith("451 4.7.1")
    status = world.command("status").stdout
    assert re.search(r"milters +alpha down since .*, when_down = defer: 127.0.0.1", status)
    (shown,) = json.loads(world.command("status", "--json").stdout)["milters"]
    down = shown["results"].pop("down")
    assert re.search(rf"milter results alpha: .*\b{down} down", status)
    assert down > before["results"].pop("down")
    assert (shown["name"], shown["results"]) == ("alpha", before["results"])
    assert "the milter alpha is down (when_down = defer)" in world.command("status", "--check").stdout
    set_row(world, "when_down", "refuse")
    assert reply(world).startswith("550 5.7.1")
    world.panel.open(PAGE).shows("✗ down")


def test_a_milter_that_breaks_the_protocol_is_named_with_its_fault(world: World) -> None:
    with filtering() as good:  # only a milter that was up goes down
        world.given(at(good))
        assert reply(world).startswith("250")
    with filtering(M=packet(b"Z")) as found:
        world.given(at(found))
        assert reply(world).startswith("451 4.7.1")
        fault = f"{found.address} sent the reply “Z”, which the protocol does not have (at MAIL)"
        world.logged(f"warning: milter alpha is down, messages are deferred: {fault}")
        (line,) = re.findall("milters +(.*)", world.command("status").stdout)
        assert line.startswith("alpha down since ")
        assert line.endswith(f", when_down = defer: {fault}")


def seconds(world: World, least: float, most: float) -> None:
    began = time.monotonic()
    assert reply(world).startswith("451")
    assert least <= time.monotonic() - began < most, world.log("milter")


def test_connect_timeout(world: World) -> None:
    """A socket whose queue is full."""
    folder = tempfile.mkdtemp()  # which the service user may enter, unlike those of pytest
    os.chmod(folder, 0o755)
    path = os.path.join(folder, "full")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
        listening.bind(path)
        listening.listen(0)
        os.chmod(path, 0o666)
        first.connect(path)
        world.given({"milter alpha": {"address": f"unix:{path}"}})
        set_row(world, "connect_timeout", "1s")
        seconds(world, 1, 4.5)


def test_command_timeout(world: World) -> None:
    with filtering(C=SILENT) as found:
        world.given(at(found))
        set_row(world, "command_timeout", "1s")
        seconds(world, 1, 25)


def test_content_timeout(world: World) -> None:
    with filtering(E=SILENT) as found:
        world.given(at(found))
        set_row(world, "content_timeout", "1s")
        seconds(world, 1, 25)


def test_max_size(world: World) -> None:
    with filtering() as found:
        world.given(at(found))
        set_row(world, "max_size", "1K")
        tag = world.tag()
        assert reply(world, tag, size=3000).startswith("250")
        assert "X-Spam-Reason: not scanned (size)" in world.arrives("joe", tag)
        assert reply(world).startswith("250")
        assert ["E" in found.commands(number) for number in range(2)] == [False, True]


def test_spam_header(world: World) -> None:
    junk = world.instance.folder / "mail" / "example.test" / "joe" / ".Junk" / "new"

    def is_junk() -> bool:
        tag = world.tag()
        assert reply(world, tag).startswith("250")
        return any(tag in path.read_text() for path in junk.glob("*"))

    with filtering(E=add("X-Verdict", "yes") + CONTINUE) as found:
        world.given(at(found))
        assert not is_junk()
        set_row(world, "spam_header", "X-Verdict")
        assert is_junk()


def test_filter_deadline(world: World) -> None:
    with filtering(E=SILENT) as found:
        world.given(at(found))
        world.panel.open(PAGE).fill(ALL["filter_deadline"], "1s").apply("+filter_deadline = 1s")
        seconds(world, 1, 25)


def test_max_connections(world: World) -> None:
    """With one connection a process, as many sessions as there are processes leave none free."""
    with filtering() as found:
        world.given(at(found))
        world.panel.open(PAGE).fill(ALL["max_connections"], "1").apply("+max_connections = 1")
        most = 64
        replies: list[str] = []
        with _many(world, most, replies):
            assert any(each.startswith("451 4.7.1") for each in replies)
            assert any(each.startswith("250") for each in replies)


@contextmanager
def _many(world: World, number: int, replies: list[str]) -> Iterator[None]:
    """Sessions with an accepted recipient, until one is deferred."""
    if number == 0 or (replies and replies[-1].startswith("451")):
        yield
        return
    with world.client() as client:
        replies.append(client.envelope(STRANGER, JOE))
        with _many(world, number - 1, replies):
            yield


def test_the_button_tests_a_milter(world: World) -> None:
    with filtering() as found:
        world.given(at(found))
        world.panel.open(PAGE).row("alpha").button("Test").shows("protocol agreed", "It works.")
        world.panel.press("esc")
        until(lambda: found.connections and "Q" in found.commands(), 10, lambda: "the milter was not asked")
    tested = world.command("test", "milter", "alpha")
    assert tested.returncode == 1
    assert "Connection refused" in tested.stdout


def test_the_order_is_that_of_the_page(world: World) -> None:
    with (
        filtering(E=add("X-Order", "first") + CONTINUE) as first,
        filtering(E=add("X-Order", "second") + CONTINUE) as second,
    ):
        world.given({"milter alpha": {"address": first.address}, "milter beta": {"address": second.address}})
        tag = world.tag()
        reply(world, tag)
        assert re.findall("X-Order: (.*)", world.arrives("joe", tag)) == ["first", "second"]
        world.panel.open(PAGE).row("beta").button("Up")
        world.panel.apply()
        tag = world.tag()
        reply(world, tag)
        assert re.findall("X-Order: (.*)", world.arrives("joe", tag)) == ["second", "first"]
