"""A Redis of Debian for each module, and a client of it for each test."""

import os
from collections.abc import Iterator

import pytest

from smtpd_classic.shared_state import SharedState
from tests.shared_state.redis_server import PATIENT_S, RedisServer


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def shared(redis_server: RedisServer) -> Iterator[SharedState]:
    state = SharedState(redis_server.url, os.urandom(32), rest_s=0.1, deadline_s=PATIENT_S)
    state.ask(lambda client: client.flushdb())
    yield state
    state.close()
