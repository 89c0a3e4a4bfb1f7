"""Server: the shared state comes into force by a reload, and so does its password, one after the other."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.shared_state.redis_server import RedisServer
from tests.waiting import until
from tests.wire.panel import options
from tests.wire.world import World

SERVER = options("server")
SECRETS = ("srs-secret", "approval-secret")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, "--requirepass", "very secret")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def state(world: World) -> str:
    with world.client("joe@example.test"):
        pass
    return str(json.loads(world.command("status", "--json").stdout)["shared_state"]["state"])


def fingerprints(redis: RedisServer) -> int:
    client = Redis(port=redis.port, password="very secret")
    try:
        return len(client.keys("smtpd-classic:fingerprint:*"))
    finally:
        client.close()


def test_shared_state_and_then_its_password_file(world: World, redis: RedisServer) -> None:
    world.given({})
    folder = world.instance.folder
    for name in SECRETS:
        (folder / name).write_text("x" * 64)
        (folder / name).chmod(0o644)
    (folder / "redis-password").write_text("very secret\n")
    (folder / "redis-password").chmod(0o644)
    world.set("Server", SERVER["shared_state"], redis.url)
    until(lambda: state(world) == "down", 20, world.log)
    assert fingerprints(redis) == 0
    world.set("Server", SERVER["shared_state_password_file"], "redis-password")
    until(lambda: state(world) == "up", 20, world.log)
    assert fingerprints(redis) == len(SECRETS)
    world.given({})
    for name in (*SECRETS, "redis-password"):
        (folder / name).unlink()
