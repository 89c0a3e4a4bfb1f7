"""Open Relay Domains and Trusted Hosts: what the lists hold, and their buttons."""

import pytest

from smtpd_classic.config.kinds import split_items
from smtpd_classic.config.option import options_of
from smtpd_classic.config.schema import OpenRelay, Trusted
from tests.wire.panel import TOOK
from tests.wire.test_basic import FAR, STRANGER
from tests.wire.world import ANN, JOE, World

pytestmark = pytest.mark.screen

OPEN_RELAY, TRUSTED = "Open Relay Domains", "Trusted Hosts"
LABELS = {OPEN_RELAY: "Domain", TRUSTED: "Host or network"}


def test_every_option_has_a_test() -> None:
    names = [each.name for section in (OpenRelay, Trusted) for each in options_of(section)]
    assert [name for name in names if f"test_{name}" not in globals()] == []


def add(world: World, page: str, *items: str) -> None:
    world.panel.open(page)
    for item in items:
        world.panel.button("Add").shows(f"Add a {LABELS[page].lower()}").focus(LABELS[page]).type(item)
        world.panel.button("OK").hides("Add a ").shows(f"*{item}")


def stranger_to(world: World, recipient: str, *, sender: str = STRANGER, to: str = "127.0.0.1", ip: str = "") -> str:
    with world.client(to=to, ip=ip) as client:
        return client.envelope(sender, recipient)[:9]


@pytest.mark.parametrize(
    ("item", "domain", "taken"),
    [
        ("there.test", "there.test", True),
        ("there.test", "sub.there.test", False),
        (".there.test", "sub.there.test", True),
        (".there.test", "there.test", False),
    ],
)
def test_domains(world: World, item: str, domain: str, taken: bool) -> None:
    world.given({})
    assert stranger_to(world, f"bob@{domain}") == "550 5.7.1"
    add(world, OPEN_RELAY, item)
    world.panel.apply(f"+domains = {item}")
    assert stranger_to(world, f"bob@{domain}") == ("250 2.1.5" if taken else "550 5.7.1")


@pytest.mark.parametrize(
    ("item", "to", "ip", "trusted"),
    [
        ("127.77.1.1", "127.0.0.1", "127.77.1.1", True),
        ("127.77.1.1", "127.0.0.1", "127.77.1.2", False),
        ("127.77.2.0/24", "127.0.0.1", "127.77.2.9", True),
        ("127.77.2.0/24", "127.0.0.1", "127.77.3.9", False),
        ("127.77.", "127.0.0.1", "127.77.250.9", True),
        ("127.77.", "127.0.0.1", "127.78.0.9", False),
        ("::1", "::1", "", True),
        ("2001:db8::/32", "::1", "", False),
    ],
)
def test_hosts(world: World, item: str, to: str, ip: str, trusted: bool) -> None:
    """They relay without a login, and may name a local sender."""
    world.given({})
    assert stranger_to(world, FAR, to=to, ip=ip) == "550 5.7.1"
    assert stranger_to(world, FAR, sender=JOE, to=to, ip=ip) == "530 5.7.0"
    add(world, TRUSTED, item)
    world.panel.apply("+hosts = ")
    expected = ["250 2.1.5"] * 2 if trusted else ["550 5.7.1", "530 5.7.0"]
    assert [stranger_to(world, FAR, to=to, ip=ip, sender=each) for each in (STRANGER, JOE)] == expected


@pytest.mark.parametrize(
    ("page", "section", "option", "items", "recipient", "ip"),
    [
        (OPEN_RELAY, "open-relay", "domains", ("there.test", "b.test", "c.test"), FAR, ""),
        (TRUSTED, "trusted", "hosts", ("127.77.4.4", "192.0.2.1", "198.51.100.0/24"), ANN, "127.77.4.4"),
    ],
)
class TestButtons:
    @pytest.fixture(autouse=True)
    def _known(
        self, world: World, page: str, section: str, option: str, items: tuple[str, ...], recipient: str, ip: str
    ) -> None:
        self.world, self.page, self.section, self.option, self.items = world, page, section, option, items
        self.recipient, self.ip = recipient, ip

    def given(self, *items: str) -> None:
        self.world.given({self.section: {self.option: ", ".join(items)}})
        self.world.panel.open(self.page).shows(*items)

    def answer(self) -> str:
        sender = JOE if self.page == TRUSTED else STRANGER
        return stranger_to(self.world, self.recipient, sender=sender, ip=self.ip)

    def in_file(self) -> list[str]:
        got = self.world.command("config", "get", self.section, self.option)
        return split_items(got.stdout.strip())

    def test_delete(self) -> None:
        self.given(*self.items)
        assert self.answer() == "250 2.1.5"
        self.world.panel.row(self.items[0]).button("Delete").hides(f" {self.items[0]} ")
        self.world.panel.apply(f"-{self.option} = ")
        assert self.answer() in {"550 5.7.1", "530 5.7.0"}
        assert self.in_file() == list(self.items[1:])

    def test_edit(self) -> None:
        self.given(*self.items[1:])
        assert self.answer() in {"550 5.7.1", "530 5.7.0"}
        panel = self.world.panel.row(self.items[1]).button("Edit").shows("Change the ")
        panel.focus(LABELS[self.page]).type(self.items[0]).button("OK").hides("Change the ")
        panel.apply(f"+{self.option} = ")
        assert self.answer() == "250 2.1.5"
        assert self.in_file() == [self.items[0], self.items[2]]

    def test_up(self) -> None:
        self.given(*self.items)
        self.world.panel.row(self.items[2]).button("Up").apply(f"+{self.option} = ")
        assert self.in_file() == [self.items[0], self.items[2], self.items[1]]
        assert self.answer() == "250 2.1.5"

    def test_down(self) -> None:
        self.given(*self.items)
        self.world.panel.row(self.items[0]).button("Down").apply(f"+{self.option} = ")
        assert self.in_file() == [self.items[1], self.items[0], self.items[2]]
        assert self.answer() == "250 2.1.5"

    def test_apply(self) -> None:
        """By the button; what was added is in force then and not before."""
        self.given(*self.items[1:])
        add(self.world, self.page, self.items[0])
        assert self.answer() in {"550 5.7.1", "530 5.7.0"}
        self.world.panel.button("Apply").confirm(f"+{self.option} = ")
        assert self.answer() == "250 2.1.5"

    def test_reset(self) -> None:
        self.given(*self.items[1:])
        add(self.world, self.page, self.items[0])
        self.world.panel.button("Reset").shows("Changes discarded.").hides(self.items[0])
        self.world.panel.press("f2").shows(NOTHING)
        assert self.answer() in {"550 5.7.1", "530 5.7.0"}
        assert self.in_file() == list(self.items[1:])

    def test_diff(self) -> None:
        self.given(*self.items[1:])
        add(self.world, self.page, self.items[0])
        panel = self.world.panel.button("Diff").shows("The changes of the file", f"+{self.option} = ")
        panel.button("Close").hides("The changes of the file").button("Reset").shows("Changes discarded")
        assert TOOK not in panel.text
        assert self.in_file() == list(self.items[1:])


NOTHING = "Nothing has been changed"
