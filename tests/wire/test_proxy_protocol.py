"""The checks and headers of a load balancer at listeners that do not know it: they block nobody."""

import socket
import struct

import pytest

from tests.server.test_proxy_protocol import FROM_4, PORTS, TO_4, v2
from tests.waiting import until
from tests.wire.world import World

BALANCER = "127.77.8.1"
HEADERS = [
    pytest.param(v2(0x20, 0x00, b""), id="a check, v2"),
    pytest.param(v2(0x21, 0x11, FROM_4 + TO_4 + PORTS), id="a client, v2"),
    pytest.param(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\r\n", id="a client, v1"),
    pytest.param(b"PROXY UNKNOWN\r\n", id="a check, v1"),
]
LISTENERS = ("smtp", "submission", "submissions")


def connected(world: World, listener: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", world.instance.ports[listener]), 10, (BALANCER, 0))


def ends(world: World) -> int:
    """The number of connections of the balancer that have ended."""
    lines = world.log(f"[{BALANCER}]").splitlines()
    return sum("disconnect from" in line or "SSL_accept error from" in line for line in lines)


def rest(connection: socket.socket) -> bytes:
    """The octets until the server closes."""
    found = b""
    try:
        while data := connection.recv(1000):
            found += data
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize("sent", HEADERS)
@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("pipelining", ["strict", "lenient"])
def test_a_header_that_is_not_expected_is_no_attack(world: World, listener: str, sent: bytes, pipelining: str) -> None:
    """421 before or after the banner, a line in the log with the option to set, and no block."""
    world.given({"access": {"max_failures": "2", "pipelining": pipelining}})
    for more in (b"", b"EHLO client.example\r\nMAIL FROM:<a@b.test>\r\n", b""):
        with connected(world, listener) as connection:
            connection.sendall(sent + more)
            answer = rest(connection)
            assert (b"421 4.3.5" in answer) == (listener != "submissions")
    with connected(world, listener) as connection:
        if listener != "submissions":
            assert connection.recv(1000).startswith(b"220 ")  # and it is not blocked
            connection.sendall(sent)
            assert b"421 4.3.5" in rest(connection)
    assert BALANCER not in world.command("block", "list").stdout
    line = world.logged("PROXY header", f"[listener {listener}]")
    assert f"set proxy_protocol = {BALANCER} there" in line


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_connection_that_closes_without_a_word_is_no_attack(world: World, listener: str, reset: bool) -> None:
    world.given({"access": {"max_failures": "2"}})
    before = ends(world)
    for greeted in (False, True) * 3:
        with connected(world, listener) as connection:
            if greeted and listener != "submissions":
                assert connection.recv(1000).startswith(b"220 ")
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if listener != "submissions":  # before a handshake it is no event for the log
        until(lambda: ends(world) == before + 6, 20, world.log)
    assert BALANCER not in world.command("block", "list").stdout
