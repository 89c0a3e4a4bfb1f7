"""One server and one screen for all tests of a process; every test begins with the file as `init` made it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.world import World, world


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark these tests as heavy: each types into a real screen, and all of them take minutes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.peers)


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("wire")) as found:
        yield found


@pytest.fixture(name="world")
def fresh(everything: World, request: pytest.FixtureRequest) -> Iterator[World]:
    failed = request.session.testsfailed
    yield everything
    if request.session.testsfailed > failed:
        everything.close_panel()
    everything.empty_queue()
