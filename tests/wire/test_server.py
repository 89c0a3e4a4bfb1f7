"""Server: options of the page that are seen on the wire."""

from tests.client.fake_host import own_ip
from tests.wire.panel import options
from tests.wire.test_remote import reason
from tests.wire.world import DEAD_MX, World

SERVER = options("server")


def test_public_addresses(world: World) -> None:
    world.given({"remote": {"dead_host_time": "0"}})
    assert "refused" in reason(world, world.send("bob@mx.test"))
    world.panel.set("Server", SERVER["public_addresses"], f"{own_ip()}, {DEAD_MX}")
    queue_id = world.send("bob@mx.test")
    world.logged(f"{queue_id}: to=<bob@mx.test>", "dsn=5.4.6", "loops back to this server")
