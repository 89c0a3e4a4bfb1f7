"""One server and one screen for all tests of a process; every test begins with the file as `init` made it."""

from collections.abc import Iterator

import pytest

from tests.wire.world import World, world


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
