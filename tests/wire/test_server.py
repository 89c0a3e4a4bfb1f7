"""Server: options of the page that are seen on the wire."""

from urllib.request import urlopen

from tests.client.fake_host import FakeHost, hosts, own_ip
from tests.instance import free_port
from tests.waiting import until
from tests.wire.panel import options
from tests.wire.test_authentication import place
from tests.wire.test_remote import reason
from tests.wire.world import BOTH_IPV4, DEAD_MX, World

SERVER = options("server")


def test_junk_time(world: World) -> None:
    """Junk goes when its time is over, and the message beside it in the inbox stays."""
    world.given({"authentication": {"check": "yes"}})
    assert place(world, "reject.test") == "junk"
    inbox = world.instance.folder / "mail" / "example.test" / "joe"
    kept, junk = len(list((inbox / "new").iterdir())), inbox / ".Junk" / "new"
    assert list(junk.iterdir())
    world.set("Server", SERVER["junk_time"], "1s")
    until(lambda: not list(junk.iterdir()), 20, world.log)
    assert len(list((inbox / "new").iterdir())) == kept
    world.logged("messages from the junk folders")


def test_probe_hosts(world: World) -> None:
    """The doctor reaches the host of the option; without it and without mail there is none to ask."""
    world.given({})
    peer = FakeHost("mx.both.test", ip=BOTH_IPV4, port=25)
    with hosts(peer):
        assert "port 25 out: both.test" not in world.instance.run("doctor", "--no-lists").stdout
        world.set("Server", SERVER["probe_hosts"], "both.test")
        assert "[ok] port 25 out: both.test: 220 mx.both.test" in world.instance.run("doctor", "--no-lists").stdout


def test_public_addresses(world: World) -> None:
    world.given({"remote": {"dead_host_time": "0"}})
    assert "refused" in reason(world, world.send("bob@mx.test"))
    world.set("Server", SERVER["public_addresses"], f"{own_ip()}, {DEAD_MX}")
    queue_id = world.send("bob@mx.test")
    world.logged(f"{queue_id}: to=<bob@mx.test>", "dsn=5.4.6", "loops back to this server")


def test_metrics(world: World) -> None:
    world.given({})
    port = free_port()
    world.set("Server", SERVER["metrics"], f"127.0.0.1:{port}")
    world.send("bob@mx.test")
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as found:
        text = found.read().decode()
    assert "smtpd_up 1.0" in text
    assert "smtpd_received_total" in text
