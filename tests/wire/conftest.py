"""One server and one screen for all tests of a process; every test begins with the file as `init` made it.

A test that sets the options of one section by `World.set` runs twice: by the file in “make test”, and by the screen in
“make peers”, for typing takes a second. A test of what only a screen has is marked `screen`, and runs in “make peers”.
"""

from collections.abc import Iterator

import pytest

from tests.wire.world import World, world

SCREEN = pytest.param("screen", marks=pytest.mark.peers)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "world" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("screen")
        metafunc.parametrize("world", [SCREEN] if only else ["file", SCREEN], indirect=True)


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("wire")) as found:
        yield found


@pytest.fixture(name="world")
def fresh(everything: World, request: pytest.FixtureRequest) -> Iterator[World]:
    everything.by_screen = request.param == "screen"
    failed = request.session.testsfailed
    yield everything
    if request.session.testsfailed > failed:
        everything.close_panel()
    everything.empty_queue()
