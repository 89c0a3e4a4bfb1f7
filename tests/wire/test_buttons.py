"""The buttons of the pages that are forms: Apply, Reset and Diff."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from smtpd_classic.config.option import Option
from tests.wire import test_basic, test_remote
from tests.wire.panel import TOOK
from tests.wire.test_basic import FAR, STRANGER, third_recipient
from tests.wire.world import JOE, Sections, World

pytestmark = pytest.mark.screen


class Case(NamedTuple):
    page: str
    option: Option
    value: str
    given: Sections
    answer: Callable[[World], str]
    before: str
    after: str


def to_a_domain_that_is_missing(world: World) -> str:
    with world.client(JOE) as client:
        return client.envelope(JOE, "bob@missing.test")


CASES = (
    Case(test_basic.PAGE, test_basic.BASIC["max_recipients"], "2", {}, third_recipient, "250 2.1.5", "452 4.5.3"),
    Case(
        test_remote.PAGE,
        test_remote.REMOTE["look_up_mx"],
        "no",
        {"remote": {"relay_hosts": "127.0.0.1:9", "relay_when_delivery_fails": "yes"}},
        to_a_domain_that_is_missing,
        "550 5.1.2",
        "250 2.1.5",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.page)
def test_apply(world: World, case: Case) -> None:
    world.given(case.given)
    world.panel.open(case.page).fill(case.option, case.value)
    assert case.answer(world).startswith(case.before)
    world.panel.button("Apply").confirm(f"+{case.option.name} = {case.value}")
    assert case.answer(world).startswith(case.after)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.page)
def test_stay(world: World, case: Case) -> None:
    """The other answer to the difference changes nothing, and the edit is still there."""
    world.given(case.given)
    world.panel.open(case.page).fill(case.option, case.value).button("Apply").shows("Apply these changes?")
    world.panel.button("Stay").hides("Apply these changes?").shows(f"{case.page}*")
    assert case.answer(world).startswith(case.before)
    world.panel.press("f3").shows("Changes discarded.")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.page)
def test_reset(world: World, case: Case) -> None:
    world.given(case.given)
    world.panel.open(case.page).fill(case.option, case.value).shows(f"{case.page}*")
    world.panel.button("Reset").shows("Changes discarded.").hides(f"{case.page}*")
    world.panel.press("f2").shows("Nothing has been changed")
    assert case.answer(world).startswith(case.before)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.page)
def test_diff(world: World, case: Case) -> None:
    world.given(case.given)
    world.panel.open(case.page).fill(case.option, case.value)
    world.panel.button("Diff").shows("The changes of the file", f"+{case.option.name} = {case.value}")
    world.panel.button("Close").hides("The changes of the file").press("f3").shows("Changes discarded")
    assert TOOK not in world.panel.text
    assert case.answer(world).startswith(case.before)


def test_without_function_keys(world: World) -> None:
    """The same way by the twins that every terminal has."""
    world.given({})
    option = test_basic.BASIC["close_open_relay"]
    world.panel.open(test_basic.PAGE).fill(option, "no").press("ctrl s").confirm("+close_open_relay = no")
    with world.client() as client:
        assert client.envelope(STRANGER, FAR).startswith("250")
